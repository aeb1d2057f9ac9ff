import { z } from 'zod'
import type { SecurityEvent } from '../domain/model.ts'
import { named } from '../delivery/kinds.ts'
import { RelayError } from '../errors.ts'
import type { KeysOf } from '../idp/port.ts'
import { SKEW_SECONDS, verifiedToken } from './token.ts'

const KNOWN_TYPES: readonly string[] = [
  'caep/event-type/credential-change',
  'caep/event-type/session-revoked',
  'risc/event-type/account-disabled',
  'risc/event-type/account-purged',
  'risc/event-type/identifier-changed',
].map((type) => `https://schemas.openid.net/secevent/${type}`)

const Name = z.string().min(1).max(255)
const LAST_SECOND = 4_102_444_800
const Seconds = z.number().int().min(0).max(LAST_SECOND)
const Millis = z
  .number()
  .int()
  .min(0)
  .max(LAST_SECOND * 1000)

const Count = z.number().int().min(0).max(1_000_000_000)

/**
 * What comes from the settings of one client counts as absent where it is not usable, and its longest life as the longest
 * that can be said: whoever may edit that client must not keep all others from being told. Its kind of delivery reads the rest.
 */
const Session = z.looseObject({
  id: z.string().regex(/^[0-9a-f-]{36}\.\d{1,3}$/),
  client_id: Name,
  sid: Name,
  sub: Name.optional().catch(undefined),
  tokens_only: z.boolean().optional().catch(undefined),
  latest_end: z
    .number()
    .min(0)
    .transform((seconds) => Math.min(Math.floor(seconds), LAST_SECOND)),
})

/** It is for people to read: what is wrong with it keeps no event from being taken. */
const Used = z.object({
  kinds: z.array(z.string().max(64)).max(20),
  addresses: z.array(z.string().max(255)).max(20),
  last_ms: Millis,
})

const Containment = z.object({
  trigger: z.string().max(64),
  watermark_ms: Millis,
  removed_at_ms: Millis,
  part: z.number().int().min(1).max(10_000),
  parts: z.number().int().min(1).max(10_000),
  scope: z.enum(['subject', 'session']).default('subject'),
  kept_sid: Name.optional(),
  privileged: z.boolean().default(false),
  client: z.object({ client_id: Name, all_tokens: z.boolean(), used: Used.optional().catch(undefined) }).optional(),
  shadow: z.boolean().default(false),
  survivors: z.number().int().min(0).max(1_000_000).default(0),
  steps: z.record(z.string().max(64), z.number().int().min(0)).default({}),
  asked: z.object({ by: Name, client_id: Name, reason: z.string().max(2000) }).optional(),
  upstream: z.object({ iss: z.string().min(1).max(2048), txn: Name }).optional(),
  spared_offline: z.array(Name).max(100).optional(),
  identity_providers: z.array(Name).max(100).optional(),
  watched: z.object({ logins: Count, failed_logins: Count, refused_refreshes: Count }).optional(),
  refused_after: z
    .array(
      z.object({
        kind: z.string().max(64),
        client_id: z.string().max(255),
        address: z.string().max(255),
        count: Count,
      }),
    )
    .max(50)
    .optional(),
  sessions: z
    .array(Session)
    .max(500)
    .refine((sessions) => new Set(sessions.map((s) => s.id)).size === sessions.length, 'names a session twice'),
})

const Claims = z.object({
  jti: Name,
  txn: Name,
  iat: Seconds,
  // SSF 1.0: a SET that has them could be taken for another kind of token.
  sub: z.never().optional(),
  exp: z.never().optional(),
  sub_id: z.object({ format: z.literal('iss_sub'), iss: z.string(), sub: Name }),
  events: z.record(z.string(), z.object({ 'logout-relay': Containment })),
})

/**
 * Verifies a Security Event Token of a realm (RFC 8417 §2, SSF 1.0), and the one event in it. No greatest age: the outbox may
 * hand it out days later.
 *
 * @throws RelayError as `verifiedToken`
 */
export async function verifySet(set: string, keysOf: KeysOf, audience: string, nowMs: number): Promise<SecurityEvent> {
  const { issuer, payload } = await verifiedToken(set, keysOf, audience)
  const parsed = Claims.safeParse(payload)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new RelayError('invalid_request', `The claim ${issue?.path.join('.') ?? ''} is not as the protocol has it`)
  }
  const { jti, txn, iat, sub_id, events } = parsed.data
  if (iat * 1000 > nowMs + SKEW_SECONDS * 1000) {
    throw new RelayError('invalid_request', 'The claim iat is in the future: check the clocks of both machines')
  }
  if (sub_id.iss !== issuer) {
    throw new RelayError('invalid_request', 'The claim sub_id.iss is not the issuer')
  }
  const [entry, ...more] = Object.entries(events)
  if (!entry || more.length > 0) {
    throw new RelayError('invalid_request', 'The claim events must hold exactly one event')
  }
  const [type, event] = entry
  if (!KNOWN_TYPES.includes(type)) {
    throw new RelayError('invalid_request', 'The event type is not one that this relay knows')
  }
  const {
    trigger,
    watermark_ms,
    removed_at_ms,
    part,
    parts,
    scope,
    kept_sid,
    privileged,
    client,
    shadow,
    survivors,
    steps,
    asked,
    upstream,
    spared_offline,
    identity_providers,
    watched,
    refused_after,
  } = event['logout-relay']
  return {
    issuer,
    jti,
    txn,
    type,
    trigger,
    subject: sub_id.sub,
    watermarkMs: watermark_ms,
    removedAtMs: removed_at_ms,
    part,
    parts,
    scope,
    ...(kept_sid === undefined ? {} : { keptSid: kept_sid }),
    privileged,
    ...(client === undefined ? {} : { client: clientOf(client) }),
    shadow,
    survivors,
    steps,
    ...(asked === undefined ? {} : { operator: { by: asked.by, clientId: asked.client_id, reason: asked.reason } }),
    ...(upstream === undefined ? {} : { upstream: { issuer: upstream.iss, txn: upstream.txn } }),
    ...(spared_offline === undefined ? {} : { sparedOffline: spared_offline }),
    ...(identity_providers === undefined ? {} : { identityProviders: identity_providers }),
    ...(watched === undefined
      ? {}
      : {
          watched: {
            logins: watched.logins,
            failedLogins: watched.failed_logins,
            refusedRefreshes: watched.refused_refreshes,
          },
        }),
    ...(refused_after === undefined
      ? {}
      : {
          refusedAfter: refused_after.map(({ kind, client_id, address, count }) => ({
            use: kind,
            clientId: client_id,
            address,
            count,
          })),
        }),
    sessions: event['logout-relay'].sessions.map((s) => ({
      id: s.id,
      clientId: s.client_id,
      sid: s.sid,
      latestEndMs: s.latest_end * 1000,
      ...(s.sub === undefined ? {} : { sub: s.sub }),
      ...(s.tokens_only === true ? { tokensOnly: true } : {}),
      named: named(s, issuer),
    })),
  }
}

function clientOf({ client_id, all_tokens, used }: NonNullable<z.infer<typeof Containment>['client']>) {
  const { kinds, addresses, last_ms } = used ?? {}
  return {
    ...{ clientId: client_id, allTokens: all_tokens },
    ...(kinds && addresses && last_ms !== undefined ? { used: { kinds, addresses, lastMs: last_ms } } : {}),
  }
}
