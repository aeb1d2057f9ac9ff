import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { decodeJwt, errors, type JWTPayload } from 'jose'
import { z } from 'zod'
import { verifyJwt } from '../../guard/jwt.ts'
import type { UpstreamSubject } from '../domain/model.ts'
import { RelayError } from '../errors.ts'
import { SKEW_SECONDS } from '../ingest/token.ts'
import { isPlausible } from './set.ts'
import { Name } from './subject.ts'
import { outcomeOf, type Upstream } from './upstream.ts'

const TYPE = 'global-token-revocation'
const MAX_BYTES = 64 * 1024
/** Okta's live for five minutes. One that is older has been kept for something. */
const MAX_AGE_SECONDS = 600

/** RFC 9493 §3.2.2 and §3.2.5. */
const SubIdOf = z.discriminatedUnion('format', [
  z.object({ format: z.literal('iss_sub'), iss: z.string(), sub: Name }),
  z.object({ format: z.literal('email'), email: Name }),
])
type SubId = z.infer<typeof SubIdOf>
const Body = z.object({ sub_id: SubIdOf })

export interface RevocationPorts {
  readonly upstreams: readonly Upstream[]
  readonly heard: (upstream: string, outcome: string) => void
  readonly refused: (code: string, why: string) => void
}

/**
 * Global Token Revocation (draft-parecki-oauth-global-token-revocation), with a signed JWT for the sender as Okta's Universal
 * Logout has it. 204 says that all has ended at the identity provider, or that nobody is concerned: who is known here is
 * not told.
 */
export function revocationRoute({ upstreams, heard, refused }: RevocationPorts): Hono {
  const app = new Hono()
  const revoking = upstreams.filter(({ revokes }) => revokes)
  app.use('/global-token-revocation', async (c, next) => {
    await next()
    c.header('Cache-Control', 'no-store')
  })
  const limit = bodyLimit({
    maxSize: MAX_BYTES,
    onError: (c) => c.json({ error: 'invalid_request', error_description: 'The body is larger than 64 KiB' }, 413),
  })
  app.post('/global-token-revocation', limit, async (c) => {
    try {
      const senders = await sendersOf(c.req.header('authorization'), revoking)
      const subId = subIdOf(await c.req.text())
      for (const { upstream, proof, subject } of named(subId, senders)) {
        const { id, txn, atMs } = proof
        const outcome = await upstream.hear({
          issuer: upstream.linkIssuer,
          ...(upstream.behind ? { client: upstream.behind.client } : {}),
          subjects: [subject],
          type: TYPE,
          ...(atMs === undefined ? {} : { atMs }),
          id: `${upstream.name} ${TYPE} ${id}`,
          txn,
        })
        heard(upstream.name, outcomeOf(outcome))
      }
      return c.body(null, 204)
    } catch (cause) {
      const error =
        cause instanceof RelayError
          ? cause
          : new RelayError('idp_unavailable', 'The revocation could not be taken', { cause })
      refused(error.code, error.message)
      if (error.code === 'invalid_request') {
        return c.json({ error: error.code, error_description: error.message }, 400)
      }
      if (error.code === 'authentication_failed') {
        c.header('WWW-Authenticate', 'Bearer error="invalid_token"')
        return c.json({ error: 'invalid_token', error_description: error.message }, 401)
      }
      c.header('Retry-After', '5')
      return c.json(
        { error: 'temporarily_unavailable', error_description: 'It could not be taken now; send it again' },
        503,
      )
    }
  })
  return app
}

interface Sender {
  readonly upstream: Upstream
  readonly proof: Proof
}

/** What a sender's JWT says beside who it is. */
interface Proof {
  /** The same for the same event. Without a time of it each request may be of another, whatever it is called. */
  readonly id: string
  /** What the event is called (RFC 8417 §2.2); of a sender that says none the `jti`. */
  readonly txn: string
  /** When it happened by the clock here, so that a request which comes late ends nothing newer; absent for now. */
  readonly atMs?: number
  /** Of whom the JWT is alone, where it says so. */
  readonly subId?: SubId
}

