import { z } from 'zod'
import { networkCodeOf, RelayError } from '../../errors.ts'
import { exchange, type HttpAnswer } from '../../http.ts'

const TIMEOUT_MS = 15_000

const State = z.object({
  id: z.string(),
  has_secret: z.boolean(),
  /** All times are by this clock, the database's. */
  now_ms: z.number(),
  rotation: z.object({ id: z.string(), begun_ms: z.number() }).optional(),
})
const Secret = z.object({ value: z.string().min(1) })
const Said = z.object({ error_description: z.string() })

/** When a client's secret was changed last, as `GET client-rotations/state` has it. */
export type SecretState = z.infer<typeof State>

/**
 * One client's secret, for an agent that may view that client and nothing else.
 *
 * Both throw RelayError: `access_denied` where the token may not, `not_found`, `idp_unavailable`.
 */
export interface ClientSecret {
  state(): Promise<SecretState>
  current(uuid: string): Promise<string>
}

export function clientSecretOf(
  { issuer, clientId, ca }: { readonly issuer: string; readonly clientId: string; readonly ca?: string | undefined },
  token: () => Promise<string>,
): ClientSecret {
  const admin = `${issuer.replace(/\/realms\/([^/]+)$/, '/admin/realms/$1')}/clients`
  const ask = async (url: string) => {
    const headers = { authorization: `Bearer ${await token()}`, accept: 'application/json' }
    try {
      return await exchange(url, { headers, ca, timeoutMs: TIMEOUT_MS })
    } catch (cause) {
      throw new RelayError('idp_unavailable', `No Keycloak answers at ${issuer} (${networkCodeOf(cause)})`, { cause })
    }
  }
  return {
    state: async () => {
      const query = new URLSearchParams({ client: clientId }).toString()
      const answer = await ask(`${issuer}/logout-relay/client-rotations/state?${query}`)
      const state = State.safeParse(answer.json)
      if (answer.status !== 200 || !state.success) {
        throw refused(answer, clientId)
      }
      if (!state.data.has_secret) {
        throw new RelayError(
          'not_found',
          `The client ${clientId} has no secret: it is public, or proves itself by keys or a certificate`,
        )
      }
      return state.data
    },
    current: async (uuid) => {
      const answer = await ask(`${admin}/${encodeURIComponent(uuid)}/client-secret`)
      const secret = Secret.safeParse(answer.json)
      if (answer.status !== 200 || !secret.success) {
        throw refused(answer, clientId)
      }
      return secret.data.value
    },
  }
}

function refused({ status, json }: HttpAnswer, clientId: string): RelayError {
  const said = Said.safeParse(json).data?.error_description
  switch (status) {
    case 401:
      return new RelayError('access_denied', 'Keycloak refused the token of the agent’s client (401): it has ended')
    case 403:
      return new RelayError('access_denied', said ?? MAY_NOT)
    case 404:
      return said === undefined
        ? new RelayError('idp_unavailable', 'The extension in this Keycloak has no word for agents (404): upgrade it')
        : new RelayError('not_found', said)
    default:
      return new RelayError(
        'idp_unavailable',
        said ?? `Keycloak answered ${status} when it was asked for the secret of ${clientId}`,
      )
  }
}

const MAY_NOT =
  'Keycloak does not let the agent’s client view this client (403): it takes a permission with the scope view for it, see docs/workloads.md'
