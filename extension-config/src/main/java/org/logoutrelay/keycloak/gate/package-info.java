/**
 * Refuses what is from before. Here alone is known when a login began and what it goes on after by right.
 */
package org.logoutrelay.keycloak.gate;
