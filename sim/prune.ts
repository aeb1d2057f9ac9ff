import type { Past, Pruned, Store } from '../relay/store/port.ts'
import type { Kept, Tables } from './disk.ts'

/** Pruning on the model of a disk. */
export function modelPrune(
  write: <T>(change: (tables: Tables) => T) => Promise<T>,
): Pick<Store, 'prune' | 'forgetSubjects'> {
  return {
    prune: (past) => write((tables) => prune(tables, past)),
    forgetSubjects: (beforeMs, limit) =>
      write(({ containments }) => {
        const past = [...containments.values()].filter(
          ({ subject, closedMs = Infinity, lastEndMs }) =>
            subject !== undefined && Math.max(closedMs, lastEndMs) < beforeMs,
        )
        past.slice(0, limit).forEach((containment) => delete containment.subject)
        return Math.min(past.length, limit)
      }),
  }
}

function prune(tables: Tables, { nowMs, endedBeforeMs, fed, limit }: Past): Pruned {
  const pruned = { watermarks: 0, containments: 0, deliveries: 0, evidence: 0, changes: 0 }
  let left = limit
  /** At most as many as may still go. */
  const some = <T>(kind: keyof typeof pruned, of: Iterable<T>, isMeant: (one: T) => boolean): T[] => {
    const found = [...of].filter(isMeant).slice(0, left)
    pruned[kind] += found.length
    left -= found.length
    return found
  }
  const drop = <T>(from: T[], those: readonly T[]) => those.forEach((one) => from.splice(from.indexOf(one), 1))
  some('watermarks', tables.watermarks, ([, { untilMs }]) => untilMs < nowMs).forEach(([name]) =>
    tables.watermarks.delete(name),
  )
  some('watermarks', tables.unreachable, ([, { untilMs }]) => untilMs < nowMs).forEach(([name]) =>
    tables.unreachable.delete(name),
  )
  drop(
    tables.changes,
    some('changes', tables.changes, ({ atMs }) => atMs < endedBeforeMs),
  )
  const isTold = ({ issuer, id }: Kept) => {
    const at = tables.securityFeeds.get(issuer)?.at ?? 0
    return !fed.includes(issuer) || !tables.journal.some((line) => line.containmentId === id && line.n > at)
  }
  for (const [key, containment] of tables.containments) {
    const { issuer, id, closedMs = Infinity, lastEndMs } = containment
    if (Math.max(closedMs, lastEndMs) < endedBeforeMs && isTold(containment)) {
      const isOfIt = (one: { issuer: string; containmentId: string }) =>
        one.issuer === issuer && one.containmentId === id
      const lines = some('evidence', tables.journal, isOfIt)
      drop(tables.journal, lines)
      lines.forEach(({ evidence }) => tables.events.delete(`${issuer} ${String(evidence.data['jti'])}`))
      some('deliveries', tables.deliveries.values(), isOfIt).forEach((row) => tables.deliveries.delete(row.id))
      some('containments', [key], () => true).forEach((one) => tables.containments.delete(one))
    }
  }
  return pruned
}
