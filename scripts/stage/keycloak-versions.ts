/** The versions of Keycloak that everything is tried on, oldest first; scripts/setup brings them. */
export const KEYCLOAK_VERSIONS = ['26.5.0', '26.7.3'] as const
