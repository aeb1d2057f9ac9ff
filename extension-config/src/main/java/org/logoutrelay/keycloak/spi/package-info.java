/**
 * What Keycloak loads by name, and nothing that decides.
 */
package org.logoutrelay.keycloak.spi;
