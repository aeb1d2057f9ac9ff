import { lookup } from 'node:dns'
import { once } from 'node:events'
import { createSecureContext, getCACertificates } from 'node:tls'
import { Agent, request } from 'undici'
import type { FailureCode, LanePolicy } from '../domain/model.ts'
import { isLoopback } from '../domain/uri.ts'
import type { Send } from '../flow/ports.ts'
import { addressCheck, checkedConnector, type LookupAll, onceAtATime } from './address.ts'

/** For the way to the relying party and its TLS handshake; the deadline of the attempt may be shorter. */
const CONNECT_MS = 2000
const HEADERS_LIMIT = 16_384
/** Nothing in the body is used. A little of it is read, for a moment, so that the connection can be kept. */
const BODY_LIMIT = 4096
const BODY_MS = 200

export interface SenderOptions {
  /** Certificates (PEM) trusted in addition to those that Node trusts. */
  readonly ca?: string
  readonly lookupAll?: LookupAll
}

/**
 * Sends logout tokens as OpenID Connect Back-Channel Logout 1.0 §2.5 says: a form POST with one parameter. The other side
 * may be hostile: it is reached only at an allowed address, no redirect is followed, nothing is decompressed, one deadline
 * holds for all of it, and after the status it can neither change the verdict nor hold the lane.
 */
export function openSender({ ca, lookupAll = lookup }: SenderOptions = {}): { send: Send; close(): Promise<void> } {
  // Made once: reading the trusted certificates takes longer than a handshake.
  const secureContext = createSecureContext(ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] })
  const lookupOnce = onceAtATime(lookupAll)
  const agents = new Map<string, Agent>()
  /** One for each list of allowed addresses, so that none is ever given a connection that only another may make. */
  const agentFor = ({ allowAddresses }: LanePolicy): Agent => {
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
    send: async (uri, logoutToken, policy) => {
      const refused = checkUri(uri, policy)
      if (refused) {
        return { kind: 'failure', code: refused }
      }
      const deadline = new AbortController()
      let timer = setTimeout(() => deadline.abort(), policy.timeoutMs)
      try {
        const answered = request(uri, {
          dispatcher: agentFor(policy),
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
          // The compact form of a JWS needs no escaping.
          body: `logout_token=${logoutToken}`,
          // Once connected it has half of the time for its status: one that hangs gives its place to the next.
          headersTimeout: policy.timeoutMs / 2,
          signal: deadline.signal,
        })
        // The signal alone would be heeded only once a connection is made, however long a name server or handshake takes.
        const response = await Promise.race([
          answered,
          once(deadline.signal, 'abort').then(() => Promise.reject(new Error('too late'))),
        ])
        const retryAfterMs = retryAfter(response.headers['retry-after'])
        // What comes after the status does not change the verdict, so neither does a failure to read it.
        clearTimeout(timer)
        timer = setTimeout(() => deadline.abort(), BODY_MS)
        await response.body.dump({ limit: BODY_LIMIT, signal: deadline.signal }).catch(() => undefined)
        return {
          kind: 'response',
          status: response.statusCode,
          ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        }
      } catch (cause) {
        return { kind: 'failure', code: deadline.signal.aborted ? 'timeout' : failureOf(cause) }
      } finally {
        clearTimeout(timer)
      }
    },
    close: async () => {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()))
    },
  }
}

function checkUri(uri: string, policy: LanePolicy): FailureCode | undefined {
  // A URL parser forgives backslashes, tabs and line breaks; whoever reads the URL sees another one than it does.
  if (!URL.canParse(uri) || /[\s\\]/.test(uri)) {
    return 'bad_url'
  }
  const { protocol, username, password, hash } = new URL(uri)
  if (username || password || hash) {
    return 'bad_url'
  }
  if (protocol === 'https:') {
    return undefined
  }
  if (protocol !== 'http:') {
    return 'bad_url'
  }
  const allowed = policy.http === 'always' || (policy.http === 'loopback' && isLoopback(uri))
  return allowed ? undefined : 'http_not_allowed'
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
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return CODES[code] ?? (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/.test(code) ? 'tls' : 'other')
}
