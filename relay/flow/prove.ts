import type { Doorbell } from './doorbell.ts'
import type { FlowPorts } from './ports.ts'

const BATCH = 500
const GATHER_MS = 100
const PAUSE_MS = 2000
/** Without a ring, look again this often; only a fault in the ringing would make it matter. */
const IDLE_MS = 60_000

/** Tells the identity provider of every end, until it has recorded it: only that ends a session in its ledger. */
export async function prove(
  issuer: string,
  ended: Doorbell,
  { store, idps, clock, observer, leads = () => true }: FlowPorts,
  stopping: AbortSignal,
): Promise<void> {
  while (!stopping.aborted) {
    try {
      const due = leads() ? await store.unreported(issuer, BATCH) : []
      if (due.length === 0) {
        await ended.wait(IDLE_MS)
        // Ends that come close together are reported together.
        await clock.sleep(GATHER_MS, stopping)
        continue
      }
      const recorded = (await idps.get(issuer)?.report(due)) ?? []
      await store.reported(recorded)
      if (recorded.length > 0) {
        continue
      }
      observer.trouble('The identity provider records none of the ends that it is told of; trying again', undefined)
    } catch (cause) {
      observer.trouble('Ends could not be reported to the identity provider; trying again', cause)
    }
    await clock.sleep(PAUSE_MS, stopping)
  }
}
