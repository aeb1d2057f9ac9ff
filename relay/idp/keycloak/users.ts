import { z } from 'zod'
import { realmAt, Rest } from './rest.ts'

/** A page that shows names waits no longer for them. */
const TIMEOUT_MS = 2000
/** So many ids fit into an address. */
const AT_ONCE = 50
const Users = z.array(z.object({ id: z.string(), username: z.string(), email: z.string().optional() }))

/**
 * Users of a realm as a person's own access token shows them, by Keycloak's Admin API: it takes the role view-users of
 * realm-management. The relay itself has no such right.
 */
export interface UserLookup {
  /**
   * The names of those that there are, by id. Nothing else of a user is read.
   *
   * @throws RelayError `access_denied` where the token may not, `idp_unavailable` where nobody can be asked
   */
  names(accessToken: string, ids: readonly string[]): Promise<ReadonlyMap<string, string>>
  /**
   * The id of the only user of exactly this user name or email address; undefined where there is none, or several. Throws as
   * above.
   */
  find(accessToken: string, name: string): Promise<string | undefined>
}

/** @param ca certificates of CAs (PEM) that are trusted for this realm in addition */
export function usersOf(issuer: string, ca?: string): UserLookup {
  const { url, admin } = realmAt(issuer)
  const server = { url, ca, setting: 'issuers[].ca_file, for a command --ca-file', timeoutMs: TIMEOUT_MS }
  const ask = (accessToken: string, query: Readonly<Record<string, string>>) => {
    const asked = new URLSearchParams({ ...query, briefRepresentation: 'true' }).toString()
    const rest = new Rest(server, () => Promise.resolve(accessToken))
    return rest.get(`${admin}/users?${asked}`, Users, 'view-users of realm-management')
  }
  return {
    names: async (accessToken, ids) => {
      const found = new Map<string, string>()
      for (let from = 0; from < ids.length; from += AT_ONCE) {
        const some = ids.slice(from, from + AT_ONCE)
        const query = { search: `id:${some.join(' ')}`, max: String(AT_ONCE) }
        for (const { id, username } of await ask(accessToken, query)) {
          found.set(id, username)
        }
      }
      return found
    },
    find: async (accessToken, name) => {
      const exactly = (query: Readonly<Record<string, string>>) =>
        ask(accessToken, { ...query, exact: 'true', max: '2' })
      const is = (text?: string) => text?.toLowerCase() === name.toLowerCase()
      const [named, addressed] = await Promise.all([
        exactly({ username: name }),
        name.includes('@') ? exactly({ email: name }) : [],
      ])
      // Somebody may be named like another's address, and a realm may let several have the same one.
      const those = [...named.filter((user) => is(user.username)), ...addressed.filter((user) => is(user.email))]
      const [id, ...others] = new Set(those.map((user) => user.id))
      return others.length === 0 ? id : undefined
    },
  }
}

/** Whether a text is the id of a user: a UUID, or a directory's, such as `f:1f2e…:alice`. No user name has such a form by chance. */
export function isUserId(text: string): boolean {
  return /^(f:[\w-]+:.+|[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12})$/i.test(text)
}