/** As which upstreams this sender may speak: of one issuer, and of several where several realms have it. */
async function sendersOf(authorization: string | undefined, upstreams: readonly Upstream[]): Promise<Sender[]> {
  const token = /^Bearer ([\w.-]+)$/i.exec(authorization ?? '')?.[1]
  if (token === undefined) {
    throw new RelayError('authentication_failed', 'Send a signed JWT: Authorization: Bearer …')
  }
  const issuer = issuerOf(token)
  const senders: Sender[] = []
  let why: RelayError | undefined
  for (const upstream of upstreams.filter((one) => one.issuer === issuer)) {
    try {
      senders.push({ upstream, proof: await verified(token, upstream) })
    } catch (cause) {
      why = cause as RelayError
    }
  }
  if (senders.length === 0 || why?.code === 'idp_unavailable') {
    throw why ?? new RelayError('authentication_failed', 'The issuer is not one that may revoke here')
  }
  return senders
}

function issuerOf(token: string): unknown {
  try {
    return decodeJwt(token).iss
  } catch {
    throw new RelayError('authentication_failed', 'What was sent is no JWT')
  }
}

/** @throws RelayError `authentication_failed`, or `idp_unavailable` where the keys cannot be had now */
async function verified(token: string, { issuer, audience, keys }: Upstream): Promise<Proof> {
  try {
    const { payload } = await verifyJwt(token, await keys(), {
      issuer,
      audience,
      typ: `${TYPE}+jwt`,
      clockTolerance: SKEW_SECONDS,
      maxTokenAge: MAX_AGE_SECONDS,
      requiredClaims: ['jti', 'exp', 'iat'],
    })
    return proofIn(payload, Date.now())
  } catch (cause) {
    throw refusal(cause)
  }
}

function proofIn({ jti, txn = jti, toe, iat = 0, sub_id }: JWTPayload, nowMs: number): Proof {
  const named = Name.parse(txn)
  return {
    id: isPlausible(toe, iat) ? `${named} ${toe}` : Name.parse(jti),
    txn: named,
    // `toe` (RFC 8417 §2.2) is of the sender's clock. By one that is behind, as its `iat` shows, logins before the event would live on.
    ...(isPlausible(toe, iat) ? { atMs: Math.floor(toe * 1000 + Math.max(0, nowMs - iat * 1000)) } : {}),
    ...(sub_id === undefined ? {} : { subId: SubIdOf.parse(sub_id) }),
  }
}

function refusal(cause: unknown): RelayError {
  if (cause instanceof RelayError) {
    return cause
  }
  if (cause instanceof errors.JWTClaimValidationFailed || cause instanceof errors.JWTExpired) {
    return new RelayError('authentication_failed', `The claim or header ${cause.claim} is not acceptable`)
  }
  if (cause instanceof errors.JOSEError && !isOfTheWay(cause)) {
    return new RelayError('authentication_failed', 'The signature does not verify with the keys of its issuer')
  }
  return cause instanceof z.ZodError
    ? new RelayError('authentication_failed', 'The claim jti, txn or sub_id is not acceptable')
    : new RelayError('idp_unavailable', 'The keys of the issuer cannot be had at the moment', { cause })
}

/** Keys that did not come say nothing of the signature. */
function isOfTheWay(cause: errors.JOSEError): boolean {
  return cause instanceof errors.JWKSTimeout || cause instanceof errors.JWKSInvalid || cause.code === 'ERR_JOSE_GENERIC'
}

function subIdOf(text: string): SubId {
  const parsed = Body.safeParse(json(text))
  if (!parsed.success) {
    throw new RelayError('invalid_request', 'The body must have sub_id in the format iss_sub or email (RFC 9493)')
  }
  return parsed.data.sub_id
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * An upstream names its own users and no others, and a realm behind those of the realm that it takes its logins from. That says
 * nothing of who is known.
 */
function named(subId: SubId, senders: readonly Sender[]): (Sender & { readonly subject: UpstreamSubject })[] {
  const proven = senders.filter(({ proof }) => isOf(proof, subId))
  if (proven.length === 0) {
    throw new RelayError('invalid_request', 'sub_id is another than the one that the JWT is of')
  }
  const concerned = proven.filter(({ upstream }) => mayName(upstream, subId))
  if (concerned.length === 0) {
    throw new RelayError('invalid_request', 'sub_id.iss is another issuer than the one that has signed the request')
  }
  const subject = subId.format === 'email' ? { email: subId.email } : { sub: subId.sub }
  return concerned.map((sender) => ({ ...sender, subject }))
}

function isOf({ subId }: Proof, named: SubId): boolean {
  return subId === undefined || JSON.stringify(subId) === JSON.stringify(named)
}

function mayName({ issuer, linkIssuer, behind }: Upstream, subId: SubId): boolean {
  return subId.format === 'email' ? behind === undefined : (behind?.realms ?? [issuer, linkIssuer]).includes(subId.iss)
}
