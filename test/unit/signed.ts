import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import {
  CompactSign,
  createLocalJWKSet,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type CompactJWSHeaderParameters,
  type JSONWebKeySet,
} from 'jose'
import { ISSUER, NOW_MS, uuid } from './given.ts'

export const CREDENTIAL_CHANGE = 'https://schemas.openid.net/secevent/caep/event-type/credential-change'

const text = new TextEncoder()

/** A realm with a real key. */
export async function realm(issuer = ISSUER) {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const kid = `key of ${issuer}`
  const jwks: JSONWebKeySet = { keys: [{ ...(await exportJWK(publicKey)), kid, use: 'sig', alg: 'RS256' }] }
  const keys = createLocalJWKSet(jwks)
  return {
    issuer,
    jwks,
    keys,
    publicPem: await exportSPKI(publicKey),
    /** Signs any payload; what is given as text is signed as it stands. */
    sign: (payload: unknown, header: Partial<CompactJWSHeaderParameters> = {}) =>
      new CompactSign(text.encode(typeof payload === 'string' ? payload : JSON.stringify(payload)))
        .setProtectedHeader({ alg: 'RS256', kid, typ: 'secevent+jwt', ...header })
        .sign(privateKey),
  }
}

export type Realm = Awaited<ReturnType<typeof realm>>
export type OddRealm = Omit<Realm, 'publicPem'>

/** A realm whose key `jose` does not sign with, or does not take. */
async function otherRealm(alg: string, publicKey: KeyObject, privateKey: KeyObject): Promise<OddRealm> {
  const kid = `key of ${ISSUER}`
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid, use: 'sig', alg }] }
  const encoded = (value: unknown) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  return {
    issuer: ISSUER,
    jwks,
    keys: createLocalJWKSet(jwks),
    sign: (payload, header) => {
      const input = `${encoded({ alg, kid, typ: 'secevent+jwt', ...header })}.${encoded(payload)}`
      const signature = sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), privateKey)
      return Promise.resolve(`${input}.${signature.toString('base64url')}`)
    },
  }
}

/** As Keycloak has it: `EdDSA`, with a key on the curve Ed448. */
export function edwards448Realm(): Promise<OddRealm> {
  const { publicKey, privateKey } = generateKeyPairSync('ed448')
  return otherRealm('EdDSA', publicKey, privateKey)
}

/** Keycloak lets a realm sign with its own secret, which it does not publish. */
export function hmacRealm(): Promise<OddRealm> {
  const secret = new Uint8Array(64)
  const jwks = { keys: [] }
  return Promise.resolve({
    issuer: ISSUER,
    jwks,
    keys: createLocalJWKSet(jwks),
    sign: (payload) =>
      new CompactSign(text.encode(JSON.stringify(payload)))
        .setProtectedHeader({ alg: 'HS512', kid: 'a secret', typ: 'secevent+jwt' })
        .sign(secret),
  })
}

/** Keycloak still makes RSA keys of 1024 bits, if it is asked to. */
export function shortRealm(): Promise<OddRealm> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  return otherRealm('RS256', publicKey, privateKey)
}

/** The claims of a right SET, as docs/protocol.md has them. */
export function setClaims(n: number, clients: readonly string[] = ['orders'], issuer = ISSUER) {
  const jti = uuid(n)
  return {
    iss: issuer,
    aud: 'logout-relay',
    iat: NOW_MS / 1000,
    jti,
    txn: `txn-${n}`,
    sub_id: { format: 'iss_sub', iss: issuer, sub: 'user-1' },
    events: {
      [CREDENTIAL_CHANGE]: {
        credential_type: 'password',
        change_type: 'update',
        event_timestamp: NOW_MS / 1000,
        initiating_entity: 'admin',
        reason_admin: { en: 'An administrator reset the password' },
        'logout-relay': containment(jti, clients, issuer),
      },
    },
  }
}

export function containment(jti: string, clients: readonly string[], issuer = ISSUER) {
  return {
    trigger: 'admin-reset-password',
    watermark_ms: NOW_MS + 123,
    removed_at_ms: NOW_MS + 140,
    part: 1,
    parts: 1,
    sessions: clients.map((clientId, at) => ({
      id: `${jti}.${at}`,
      client_id: clientId,
      sid: `sid-${at}`,
      sub: 'user-1',
      iss: issuer,
      alg: 'RS256',
      backchannel_logout_uri: `https://${clientId}.example.org/logout`,
      backchannel_logout_session_required: true,
      sid_only: true,
      offline: false,
      login_began: NOW_MS / 1000 - 1000,
      latest_end: NOW_MS / 1000 + 2_592_000,
    })),
  }
}
