import { decodeJwt } from 'jose'
import { rolesIn } from '../claims.ts'
import { type Finding, findingsOn } from '../../../domain/finding.ts'

const CLIENT = 'logout-relay'
/** What the relay does at Keycloak, each role named like the endpoint it opens (docs/protocol.md). */
const NEEDED = ['outbox', 'logout-tokens', 'answers', 'relying-parties']
/** Only where it hears upstreams: with it a stolen relay could end sessions. */
const TO_HEAR = 'upstream-events'
/** For people, their programs and guards. A relay that could dismiss could be made to forget. */
const FOR_OTHERS = ['view', 'operate', 'confirm', 'dismiss', 'guard']
/** What every service account has by Keycloak's default; it opens nothing but its own account. */
const HARMLESS = ['account', 'broker']

/**
 * What the relay's own access token may do: what it needs, and nothing that a thief of the relay could use.
 *
 * @param hears whether upstreams tell it of users of this realm
 */
export function judgeRoles(issuer: string, accessToken: string, hears = false): Finding[] {
  const { ok, todo } = findingsOn(issuer)
  const roles = rolesIn(safely(() => decodeJwt(accessToken)))
  if (!roles) {
    return [todo('roles', 'The access token cannot be read; the realm must issue JWTs that carry the client roles')]
  }
  const held = roles.ofClients.get(CLIENT) ?? []
  const needed = hears ? [...NEEDED, TO_HEAR] : NEEDED
  const unwanted = hears ? FOR_OTHERS : [...FOR_OTHERS, TO_HEAR]
  const missing = needed.filter((role) => !held.includes(role))
  const tooMany = [
    ...held.filter((role) => unwanted.includes(role)).map((role) => `${CLIENT}/${role}`),
    ...[...roles.ofClients]
      .filter(([client]) => client !== CLIENT && !HARMLESS.includes(client))
      .flatMap(([client, names]) => names.map((role) => `${client}/${role}`)),
    ...roles.realm.filter((role) => ['admin', 'create-realm'].includes(role)),
  ]
  return [
    missing.length === 0
      ? ok('roles', `has the ${needed.length} roles it needs`)
      : todo('roles', `give its service account these roles of the client ${CLIENT}: ${missing.join(', ')}`),
    tooMany.length === 0
      ? ok('roles it must not have', 'none: a stolen relay cannot log in, read credentials or change an account')
      : todo('roles it must not have', `take from its service account: ${tooMany.join(', ')}`),
  ]
}

function safely<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
