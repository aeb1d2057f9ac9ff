import type { Delivery } from '../../domain/model.ts'
import { siblingEnded } from '../../domain/sibling.ts'
import { type Outcome, SIBLINGS } from '../port.ts'
import type { Database } from './database.ts'
import type { Ends } from './ends.ts'
import { deliveryOf, text } from './rows.ts'

/**
 * The siblings of a delivery on SQLite. An index of what is open by its session would cost each delivery a page anywhere in
 * the file, twice. So only those have an entry whose session has been named by another event before or since, which the
 * watermarks know: nearly none.
 */
export function siblingsOn({ sql, openLanes }: Pick<Database, 'sql' | 'openLanes'>, { addEvidence, oneEnded }: Ends) {
  return {
    /** Before the watermarks of an event are written, and after its deliveries: those of its sessions that are owed already. */
    named(issuer: string, containmentId: string, sids: readonly string[]): void {
      const again: string[] = []
      const containments = new Set([containmentId])
      for (const sid of sids) {
        const known = sql(`select containment_id from watermark where issuer = ? and kind = 'sid' and name = ?`).get(
          issuer,
          sid,
        )
        if (known) {
          again.push(sid)
          containments.add(text(known, 'containment_id'))
          sql(`update watermark set containment_id = ? where issuer = ? and kind = 'sid' and name = ?`).run(
            ...[containmentId, issuer, sid],
          )
        }
      }
      for (const id of again.length === 0 ? [] : containments) {
        sql(
          `update delivery set again = 1 where issuer = ? and containment_id = ? and state = 'open' and again = 0
             and sid in (select value from json_each(?))`,
        ).run(issuer, id, JSON.stringify(again))
      }
    },

    /** Ends with a delivery what its outcome says. */
    end({ id, issuer, containmentId, clientId, sid }: Delivery, { atMs, status, endsSiblingsBeforeMs }: Outcome): void {
      if (endsSiblingsBeforeMs === undefined) {
        return
      }
      const siblings = sql(
        `select * from delivery indexed by delivery_again where state = 'open' and again = 1
           and issuer = ? and client_id = ? and sid = ? and created_ms < ? and not leased(seq) limit ${SIBLINGS}`,
      )
        .all(issuer, clientId, sid, endsSiblingsBeforeMs)
        .map(deliveryOf)
      for (const sibling of siblings) {
        const { reason, evidence } = siblingEnded(sibling, { id, containmentId }, atMs)
        sql(`update delivery set state = 'delivered', ended_ms = ?, last_status = ?, last_reason = ? where id = ?`).run(
          ...[atMs, status ?? null, reason, sibling.id],
        )
        addEvidence(issuer, sibling.containmentId, evidence)
        openLanes.ended(sibling)
        oneEnded(issuer, sibling.containmentId, atMs, 'delivered')
      }
    },
  }
}

export type Siblings = ReturnType<typeof siblingsOn>
