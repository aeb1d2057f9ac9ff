/**
 * What is owed to the relay. Only this package writes its rows.
 */
package org.logoutrelay.keycloak.outbox;
