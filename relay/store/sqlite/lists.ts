import { setImmediate as othersFirst } from 'node:timers/promises'
import type { Delivery, DeliveryState } from '../../domain/model.ts'
import type { Store } from '../port.ts'
import type { Database } from './database.ts'
import { monthOfRow } from './months.ts'
import { containmentOf, deliveryOf, evidenceOf, integer, text } from './rows.ts'

/** So many open deliveries of a relying party are sorted for a page of them. */
const SORTED = 5000
/** So many deliveries are looked at before others have their turn, where nothing but the order of ids helps to find some. */
const SLICE = 5000

/** The lists for people and programs. */
export function listsOn({
  sql,
  read,
  openLanes,
}: Database): Pick<Store, 'containments' | 'containment' | 'open' | 'months' | 'unreachable'> {
  return {
    containments: ({ issuer, subject, beforeMs = Number.MAX_SAFE_INTEGER, limit }) =>
      read(() =>
        sql(
          `select * from containment where issuer = ? and created_ms < ? ${subject === undefined ? '' : 'and subject = ?'}
           order by created_ms desc limit ?`,
        )
          .all(issuer, beforeMs, ...(subject === undefined ? [] : [subject]), limit)
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

    open: () => read(() => openLanes.list()),

    months: (issuer) =>
      read(() => sql('select * from month where issuer = ? order by month desc').all(issuer).map(monthOfRow)),

    unreachable: (nowMs) =>
      read(() =>
        sql(
          `select issuer, client_id, count(*) as count, max(until_ms) as until from unreachable
             where until_ms > ? group by issuer, client_id`,
        )
          .all(nowMs)
          .map((row) => ({
            issuer: text(row, 'issuer'),
            clientId: text(row, 'client_id'),
            count: integer(row, 'count'),
            untilMs: integer(row, 'until'),
          })),
      ),
  }
}

/** Deliveries by id, a page at a time. */
export function pagesOn({ sql, read }: Database): Pick<Store, 'deliveries'> {
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
  }
}
