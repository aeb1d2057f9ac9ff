/**
 * The Keycloak half of Logout Relay. Read in this order: {@link org.logoutrelay.keycloak.LogoutRelayListener} notes what
 * happened, {@link org.logoutrelay.keycloak.PreparePhase} does everything that must commit with it,
 * {@link org.logoutrelay.keycloak.AfterCommit} sees that the sessions are gone and pushes, and
 * {@link org.logoutrelay.keycloak.Endpoints} is all that the relay may ask.
 */
package org.logoutrelay.keycloak;
