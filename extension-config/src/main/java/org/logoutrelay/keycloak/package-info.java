/**
 * The Keycloak half of Logout Relay. Read in this order: {@link org.logoutrelay.keycloak.LogoutRelayListener} sees what
 * happens, {@link org.logoutrelay.keycloak.AllOrNothing} ties our part to the change, {@link
 * org.logoutrelay.keycloak.Containment} is that part,
 * {@link org.logoutrelay.keycloak.AfterCommit} sees that the sessions are gone and pushes, and
 * {@link org.logoutrelay.keycloak.Endpoints} is all that the relay may ask.
 */
package org.logoutrelay.keycloak;
