import type { Delivery } from '../../domain/model.ts'
import type { Selection, Store } from '../port.ts'
import type { Database } from './database.ts'
import type { Ends } from './ends.ts'
import { deliveryOf } from './rows.ts'
import type { Siblings } from './siblings.ts'

type Work = Pick<Store, 'claim' | 'record' | 'release' | 'nextDueMs' | 'unreported' | 'reported'>

/** What the flow does with deliveries: a claim, its outcome, and the report of its end. */
export function workOn(
  { sql, read, commits, leases, dueLanes, openLanes }: Database,
  { addEvidence, oneEnded }: Ends,
  siblings: Siblings,
): Work {
  return {
    claim: (...which) => read(() => dueLanes.claim(...which)),

    record: (claim, outcome) =>
      commits.run(() => {
        const { delivery } = claim
        const seq = leases.seqOf(claim)
        if (seq === undefined) {
          return false
        }
        const ended = outcome.state !== 'open'
        const changed = sql(
          `update delivery set state = ?, attempts = ?, due_ms = ?, last_status = ?, last_reason = ?, target = ?,
             ended_ms = ? where seq = ? and state = 'open'`,
        ).run(
          outcome.state,
          outcome.attempts,
          outcome.dueMs,
          outcome.status ?? null,
          outcome.reason,
          JSON.stringify(outcome.target),
          ended ? outcome.atMs : null,
          seq,
        )
        if (changed.changes > 0) {
          addEvidence(delivery.issuer, delivery.containmentId, outcome.evidence)
          if (ended) {
            openLanes.ended(delivery)
            oneEnded(delivery.issuer, delivery.containmentId, outcome.atMs, outcome.state)
            siblings.end(delivery, outcome)
          } else {
            openLanes.attempted(delivery)
            dueLanes.madeDue(delivery, outcome.dueMs)
          }
        }
        leases.end(claim)
        return changed.changes > 0
      }),

    release: (claim, dueMs) =>
      commits.run(() => {
        const seq = leases.seqOf(claim)
        if (seq !== undefined) {
          sql(`update delivery set due_ms = ? where seq = ? and state = 'open'`).run(dueMs, seq)
          dueLanes.madeDue(claim.delivery, dueMs)
          leases.end(claim)
        }
      }),

    nextDueMs: (nowMs) =>
      read(() => {
        const row = sql(`select min(due_ms) as due from delivery where state = 'open' and due_ms > ?`).get(nowMs)
        const times = [row?.['due'], leases.nextMs()].filter((ms) => ms != null).map(Number)
        return times.length === 0 ? undefined : Math.min(...times)
      }),

    unreported: (issuer, limit) =>
      read(() =>
        sql(`select * from delivery where issuer = ? and state <> 'open' and reported = 0 limit ?`)
          .all(issuer, limit)
          .map(deliveryOf),
      ),

    reported: (ids) =>
      commits.run(() => {
        for (const id of ids) {
          sql(`update delivery set reported = 1 where id = ? and state <> 'open'`).run(id)
        }
      }),
  }
}

/** What people do with open deliveries, and the flow where a relying party answers again. */
export function actsOn(
  { sql, commits, dueLanes, openLanes }: Database,
  { addEvidence, oneEnded }: Ends,
): Pick<Store, 'hasten' | 'dismiss'> {
  /** @param waitingMs only those that are due after it; so what is leased is not among them */
  const selected = (s: Selection, limit: number, waitingMs?: number): Delivery[] => {
    // Only what is asked for is in the statement, so that its indices are used.
    const asked: [string, string | number | undefined][] = [
      ['id = ?', s.id],
      ['client_id = ?', s.clientId],
      ['containment_id = ?', s.containmentId],
      ['created_ms >= ?', s.createdFromMs],
      ['created_ms < ?', s.createdBeforeMs],
      ['due_ms > ?', waitingMs],
    ]
    const given = asked.flatMap(([condition, value]) => (value === undefined ? [] : [{ condition, value }]))
    return sql(
      `select * from delivery where state = 'open' and issuer = ?
         ${given.map(({ condition }) => `and ${condition}`).join(' ')} limit ?`,
    )
      .all(s.issuer, ...given.map(({ value }) => value), limit)
      .map(deliveryOf)
  }

  return {
    hasten: (selection, { by, atMs }, limit) =>
      commits.run(() => {
        const rows = selected(selection, limit, atMs)
        for (const delivery of rows) {
          const { id, containmentId, clientId } = delivery
          sql('update delivery set due_ms = ? where id = ?').run(atMs, id)
          dueLanes.madeDue(delivery, atMs)
          if (by !== undefined) {
            const data = { delivery: id, client_id: clientId, by }
            addEvidence(selection.issuer, containmentId, { kind: 'retry_asked', atMs, data })
          }
        }
        return rows.length
      }),

    dismiss: (selection, { by, atMs, reason = '' }, limit) =>
      commits.run(() => {
        const rows = selected(selection, limit)
        for (const delivery of rows) {
          const { id, containmentId, clientId, attempts } = delivery
          sql(`update delivery set state = 'dismissed', ended_ms = ?, last_reason = 'dismissed' where id = ?`).run(
            atMs,
            id,
          )
          const data = { delivery: id, client_id: clientId, attempts, by, reason }
          addEvidence(selection.issuer, containmentId, { kind: 'dismissed', atMs, data })
          openLanes.ended(delivery)
          oneEnded(selection.issuer, containmentId, atMs, 'dismissed')
        }
        return rows.length
      }),
  }
}
