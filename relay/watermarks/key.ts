import { createPublicKey, hkdfSync, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, CompactSign, exportJWK, type JWK } from 'jose'
import { BATCH_ALGORITHM, BATCH_TYP, type BatchClaims } from '../../guard/batch.ts'
import { RelayError } from '../errors.ts'
import { readPrivateKey } from '../signing/private-key.ts'

/** What the relay signs its watermark stream with. It is the relay's own: the realm's keys stay with the identity provider. */
export interface StreamKey {
  readonly jwks: { readonly keys: readonly JWK[] }
  sign(claims: BatchClaims): Promise<string>
  /** The key of the hashes in one client's stream: 8 bytes, the same at every relay with this key. */
  hashKey(issuer: string, clientId: string): Uint8Array
}

/** @throws RelayError `config_invalid` for anything but a P-256 private key in PEM that is closed to others */
export async function readStreamKey(path: string): Promise<StreamKey> {
  const make = `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ${path}`
  const key = readPrivateKey(path, 'guard.key_file', make)
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new RelayError('config_invalid', `${path}: guard.key_file is not a key on the curve P-256. Make one: ${make}`)
  }
  return streamKey(key)
}

export async function streamKey(key: KeyObject): Promise<StreamKey> {
  const jwk = await exportJWK(createPublicKey(key))
  const kid = await calculateJwkThumbprint(jwk)
  const secret = key.export({ format: 'der', type: 'pkcs8' })
  const text = new TextEncoder()
  return {
    jwks: { keys: [{ ...jwk, kid, use: 'sig', alg: BATCH_ALGORITHM }] },
    sign: (claims) =>
      new CompactSign(text.encode(JSON.stringify(claims)))
        .setProtectedHeader({ alg: BATCH_ALGORITHM, kid, typ: BATCH_TYP })
        .sign(key),
    hashKey: (issuer, clientId) =>
      new Uint8Array(hkdfSync('sha256', secret, '', JSON.stringify(['guard-feed hash', issuer, clientId]), 8)),
  }
}
