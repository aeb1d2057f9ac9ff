import { z } from 'zod'
import { networkCodeOf, RelayError, whyUntrusted } from '../../errors.ts'
import { exchange } from '../../http.ts'
import { DirectoryItem } from './directories.ts'
import { UpstreamItem } from './upstreams.ts'

/** Keycloak goes through its ledger for how many are left. */
const TIMEOUT_MS = 60_000

const RealmLogouts = z.object({
  realm_logouts: z.array(z.object({ id: z.string(), at_ms: z.number(), state: z.string(), left: z.number() })),
})
const Directories = z.object({ directories: z.array(DirectoryItem) })
const Upstreams = z.object({ upstreams: z.array(UpstreamItem) })
const Refused = z.object({ error_description: z.string() })

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
  const ask = async (endpoint: string, body?: object): Promise<unknown> => {
    let answer
    try {
      answer = await exchange(`${issuer}/logout-relay/${endpoint}`, {
        headers: {
          authorization: `Bearer ${accessToken}`,
          accept: 'application/json',
          ...(body ? { 'content-type': 'application/json' } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        timeoutMs: TIMEOUT_MS,
        ca,
      })
    } catch (cause) {
      const code = networkCodeOf(cause)
      const why = whyUntrusted(code, '--ca-file or LOGOUT_RELAY_CA_FILE') ?? `cannot be reached (${code})`
      throw new RelayError('idp_unavailable', `${issuer} ${why}`, { cause })
    }
    if (answer.status !== 200) {
      throw refusal(issuer, endpoint, answer.status, Refused.safeParse(answer.json).data?.error_description)
    }
    return answer.json
  }
  const read = async <T>(schema: z.ZodType<T>, endpoint: string): Promise<T> => {
    const parsed = schema.safeParse(await ask(endpoint))
    if (!parsed.success) {
      throw new RelayError(
        'idp_unavailable',
        `${issuer}: ${endpoint} answered something that docs/protocol.md does not know`,
      )
    }
    return parsed.data
  }
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
      await ask(ENDPOINTS[kind], { id, decision, reason })
    },
  }
}

function held(kind: Held['kind'], id: string, about: string, count: number): Held {
  return { kind, id, about, held: count }
}

function refusal(issuer: string, endpoint: string, status: number, says: string | undefined): RelayError {
  switch (status) {
    case 400:
      return new RelayError('invalid_request', `Keycloak refused it (400): ${says ?? 'it does not say why'}`)
    case 401:
    case 403:
      return new RelayError(
        'access_denied',
        `Keycloak lets this token not decide (${status}): ${says ?? 'it takes the role confirm of the client logout-relay, in a token that has not ended'}`,
      )
    default:
      return new RelayError(
        'idp_unavailable',
        `${issuer}: ${endpoint} answered ${status}${status === 404 ? ': is the extension’s jar in Keycloak’s providers/?' : ''}`,
      )
  }
}
