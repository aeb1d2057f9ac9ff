import { isVerdict } from './bearer.ts'
import { type KeySet, verifyJwt } from './jwt.ts'
import type { Claims } from './watermarks.ts'

/** The member of `events` that makes a token a logout token. */
export const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

/** Some identity providers send a plain JWT; anything else was signed for another purpose. */
const TYPES: readonly unknown[] = [undefined, 'JWT', 'logout+jwt', 'application/logout+jwt']
const SKEW_SECONDS = 60

/** What a verified logout token says; it names a `sid`, a `sub` or both. */
export interface LogoutToken {
  readonly jti: string
  /** Seconds. */
  readonly iat: number
  readonly sid?: string
  readonly sub?: string
}

export interface LogoutTokenOptions {
  readonly issuer: string
  readonly clientId: string
  readonly nowMs: () => number
}

/** Verifies logout tokens for one client (OpenID Connect Back-Channel Logout 1.0 §2.6); each `jti` counts once. */
export class LogoutTokens {
  readonly #options: LogoutTokenOptions
  /** Until when each `jti` would be accepted again, in seconds. */
  readonly #seen = new Map<string, number>()

  constructor(options: LogoutTokenOptions) {
    this.#options = options
  }

  /**
   * @returns what the token says, or why it must be refused with 400
   * @throws what the look at the keys has thrown, where they cannot be had
   */
  async verify(token: string, keys: KeySet): Promise<LogoutToken | string> {
    const { issuer, clientId: audience, nowMs } = this.#options
    const now = nowMs() / 1000
    let claims: Claims
    try {
      const { payload, protectedHeader } = await verifyJwt(token, keys, {
        issuer,
        audience,
        requiredClaims: ['iat', 'exp', 'jti'],
        clockTolerance: SKEW_SECONDS,
        currentDate: new Date(nowMs()),
      })
      if (!TYPES.includes(protectedHeader.typ)) {
        return 'The header typ is not that of a logout token'
      }
      claims = payload
    } catch (cause) {
      if (isVerdict(cause)) {
        return 'The logout token does not verify'
      }
      throw cause
    }
    if (!isLogout(claims)) {
      return 'It is not a logout token: events, nonce, sub, sid or jti is wrong'
    }
    const { jti, iat, exp, sid, sub } = claims
    if (iat > now + SKEW_SECONDS) {
      return 'The logout token is from the future'
    }
    this.#drop(now)
    if (this.#seen.has(jti)) {
      return 'This logout token was received before'
    }
    this.#seen.set(jti, exp + SKEW_SECONDS)
    return { jti, iat, ...(sid === undefined ? {} : { sid }), ...(sub === undefined ? {} : { sub }) }
  }

  /** What it asks for could not be done: the same token may come again. */
  forget({ jti }: LogoutToken): void {
    this.#seen.delete(jti)
  }

  #drop(now: number): void {
    for (const [jti, until] of this.#seen) {
      if (until < now) {
        this.#seen.delete(jti)
      }
    }
  }
}

/** The times are numbers by now: what verifies a JWT looks at them. */
function isLogout(claims: Claims): claims is Claims & LogoutToken & { readonly exp: number } {
  const { sub, sid, jti, events, nonce } = claims
  const event =
    typeof events === 'object' && events !== null ? (events as Record<string, unknown>)[LOGOUT_EVENT] : undefined
  const isName = (value: unknown) => typeof value === 'string' && value !== '' && value.length <= 255
  return (
    typeof event === 'object' &&
    event !== null &&
    nonce === undefined &&
    isName(jti) &&
    (sub !== undefined || sid !== undefined) &&
    [sub, sid].every((value) => value === undefined || isName(value))
  )
}
