import { lookup } from 'node:dns'
import { createSecureContext } from 'node:tls'
import { Agent, type Dispatcher } from 'undici'
import type { Answer, FailureCode } from '../domain/model.ts'
import { isLoopback } from '../domain/uri.ts'
import { codeOf } from '../errors.ts'
import { exchange as askFor, trusting } from '../http.ts'
import { addressCheck, checkedConnector, type LookupAll, onceAtATime } from './address.ts'
import type { Ask, Post, Reach } from './port.ts'

/** For the way to the relying party and its TLS handshake; the deadline of the attempt may be shorter. */
const CONNECT_MS = 2000
const HEADERS_LIMIT = 16_384
/** Nothing in the body is used. A little of it is read, for a moment, so that the connection can be kept. */
const BODY_LIMIT = 4096
const BODY_MS = 200

export interface PostOptions {
  /** Certificates (PEM) trusted in addition to those that Node trusts. */
  readonly ca?: string
  readonly lookupAll?: LookupAll
}

/**
 * The way to relying parties, for every kind of delivery. The other side may be hostile: it is reached only at an allowed
 * address, no redirect is followed, nothing is decompressed, one deadline holds for all of it, and after the status it can
 * neither change the verdict nor hold the lane.
 */
export function openPost({ ca, lookupAll = lookup }: PostOptions = {}): {
  post: Post
  ask: Ask
  close(): Promise<void>
} {
  // Made once: reading the trusted certificates takes longer than a handshake.
  const secureContext = createSecureContext(trusting(ca))
  const lookupOnce = onceAtATime(lookupAll)
  const agents = new Map<string, Agent>()
  /** One for each list of allowed addresses, so that none is ever given a connection that only another may make. */
  const agentFor = ({ allowAddresses }: Reach): Agent => {
    const key = allowAddresses.join()
    const agent =
      agents.get(key) ??
      new Agent({
        connect: checkedConnector(addressCheck(allowAddresses), lookupOnce, {
          timeout: CONNECT_MS,
          allowH2: false,
          rejectUnauthorized: true,
          secureContext,
        }),
        // Else requests wait for the first connection to tell its protocol.
        allowH2: false,
        // The deadline of the attempt holds instead.
        bodyTimeout: 0,
        maxHeaderSize: HEADERS_LIMIT,
        pipelining: 1,
      })
    agents.set(key, agent)
    return agent
  }
  return {
    post: (uri, content, policy) => {
      const url = checkedUrl(uri, policy)
      return typeof url === 'string'
        ? Promise.resolve({ kind: 'failure', code: url })
        : exchange(agentFor(policy), url, content, policy.timeoutMs)
    },
    ask: (uri, wanted, reach) => {
      const url = checkedUrl(uri, reach)
      return typeof url === 'string'
        ? Promise.reject(failed(url))
        : inTime(wanted.timeoutMs, askFor(url, { ...wanted, dispatcher: agentFor(reach) }))
    },
    close: async () => {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()))
    },
  }
}

function failed(code: FailureCode): Error {
  return Object.assign(new Error(code), { code })
}

/** undici heeds a deadline only once it has a connection. */
function inTime<T>(ms: number, asked: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(failed('timeout'))
  }, ms)
  return Promise.race([asked, late.promise]).finally(() => {
    clearTimeout(timer)
  })
}

function exchange(
  agent: Agent,
  url: URL,
  { type, body, authorization }: Parameters<Post>[1],
  timeoutMs: number,
): Promise<Answer> {
  return new Promise((resolve) => {
    /** What it has come to so far: what comes after the status does not change it, nor does a failure to read that. */
    let answer: Answer = { kind: 'failure', code: 'timeout' }
    let bodyLeft = BODY_LIMIT
    let over = false
    let request: Dispatcher.DispatchController | undefined
    const end = () => {
      over = true
      clearTimeout(timer)
      resolve(answer)
    }
    const giveUp = () => {
      end()
      request?.abort(new Error('given up'))
    }
    let timer = setTimeout(giveUp, timeoutMs)
    const sent: Dispatcher.DispatchOptions = {
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'POST',
      headers: {
        'content-type': type,
        accept: 'application/json',
        ...(authorization === undefined ? {} : { authorization }),
      },
      body,
      // Once connected it has half of the time for its status: one that hangs gives its place to the next.
      headersTimeout: timeoutMs / 2,
    }
    agent.dispatch(sent, {
      onRequestStart: (controller) => {
        request = controller
        // Nothing can be called back before there is a connection, however long a name server or handshake takes.
        if (over) {
          giveUp()
        }
      },
      onResponseStart: (_, status, headers) => {
        // An interim response (RFC 9110 §15.2) says nothing yet.
        if (status >= 200) {
          const retryAfterMs = retryAfter(headers['retry-after'])
          answer = { kind: 'response', status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }
          clearTimeout(timer)
          timer = setTimeout(giveUp, BODY_MS)
        }
      },
      onResponseData: (_, chunk) => {
        bodyLeft -= chunk.length
        if (bodyLeft < 0) {
          giveUp()
        }
      },
      onResponseEnd: end,
      onResponseError: (_, cause) => {
        if (answer.kind === 'failure') {
          answer = { kind: 'failure', code: failureOf(cause) }
        }
        end()
      },
    })
  })
}

/** The URL, or why nothing is sent to it. */
function checkedUrl(uri: string, policy: Reach): URL | FailureCode {
  // A URL parser forgives backslashes, tabs and line breaks; whoever reads the URL sees another one than it does.
  const url = /[\s\\]/.test(uri) ? null : URL.parse(uri)
  if (!url || url.username || url.password || url.hash) {
    return 'bad_url'
  }
  if (url.protocol === 'https:') {
    return url
  }
  if (url.protocol !== 'http:') {
    return 'bad_url'
  }
  const allowed = policy.http === 'always' || (policy.http === 'loopback' && isLoopback(uri))
  return allowed ? url : 'http_not_allowed'
}

/** Only the form in seconds (RFC 9110 §10.2.3); a date would trust the relying party's clock. */
function retryAfter(header: string | string[] | undefined): number | undefined {
  const text = Array.isArray(header) ? header[0] : header
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) * 1000 : undefined
}

const CODES: Readonly<Record<string, FailureCode>> = {
  ADDRESS_NOT_ALLOWED: 'address_not_allowed',
  ECONNREFUSED: 'connection_refused',
  ECONNRESET: 'connection_lost',
  EPIPE: 'connection_lost',
  UND_ERR_SOCKET: 'connection_lost',
  ENOTFOUND: 'name_not_found',
  EAI_AGAIN: 'name_not_found',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  ETIMEDOUT: 'timeout',
}

function failureOf(cause: unknown): FailureCode {
  const code = codeOf(cause) ?? ''
  return CODES[code] ?? (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/.test(code) ? 'tls' : 'other')
}
