import type { StatementSync } from 'node:sqlite'
import { type Claim, laneOf } from '../../domain/model.ts'
import type { RoomOf } from '../port.ts'
import type { Leases } from './leases.ts'
import { deliveryOf, integer } from './rows.ts'

interface Lane {
  readonly issuer: string
  readonly clientId: string
}

/**
 * Which lanes may have something due, in memory, so that a claim looks at these and at nothing else: not at a backlog in a
 * lane without room, and not at the thousands that wait. It is a hint and may name too many lanes, never too few: what
 * becomes due by time is found in the index since the last look, what a change makes due is told, and so is what is due
 * again because its lease has run out.
 */
export class DueLanes {
  readonly #sql: (text: string) => StatementSync
  readonly #leases: Leases
  /** The lane that had its turn last is at the end. */
  readonly #lanes = new Map<string, Lane>()
  readonly #privileged = new Map<string, Lane>()
  #seenMs = -1

  /** @param sql statements in which `leased(seq)` says whether the row is in `leases` */
  constructor(sql: (text: string) => StatementSync, leases: Leases) {
    this.#sql = sql
    this.#leases = leases
  }

  /** A change has given a delivery this due time. */
  madeDue(lane: Lane & { readonly privileged: boolean }, dueMs: number): void {
    if (dueMs <= this.#seenMs) {
      this.#add(lane, lane.privileged)
    }
  }

  /** Looks at all that is due again: after a change that was rolled back. */
  forget(): void {
    this.#seenMs = -1
  }

  claim(nowMs: number, leaseMs: number, limit: number, room: RoomOf, only?: 'privileged'): Claim[] {
    this.#look(nowMs)
    const claimed: Claim[] = []
    const taken = new Map<string, number>()
    // A bare `limit ?` makes SQLite plan the statement anew each time, which takes longer than all the rest.
    const take = ({ issuer, clientId }: Lane, most: number, which: string, order: 'asc' | 'desc') => {
      const rows = this.#sql(
        `select * from delivery where state = 'open' ${which} and issuer = ? and client_id = ? and due_ms <= ?
           and not leased(seq) order by due_ms ${order} limit 0 + ?`,
      ).all(issuer, clientId, nowMs, most)
      for (const row of rows) {
        claimed.push(this.#leases.take(integer(row, 'seq'), deliveryOf(row), nowMs + leaseMs))
      }
      return rows.length
    }
    for (const [key, lane] of this.#privileged) {
      if (claimed.length === limit) {
        return claimed
      }
      const most = Math.min(room(lane.issuer, lane.clientId).privileged, limit - claimed.length)
      if (most > 0) {
        const count = take(lane, most, 'and privileged = 1', 'asc')
        taken.set(key, count)
        if (count < most) {
          this.#privileged.delete(key)
        }
      }
    }
    if (only === 'privileged') {
      return claimed
    }
    // A lane that had its turn and may have more goes to the end, and the end is where this round ends.
    let turns = this.#lanes.size
    for (const [key, lane] of this.#lanes) {
      if (claimed.length === limit || turns-- === 0) {
        break
      }
      const { others, latest } = room(lane.issuer, lane.clientId)
      const most = Math.min(others - (taken.get(key) ?? 0), limit - claimed.length)
      if (most <= 0) {
        continue
      }
      const fromBehind = Math.min(latest, most)
      let count = most > fromBehind ? take(lane, most - fromBehind, '', 'asc') : 0
      if (fromBehind > 0 && count === most - fromBehind) {
        count += take(lane, fromBehind, '', 'desc')
      }
      this.#lanes.delete(key)
      if (count === most) {
        this.#lanes.set(key, lane)
      }
    }
    return claimed
  }

  #look(nowMs: number): void {
    for (const delivery of this.#leases.runOut(nowMs)) {
      this.#add(delivery, delivery.privileged)
    }
    // A clock that was set back: what has been seen as due is so again later.
    this.#seenMs = Math.min(this.#seenMs, nowMs)
    const rows = this.#sql(
      `select issuer, client_id, max(privileged) as privileged from delivery
       where state = 'open' and due_ms > ? and due_ms <= ? group by issuer, client_id`,
    ).all(this.#seenMs, nowMs)
    for (const row of rows) {
      this.#add({ issuer: String(row['issuer']), clientId: String(row['client_id']) }, row['privileged'] === 1)
    }
    this.#seenMs = nowMs
  }

  #add({ issuer, clientId }: Lane, privileged: boolean): void {
    const key = laneOf(issuer, clientId)
    this.#lanes.set(key, { issuer, clientId })
    if (privileged) {
      this.#privileged.set(key, { issuer, clientId })
    }
  }
}
