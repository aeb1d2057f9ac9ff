/**
 * What an event does to its subject, from the transaction of the change to the last look for what is left.
 */
package org.logoutrelay.keycloak.containment;
