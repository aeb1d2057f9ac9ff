import { retryDelayMs } from '../domain/backoff.ts'
import type { Clock } from '../flow/ports.ts'
import type { Store } from '../store/port.ts'
import { lineOf } from './line.ts'
import type { Sink } from './sink.ts'

/** A sink's deadline is well within it, so that no other process takes what is being written. */
const LEASE_MS = 60_000
const BATCH = 200
/** How soon a line that another process stored is seen. */
const LOOK_MS = 1000

export interface SecurityFeedPorts {
  readonly store: Pick<Store, 'takeFeed' | 'settleFeed'>
  readonly sink: Sink
  readonly clock: Clock
  readonly random: () => number
  readonly delivered: (lines: number) => void
  /** Not delivered, and tried again after a while. `sinceMs`: the time of its oldest line. */
  readonly failed: (cause: unknown, sinceMs: number) => void
  readonly trouble: (what: string, cause: unknown) => void
}

/**
 * Tells the evidence of an issuer to a SIEM, from where it stopped, until `signal`. At least once: whoever is killed between
 * the SIEM's yes and the store's sends that batch again. Deliveries do not wait for it; all they share is the store.
 */
export async function tellSecurityFeed(issuer: string, ports: SecurityFeedPorts, signal: AbortSignal): Promise<void> {
  const { store, sink, clock, random } = ports
  for (let failures = 0; !signal.aborted;) {
    let waitMs = LOOK_MS
    try {
      const batch = await store.takeFeed(issuer, clock.nowMs(), LEASE_MS, BATCH)
      if (batch) {
        const failure = await sink(batch.lines.map((line) => lineOf(issuer, line))).then(
          () => undefined,
          (cause: unknown) => ({ cause }),
        )
        await store.settleFeed(batch, failure === undefined)
        if (failure) {
          ports.failed(failure.cause, batch.lines[0]?.evidence.atMs ?? clock.nowMs())
          waitMs = retryDelayMs(++failures, random())
        } else {
          ports.delivered(batch.lines.length)
          failures = 0
          waitMs = 0
        }
      }
    } catch (cause) {
      ports.trouble('The security feed could not read or write its place in the store; trying again', cause)
    }
    if (waitMs > 0) {
      await clock.sleep(waitMs, signal)
    }
  }
}
