import type { Store } from '../port.ts'
import type { Database } from './database.ts'
import type { Ends } from './ends.ts'
import { containmentOf } from './rows.ts'
import type { Siblings } from './siblings.ts'
import { addWatermarks } from './watermarks.ts'

/** Taking events in: whole or not at all. */
export function acceptsOn(
  { sql, read, commits, dueLanes, openLanes, months }: Database,
  { addEvidence, closeIfEnded }: Ends,
  siblings: Siblings,
): Pick<Store, 'accept' | 'unknown'> {
  return {
    accept: (event, { containmentId, atMs: createdMs, deliveries, unreachable, evidence, watermarks, lastEndMs }) =>
      commits.run(() => {
        const { issuer, jti } = event
        const fresh = sql('insert into event values (?, ?) on conflict do nothing').run(issuer, jti)
        if (fresh.changes === 0) {
          return 'duplicate'
        }
        const count = deliveries.length
        const untilMs = Math.max(0, ...unreachable.map((one) => one.untilMs))
        const before = sql('select * from containment where issuer = ? and id = ?').get(issuer, containmentId)
        const now = sql(
          `insert into containment (issuer, id, trigger, event_ms, created_ms, deliveries, open, parts, arrived,
             last_end_ms, subject, unreachable, unreachable_until_ms)
           values (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?)
           on conflict do update set deliveries = deliveries + excluded.deliveries, open = open + excluded.open,
             arrived = iif(excluded.parts > parts, 1, iif(excluded.parts = parts, min(arrived + 1, parts), arrived)),
             parts = max(parts, excluded.parts), last_end_ms = max(last_end_ms, excluded.last_end_ms),
             subject = coalesce(subject, excluded.subject), unreachable = unreachable + excluded.unreachable,
             unreachable_until_ms = max(unreachable_until_ms, excluded.unreachable_until_ms),
             closed_ms = iif(excluded.open > 0 or excluded.parts > parts, null, closed_ms)
           returning closed_ms`,
        ).get(
          ...[issuer, containmentId, event.trigger, event.watermarkMs, createdMs, count, count, event.parts, lastEndMs],
          ...[event.subject, unreachable.length, untilMs],
        )
        const was = before && containmentOf(before)
        if (!was) {
          months.began(issuer, createdMs)
        } else if (was.closedMs !== undefined && now?.['closed_ms'] === null) {
          months.reopened({ ...was, closedMs: was.closedMs })
        }
        for (const d of deliveries) {
          sql(
            `insert into delivery (id, containment_id, issuer, client_id, sid, target, latest_end_ms, state, attempts, due_ms,
               created_ms, privileged) values (?, ?, ?, ?, ?, ?, ?, 'open', 0, ?, ?, ?)`,
          ).run(
            d.id,
            containmentId,
            issuer,
            d.clientId,
            d.sid,
            JSON.stringify(d.target),
            d.latestEndMs,
            d.dueMs,
            d.createdMs,
            Number(d.privileged),
          )
          dueLanes.madeDue(d, d.dueMs)
          openLanes.added(d)
          sql('delete from unreachable where issuer = ? and client_id = ? and sid = ?').run(issuer, d.clientId, d.sid)
        }
        for (const one of unreachable) {
          sql(
            `insert into unreachable values (?, ?, ?, ?)
             on conflict do update set until_ms = max(until_ms, excluded.until_ms)`,
          ).run(issuer, one.clientId, one.sid, one.untilMs)
        }
        for (const line of evidence) {
          addEvidence(issuer, containmentId, line)
        }
        siblings.named(issuer, containmentId, [...new Set(deliveries.map(({ sid }) => sid))])
        addWatermarks(sql, issuer, containmentId, watermarks, createdMs)
        closeIfEnded(issuer, containmentId, createdMs)
        return 'accepted'
      }),

    unknown: (issuer, jtis) =>
      read(() => jtis.filter((jti) => !sql('select 1 from event where issuer = ? and jti = ?').get(issuer, jti))),
  }
}
