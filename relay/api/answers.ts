import { z } from 'zod'
import { SOURCES } from '../registry/registry.ts'

/**
 * What the relay's API answers, for its routes and for whoever calls them. Every time is in milliseconds since the epoch,
 * and its name ends in `_ms`.
 */
const Containment = z.object({
  id: z.string(),
  subject: z.string().optional(),
  trigger: z.string(),
  event_at_ms: z.number(),
  received_at_ms: z.number(),
  closed_at_ms: z.number().optional(),
  deliveries: z.number(),
  open: z.number(),
  dismissed: z.number(),
  parts: z.number(),
  arrived: z.number(),
  unreachable: z.number(),
  unreachable_until_ms: z.number().optional(),
})
export const Containments = z.object({ containments: z.array(Containment) })
export const WithEvidence = Containment.extend({
  evidence: z.array(
    z.object({
      at_ms: z.number(),
      kind: z.string(),
      data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    }),
  ),
  next: z.number().optional(),
})

export const Deliveries = z.object({
  deliveries: z.array(
    z.object({
      id: z.string(),
      containment_id: z.string(),
      client_id: z.string(),
      sid: z.string(),
      state: z.enum(['open', 'delivered', 'expired', 'dismissed']),
      attempts: z.number(),
      last_status: z.number().optional(),
      last_reason: z.string().optional(),
      next_attempt_at_ms: z.number().optional(),
      latest_end_ms: z.number(),
      created_at_ms: z.number(),
      ended_at_ms: z.number().optional(),
    }),
  ),
  next: z.string().optional(),
})
/** What whoever is awake has to know: whom nobody can tell, and what is amiss. What is open is among the deliveries. */
export const Status = z.object({
  unreachable: z.array(z.object({ client_id: z.string(), sessions: z.number(), until_ms: z.number() })),
  to_do: z.array(z.object({ check: z.string(), about: z.string(), says: z.string() })),
})

export const Changed = z.object({ changed: z.number() })
export const Reread = z.object({ read: z.number(), taken: z.number(), next: z.string().optional() })

/** Of a user or a client, on somebody's word. */
export const Contained = z.object({
  subject: z.string(),
  client_id: z.string().optional(),
  containment_id: z.string().optional(),
  sessions: z.number(),
  relying_parties: z.number(),
  unreachable: z.number(),
  shadow: z.boolean(),
  confirmation_required: z.boolean(),
  dry_run: z.boolean(),
})

const Source = z.enum(SOURCES)
const PausedBy = z.object({ by: z.string(), since_ms: z.number(), reason: z.string() })
export const RelyingParties = z.object({
  relying_parties: z.array(
    z.object({
      client_id: z.string(),
      backchannel_logout_uri: z.string(),
      enabled: z.boolean(),
      source: Source,
      outvoted: z.array(z.object({ source: Source, backchannel_logout_uri: z.string() })),
      paused: PausedBy.optional(),
    }),
  ),
  // None of a relay that tells none.
  identity_providers: z
    .array(z.object({ client_id: z.string(), url: z.string(), paused: PausedBy.optional() }))
    .default([]),
})
export const Finding = z.object({ ok: z.boolean(), says: z.string() })
export const Registered = z.object({ registered: z.literal(true), check: Finding })
export const Unregistered = z.object({ registered: z.literal(false) })
export const Paused = z.object({ paused: z.boolean() })

export const Changes = z.object({
  changes: z.array(
    z.object({
      seq: z.number(),
      at_ms: z.number(),
      kind: z.string(),
      weakening: z.boolean(),
      client_id: z.string().optional(),
      by: z.string().optional(),
      reason: z.string().optional(),
      data: z.record(z.string(), z.union([z.string(), z.number()])),
    }),
  ),
})

export const Refused = z.object({ error: z.string(), error_description: z.string() })
