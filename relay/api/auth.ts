import { bodyLimit } from 'hono/body-limit'
import { createMiddleware } from 'hono/factory'
import { decodeJwt, errors, type JWTPayload } from 'jose'
import { isVerdict } from '../../guard/bearer.ts'
import { verifyJwt } from '../../guard/jwt.ts'
import { duration } from '../text.ts'
import type { Access, KeysOf, ReadAccess } from '../idp/port.ts'

/** Of people and their programs. */
export type Role = 'view' | 'operate' | 'dismiss'

/** The caller, as its access token says. It sees its own issuer's data and no other's. */
export interface Caller {
  readonly issuer: string
  readonly subject: string
  /**
   * For the evidence of what the caller does: the token's `sub`, of a service account behind its name. The `sub` stays, since a
   * person may have chosen such a name.
   */
  readonly by: string
  /** The client that the token was issued to. */
  readonly clientId: string
  /** The token's end, in seconds. */
  readonly exp: number
}

export type ApiEnv = { Variables: { caller: Caller } }

/** Whether a verified token is from before what ended its subject or its session. Rejects while that cannot be said. */
export type IsEnded = (issuer: string, claims: JWTPayload) => Promise<boolean>

/** What callers are judged by. */
export interface CallerPorts {
  readonly keysOf: KeysOf
  readonly readAccess: ReadAccess
  /** The relay's identifier. */
  readonly audience: string
  readonly isEnded: IsEnded
  readonly nowMs: () => number
}

/** And what those are who act on a person's word. */
export interface OperatorPorts extends CallerPorts {
  /** The clients of an issuer whose tokens may act here. */
  readonly clientsOf: (issuer: string) => readonly string[]
}

/** What no caller needs to exceed. A body is kept as a whole, so that any role could else fill the memory. */
export const smallBody = bodyLimit({
  maxSize: 64 * 1024,
  onError: (c) => c.json({ error: 'invalid_request', error_description: 'The body is larger than 64 KiB' }, 413),
})

/**
 * A token of a person or their program, issued to a client that the config names. Keycloak puts a person's roles into the
 * tokens of every application with full scope, which is its default: whoever ran one that an operator logs in to would else
 * be that operator here.
 */
export function requireRole(role: Role, ports: OperatorPorts) {
  return requireToken(role, ports, ({ issuer, clientId }) => ports.clientsOf(issuer).includes(clientId))
}

/** A guard's: it speaks for its own client and learns of that one alone, and every API may have one. */
export function requireGuard(ports: CallerPorts) {
  return requireToken('guard', ports, () => true)
}

/**
 * RFC 6750: an access token of a configured issuer, for this relay as audience, whose holder has the role, through a client
 * that may act here. One from before its holder's own reset is refused: whoever stole it must not dismiss here what the
 * reset is owed.
 */
function requireToken(role: Role | 'guard', ports: CallerPorts, mayAct: (caller: Caller) => boolean) {
  const { audience } = ports
  return createMiddleware<ApiEnv>(async (c, next) => {
    const token = /^Bearer ([\w.~+/-]+=*)$/i.exec(c.req.header('authorization') ?? '')?.[1]
    if (token === undefined) {
      c.header('WWW-Authenticate', 'Bearer')
      return c.json({ error: 'unauthorized', error_description: 'Send an access token: Authorization: Bearer …' }, 401)
    }
    const verdict = await verify(token, ports)
    if (verdict === 'unavailable') {
      c.header('Retry-After', '5')
      return c.json({ error: 'temporarily_unavailable', error_description: 'The token cannot be judged now' }, 503)
    }
    if ('refused' in verdict) {
      c.header('WWW-Authenticate', 'Bearer error="invalid_token"')
      return c.json({ error: 'invalid_token', error_description: verdict.refused }, 401)
    }
    if (!mayAct(verdict)) {
      c.header('WWW-Authenticate', 'Bearer error="insufficient_scope"')
      return c.json({ error: 'unauthorized_client', error_description: whyNotThrough(verdict.clientId) }, 403)
    }
    if (!verdict.roles.includes(role)) {
      c.header('WWW-Authenticate', 'Bearer error="insufficient_scope"')
      return c.json(
        { error: 'insufficient_scope', error_description: `It takes the role ${role} of the client ${audience}` },
        403,
      )
    }
    const { issuer, subject, by, clientId, exp } = verdict
    c.set('caller', { issuer, subject, by, clientId, exp })
    await next()
    return undefined
  })
}

function whyNotThrough(clientId: string): string {
  const what = clientId === '' ? 'A token that names no client (azp) does' : `Tokens of the client ${clientId} do`
  return `${what} not count here: log in through a client that issuers[].clients in relay.yaml names, or name this one there`
}

type Verdict = (Caller & Pick<Access, 'roles'>) | { readonly refused: string } | 'unavailable'

async function verify(token: string, ports: CallerPorts): Promise<Verdict> {
  const { keysOf, readAccess, audience, isEnded } = ports
  const issuer = issuerIn(token)
  if (issuer === undefined) {
    return { refused: 'This is no token that the relay can read: send an access token, a JWT, as it was issued' }
  }
  const keys = keysOf(issuer)
  if (!keys) {
    return { refused: 'The token is of an issuer (iss) that this relay does not serve: log in at a realm of the relay' }
  }
  try {
    const { payload } = await verifyJwt(token, await keys, { issuer, audience, requiredClaims: ['exp'] })
    const access = readAccess(payload, audience)
    if (access?.subject === undefined) {
      return { refused: 'This is not an access token (typ Bearer, with a sub): an ID or refresh token is none' }
    }
    if (await isEnded(issuer, payload)) {
      return {
        refused: 'The login that the token is from has ended, by a reset or a logout of its holder: log in again',
      }
    }
    const { subject, serviceAccount } = access
    return { ...access, issuer, subject, by: serviceAccount === undefined ? subject : `${serviceAccount} (${subject})` }
  } catch (cause) {
    return isVerdict(cause) ? { refused: whyRefused(cause, audience, ports.nowMs()) } : 'unavailable'
  }
}

function issuerIn(token: string): string | undefined {
  try {
    return decodeJwt(token).iss
  } catch {
    return undefined
  }
}

/** In words for whoever sent it. The claims are only judged once the signature is. */
function whyRefused(cause: unknown, audience: string, nowMs: number): string {
  if (cause instanceof errors.JWTExpired) {
    const { exp } = cause.payload
    return `The token expired ${exp === undefined ? '' : `${duration(Math.max(1000, nowMs - exp * 1000))} ago`}: get a fresh one`
  }
  if (cause instanceof errors.JWTClaimValidationFailed) {
    return cause.claim === 'aud'
      ? `The token is not for the audience ${audience}: its holder needs a role of the client ${audience}, in the scope of the token’s client`
      : `The claim ${cause.claim} of the token is not acceptable here`
  }
  return 'The token is not signed by its realm, or with a key that the realm no longer publishes: get a fresh one'
}
