package org.logoutrelay.keycloak.directory;

/** An LDAP provider of Keycloak, by its id and that of its realm. */
record Provider(String id, String realmId) {
}
