/**
 * What Keycloak loads by name. The listener passes on each event to those whom it concerns.
 */
package org.logoutrelay.keycloak.spi;
