/**
 * What becomes of a client's new secret: who still comes with the old one, and what its end ends.
 */
package org.logoutrelay.keycloak.rotation;
