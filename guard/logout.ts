import { randomBytes } from 'node:crypto'
import { keysOf } from './bearer.ts'
import { KIND } from './hash.ts'
import type { KeySet } from './jwt.ts'
import { type LogoutToken, LogoutTokens } from './logout-token.ts'
import { type Claims, type Verdict, Watermarks } from './watermarks.ts'

/** A verified logout: of one session when `sid` is there, else of every session of the subject that began before `beforeMs`. */
export interface Logout {
  readonly issuer: string
  readonly sub?: string
  readonly sid?: string
  readonly beforeMs: number
}

export interface LogoutReceiverOptions {
  readonly issuer: string
  readonly clientId: string
  /** Ends the application's sessions. May be asked twice for the same; a rejection answers 500, and the relay comes again. */
  readonly endSession: (logout: Logout) => void | Promise<void>
  /** The longest life of a session here; so long a logout is remembered. Default 30 days. */
  readonly maxLifeSeconds?: number
  /** The realm's keys; by default where Keycloak publishes them. */
  readonly keys?: KeySet
  readonly nowMs?: () => number
}

const LONGEST_BODY = 64 * 1024

/**
 * OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8, for any framework with `Request` and `Response`. What was ended is
 * also remembered here, by time: a later login of the same person makes nothing of it undone, so an application whose
 * sessions live in cookies asks {@link check} for each request and is safe too, as long as the process runs.
 */
export class LogoutReceiver {
  readonly #options: Required<LogoutReceiverOptions>
  readonly #ended = new Watermarks(randomBytes(8))
  readonly #tokens: LogoutTokens

  /** @throws TypeError for options that cannot be used */
  constructor({ keys, nowMs = Date.now, maxLifeSeconds = 2_592_000, ...options }: LogoutReceiverOptions) {
    if (!URL.canParse(options.issuer) || !options.clientId || !(maxLifeSeconds > 0)) {
      throw new TypeError('issuer must be a URL, clientId be given, and maxLifeSeconds be positive')
    }
    this.#options = { ...options, nowMs, maxLifeSeconds, keys: keys ?? keysOf(options.issuer) }
    this.#tokens = new LogoutTokens(this.#options)
  }

  /** Judges what a session remembers of its ID token: `iss`, `sid`, `sub`, `iat`, `auth_time`. */
  check(claims: Claims): Verdict {
    return claims['iss'] === this.#options.issuer ? this.#ended.check(claims, this.#options.nowMs()) : 'revoked'
  }

  /** The answer to the POST: 200, or 400 for a bad token, 500 when the sessions could not be ended, 503 without keys. */
  async receive(request: Request): Promise<Response> {
    const body = request.method === 'POST' && isForm(request) ? await bounded(request) : undefined
    const tokens = new URLSearchParams(body).getAll('logout_token')
    const [token] = tokens
    if (token === undefined || tokens.length > 1) {
      return answer(400, 'invalid_request', 'POST one form parameter logout_token')
    }
    const { issuer, keys, nowMs, endSession, maxLifeSeconds } = this.#options
    let verified: LogoutToken | string
    try {
      verified = await this.#tokens.verify(token, keys)
    } catch {
      return answer(503, 'temporarily_unavailable', 'The keys of the issuer cannot be had now')
    }
    if (typeof verified === 'string') {
      return answer(400, 'invalid_request', verified)
    }
    const { sub, sid, iat } = verified
    const now = nowMs() / 1000
    const beforeMs = Math.floor(iat * 1000)
    const until = Math.min(Math.ceil(now + maxLifeSeconds), 0xffff_ffff)
    if (sid !== undefined) {
      this.#ended.add(KIND.sid, sid, beforeMs, until, now * 1000)
    } else {
      this.#ended.add(KIND.sub, String(sub), beforeMs, until, now * 1000)
    }
    try {
      await endSession({
        issuer,
        beforeMs,
        ...(sub === undefined ? {} : { sub }),
        ...(sid === undefined ? {} : { sid }),
      })
    } catch {
      this.#tokens.forget(verified)
      return answer(500, 'server_error', 'The sessions could not be ended')
    }
    return answer(200)
  }
}

function isForm(request: Request): boolean {
  return /^application\/x-www-form-urlencoded\s*(;|$)/i.test(request.headers.get('content-type') ?? '')
}

/** The body, or undefined when it is longer than any logout token. */
async function bounded(request: Request): Promise<string | undefined> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    length += part.length
    if (length > LONGEST_BODY) {
      return undefined
    }
    parts.push(part)
  }
  return Buffer.concat(parts).toString()
}

function answer(status: number, error?: string, description?: string): Response {
  const headers = { 'cache-control': 'no-store', ...(status === 503 ? { 'retry-after': '5' } : {}) }
  return error === undefined
    ? new Response(null, { status, headers })
    : Response.json({ error, error_description: description }, { status, headers })
}
