import { z } from 'zod'
import type { Directory } from '../../domain/directory.ts'
import { DECIDED, decidedIn } from './decided.ts'

/** One of `realm.directories` (docs/protocol.md). */
export const DirectoryItem = z
  .object({
    id: z.string(),
    name: z.string().nullish(),
    provider: z.string().default('ldap'),
    state: z.string(),
    users: z.number().default(0),
    without_clock: z.number().default(0),
    held: z.number().default(0),
    looked_ms: z.number().optional(),
    clock_ahead_ms: z.number().optional(),
    failing_since_ms: z.number().optional(),
    failure: z.string().default('unknown'),
    ...DECIDED,
  })
  .transform((item): Directory => {
    const { id, provider, state, users, held, looked_ms, clock_ahead_ms, failing_since_ms } = item
    return {
      ...{ id, name: item.name ?? id, provider, state, users, withoutClock: item.without_clock, held },
      ...(looked_ms === undefined ? {} : { lookedMs: looked_ms }),
      ...(clock_ahead_ms === undefined ? {} : { clockAheadMs: clock_ahead_ms }),
      ...(failing_since_ms === undefined ? {} : { failing: { sinceMs: failing_since_ms, why: item.failure } }),
      ...decidedIn(item),
    }
  })
