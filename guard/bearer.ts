import { createRemoteJWKSet, errors } from 'jose'
import { StaleError } from './feed.ts'
import type { Guard } from './guard.ts'
import { KEYS_COOLDOWN_MS, type KeySet, verifyJwt } from './jwt.ts'
import type { Claims } from './watermarks.ts'

export interface BearerOptions {
  readonly guard: Pick<Guard, 'check' | 'maxAgeSeconds' | 'issuer'>
  /** What `aud` of the access tokens must name: this application. */
  readonly audience: string
  /** Goes into the challenge of a step-up (RFC 9470 §3). */
  readonly acrValues?: string
  /** The realm's keys; by default from its `jwks_uri` as Keycloak has it. */
  readonly keys?: KeySet
}

/** A request that may go on, or the answer it gets instead. */
export type Judgement =
  | { readonly claims: Claims }
  | { readonly status: 400 | 401 | 503; readonly headers: Readonly<Record<string, string>>; readonly body: string }

/** Judges the header `Authorization` of a request: the access token's signature first, then the feed. */
export type Judge = (authorization: string | undefined) => Promise<Judgement>

/** RFC 6750 and RFC 9470, for the bindings to put into their framework's words. */
export function bearer({ guard, audience, acrValues, keys = keysOf(guard.issuer) }: BearerOptions): Judge {
  if (!audience || (acrValues !== undefined && !/^[\w:/.\- ]+$/.test(acrValues))) {
    throw new TypeError('audience must be given, and acrValues must be values of acr with spaces between')
  }
  return async (authorization) => {
    if (authorization === undefined) {
      return refusal(401, undefined, 'Send an access token: Authorization: Bearer …')
    }
    const token = /^Bearer +([\w.~+/-]+=*)$/i.exec(authorization)?.[1]
    if (token === undefined) {
      return /^Bearer\b/i.test(authorization)
        ? refusal(400, 'invalid_request', 'The header Authorization is not as RFC 6750 has it')
        : refusal(401, undefined, 'Send an access token: Authorization: Bearer …')
    }
    let claims: Claims
    try {
      const expected = {
        issuer: guard.issuer,
        audience,
        requiredClaims: ['exp'],
        clockTolerance: 5,
      }
      claims = (await verifyJwt(token, keys, expected)).payload
    } catch (cause) {
      return isVerdict(cause)
        ? refusal(401, 'invalid_token', 'The access token is expired, not for this audience, or not of this issuer')
        : unavailable(5)
    }
    // Keycloak's mark: an ID or refresh token with the right audience is not an access token.
    if (claims['typ'] !== undefined && claims['typ'] !== 'Bearer') {
      return refusal(401, 'invalid_token', 'This is not an access token')
    }
    try {
      const verdict = guard.check(claims)
      switch (verdict) {
        case 'ok':
          return { claims }
        case 'revoked':
          return refusal(401, 'invalid_token', 'The access token was revoked')
        case 'step-up':
          return refusal(401, 'insufficient_user_authentication', 'A fresh login is needed', {
            max_age: String(guard.maxAgeSeconds(claims)),
            ...(acrValues === undefined ? {} : { acr_values: acrValues }),
          })
      }
    } catch (cause) {
      if (cause instanceof StaleError) {
        return unavailable(cause.retryAfterSeconds)
      }
      throw cause
    }
  }
}

/** The realm's published keys. */
export function keysOf(issuer: string): KeySet {
  return createRemoteJWKSet(new URL(`${issuer}/protocol/openid-connect/certs`), { cooldownDuration: KEYS_COOLDOWN_MS })
}

/** Whether the token is at fault; else the keys could not be had. */
export function isVerdict(cause: unknown): boolean {
  return (
    cause instanceof errors.JOSEError && !(cause instanceof errors.JWKSTimeout) && cause.code !== 'ERR_JOSE_GENERIC'
  )
}

function refusal(
  status: 400 | 401,
  error: string | undefined,
  description: string,
  more: Record<string, string> = {},
): Judgement {
  const members = { ...(error === undefined ? {} : { error, error_description: description }), ...more }
  const challenge = Object.entries(members).map(([name, value]) => `${name}="${value}"`)
  return {
    status,
    headers: { ...HEADERS, 'www-authenticate': ['Bearer', challenge.join(', ')].join(' ').trim() },
    body: JSON.stringify({ error: error ?? 'unauthorized', error_description: description, ...more }),
  }
}

function unavailable(retryAfterSeconds: number): Judgement {
  return {
    status: 503,
    headers: { ...HEADERS, 'retry-after': String(retryAfterSeconds) },
    body: '{"error":"temporarily_unavailable","error_description":"It cannot be said now whether the token still counts"}',
  }
}

const HEADERS = { 'cache-control': 'no-store', 'content-type': 'application/json' }
