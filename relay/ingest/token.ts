import { decodeJwt, decodeProtectedHeader, errors, type JSONWebKeySet, type JWTPayload } from 'jose'
import { type KeySet, verifyJwt } from '../../guard/jwt.ts'
import { RelayError } from '../errors.ts'
import type { KeysOf } from '../idp/port.ts'
import { whyUnverifiable } from '../idp/unverifiable.ts'

export const SKEW_SECONDS = 60

/**
 * Verifies a Security Event Token (RFC 8417 §2, SSF 1.0), whosever it is: pinned issuer before anything is fetched, its
 * published keys, `typ`, `aud`.
 *
 * @param isTyp of an issuer whose events are no Security Event Tokens
 * @throws RelayError with a code of RFC 8935 §2.4, or `idp_unavailable` when the issuer's keys cannot be had now, or
 *   `key_unknown` where the key is not among them yet: that of a realm which has just changed its key is seconds away
 */
export async function verifiedToken(
  set: string,
  keysOf: KeysOf,
  audience: string,
  isTyp = isSecurityEvent,
): Promise<{ issuer: string; payload: JWTPayload }> {
  const { issuer, typ, kid } = peek(set)
  if (!isTyp(typ)) {
    throw new RelayError('invalid_request', 'The header typ must be secevent+jwt')
  }
  // Asked for last of all: a promise that fails with nobody waiting for it would end the process.
  const keys = keysOf(issuer)
  if (!keys) {
    throw new RelayError('invalid_issuer', 'The issuer is not one that this relay is configured for')
  }
  let known: KeySet | undefined
  try {
    known = await keys
    return {
      issuer,
      payload: (await verifyJwt(set, known, { issuer, audience, clockTolerance: SKEW_SECONDS })).payload,
    }
  } catch (cause) {
    if (cause instanceof errors.JWKSNoMatchingKey && typeof kid === 'string' && !isIn(known?.jwks?.(), kid)) {
      throw new RelayError('key_unknown', 'The realm publishes no key of that name, as far as is known now')
    }
    const why = whyUnverifiable(cause, set, known)
    throw why === undefined ? refusal(cause) : new RelayError('invalid_key', why)
  }
}

function isSecurityEvent(typ: unknown): boolean {
  return typ === 'secevent+jwt' || typ === 'application/secevent+jwt'
}

/** What must be known before any key is fetched; nothing of it is believed yet. */
function peek(set: string): { issuer: string; typ: unknown; kid: unknown } {
  try {
    const { typ, kid } = decodeProtectedHeader(set)
    const { iss } = decodeJwt(set)
    return { issuer: typeof iss === 'string' ? iss : '', typ, kid }
  } catch {
    throw new RelayError('invalid_request', 'The body is not a JWT in compact form')
  }
}

/** A key that is there and does not fit is none that could still come. */
function isIn(jwks: JSONWebKeySet | undefined, kid: string): boolean {
  return jwks?.keys.some((jwk) => jwk.kid === kid) ?? false
}

function refusal(cause: unknown): RelayError {
  if (cause instanceof RelayError) {
    return cause
  }
  if (cause instanceof errors.JWTClaimValidationFailed) {
    return cause.claim === 'aud'
      ? new RelayError(
          'invalid_audience',
          'The audience is not this relay: compare its identifier with the extension option audience',
        )
      : new RelayError('invalid_request', `The claim ${cause.claim} is not acceptable`)
  }
  if (
    cause instanceof errors.JWKSTimeout ||
    !(cause instanceof errors.JOSEError) ||
    cause.code === 'ERR_JOSE_GENERIC'
  ) {
    return new RelayError('idp_unavailable', "The issuer's keys cannot be had at the moment", { cause })
  }
  if (cause instanceof errors.JWTExpired) {
    return new RelayError('invalid_request', 'The claim exp must not be there')
  }
  return new RelayError('invalid_key', "The signature does not verify with the issuer's published keys")
}
