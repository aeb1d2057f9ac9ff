import { randomBytes } from 'node:crypto'
import { isVerdict, keysOf } from './bearer.ts'
import { KIND } from './hash.ts'
import { ALGORITHMS, type KeySet, verifyJwt } from './jwt.ts'
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

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
const TYPES: readonly unknown[] = [undefined, 'JWT', 'logout+jwt', 'application/logout+jwt']
const SKEW_SECONDS = 60
const LONGEST_BODY = 64 * 1024

/**
 * OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8, for any framework with `Request` and `Response`. What was ended is
 * also remembered here, by time: a later login of the same person makes nothing of it undone, so an application whose
 * sessions live in cookies asks {@link check} for each request and is safe too, as long as the process runs.
 */
export class LogoutReceiver {
  readonly #options: Required<LogoutReceiverOptions>
  readonly #ended = new Watermarks(randomBytes(8))
  /** Until when each `jti` would be accepted again, in seconds. */
  readonly #seen = new Map<string, number>()

  /** @throws TypeError for options that cannot be used */
  constructor({ keys, nowMs = Date.now, maxLifeSeconds = 2_592_000, ...options }: LogoutReceiverOptions) {
    if (!URL.canParse(options.issuer) || !options.clientId || !(maxLifeSeconds > 0)) {
      throw new TypeError('issuer must be a URL, clientId be given, and maxLifeSeconds be positive')
    }
    this.#options = { ...options, nowMs, maxLifeSeconds, keys: keys ?? keysOf(options.issuer) }
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
    const { issuer, clientId: audience, keys, nowMs, endSession, maxLifeSeconds } = this.#options
    let claims: Claims
    try {
      const { payload, protectedHeader } = await verifyJwt(token, keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        requiredClaims: ['iat', 'exp', 'jti'],
        clockTolerance: SKEW_SECONDS,
        currentDate: new Date(nowMs()),
      })
      if (!TYPES.includes(protectedHeader.typ)) {
        return answer(400, 'invalid_request', 'The header typ is not that of a logout token')
      }
      claims = payload
    } catch (cause) {
      return isVerdict(cause)
        ? answer(400, 'invalid_request', 'The logout token does not verify')
        : answer(503, 'temporarily_unavailable', 'The keys of the issuer cannot be had now')
    }
    const { sub, sid, jti, iat, exp, nonce } = claims
    if (!isLogout(claims) || nonce !== undefined) {
      return answer(400, 'invalid_request', 'It is not a logout token: events, nonce, sub, sid or jti is wrong')
    }
    const now = nowMs() / 1000
    if (Number(iat) > now + SKEW_SECONDS) {
      return answer(400, 'invalid_request', 'The logout token is from the future')
    }
    this.#forget(now)
    if (this.#seen.has(String(jti))) {
      return answer(400, 'invalid_request', 'This logout token was received before')
    }
    this.#seen.set(String(jti), Number(exp) + SKEW_SECONDS)
    const beforeMs = Math.floor(Number(iat) * 1000)
    const until = Math.min(Math.ceil(now + maxLifeSeconds), 0xffff_ffff)
    if (typeof sid === 'string') {
      this.#ended.add(KIND.sid, sid, beforeMs, until, now * 1000)
    } else {
      this.#ended.add(KIND.sub, String(sub), beforeMs, until, now * 1000)
    }
    try {
      await endSession({
        issuer,
        beforeMs,
        ...(typeof sub === 'string' ? { sub } : {}),
        ...(typeof sid === 'string' ? { sid } : {}),
      })
    } catch {
      this.#seen.delete(String(jti))
      return answer(500, 'server_error', 'The sessions could not be ended')
    }
    return answer(200)
  }

  #forget(now: number): void {
    for (const [jti, until] of this.#seen) {
      if (until < now) {
        this.#seen.delete(jti)
      }
    }
  }
}

function isLogout({ sub, sid, jti, events }: Claims): boolean {
  const event = typeof events === 'object' && events !== null ? (events as Record<string, unknown>)[EVENT] : undefined
  const name = (value: unknown) => typeof value === 'string' && value !== '' && value.length <= 255
  return (
    typeof event === 'object' &&
    event !== null &&
    name(jti) &&
    (sub !== undefined || sid !== undefined) &&
    [sub, sid].every((value) => value === undefined || name(value))
  )
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
