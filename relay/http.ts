import { type Dispatcher, request } from 'undici'

/** Far beyond any answer that is asked for; whoever answers more is not the one that was asked. */
const MOST_BYTES = 64 * 2 ** 20

export interface HttpRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** For all of it: the connection, the status and the body. */
  readonly timeoutMs: number
  readonly mostBytes?: number
  readonly dispatcher?: Dispatcher
}

export interface HttpAnswer {
  readonly status: number
  /** Undefined where the body is none. */
  readonly json: unknown
  /** Where it redirects to; no redirect is followed. */
  readonly location?: string
}

/**
 * One request and its whole answer, with a deadline and a bound. By default a POST where there is a body.
 *
 * @throws what the network says, for `codeOf`; any status is an answer
 */
export async function exchange(url: string | URL, wanted: HttpRequest): Promise<HttpAnswer> {
  const { body, headers, timeoutMs, dispatcher, mostBytes = MOST_BYTES } = wanted
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
  const { location } = response.headers
  return {
    status: response.statusCode,
    json: parsed(await bounded(response.body, mostBytes)),
    ...(typeof location === 'string' ? { location } : {}),
  }
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
