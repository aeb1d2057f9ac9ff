import type { StatementSync } from 'node:sqlite'
import { setImmediate as othersFirst } from 'node:timers/promises'
import type { Delivery, DeliveryState, Evidence } from '../../domain/model.ts'
import type { Selection, Store } from '../port.ts'
import { DueLanes } from './claims.ts'
import { Commits } from './commits.ts'
import { feedOn } from './feed.ts'
import { Leases } from './leases.ts'
import { containmentOf, deliveryOf, evidenceOf, integer, text } from './rows.ts'
import { notesOn } from './notes.ts'
import { openFile } from './open.ts'
import { pruneOn } from './prune.ts'
import { siblingsOn } from './siblings.ts'
import { addWatermarks, watermarksOn } from './watermarks.ts'

/** So many open deliveries of a relying party are sorted for a page of them. */
const SORTED = 5000
/** So many deliveries are looked at before others have their turn, where nothing but the order of ids helps to find some. */
const SLICE = 5000

/**
 * The store on SQLite: one file, one process. WAL with `synchronous=FULL`, so a commit has reached the disk before
 * anybody is told of it.
 *
 * @param closed told of each containment whose last delivery has ended, for metrics; a commit that then fails tells twice
 * @param narrowed told when others than the file's owner could read it until now
 * @throws RelayError `store_in_use` when another process holds the file, `store_unavailable` when it cannot be opened
 */
