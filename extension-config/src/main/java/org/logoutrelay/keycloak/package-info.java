/**
 * The Keycloak half of Logout Relay. Read in this order: {@link org.logoutrelay.keycloak.spi.LogoutRelayListener} sees what
 * happens, {@link org.logoutrelay.keycloak.base.AllOrNothing} ties our part to the change, {@link
 * org.logoutrelay.keycloak.containment.Containment} is that part,
 * {@link org.logoutrelay.keycloak.settle.AfterCommit} sees that the sessions are gone and pushes, and
 * {@link org.logoutrelay.keycloak.rest.Endpoints} is all that the relay may ask.
 */
package org.logoutrelay.keycloak;
