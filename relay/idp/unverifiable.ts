import { decodeProtectedHeader, errors } from 'jose'
import { type KeySet, verifyJwt } from '../../guard/jwt.ts'

const LEAST_RSA_BITS = 2048
const SYMMETRIC: readonly unknown[] = ['HS256', 'HS384', 'HS512']
const CHOOSE = 'choose another default signature algorithm, such as RS256 (Realm settings, Tokens)'

/**
 * Why nothing that the realm signs in this way can be verified here, with what to do; undefined where it is another failure.
 * It names nothing that the token holds.
 */
export function whyUnverifiable(cause: unknown, token: string, keys: KeySet | undefined): string | undefined {
  const { alg, kid } = decodeProtectedHeader(token)
  if (cause instanceof errors.JOSEAlgNotAllowed) {
    return SYMMETRIC.includes(alg)
      ? `The realm signs with a secret of its own (HS256, HS384, HS512), which nobody else can verify: ${CHOOSE}`
      : `The realm signs with an algorithm that the relay cannot verify: ${CHOOSE}`
  }
  const key = keys?.jwks?.()?.keys.find((jwk) => jwk.kid === kid)
  return key?.kty === 'RSA' && Buffer.from(key.n ?? '', 'base64url').length * 8 < LEAST_RSA_BITS
    ? `The realm’s RSA key has less than ${LEAST_RSA_BITS} bits: give it a longer one (Realm settings, Keys)`
    : undefined
}

/**
 * Whether the events of a realm will be believed, by a token that it has just signed with its default algorithm: undefined if
 * they will, else why not.
 *
 * @throws whatever the look at its keys has thrown
 */
export async function signatureComplaint(token: string, keys: KeySet): Promise<string | undefined> {
  try {
    await verifyJwt(token, keys, {})
    return undefined
  } catch (cause) {
    if (cause instanceof errors.JWTClaimValidationFailed || cause instanceof errors.JWTExpired) {
      // The signature comes before the claims.
      return undefined
    }
    if (cause instanceof errors.JWKSNoMatchingKey) {
      return 'The realm does not publish the key that it signs with: see whether its keys are enabled (Realm settings, Keys)'
    }
    const why = whyUnverifiable(cause, token, keys)
    if (why === undefined) {
      throw cause
    }
    return why
  }
}

/** Whether there is a signature to look at: an access token may be opaque (RFC 6749 §1.4), and then says nothing. */
export function isJwt(token: string): boolean {
  try {
    return typeof decodeProtectedHeader(token).alg === 'string'
  } catch {
    return false
  }
}
