import { z } from 'zod'
import type { Named, Target } from '../../domain/model.ts'

export const KIND = 'backchannel'
/** What a target calls the JWS algorithm of tokens that the relay may make by itself; absent where only the realm can. */
export const ALG = 'alg'
/** Later than this after an event, the client may have been given the same `sid` again by a new login: the realm knows. */
export const SURE_OF_SID_MS = 300_000

/** Whoever may edit one client must not keep all others from being told: what is not usable counts as absent. */
const Fields = z.object({
  backchannel_logout_uri: z.string().max(2048).optional().catch(undefined),
  iss: z.string().optional().catch(undefined),
  alg: z.string().max(16).optional().catch(undefined),
  sid_only: z.boolean().default(false).catch(false),
})

/**
 * How a client is told by its back channel. The relay knows `sid`, but not whether `sub` has a newer login that must not be ended
 * (docs/design.md, decision 6). So it may make the token of a client for which `sid` alone does, under the event's own issuer.
 */
export function named(fields: Readonly<Record<string, unknown>>, issuer: string): Named {
  const { backchannel_logout_uri: uri, iss, alg, sid_only } = Fields.parse(fields)
  return {
    kind: KIND,
    ...(uri === undefined ? {} : { uri }),
    ...(sid_only && iss === issuer && alg !== undefined ? { [ALG]: alg } : {}),
  }
}

/** The target of a relying party of which no more is known than its back-channel logout URL. */
export function backchannelAt(uri: string): Target {
  return { kind: KIND, uri }
}

/** The relay may make tokens soon after the event alone. */
export function owed(target: Target, sinceListedMs: number): Target {
  const { [ALG]: _, ...byTheRealm } = target
  return sinceListedMs < SURE_OF_SID_MS ? target : { ...byTheRealm, kind: target.kind, uri: target.uri }
}
