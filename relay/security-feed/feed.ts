import { retryDelayMs } from '../domain/backoff.ts'
import type { Clock } from '../flow/ports.ts'
import type { Store } from '../store/port.ts'
import type { Sink } from './sink.ts'
import { changesOf, evidenceOf, type Source } from './source.ts'

/** How soon a line that another process stored is seen. */
const LOOK_MS = 1000

export interface SecurityFeedPorts {
  readonly store: Pick<Store, 'takeSecurityFeed' | 'settleSecurityFeed' | 'notes' | 'replaceNote' | 'changes'>
  readonly sink: Sink
  /** Whether lines say whose account it was. */
  readonly named: boolean
  readonly clock: Clock
  readonly random: () => number
  /** Of the processes that share a store one tells the changes; the evidence goes by leases. */
  readonly leads: () => boolean
  readonly delivered: (lines: number) => void
  /** Not delivered, and tried again after a while. `sinceMs`: the time of its oldest line. */
  readonly failed: (cause: unknown, sinceMs: number) => void
  readonly trouble: (what: string, cause: unknown) => void
}

/**
 * Tells the evidence of an issuer and its changes to a SIEM, each from where it stopped, until `signal`. At least once:
 * whoever is killed between the SIEM's yes and the store's sends that batch again. Deliveries do not wait for it; all they
 * share is the store.
 */
export async function tellSecurityFeed(issuer: string, ports: SecurityFeedPorts, signal: AbortSignal): Promise<void> {
  await Promise.all([evidenceOf(issuer, ports), changesOf(issuer, ports)].map((source) => tell(source, ports, signal)))
}

async function tell(next: Source, ports: SecurityFeedPorts, signal: AbortSignal): Promise<void> {
  const { sink, clock, random } = ports
  for (let failures = 0; !signal.aborted;) {
    let waitMs = LOOK_MS
    try {
      const batch = await next()
      if (batch) {
        const failure = await sink(batch.lines).then(
          () => undefined,
          (cause: unknown) => ({ cause }),
        )
        await batch.settle(failure === undefined)
        if (failure) {
          ports.failed(failure.cause, batch.sinceMs)
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
