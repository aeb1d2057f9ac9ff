import { z } from 'zod'
import { networkCodeOf, RelayError } from '../../errors.ts'
import { exchange, type HttpAnswer, type HttpRequest } from '../../http.ts'

const TIMEOUT_MS = 15_000
/** What is meant by a change of a secret: the extension refuses, in its transaction, one that is not that. */
const HEADER = 'logout-relay-rotation'
const BEGIN = 'begin'

const Caller = z.object({
  secret: z.enum(['new', 'old', 'refused']),
  address: z.string(),
  user_agent: z.string(),
  uses: z.number(),
  first_ms: z.number(),
  last_ms: z.number(),
})
const Rotation = z.object({
  id: z.string(),
  begun_ms: z.number(),
  new_seen_ms: z.number().optional(),
  old_last_ms: z.number().optional(),
  /** Up to when what the client has may have been had by the old secret; there once the new one was seen. */
  reaches_ms: z.number().optional(),
  retired_ms: z.number().optional(),
  callers: z.array(Caller),
})
const Report = z.object({
  client_id: z.string(),
  id: z.string(),
  has_secret: z.boolean(),
  token_lifespan_s: z.number(),
  /** All times are by this clock, the database's. */
  now_ms: z.number(),
  old_valid_until_ms: z.number().optional(),
  rotation: Rotation.optional(),
})
const Secret = z.object({ value: z.string() })
const Said = z.object({ error_description: z.string() })

/** Who has come with which secret, and how often. */
export type SecretCaller = z.infer<typeof Caller>
/** How far the newest change of a client's secret has come, as `GET client-rotations` has it. */
export type SecretReport = z.infer<typeof Report>

/**
 * One client's secrets, by a person's own token: Keycloak's Admin API makes, shows and withdraws them (role manage-clients of
 * realm-management), the extension says who comes with which (role operate).
 *
 * All throw RelayError: `access_denied` where the token may not, `not_found`, `idp_unavailable`.
 */
export interface ClientSecrets {
  report(): Promise<SecretReport>
  /** A new one beside the old; undefined where the old one would have ended with it, and nothing was changed. */
  makeBeside(uuid: string): Promise<string | undefined>
  /** A new one. Whether the old one goes on to count is the realm's policy. */
  make(uuid: string): Promise<string>
  current(uuid: string): Promise<string>
  /**
   * @param rotation only of this one, and only if its new secret was seen; what that one got lives on
   * @returns whether it was withdrawn
   */
  withdraw(uuid: string, rotation?: string): Promise<boolean>
}

export function secretsOf(issuer: string, clientId: string, token: () => Promise<string>): ClientSecrets {
  const admin = `${issuer.replace(/\/realms\/([^/]+)$/, '/admin/realms/$1')}/clients`
  const ask = async (url: string, wanted: Pick<HttpRequest, 'method' | 'body'> = {}, meant?: string) => {
    const headers = {
      ...{ authorization: `Bearer ${await token()}`, accept: 'application/json', 'content-type': 'application/json' },
      ...(meant === undefined ? {} : { [HEADER]: meant }),
    }
    try {
      return await exchange(url, { ...wanted, headers, timeoutMs: TIMEOUT_MS })
    } catch (cause) {
      throw new RelayError('idp_unavailable', `No Keycloak answers at ${issuer} (${networkCodeOf(cause)})`, { cause })
    }
  }
  const secretAt = (uuid: string) => `${admin}/${encodeURIComponent(uuid)}/client-secret`
  return {
    report: async () => {
      const query = new URLSearchParams({ client: clientId }).toString()
      const answer = await ask(`${issuer}/logout-relay/client-rotations?${query}`)
      const parsed = Report.safeParse(answer.json)
      if (answer.status !== 200 || !parsed.success) {
        throw noReport(answer)
      }
      return parsed.data
    },
    makeBeside: async (uuid) => {
      const answer = await ask(secretAt(uuid), { method: 'POST' }, BEGIN)
      return isRefusal(answer) ? undefined : secretIn(answer)
    },
    make: async (uuid) => secretIn(await ask(secretAt(uuid), { method: 'POST' })),
    current: async (uuid) => secretIn(await ask(secretAt(uuid))),
    withdraw: async (uuid, rotation) => {
      const answer = await ask(`${secretAt(uuid)}/rotated`, { method: 'DELETE' }, rotation)
      if (rotation !== undefined && isRefusal(answer)) {
        return false
      }
      if (answer.status !== 200 && answer.status !== 204) {
        throw notDone(answer)
      }
      return true
    },
  }
}

/** 400 is the extension's; two changes of one client that meet are a 409. */
const isRefusal = ({ status }: HttpAnswer) => status === 400 || status === 409

function secretIn(answer: HttpAnswer): string {
  const parsed = Secret.safeParse(answer.json)
  if (answer.status !== 200 || !parsed.success) {
    throw notDone(answer)
  }
  return parsed.data.value
}

function notDone({ status }: HttpAnswer): RelayError {
  if (status === 401) {
    return new RelayError('access_denied', 'Keycloak refused your token (401): it has ended; get a fresh one')
  }
  return status === 403
    ? new RelayError(
        'access_denied',
        'Keycloak lets your token not change this client (403): it takes the role manage-clients of realm-management, in the scope of the token’s client',
      )
    : new RelayError('idp_unavailable', `Keycloak answered ${status} when it was asked for the client’s secret`)
}

function noReport({ status, json }: HttpAnswer): RelayError {
  const said = Said.safeParse(json).data?.error_description
  switch (status) {
    case 401:
      return new RelayError('access_denied', 'Keycloak refused your token (401): it has ended; get a fresh one')
    case 403:
      return new RelayError(
        'access_denied',
        said ??
          'Your token may not see who comes with a client’s secret (403): it takes the role operate of the client logout-relay',
      )
    case 404:
      return said === undefined
        ? new RelayError('idp_unavailable', 'The extension in this Keycloak does not watch rotations (404): upgrade it')
        : new RelayError('not_found', said)
    default:
      return new RelayError('idp_unavailable', said ?? `Keycloak answered ${status} when it was asked for the rotation`)
  }
}
