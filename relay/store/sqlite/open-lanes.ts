import type { StatementSync } from 'node:sqlite'
import { laneOf } from '../../domain/model.ts'
import type { OpenLane } from '../port.ts'
import { integer, text } from './rows.ts'

/** An open delivery, as far as its lane is concerned. */
interface Of {
  readonly id: string
  readonly issuer: string
  readonly clientId: string
  readonly createdMs: number
}

interface Owed {
  readonly issuer: string
  readonly clientId: string
  count: number
  /** Undefined where it has to be looked for. */
  oldest:
    { readonly id: string; readonly ms: number; readonly asked: boolean; readonly lastReason?: string } | undefined
}

/**
 * What is open in each lane, in memory, since counting it takes the longer the more there is. It is counted once and followed
 * from then on, by the one process that has the file; of a lane whose oldest has changed the oldest is looked for again.
 */
export class OpenLanes {
  readonly #sql: (text: string) => StatementSync
  #lanes: Map<string, Owed> | undefined

  constructor(sql: (text: string) => StatementSync) {
    this.#sql = sql
  }

  /** A change was rolled back, so that what was followed is not what there is. */
  forget(): void {
    this.#lanes = undefined
  }

  added({ issuer, clientId, createdMs }: Of): void {
    const lane = this.#lane(issuer, clientId)
    if (lane) {
      lane.count++
      if (lane.oldest && createdMs < lane.oldest.ms) {
        lane.oldest = undefined
      }
    } else {
      this.#lanes?.set(laneOf(issuer, clientId), { issuer, clientId, count: 1, oldest: undefined })
    }
  }

  /** It stays open. */
  attempted({ id, issuer, clientId }: Of): void {
    const lane = this.#lane(issuer, clientId)
    if (lane?.oldest?.id === id) {
      lane.oldest = undefined
    }
  }

  ended({ id, issuer, clientId }: Of): void {
    const lane = this.#lane(issuer, clientId)
    if (!lane) {
      return
    }
    lane.count--
    if (lane.count === 0) {
      this.#lanes?.delete(laneOf(issuer, clientId))
    } else if (lane.oldest?.id === id) {
      lane.oldest = undefined
    }
  }

  list(): OpenLane[] {
    this.#lanes ??= this.#counted()
    return [...this.#lanes.values()].map((lane) => {
      const { ms, asked, lastReason } = (lane.oldest ??= this.#oldestOf(lane))
      return {
        ...{ issuer: lane.issuer, clientId: lane.clientId, count: lane.count, oldestMs: ms, asked },
        ...(lastReason === undefined ? {} : { lastReason }),
      }
    })
  }

  #lane(issuer: string, clientId: string): Owed | undefined {
    return this.#lanes?.get(laneOf(issuer, clientId))
  }

  // The index that holds all it needs; others start the same way.
  #counted(): Map<string, Owed> {
    const rows = this.#sql(
      `select issuer, client_id, count(*) as count from delivery indexed by delivery_lane where state = 'open'
         group by issuer, client_id`,
    ).all()
    return new Map(
      rows.map((row) => {
        const [issuer, clientId] = [text(row, 'issuer'), text(row, 'client_id')]
        return [laneOf(issuer, clientId), { issuer, clientId, count: integer(row, 'count'), oldest: undefined }]
      }),
    )
  }

  #oldestOf({ issuer, clientId }: Owed): NonNullable<Owed['oldest']> {
    const oldest = this.#sql(
      `select min(created_ms) as ms from delivery indexed by delivery_lane
         where state = 'open' and issuer = ? and client_id = ?`,
    ).get(issuer, clientId)
    const ms = integer(oldest ?? {}, 'ms')
    const row = this.#sql(
      `select id, attempts, last_reason from delivery indexed by delivery_lane
         where state = 'open' and issuer = ? and client_id = ? and created_ms = ? limit 1`,
    ).get(issuer, clientId, ms)
    return {
      ...{ id: row ? text(row, 'id') : '', ms, asked: row?.['attempts'] !== 0 },
      ...(row?.['last_reason'] == null ? {} : { lastReason: text(row, 'last_reason') }),
    }
  }
}
