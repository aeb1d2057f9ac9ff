import type { Clock } from '../flow/ports.ts'

/** Longer than a push, or a poll with its acknowledgements, is under way. */
const ACKNOWLEDGED_MS = 10_000

/** What may be missing of what was acknowledged. */
interface Gap {
  readonly id: string
  readonly sinceMs: number
}

export interface GapPorts<G extends Gap> {
  gap(): G | undefined
  closeGap(gap: G): Promise<void>
  /** Whether the outbox can be read, and by this process. */
  mayRead(): boolean
  /** Reads the outbox of every realm again: what is not complete, then all since the time. Resolves when it has been done. */
  read(sinceMs: number): Promise<void>
  noticed(gap: G): void
  trouble(what: string, cause: unknown): void
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly stopping: AbortSignal
}

/**
 * The store has lost something, or may have: the outbox is read again, at once, and once more later. What was answered just
 * before the loss may have been acknowledged at the outbox just after the first look.
 *
 * @returns a look, to be repeated for as long as the process runs
 */
export function gapFiller<G extends Gap>(ports: GapPorts<G>): () => Promise<void> {
  const { clock, stopping } = ports
  let read: { readonly id: string; readonly atMs: number } | undefined
  return async () => {
    const gap = ports.gap()
    if (!gap || !ports.mayRead()) {
      return
    }
    const isSecond = read?.id === gap.id
    if (isSecond && clock.monotonicMs() - (read?.atMs ?? 0) < ACKNOWLEDGED_MS) {
      return
    }
    if (!isSecond) {
      ports.noticed(gap)
    }
    await ports.read(gap.sinceMs)
    read = { id: gap.id, atMs: clock.monotonicMs() }
    if (isSecond && !stopping.aborted) {
      await ports
        .closeGap(gap)
        .catch((cause: unknown) => ports.trouble('That the outbox has been read again could not be stored', cause))
    }
  }
}
