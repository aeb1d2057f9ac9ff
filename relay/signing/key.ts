import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import type { JWK } from 'jose'
import { RelayError } from '../errors.ts'
import { readPrivateKey } from './private-key.ts'

/** JWS algorithms (RFC 7518 §3.1) of a key that the relay may hold. */
export const SIGNING_ALGORITHMS = ['RS256', 'PS256', 'ES256'] as const
export type Algorithm = (typeof SIGNING_ALGORITHMS)[number]

/** What is configured for one algorithm of one realm. Beside `file` lies the next key, `file.next`, while keys change. */
export interface KeyPlace {
  readonly alg: Algorithm
  readonly file: string
}

/** A private key of the relay's that the realm publishes, or is to publish, as a passive key. */
export interface RelayKey {
  readonly alg: Algorithm
  readonly key: KeyObject
  /** SHA-256 of the public key (SPKI), base64url: what Keycloak takes for its `kid`. */
  readonly fingerprint: string
  readonly publicJwk: JWK
}

const LEAST_RSA_BITS = 2048

/** @throws RelayError `config_invalid` for a file that is missing, open to others, or holds another kind of key */
export function readRelayKey(file: string, alg: Algorithm): RelayKey {
  const key = readPrivateKey(file, 'signing.keys.key_file', `logout-relay keys create`)
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
  const fits =
    alg === 'ES256'
      ? key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1'
      : key.asymmetricKeyType === 'rsa' && modulusLength >= LEAST_RSA_BITS
  if (!fits) {
    const wanted = alg === 'ES256' ? 'a key on the curve P-256' : `an RSA key of ${LEAST_RSA_BITS} bits or more`
    throw new RelayError('config_invalid', `${file}: signing.keys.key_file is not ${wanted}, which ${alg} needs`)
  }
  const publicKey = createPublicKey(key)
  return {
    alg,
    key,
    fingerprint: createHash('sha256')
      .update(publicKey.export({ format: 'der', type: 'spki' }))
      .digest('base64url'),
    publicJwk: publicKey.export({ format: 'jwk' }),
  }
}

/** The `kid` under which a realm publishes this key for its algorithm (RFC 7517), or undefined if it does not. */
export function publishedKid(published: readonly JWK[], { alg, publicJwk }: RelayKey): string | undefined {
  const names = ['kty', 'n', 'e', 'crv', 'x', 'y'] as const
  return published.find(
    (jwk) => jwk.alg === alg && (jwk.use ?? 'sig') === 'sig' && names.every((name) => jwk[name] === publicJwk[name]),
  )?.kid
}
