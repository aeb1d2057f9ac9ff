/**
 * What changes in the directories behind Keycloak: {@link org.logoutrelay.keycloak.directory.Directories} looks at each of
 * them again and again, on one node at a time.
 */
package org.logoutrelay.keycloak.directory;
