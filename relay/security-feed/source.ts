import type { Clock } from '../flow/ports.ts'
import type { Store } from '../store/port.ts'
import { changeLineOf, lineOf } from './line.ts'

/** A sink's deadline is well within it, so that no other process takes what is being written. */
const LEASE_MS = 60_000
const BATCH = 200
/** Where it is kept how far the changes are told. */
const PLACE = 'security-feed changes'

export interface Batch {
  readonly lines: readonly string[]
  /** The time of its oldest line. */
  readonly sinceMs: number
  /** Whether they were delivered: then the next batch is what comes behind them. */
  settle(delivered: boolean): Promise<unknown>
}

/** What is to be told next, oldest first; undefined if there is nothing, or another process tells it. */
export type Source = () => Promise<Batch | undefined>

export function evidenceOf(
  issuer: string,
  {
    store,
    clock,
    named,
  }: {
    readonly store: Pick<Store, 'takeSecurityFeed' | 'settleSecurityFeed'>
    readonly clock: Clock
    readonly named: boolean
  },
): Source {
  return async () => {
    const batch = await store.takeSecurityFeed(issuer, clock.nowMs(), LEASE_MS, BATCH)
    return (
      batch && {
        lines: batch.lines.map((line) => lineOf(issuer, line, named)),
        sinceMs: batch.lines[0]?.evidence.atMs ?? clock.nowMs(),
        settle: (delivered) => store.settleSecurityFeed(batch, delivered),
      }
    )
  }
}

/** Changes are few, and their place is a note beside them; `leads` says which process tells them. */
export function changesOf(
  issuer: string,
  { store, leads }: { readonly store: Pick<Store, 'notes' | 'replaceNote' | 'changes'>; readonly leads: () => boolean },
): Source {
  const place = { issuer, name: PLACE }
  let told: { readonly seq: number; readonly line: string } | undefined
  return async () => {
    const [newest] = leads() ? await store.changes(issuer, 1) : []
    if (!newest || (newest.seq === told?.seq && changeLineOf(newest) === told.line)) {
      return undefined
    }
    const was = (await store.notes()).find((note) => note.issuer === issuer && note.name === PLACE)?.text
    const from = await placeOf(issuer, was, store)
    let changes: Awaited<ReturnType<typeof store.changes>> = []
    for (let before: number | undefined, more = true; more;) {
      const page = (await store.changes(issuer, BATCH, before)).filter(({ seq }) => seq > from)
      changes = [...changes, ...page].slice(-BATCH)
      before = page.at(-1)?.seq
      more = page.length === BATCH
    }
    const oldestFirst = changes.toReversed()
    const lines = oldestFirst.map(changeLineOf)
    const last = oldestFirst.at(-1)
    const line = lines.at(-1)
    if (!last || line === undefined) {
      told = { seq: newest.seq, line: changeLineOf(newest) }
      return undefined
    }
    return {
      lines,
      sinceMs: oldestFirst[0]?.atMs ?? last.atMs,
      settle: async (delivered) => {
        if (delivered && (await store.replaceNote(place, was, JSON.stringify({ seq: last.seq, line }), []))) {
          told = { seq: last.seq, line }
        }
      },
    }
  }
}

/**
 * The number of the last change that was told. 0, and all are told again, where another one has that number now: a store
 * that was put back from a backup, or a Redis that lost its last writes, gives numbers out twice.
 */
async function placeOf(issuer: string, note: string | undefined, store: Pick<Store, 'changes'>): Promise<number> {
  if (note === undefined) {
    return 0
  }
  const { seq, line } = JSON.parse(note) as { seq: number; line: string }
  const [there] = await store.changes(issuer, 1, seq + 1)
  return there?.seq === seq && changeLineOf(there) === line ? seq : 0
}
