import { request } from 'undici'
import { z } from 'zod'
import { isLoopback } from '../domain/uri.ts'
import { RelayError } from '../errors.ts'
import { SOURCES } from '../registry/registry.ts'

const TIMEOUT_MS = 30_000

const Listed = z.object({
  deliveries: z.array(
    z.object({
      id: z.string(),
      containment_id: z.string(),
      client_id: z.string(),
      state: z.string(),
      attempts: z.number(),
      last_status: z.number().optional(),
      last_reason: z.string().optional(),
      next_attempt_at: z.number().optional(),
      created_at: z.number(),
    }),
  ),
  next: z.string().optional(),
})
const Contained = z.object({
  id: z.string(),
  trigger: z.string(),
  event_at_ms: z.number(),
  received_at_ms: z.number(),
  closed_at_ms: z.number().optional(),
  deliveries: z.number(),
  open: z.number(),
  parts: z.number(),
  arrived: z.number(),
})
const Containments = z.object({ containments: z.array(Contained) })
const WithEvidence = Contained.extend({
  evidence: z.array(
    z.object({
      at_ms: z.number(),
      kind: z.string(),
      data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    }),
  ),
})
const RelyingParties = z.object({
  relying_parties: z.array(
    z.object({
      client_id: z.string(),
      backchannel_logout_uri: z.string(),
      enabled: z.boolean(),
      source: z.enum(SOURCES),
      paused: z.object({ by: z.string(), since_ms: z.number(), reason: z.string() }).optional(),
    }),
  ),
})
const Reread = z.object({ read: z.number(), taken: z.number(), next: z.string().optional() })
const Changed = z.object({ changed: z.number() })
const Ended = z.object({
  subject: z.string(),
  containment_id: z.string().optional(),
  sessions: z.number(),
  relying_parties: z.number(),
  unreachable: z.number(),
  shadow: z.boolean(),
  confirmation_required: z.boolean(),
  dry_run: z.boolean(),
})
const Refused = z.object({ error_description: z.string() })

export type ListedDelivery = z.infer<typeof Listed>['deliveries'][number]

/** The members of a selection as the API has them; times are milliseconds since the epoch. */
export type SelectionMembers = Readonly<Record<string, string | number>>

/**
 * A relay's API as the command line uses it.
 *
 * @throws RelayError `config_invalid` for a URL or token that cannot be used, `access_denied` for 401, 403 and 409,
 *   `invalid_request` for what the relay refuses, `store_unavailable` when it cannot be reached or fails
 */
export function openApi(url: string, token: string | undefined) {
  if (!URL.canParse(url) || !(url.startsWith('https://') || (url.startsWith('http://') && isLoopback(url)))) {
    throw new RelayError(
      'config_invalid',
      'The relay’s address (--url, LOGOUT_RELAY_URL) must be https, or http on this machine. Example: https://logout-relay.example.org',
    )
  }
  if (token === undefined || !/^[\w.~+/-]+=*$/.test(token)) {
    throw new RelayError(
      'config_invalid',
      'LOGOUT_RELAY_TOKEN must hold an access token whose audience is the relay; docs/operate.md shows how to get one',
    )
  }
  const call = async <T>(path: string, schema: z.ZodType<T>, body?: unknown): Promise<T> => {
    const { status, answer } = await exchange(new URL(`/api/v1/${path}`, url), token, body)
    const description = Refused.safeParse(answer).data?.error_description ?? 'it says no more'
    if (status === 401 || status === 403) {
      throw new RelayError('access_denied', `The relay refused the token (${status}): ${description}`)
    }
    if (status === 409) {
      throw new RelayError('access_denied', `It was not done (409): ${description}`)
    }
    if (status >= 400 && status < 500) {
      throw new RelayError('invalid_request', `The relay refused the request (${status}): ${description}`)
    }
    const parsed = schema.safeParse(answer)
    if (status !== 200 || !parsed.success) {
      throw new RelayError('store_unavailable', `The relay could not answer (${status}): ${description}`)
    }
    return parsed.data
  }
  return {
    /** Page by page, so that a long list is never held as a whole. */
    async *list(filter: Readonly<Record<string, string>>): AsyncGenerator<ListedDelivery> {
      for (let after: string | undefined, more = true; more;) {
        const query = new URLSearchParams({ ...filter, limit: '500', ...(after === undefined ? {} : { after }) })
        const page: z.infer<typeof Listed> = await call(`deliveries?${query.toString()}`, Listed)
        yield* page.deliveries
        after = page.next
        more = after !== undefined
      }
    },
    /** Newest first. */
    containments: async (limit: number) => (await call(`containments?limit=${limit}`, Containments)).containments,
    containment: (id: string) => call(`containments/${encodeURIComponent(id)}`, WithEvidence),
    relyingParties: async () => (await call('relying-parties', RelyingParties)).relying_parties,
    retry: async (deliveries: SelectionMembers) => (await call('deliveries/retry', Changed, { deliveries })).changed,
    /** Page by page. */
    async *reread(sinceMs: number | undefined): AsyncGenerator<{ read: number; taken: number }> {
      for (let after: string | undefined, more = true; more;) {
        const page: z.infer<typeof Reread> = await call('outbox/reread', Reread, { since_ms: sinceMs, after })
        yield page
        after = page.next
        more = after !== undefined
      }
    },
    contain: (word: { subject: string; reason: string; dry_run: boolean; confirm: boolean }) =>
      call('containments', Ended, word),
    dismiss: async (deliveries: SelectionMembers, reason: string) =>
      (await call('deliveries/dismiss', Changed, { deliveries, reason })).changed,
  }
}

async function exchange(url: URL, token: string, body: unknown): Promise<{ status: number; answer: unknown }> {
  try {
    const response = await request(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}`, accept: 'application/json', 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    return { status: response.statusCode, answer: await response.body.json().catch(() => undefined) }
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no answer in time'
    throw new RelayError('store_unavailable', `No relay answers at ${url.origin} (${code})`, { cause })
  }
}
