import { createPublicKey } from 'node:crypto'
import type { KeyPlace, RelayKey } from '../../signing/key.ts'

/** What an administrator types so that the realm publishes a key. @param more further options of the export */
export function publishCommand(issuer: string, alg: KeyPlace['alg'], more = ''): string {
  const realm = decodeURIComponent(issuer.slice(issuer.lastIndexOf('/') + 1))
  return `logout-relay keys export${more} --issuer ${issuer} --alg ${alg} | kcadm.sh create components -r ${realm} -f -`
}

/**
 * The component that an administrator adds to the realm, so that it publishes the key and never signs with it: for RSA the
 * provider that imports keys, for ES256 the one that makes them, which takes a pair that is given.
 */
export function keycloakComponent({ alg, key, fingerprint }: RelayKey): object {
  const passive = { priority: ['-100'], enabled: ['true'], active: ['false'] }
  const component = (providerId: string, config: object) => ({
    name: `logout-relay ${alg} ${fingerprint.slice(0, 8)}`,
    providerType: 'org.keycloak.keys.KeyProvider',
    providerId,
    config: { ...passive, ...config },
  })
  if (alg !== 'ES256') {
    return component('rsa', { algorithm: [alg], privateKey: [key.export({ format: 'pem', type: 'pkcs8' })] })
  }
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return component('ecdsa-generated', {
    ecdsaEllipticCurveKey: ['P-256'],
    ecdsaPrivateKey: [key.export({ format: 'der', type: 'pkcs8' }).toString('base64')],
    ecdsaPublicKey: [publicKey.toString('base64')],
  })
}
