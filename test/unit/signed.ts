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
