import { createPublicKey, verify } from 'node:crypto'
import {
  decodeProtectedHeader,
  errors,
  type JSONWebKeySet,
  type JWK,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  type ProtectedHeaderParameters,
  UnsecuredJWT,
} from 'jose'

/**
 * The JWS algorithms of which a realm's tokens are taken. Asymmetric only: with a symmetric one the published key would do
 * as the secret.
 */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

/** How long after one look for keys a `kid` that is not among them counts as wrong. */
export const KEYS_COOLDOWN_MS = 5000

/** A realm's keys as `jose` makes them. Without the set itself, Ed448 is not known. */
export type KeySet = JWTVerifyGetKey & {
  /** The set as it was fetched last. */
  readonly jwks?: () => JSONWebKeySet | undefined
  /** Whether that was a short time ago. */
  readonly fresh?: boolean
  readonly reload?: () => Promise<void>
}

interface Verified<Payload> {
  readonly payload: Payload & JWTPayload
  readonly protectedHeader: ProtectedHeaderParameters
}

/**
 * `jwtVerify` by a realm's keys, which knows one curve more: Keycloak signs with Ed448 under the same `alg` as with Ed25519 (RFC 8037 §3.1), and
 * `jose` has Ed25519 alone.
 */
export async function verifyJwt<Payload = JWTPayload>(
  token: string,
  keys: KeySet,
  expected: Omit<JWTVerifyOptions, 'algorithms'>,
): Promise<Verified<Payload>> {
  const options = { ...expected, algorithms: ALGORITHMS }
  const kid = nameOfEdwardsKey(token)
  if (kid !== undefined && keys.fresh === false) {
    await keys.reload?.()
  }
  const known = kid === undefined ? undefined : ed448(keys, kid)
  if (known) {
    return judged(token, known, options)
  }
  try {
    return await jwtVerify<Payload>(token, keys, options)
  } catch (cause) {
    // For a key that it does not find it has fetched the set anew, unless that was too soon.
    const fetched = kid === undefined || !(cause instanceof errors.JWKSNoMatchingKey) ? undefined : ed448(keys, kid)
    if (!fetched) {
      throw cause
    }
    return judged(token, fetched, options)
  }
}

function nameOfEdwardsKey(token: string): string | undefined {
  try {
    const { alg, kid } = decodeProtectedHeader(token)
    return alg === 'EdDSA' ? kid : undefined
  } catch {
    return undefined
  }
}

function ed448({ jwks }: KeySet, kid: string): JWK | undefined {
  return jwks?.()?.keys.find(
    (jwk) =>
      jwk.kid === kid &&
      jwk.kty === 'OKP' &&
      jwk.crv === 'Ed448' &&
      (jwk.use ?? 'sig') === 'sig' &&
      (jwk.alg ?? 'EdDSA') === 'EdDSA',
  )
}

/** First the signature, then the claims, which `jose` judges as those of any other token. */
function judged<Payload>(token: string, jwk: JWK, options: JWTVerifyOptions): Verified<Payload> {
  const protectedHeader = decodeProtectedHeader(token)
  const { alg = '', typ, crit, b64 } = protectedHeader
  if (!ALGORITHMS.includes(alg)) {
    throw new errors.JOSEAlgNotAllowed('"alg" (Algorithm) Header Parameter value not allowed')
  }
  if (crit !== undefined || b64 !== undefined) {
    throw new errors.JOSENotSupported('Extension Header Parameters are not known')
  }
  const [, header = '', payload = '', signature = ''] = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(token) ?? []
  if (!isSignedBy(jwk, `${header}.${payload}`, signature)) {
    throw new errors.JWSSignatureVerificationFailed()
  }
  const unsecured = { alg: 'none', ...(typ === undefined ? {} : { typ }) }
  const encoded = Buffer.from(JSON.stringify(unsecured)).toString('base64url')
  const claims = UnsecuredJWT.decode<Payload>(`${encoded}.${payload}.`, options)
  return { payload: claims.payload, protectedHeader }
}

function isSignedBy(jwk: JWK, input: string, signature: string): boolean {
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed448', x: jwk.x ?? '' }, format: 'jwk' })
    return verify(null, Buffer.from(input), key, Buffer.from(signature, 'base64url'))
  } catch {
    return false
  }
}
