import { getCACertificates } from 'node:tls'
import { Agent, type Dispatcher, fetch as fetchBy, request, type RequestInit } from 'undici'

/** Far beyond any answer that is asked for; whoever answers more is not the one that was asked. */
const MOST_BYTES = 64 * 2 ** 20

export interface HttpRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** For all of it: the connection, the status and the body. */
  readonly timeoutMs: number
  readonly mostBytes?: number
  readonly dispatcher?: Dispatcher
  /** Certificates of CAs (PEM) that are trusted in addition to those that Node trusts; a dispatcher has its own. */
  readonly ca?: string | undefined
}

export interface HttpAnswer {
  readonly status: number
  /** Undefined where the body is none. */
  readonly json: unknown
  /** Where it redirects to; no redirect is followed. */
  readonly location?: string
  /** When to come again, as the header has it. */
  readonly retryAfter?: string | undefined
}

/**
 * One request and its whole answer, with a deadline and a bound. By default a POST where there is a body.
 *
 * @throws what the network says, for `codeOf`; any status is an answer
 */
export async function exchange(url: string | URL, wanted: HttpRequest): Promise<HttpAnswer> {
  const { body, headers, timeoutMs, ca, dispatcher = agentTrusting(ca), mostBytes = MOST_BYTES } = wanted
  const response = await request(url, {
    method: wanted.method ?? (body === undefined ? 'GET' : 'POST'),
    ...(headers ? { headers } : {}),
    ...(body === undefined ? {} : { body }),
    ...(dispatcher ? { dispatcher } : {}),
    signal: AbortSignal.timeout(timeoutMs),
    // Its own limits are shorter than what some wait for.
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })
  const { location, 'retry-after': retryAfter } = response.headers
  return {
    status: response.statusCode,
    json: parsed(await bounded(response.body, mostBytes)),
    ...(typeof location === 'string' ? { location } : {}),
    ...(typeof retryAfter === 'string' ? { retryAfter } : {}),
  }
}

/** `fetch` for a library that asks by itself, so that it trusts what `ca` of {@link exchange} would. */
export function fetchTrusting(ca: string): (url: string, init: object) => Promise<Response> {
  return async (url, init) => {
    const dispatcher = agentTrusting(ca)
    // Not by Node's own, which is of another version of undici and may not know our dispatcher.
    const answer = await fetchBy(url, { ...(init as RequestInit), ...(dispatcher ? { dispatcher } : {}) })
    const text = await answer.text()
    return new Response(text === '' ? null : text, { status: answer.status, headers: [...answer.headers] })
  }
}

/** What a TLS connection is made with. */
export function trusting(ca: string | undefined): { ca?: string[] } {
  return ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] }
}

const agents = new Map<string, Agent>()

/** One for each list of CAs: reading the certificates takes longer than a handshake. Idle connections keep no process alive. */
function agentTrusting(ca: string | undefined): Agent | undefined {
  if (ca === undefined) {
    return undefined
  }
  const agent = agents.get(ca) ?? new Agent({ connect: trusting(ca) })
  agents.set(ca, agent)
  return agent
}

async function bounded(body: AsyncIterable<Buffer>, mostBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let left = mostBytes
  for await (const chunk of body) {
    left -= chunk.length
    if (left < 0) {
      throw Object.assign(new Error('The answer is too large'), { code: 'too large an answer' })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