export function openSqliteStore(
  path: string,
  closed: (issuer: string, msSinceEvent: number) => void = () => undefined,
  narrowed: () => void = () => undefined,
): Store {
  const db = openFile(path, narrowed)
  const prepared = new Map<string, StatementSync>()
  const sql = (text: string): StatementSync => {
    let statement = prepared.get(text)
    if (!statement) {
      prepared.set(text, (statement = db.prepare(text)))
    }
    return statement
  }
  const leases = new Leases()
  db.function('leased', (seq) => Number(leases.has(Number(seq))))
  const dueLanes = new DueLanes(sql, leases)
  const commits = new Commits(db, path, {
    committed: () => leases.committed(),
    rolledBack: () => {
      leases.rolledBack()
      dueLanes.forget()
    },
    workRolledBack: () => dueLanes.forget(),
  })
  const read = <T>(work: () => T): Promise<T> => {
    try {
      return Promise.resolve(work())
    } catch (cause) {
      return Promise.reject(commits.failed(cause))
    }
  }
  const addEvidence = (issuer: string, containmentId: string, { atMs, kind, data }: Evidence) =>
    sql('insert into evidence (issuer, containment_id, at_ms, kind, data) values (?, ?, ?, ?, ?)').run(
      issuer,
      containmentId,
      atMs,
      kind,
      JSON.stringify(data),
    )
  const closeIfEnded = (issuer: string, id: string, atMs: number) => {
    const row = sql(
      `update containment set closed_ms = ?
       where issuer = ? and id = ? and open = 0 and arrived = parts and closed_ms is null
       returning deliveries, event_ms`,
    ).get(atMs, issuer, id)
    if (row) {
      const sinceMs = atMs - integer(row, 'event_ms')
      const data = { deliveries: integer(row, 'deliveries'), ms_since_event: sinceMs }
      addEvidence(issuer, id, { kind: 'closed', atMs, data })
      closed(issuer, sinceMs)
    }
  }
  const oneEnded = (issuer: string, id: string, atMs: number) => {
    const left = sql('update containment set open = open - 1 where issuer = ? and id = ? returning open').get(
      issuer,
      id,
    )
    if (left?.['open'] === 0) {
      closeIfEnded(issuer, id, atMs)
    }
  }
  const siblings = siblingsOn(sql, { addEvidence, oneEnded })
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

  /**
   * The index for a page of deliveries by id. What is open of a relying party is sorted where it is little, and found on the way
   * through all that is open where it is much: an index for it would cost each delivery more than this.
   */
  const pagesBy = (issuer: string, state?: DeliveryState, clientId?: string, containmentId?: string): string => {
    if (containmentId !== undefined) {
      return 'delivery_by_containment'
    }
    if (state !== 'open') {
      return 'delivery_by_id'
    }
    if (clientId === undefined) {
      return 'delivery_open'
    }
    const open = sql(
      `select 1 from delivery where state = 'open' and issuer = ? and client_id = ? limit ${SORTED}`,
    ).all(issuer, clientId)
    return open.length < SORTED ? 'delivery_lane' : 'delivery_open'
  }

  /** Where a slice of all deliveries ends; undefined for the last. */
  const sliceEnd = (after: string): string | undefined => {
    const row = sql(
      `select id from delivery indexed by delivery_by_id where id > ? order by id limit 1 offset ${SLICE - 1}`,
    ).get(after)
    return row && text(row, 'id')
  }

  return {
    accept: (event, { containmentId, deliveries, evidence, watermarks, lastEndMs }) =>
      commits.run(() => {
        const { issuer, jti } = event
        const createdMs = evidence[0]?.atMs ?? event.removedAtMs
        const fresh = sql('insert into event values (?, ?) on conflict do nothing').run(issuer, jti)
        if (fresh.changes === 0) {
          return 'duplicate'
        }
        const count = deliveries.length
        sql(
          `insert into containment (issuer, id, trigger, event_ms, created_ms, deliveries, open, parts, arrived,
             last_end_ms)
           values (?, ?, ?, ?, ?, ?, ?, ?, 1, ?)
           on conflict do update set deliveries = deliveries + excluded.deliveries, open = open + excluded.open,
             arrived = iif(excluded.parts > parts, 1, iif(excluded.parts = parts, min(arrived + 1, parts), arrived)),
             parts = max(parts, excluded.parts), last_end_ms = max(last_end_ms, excluded.last_end_ms),
             closed_ms = iif(excluded.open > 0 or excluded.parts > parts, null, closed_ms)`,
        ).run(issuer, containmentId, event.trigger, event.watermarkMs, createdMs, count, count, event.parts, lastEndMs)
        for (const d of deliveries) {
          sql(
            `insert into delivery (id, containment_id, issuer, client_id, sid, logout_uri, latest_end_ms, alg, state, attempts,
               due_ms, created_ms, privileged) values (?, ?, ?, ?, ?, ?, ?, ?, 'open', 0, ?, ?, ?)`,
          ).run(
            d.id,
            containmentId,
            issuer,
            d.clientId,
            d.sid,
            d.logoutUri,
            d.latestEndMs,
            d.alg ?? null,
            d.dueMs,
            d.createdMs,
            Number(d.privileged),
          )
          dueLanes.note(d, d.dueMs)
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
          `update delivery set state = ?, attempts = ?, due_ms = ?, last_status = ?, last_reason = ?, logout_uri = ?,
             ended_ms = ? where seq = ? and state = 'open'`,
        ).run(
          outcome.state,
          outcome.attempts,
          outcome.dueMs,
          outcome.status ?? null,
          outcome.reason,
          outcome.logoutUri,
          ended ? outcome.atMs : null,
          seq,
        )
        if (changed.changes > 0) {
          addEvidence(delivery.issuer, delivery.containmentId, outcome.evidence)
          if (ended) {
            oneEnded(delivery.issuer, delivery.containmentId, outcome.atMs)
            siblings.end(delivery, outcome)
          } else {
            dueLanes.note(delivery, outcome.dueMs)
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
          dueLanes.note(claim.delivery, dueMs)
          leases.end(claim)
        }
      }),

    hasten: (selection, { by, atMs }, limit) =>
      commits.run(() => {
        const rows = selected(selection, limit, atMs)
        for (const delivery of rows) {
          const { id, containmentId, clientId } = delivery
          sql('update delivery set due_ms = ? where id = ?').run(atMs, id)
          dueLanes.note(delivery, atMs)
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
        for (const { id, containmentId, clientId, attempts } of rows) {
          sql(`update delivery set state = 'dismissed', ended_ms = ?, last_reason = 'dismissed' where id = ?`).run(
            atMs,
            id,
          )
          const data = { delivery: id, client_id: clientId, attempts, by, reason }
          addEvidence(selection.issuer, containmentId, { kind: 'dismissed', atMs, data })
          oneEnded(selection.issuer, containmentId, atMs)
        }
        return rows.length
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

    containments: (issuer, limit, before) =>
      read(() =>
        sql('select * from containment where issuer = ? and created_ms < ? order by created_ms desc limit ?')
          .all(issuer, before ?? Number.MAX_SAFE_INTEGER, limit)
          .map(containmentOf),
      ),

    containment: (issuer, id, lines) =>
      read(() => {
        const row = sql('select * from containment where issuer = ? and id = ?').get(issuer, id)
        const evidence = sql(
          'select * from evidence where issuer = ? and containment_id = ? order by seq limit ? offset ?',
        ).all(issuer, id, lines?.limit ?? -1, lines?.from ?? 0)
        return row && { containment: containmentOf(row), evidence: evidence.map(evidenceOf) }
      }),

    deliveries: async ({ issuer, state, clientId, containmentId, after: from = '', limit }) => {
      const found: Delivery[] = []
      for (let after = from; ;) {
        const last = await read(() => {
          const by = pagesBy(issuer, state, clientId, containmentId)
          const end = by === 'delivery_by_id' ? sliceEnd(after) : undefined
          // Only what is asked for is in the statement, and the one state that has indices by name, so that they are used.
          const rows = sql(
            `select * from delivery indexed by ${by} where issuer = ?1 and id > ?5
               ${state === undefined ? '' : state === 'open' ? `and state = 'open'` : 'and state = ?2'}
               ${clientId === undefined ? '' : 'and client_id = ?3'}
               ${containmentId === undefined ? '' : 'and containment_id = ?4'}
               ${end === undefined ? '' : 'and id <= ?7'} order by id limit ?6`,
          ).all(
            ...[issuer, state ?? null, clientId ?? null, containmentId ?? null, after, limit - found.length],
            ...(end === undefined ? [] : [end]),
          )
          found.push(...rows.map(deliveryOf))
          return end
        })
        if (last === undefined || found.length >= limit) {
          return found
        }
        after = last
        await othersFirst()
      }
    },

    // The index that holds all it needs; others start the same way.
    open: () =>
      read(() =>
        sql(
          `select issuer, client_id, count(*) as count, min(created_ms) as oldest from delivery
             indexed by delivery_lane where state = 'open'
           group by issuer, client_id`,
        )
          .all()
          .map((row) => ({
            issuer: text(row, 'issuer'),
            clientId: text(row, 'client_id'),
            count: integer(row, 'count'),
            oldestMs: integer(row, 'oldest'),
          })),
      ),

    ...watermarksOn(sql, read),
    ...feedOn(sql, read, commits),
    ...notesOn(sql, read, commits),
    ...pruneOn(sql, commits),

    close: () => {
      commits.flush()
      if (db.isOpen) {
        db.close()
      }
      return Promise.resolve()
    },
  }
}
