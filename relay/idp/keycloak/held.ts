import { z } from 'zod'
import { DirectoryItem } from './directories.ts'
import { mustBeEncrypted, realmAt, Rest } from './rest.ts'
import { UpstreamItem } from './upstreams.ts'

/** Keycloak goes through its ledger for how many are left. */
const TIMEOUT_MS = 60_000
const RIGHT = 'confirm of the client logout-relay'

const RealmLogouts = z.object({
  realm_logouts: z.array(z.object({ id: z.string(), at_ms: z.number(), state: z.string(), left: z.number() })),
})
const Directories = z.object({ directories: z.array(DirectoryItem) })
const Upstreams = z.object({ upstreams: z.array(UpstreamItem) })

const ENDPOINTS = { 'realm logout': 'realm-logouts', directory: 'directories', upstream: 'upstreams' } as const

/** Something that ends nothing until a person says whether it is meant. */
export interface Held {
  readonly kind: keyof typeof ENDPOINTS
  readonly id: string
  /** When everybody was signed out, the directory's name, or the identity provider's issuer. */
  readonly about: string
  /** Users; of an identity provider users and kinds of events. */
  readonly held: number
}

/**
 * What waits in a realm for a person's word, as their own access token shows it: it takes the role `confirm` of the client
 * logout-relay. The relay itself has no such right.
 */
export interface HeldOfRealm {
  /** @throws RelayError `access_denied` where the token may not, `idp_unavailable` where nobody can be asked */
  list(): Promise<Held[]>
  /** Throws as above, and `invalid_request` where it waits no longer. */
  decide(held: Held, decision: 'confirm' | 'dismiss', reason: string): Promise<void>
}

/** @param ca certificates of CAs (PEM) that are trusted in addition */
export function heldOf(issuer: string, accessToken: string, ca?: string): HeldOfRealm {
  mustBeEncrypted(issuer)
  const { url, extension } = realmAt(issuer)
  const rest = new Rest({ url, ca, timeoutMs: TIMEOUT_MS }, () => Promise.resolve(accessToken))
  const read = <T>(schema: z.ZodType<T>, endpoint: string) => rest.get(`${extension}/${endpoint}`, schema, RIGHT)
  return {
    list: async () => {
      const { realm_logouts } = await read(RealmLogouts, ENDPOINTS['realm logout'])
      const { directories } = await read(Directories, ENDPOINTS.directory)
      const { upstreams } = await read(Upstreams, ENDPOINTS.upstream)
      return [
        ...realm_logouts
          .filter(({ state }) => state === 'held')
          .map(({ id, at_ms, left }) => held('realm logout', id, new Date(at_ms).toISOString(), left)),
        ...directories
          .filter(({ state }) => state === 'held')
          .map(({ id, name, held: users }) => held('directory', id, name, users)),
        ...upstreams
          .filter(({ held: words }) => words > 0)
          .map(({ id, issuer: theirs, held: words }) => held('upstream', id, theirs, words)),
      ]
    },
    decide: async ({ kind, id }, decision, reason) => {
      await rest.send(`${extension}/${ENDPOINTS[kind]}`, { json: { id, decision, reason }, right: RIGHT })
    },
  }
}

function held(kind: Held['kind'], id: string, about: string, count: number): Held {
  return { kind, id, about, held: count }
}
