import type { Clock } from '../flow/ports.ts'
import type { Pruned, Store } from '../store/port.ts'

const DAY_MS = 86_400_000
/** Rows at once, and the pause between: a thousand a second, while whatever else the store has to do goes first. */
const BATCH = 200
const PAUSE_MS = 200

export interface RetentionPorts {
  readonly store: Pick<Store, 'prune' | 'forgetSubjects'>
  readonly clock: Clock
  readonly leads: () => boolean
  readonly retentionDays: number
  /** How long it is kept whose account it was; absent for as long as all else. */
  readonly subjectDays?: number
  /** Issuers whose evidence the security feed tells. */
  readonly fed: readonly string[]
  /** All that one call of {@link dropPast} has dropped, if it was anything. */
  readonly dropped: (pruned: Pruned) => void
}

/** Drops everything that is past its retention, a little at a time, for as long as this process leads. Rejects with the store. */
export async function dropPast(
  { store, clock, leads, retentionDays, subjectDays, fed, dropped }: RetentionPorts,
  stop: AbortSignal,
): Promise<void> {
  for (let more = subjectDays !== undefined; more && leads() && !stop.aborted;) {
    more = (await store.forgetSubjects(clock.nowMs() - (subjectDays ?? 0) * DAY_MS, BATCH)) >= BATCH
    if (more) {
      await clock.sleep(PAUSE_MS, stop)
    }
  }
  const all = { watermarks: 0, containments: 0, deliveries: 0, evidence: 0, changes: 0 }
  try {
    for (let more = true; more && leads() && !stop.aborted;) {
      const nowMs = clock.nowMs()
      const pruned = await store.prune({ nowMs, endedBeforeMs: nowMs - retentionDays * DAY_MS, fed, limit: BATCH })
      all.watermarks += pruned.watermarks
      all.containments += pruned.containments
      all.deliveries += pruned.deliveries
      all.evidence += pruned.evidence
      all.changes += pruned.changes
      more = Object.values(pruned).reduce((sum, count) => sum + count, 0) >= BATCH
      if (more) {
        await clock.sleep(PAUSE_MS, stop)
      }
    }
  } finally {
    if (Object.values(all).some((count) => count > 0)) {
      dropped(all)
    }
  }
}
