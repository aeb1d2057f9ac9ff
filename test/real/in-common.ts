import { CRASH_JAR, EXTENSION_JAR } from '../../scripts/stage/keycloak.ts'
import { KEYCLOAK_VERSIONS } from '../../scripts/stage/keycloak-versions.ts'

const NEWEST = KEYCLOAK_VERSIONS[1]

/** What every Keycloak on PostgreSQL has, whether it needs it or not: so one build of Keycloak serves them all. */
export function inCommon(version: string = NEWEST, features: readonly string[] = []) {
  const all = [...(version === NEWEST ? ['scim-api'] : []), ...features]
  return {
    version,
    jars: [EXTENSION_JAR, CRASH_JAR],
    options: all.length > 0 ? [`--features=${all.join(',')}`] : [],
  }
}
