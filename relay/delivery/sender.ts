import { Agent, request } from 'undici'
import type { FailureCode, LanePolicy } from '../domain/model.ts'
import { isLoopback } from '../domain/uri.ts'
import type { Send } from '../flow/ports.ts'

const CONNECT_MS = 2000
const HEADERS_MS = 5000
/** Nothing in the body is used; a little of it is read so that the connection can be kept. */
const BODY_LIMIT = 4096

/**
 * Sends logout tokens as OpenID Connect Back-Channel Logout 1.0 §2.5 says: a form POST with one parameter. No redirect is
 * followed, nothing is decompressed, one deadline holds for all of it.
 */
export function openSender(): { send: Send; close(): Promise<void> } {
  const agent = new Agent({
    connect: { timeout: CONNECT_MS },
    headersTimeout: HEADERS_MS,
    maxHeaderSize: 16_384,
    pipelining: 1,
  })
  return {
    send: async (uri, logoutToken, policy) => {
      const refused = checkUri(uri, policy)
      if (refused) {
        return { kind: 'failure', code: refused }
      }
      const deadline = AbortSignal.timeout(policy.timeoutMs)
      try {
        const response = await request(uri, {
          dispatcher: agent,
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
          // The compact form of a JWS needs no escaping.
          body: `logout_token=${logoutToken}`,
          signal: deadline,
        })
        const retryAfterMs = retryAfter(response.headers['retry-after'])
        // What comes after the status does not change the verdict, so neither does a failure to read it.
        await response.body.dump({ limit: BODY_LIMIT, signal: deadline }).catch(() => undefined)
        return {
          kind: 'response',
          status: response.statusCode,
          ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        }
      } catch (cause) {
        return { kind: 'failure', code: deadline.aborted ? 'timeout' : failureOf(cause) }
      }
    },
    close: () => agent.destroy(),
  }
}

function checkUri(uri: string, policy: LanePolicy): FailureCode | undefined {
  if (!URL.canParse(uri)) {
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
  ECONNREFUSED: 'connection_refused',
  ECONNRESET: 'connection_lost',
  EPIPE: 'connection_lost',
  UND_ERR_SOCKET: 'connection_lost',
  ENOTFOUND: 'name_not_found',
  EAI_AGAIN: 'name_not_found',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  ETIMEDOUT: 'timeout',
}

function failureOf(cause: unknown): FailureCode {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return CODES[code] ?? (/CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO/.test(code) ? 'tls' : 'other')
}
