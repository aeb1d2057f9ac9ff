import { decodeJwt } from 'jose'
import { z } from 'zod'
import { type Finding, findingsOn } from '../../../domain/finding.ts'

const CLIENT = 'logout-relay'
/** What the relay does at Keycloak, each role named like the endpoint it opens (docs/protocol.md). */
const NEEDED = ['outbox', 'logout-tokens', 'answers', 'relying-parties']
/** For people and their programs. A relay that could dismiss could be made to forget. */
const FOR_OTHERS = ['view', 'operate', 'confirm', 'dismiss']
/** What every service account has by Keycloak's default; it opens nothing but its own account. */
const HARMLESS = ['account', 'broker']

const Claims = z.object({
  realm_access: z.object({ roles: z.array(z.string()) }).default({ roles: [] }),
  resource_access: z.record(z.string(), z.object({ roles: z.array(z.string()) })).default({}),
})

/** What the relay's own access token may do: what it needs, and nothing that a thief of the relay could use. */
export function judgeRoles(issuer: string, accessToken: string): Finding[] {
  const { ok, todo } = findingsOn(issuer)
  const claims = Claims.safeParse(safely(() => decodeJwt(accessToken)))
  if (!claims.success) {
    return [todo('roles', 'The access token cannot be read; the realm must issue JWTs that carry the client roles')]
  }
  const { realm_access, resource_access } = claims.data
  const held = resource_access[CLIENT]?.roles ?? []
  const missing = NEEDED.filter((role) => !held.includes(role))
  const tooMany = [
    ...held.filter((role) => FOR_OTHERS.includes(role)).map((role) => `${CLIENT}/${role}`),
    ...Object.entries(resource_access)
      .filter(([client]) => client !== CLIENT && !HARMLESS.includes(client))
      .flatMap(([client, { roles }]) => roles.map((role) => `${client}/${role}`)),
    ...realm_access.roles.filter((role) => ['admin', 'create-realm'].includes(role)),
  ]
  return [
    missing.length === 0
      ? ok('roles', `has the ${NEEDED.length} roles it needs`)
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
