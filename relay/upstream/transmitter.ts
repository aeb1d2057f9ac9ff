import { z } from 'zod'
import type { Ask, Reach } from '../delivery/port.ts'
import { codeOf, RelayError } from '../errors.ts'
import type { HttpAnswer } from '../http.ts'
import type { Polled, SetError } from '../idp/port.ts'

const TIMEOUT_MS = 10_000
const MOST_BYTES = 8 * 2 ** 20
const RENEW_BEFORE_MS = 10_000

/** RFC 8935 and RFC 8936, as SSF 1.0 §6.1 names them. */
const METHODS = { push: 'urn:ietf:rfc:8935', poll: 'urn:ietf:rfc:8936' } as const

const Metadata = z.object({
  issuer: z.string(),
  configuration_endpoint: z.url().optional(),
  status_endpoint: z.url().optional(),
  verification_endpoint: z.url().optional(),
})
const StreamAnswer = z.object({
  stream_id: z.string(),
  aud: z.union([z.string(), z.array(z.string())]).optional(),
  delivery: z.looseObject({ method: z.string(), endpoint_url: z.string().optional() }),
  events_delivered: z.array(z.string()).optional(),
})
const StreamsAnswer = z.union([z.array(StreamAnswer), StreamAnswer.transform((one) => [one])])
const PollAnswer = z.object({ sets: z.record(z.string(), z.string()).default({}) })
const TokenAnswer = z.object({ access_token: z.string(), expires_in: z.number().optional() })
const OpenIdMetadata = z.object({ token_endpoint: z.url() })

/** Those that may end something here (docs/upstream.md). */
const EVENTS = [
  ...[
    'credential-change',
    'session-revoked',
    'assurance-level-change',
    'device-compliance-change',
    'token-claims-change',
  ].map((event) => `caep/event-type/${event}`),
  ...[
    'account-disabled',
    'account-purged',
    'account-credential-change-required',
    'credential-compromise',
    'sessions-revoked',
    'identifier-changed',
  ].map((event) => `risc/event-type/${event}`),
].map((event) => `https://schemas.openid.net/secevent/${event}`)

interface TransmitterPorts {
  readonly ask: Ask
  readonly issuer: string
  readonly reach: Reach
  readonly client: {
    readonly id: string
    readonly secret: string
    readonly scope: string
    readonly tokenUrl?: string | undefined
  }
  readonly monotonicMs: () => number
}

export interface TransmitterStream {
  readonly id: string
  readonly delivery: 'push' | 'poll' | 'other'
  /** Where it is pushed to, or polled. */
  readonly url: string | undefined
  readonly audiences: readonly string[]
  readonly events: readonly string[]
}

/** What the relay asks of a transmitter (SSF 1.0 §7 and §8). Every call rejects with a RelayError `idp_unavailable` that says why. */
export class Transmitter {
  readonly #ports: TransmitterPorts
  #metadata: z.infer<typeof Metadata> | undefined
  #token: { readonly value: string; readonly endsMs: number } | undefined

  constructor(ports: TransmitterPorts) {
    this.#ports = ports
  }

  /** Those of the relay's client. */
  async streams(): Promise<TransmitterStream[]> {
    const { status, json } = await this.#authorized(await this.#endpoint('configuration_endpoint'))
    if (status === 404) {
      this.#metadata = undefined
      return []
    }
    return this.#parsed(StreamsAnswer, status, json, 'its streams').map(shown)
  }

