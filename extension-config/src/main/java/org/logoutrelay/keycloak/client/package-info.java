/**
 * A client of the realm as a relying party: its logout URL, its tokens' shape, and one session of it as it is listed.
 */
package org.logoutrelay.keycloak.client;
