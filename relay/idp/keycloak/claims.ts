import { z } from 'zod'
import type { ReadAccess } from '../port.ts'

const Roles = z.object({ roles: z.array(z.string()) })

/** Where Keycloak puts roles into a token: those of the realm, and those of each client. */
const Held = z.object({
  realm_access: Roles.default({ roles: [] }),
  resource_access: z.record(z.string(), Roles).default({}),
})

const AccessToken = Held.extend({
  // Keycloak's mark of an access token: an ID token with the right audience is not one.
  typ: z.literal('Bearer'),
  sub: z.string().min(1).optional(),
  azp: z.string().default(''),
  preferred_username: z.string().optional().catch(undefined),
  exp: z.number(),
})

export const readAccess: ReadAccess = (claims, client) => {
  const { data } = AccessToken.safeParse(claims)
  return (
    data && {
      subject: data.sub,
      clientId: data.azp,
      exp: data.exp,
      roles: data.resource_access[client]?.roles ?? [],
      ...(data.preferred_username === `service-account-${data.azp}` ? { serviceAccount: data.preferred_username } : {}),
    }
  )
}

/** All roles that a token of Keycloak's carries; undefined for what is none. */
export function rolesIn(
  claims: unknown,
): { readonly realm: readonly string[]; readonly ofClients: ReadonlyMap<string, readonly string[]> } | undefined {
  const { data } = Held.safeParse(claims)
  return (
    data && {
      realm: data.realm_access.roles,
      ofClients: new Map(Object.entries(data.resource_access).map(([client, { roles }]) => [client, roles])),
    }
  )
}