  /** @param push where it is to push to, and what it is to send as `Authorization`; absent for a stream that is polled */
  async create(push?: {
    readonly url: string
    readonly authorization?: string | undefined
  }): Promise<TransmitterStream> {
    const delivery = push
      ? {
          method: METHODS.push,
          endpoint_url: push.url,
          ...(push.authorization === undefined ? {} : { authorization_header: push.authorization }),
        }
      : { method: METHODS.poll }
    const { status, json } = await this.#authorized(await this.#endpoint('configuration_endpoint'), {
      delivery,
      events_requested: EVENTS,
      description: 'Logout Relay',
    })
    return shown(this.#parsed(StreamAnswer, status === 201 ? 200 : status, json, 'a new stream'))
  }

  async remove(id: string): Promise<void> {
    const url = new URL(await this.#endpoint('configuration_endpoint'))
    url.searchParams.set('stream_id', id)
    const { status } = await this.#authorized(url.href, undefined, 'DELETE')
    if (status !== 204 && status !== 200 && status !== 404) {
      throw this.#failure(`answered ${status} when its stream was to be removed`)
    }
  }

  /** `enabled`, `paused` or `disabled`. */
  async status(id: string): Promise<string> {
    const url = new URL(await this.#endpoint('status_endpoint'))
    url.searchParams.set('stream_id', id)
    const { status, json } = await this.#authorized(url.href)
    return this.#parsed(z.object({ status: z.string() }), status, json, 'the status of its stream').status
  }

  /** Has it send an event that shows that the stream arrives (SSF 1.0 §8.1.4). */
  async verify(id: string, state: string): Promise<void> {
    const { status } = await this.#authorized(await this.#endpoint('verification_endpoint'), { stream_id: id, state })
    // Too soon after the last one: that is no failure of the stream.
    if (status !== 204 && status !== 202 && status !== 200 && status !== 429) {
      throw this.#failure(`answered ${status} when it was to verify its stream`)
    }
  }

  /**
   * RFC 8936 §2. No more than was asked for, whatever it sends: it has to send the others again. Nor is its word taken that there
   * is more, since that would be asked for without a pause.
   */
  async poll(
    url: string,
    maxEvents: number,
    ack: readonly string[],
    setErrs: Readonly<Record<string, SetError>>,
  ): Promise<Polled> {
    const { status, json } = await this.#authorized(url, { maxEvents, returnImmediately: true, ack, setErrs })
    const { sets } = this.#parsed(PollAnswer, status, json, 'a poll')
    return { sets: Object.fromEntries(Object.entries(sets).slice(0, maxEvents)) }
  }

  async #endpoint(name: 'configuration_endpoint' | 'status_endpoint' | 'verification_endpoint'): Promise<string> {
    this.#metadata ??= await this.#discovered()
    const endpoint = this.#metadata[name]
    if (endpoint === undefined) {
      throw this.#failure(`names no ${name} in its SSF metadata`)
    }
    return endpoint
  }

  /** Its path goes behind the well-known one (SSF 1.0 §7.2); some have it the other way round. */
  async #discovered(): Promise<z.infer<typeof Metadata>> {
    const { issuer } = this.#ports
    const { origin, pathname } = new URL(issuer)
    const path = pathname.replace(/\/$/, '')
    for (const url of [
      `${origin}/.well-known/ssf-configuration${path}`,
      `${origin}${path}/.well-known/ssf-configuration`,
    ]) {
      const { status, json } = await this.#ask(url, {})
      const metadata = Metadata.safeParse(json)
      if (status === 200 && metadata.success && metadata.data.issuer === issuer) {
        return metadata.data
      }
    }
    throw this.#failure('has no SSF metadata of that name')
  }

  async #authorized(url: string, body?: object, method?: 'DELETE'): Promise<HttpAnswer> {
    const first = await this.#bearer(url, body, method)
    if (first.status !== 401) {
      return first
    }
    this.#token = undefined
    return this.#bearer(url, body, method)
  }

  async #bearer(url: string, body: object | undefined, method: 'DELETE' | undefined): Promise<HttpAnswer> {
    return this.#ask(url, {
      headers: {
        authorization: `Bearer ${await this.#accessToken()}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
      ...(method ? { method } : {}),
    })
  }

  async #accessToken(): Promise<string> {
    const { client, monotonicMs } = this.#ports
    if (!this.#token || this.#token.endsMs < monotonicMs()) {
      const credentials = [client.id, client.secret].map(encodeURIComponent).join(':')
      const { status, json } = await this.#ask(client.tokenUrl ?? (await this.#tokenEndpoint()), {
        headers: {
          authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
          'content-type': 'application/x-www-form-urlencoded',
        },
        body: new URLSearchParams({ grant_type: 'client_credentials', scope: client.scope }).toString(),
      })
      const { access_token, expires_in = 60 } = this.#parsed(TokenAnswer, status, json, 'a request for an access token')
      this.#token = { value: access_token, endsMs: monotonicMs() + expires_in * 1000 - RENEW_BEFORE_MS }
    }
    return this.#token.value
  }

  async #tokenEndpoint(): Promise<string> {
    const { status, json } = await this.#ask(
      `${this.#ports.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
      {},
    )
    return this.#parsed(OpenIdMetadata, status, json, 'its OpenID metadata').token_endpoint
  }

  async #ask(url: string, wanted: Partial<Parameters<Ask>[1]>): Promise<HttpAnswer> {
    const { ask, reach } = this.#ports
    const headers = { accept: 'application/json', ...wanted.headers }
    try {
      return await ask(url, { ...wanted, headers, timeoutMs: TIMEOUT_MS, mostBytes: MOST_BYTES }, reach)
    } catch (cause) {
      throw this.#failure(`cannot be reached (${codeOf(cause) ?? 'no answer in time'})`, cause)
    }
  }

  #parsed<T>(schema: z.ZodType<T>, status: number, json: unknown, what: string): T {
    const parsed = schema.safeParse(json)
    if (status !== 200 || !parsed.success) {
      throw this.#failure(`answered ${status}${status === 200 ? ' and nothing that is known' : ''} to ${what}`)
    }
    return parsed.data
  }

  /** Its endpoints may be elsewhere by now. */
  #failure(says: string, cause?: unknown): RelayError {
    this.#metadata = undefined
    return new RelayError('idp_unavailable', `The transmitter ${this.#ports.issuer} ${says}`, { cause })
  }
}

function shown({ stream_id, aud, delivery, events_delivered = [] }: z.infer<typeof StreamAnswer>): TransmitterStream {
  const { method, endpoint_url } = delivery
  return {
    id: stream_id,
    delivery: method === METHODS.push ? 'push' : method === METHODS.poll ? 'poll' : 'other',
    url: endpoint_url,
    audiences: typeof aud === 'string' ? [aud] : (aud ?? []),
    events: events_delivered,
  }
}
