import type { z } from 'zod'
import { isLoopback } from '../domain/uri.ts'
import { noAnswer, RelayError } from '../errors.ts'
import { exchange, type HttpAnswer } from '../http.ts'
import {
  Changed,
  Changes,
  Contained,
  Containments,
  Deliveries,
  Finding,
  Paused,
  Refused,
  Registered,
  RelyingParties,
  Reread,
  Status,
  Unregistered,
  WithEvidence,
} from './answers.ts'

const TIMEOUT_MS = 30_000
/** What touches a million deliveries takes the relay its time. */
const LONG_TIMEOUT_MS = 15 * 60_000

/** Of a refusal by whom we asked, whatever else it is. */
const Said = Refused.pick({ error_description: true })

/** A registration as the API has it. */
export interface Registration {
  readonly client_id: string
  readonly backchannel_logout_uri: string
  readonly reason: string
  readonly despite_check: boolean
}

export type ListedDelivery = z.infer<typeof Deliveries>['deliveries'][number]

/** The members of a selection as the API has them; times are milliseconds since the epoch. */
export type SelectionMembers = Readonly<Record<string, string | number>>

/**
 * A relay's API as the command line uses it.
 *
 * @param token an access token whose audience is the relay, or where to get one
 * @param ca certificates of CAs (PEM) that are trusted in addition
 * @throws RelayError `config_invalid` for a URL that cannot be used, `access_denied` for 401, 403 and 409,
 *   `invalid_request` for what the relay refuses, `store_unavailable` when it cannot be reached or fails
 */
export function openApi(url: string, token: string | (() => Promise<string>), ca?: string) {
  if (!URL.canParse(url) || !(url.startsWith('https://') || (url.startsWith('http://') && isLoopback(url)))) {
    throw new RelayError(
      'config_invalid',
      'The relay’s address (--url, LOGOUT_RELAY_URL) must be https, or http on this machine. Example: https://logout-relay.example.org',
    )
  }
  // Asked for once, and not before it is needed.
  let asked: Promise<string> | undefined
  const ask = () => (asked ??= typeof token === 'string' ? Promise.resolve(token) : token())
  const call = async <T>(
    path: string,
    schema: z.ZodType<T>,
    body?: unknown,
    timeoutMs: number = TIMEOUT_MS,
  ): Promise<T> => {
    const place = new URL(`/api/v1/${path}`, url)
    const { status, json } = await reach(place, await ask(), body, { timeoutMs, ca })
    const said = Said.safeParse(json).data?.error_description
    const parsed = schema.safeParse(json)
    if (status === 200 && parsed.success) {
      return parsed.data
    }
    if (said === undefined) {
      throw new RelayError('store_unavailable', notARelay(place, status))
    }
    if (status === 401 || status === 403) {
      throw new RelayError('access_denied', `The relay refused the token (${status}): ${said}`)
    }
    if (status === 409) {
      throw new RelayError('access_denied', `It was not done (409): ${said}`)
    }
    if (status >= 400 && status < 500) {
      throw new RelayError('invalid_request', `The relay refused the request (${status}): ${said}`)
    }
    throw new RelayError('store_unavailable', `The relay could not answer (${status}): ${said}`)
  }
  return {
    /** Page by page, so that a long list is never held as a whole. */
    async *list(filter: Readonly<Record<string, string>>): AsyncGenerator<ListedDelivery> {
      for (let after: string | undefined, more = true; more;) {
        const query = new URLSearchParams({ ...filter, limit: '500', ...(after === undefined ? {} : { after }) })
        const page: z.infer<typeof Deliveries> = await call(`deliveries?${query.toString()}`, Deliveries)
        yield* page.deliveries
        after = page.next
        more = after !== undefined
      }
    },
    status: () => call('status', Status),
    /** Newest first. */
    containments: async (limit: number, subject?: string) => {
      const query = new URLSearchParams({ limit: String(limit), ...(subject === undefined ? {} : { subject }) })
      return (await call(`containments?${query.toString()}`, Containments)).containments
    },
    /** Line by line of the evidence, oldest first. */
    async *evidence(id: string): AsyncGenerator<z.infer<typeof WithEvidence>['evidence'][number]> {
      for (let from: number | undefined = 0; from !== undefined;) {
        const path = `containments/${encodeURIComponent(id)}?from=${from}`
        const page: z.infer<typeof WithEvidence> = await call(path, WithEvidence)
        yield* page.evidence
        from = page.next
      }
    },
    relyingParties: async () => (await call('relying-parties', RelyingParties)).relying_parties,
    identityProviders: async () => (await call('relying-parties', RelyingParties)).identity_providers,
    checkRelyingParty: (client_id: string) => call('relying-parties/check', Finding, { client_id }),
    register: (registration: Registration) => call('relying-parties', Registered, registration),
    unregister: (client_id: string, reason: string) =>
      call('relying-parties/unregister', Unregistered, { client_id, reason }),
    pause: (client_id: string, reason: string) => call('relying-parties/pause', Paused, { client_id, reason }),
    resume: (client_id: string) => call('relying-parties/resume', Paused, { client_id }),
    /** Newest first. */
    changes: async (limit: string) =>
      (await call(`changes?${new URLSearchParams({ limit }).toString()}`, Changes)).changes,
    retry: async (deliveries: SelectionMembers) =>
      (await call('deliveries/retry', Changed, { deliveries }, LONG_TIMEOUT_MS)).changed,
    /** Page by page. */
    async *reread(sinceMs: number | undefined): AsyncGenerator<{ read: number; taken: number }> {
      for (let after: string | undefined, more = true; more;) {
        const page: z.infer<typeof Reread> = await call('outbox/reread', Reread, { since_ms: sinceMs, after })
        yield page
        after = page.next
        more = after !== undefined
      }
    },
    contain: (
      request: ({ subject: string } | { client_id: string }) & { reason: string; dry_run: boolean; confirm: boolean },
    ) => call('containments', Contained, request),
    dismiss: async (deliveries: SelectionMembers, reason: string) =>
      (await call('deliveries/dismiss', Changed, { deliveries, reason }, LONG_TIMEOUT_MS)).changed,
  }
}

/** Somebody else answered: a proxy with its login page, another program, a relay of another version. */
function notARelay({ origin, pathname }: URL, status: number): string {
  const likely =
    status === 200 || (status >= 300 && status < 400)
      ? 'Is it a proxy’s login page, or another program? Let this path through to the relay, or give the relay’s own address'
      : status === 502 || status === 503 || status === 504
        ? 'Is the relay behind that proxy up?'
        : 'Is that the relay’s address, and is the relay of this version?'
  return `${origin}${pathname} answered ${status}, and not with the JSON of a relay (docs/api.md). ${likely} (--url, LOGOUT_RELAY_URL)`
}

async function reach(
  url: URL,
  token: string,
  body: unknown,
  how: { timeoutMs: number; ca: string | undefined },
): Promise<HttpAnswer> {
  try {
    return await exchange(url, {
      headers: { authorization: `Bearer ${token}`, accept: 'application/json', 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...how,
    })
  } catch (cause) {
    const { origin } = url
    const absent = `No relay answers at ${origin}`
    throw noAnswer(cause, { code: 'store_unavailable', server: `The relay at ${origin}`, absent })
  }
}
