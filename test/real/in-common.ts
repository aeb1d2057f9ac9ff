import { CRASH_JAR, EXTENSION_JAR } from '../../scripts/stage/keycloak.ts'
import { KEYCLOAK_VERSIONS } from '../../scripts/stage/keycloak-versions.ts'

const NEWEST = KEYCLOAK_VERSIONS[1]

/** What every Keycloak on PostgreSQL has, whether it needs it or not: so one build of Keycloak serves them all. */
export function inCommon(version: string = NEWEST) {
  return {
    version,
    jars: [EXTENSION_JAR, CRASH_JAR],
    options: version === NEWEST ? ['--features=scim-api'] : [],
  }
}
