import type { StatementSync } from 'node:sqlite'
import { laneOf, type Room } from '../../domain/model.ts'
import type { Row } from './rows.ts'

interface Lane {
  readonly issuer: string
  readonly clientId: string
}

/**
 * Which lanes may have something due, in memory, so that a claim looks at these and at nothing else: not at a backlog in a
 * lane without room, and not at the thousands that wait. It is a hint and may name too many lanes, never too few: what
 * becomes due by time is found in the index since the last look, and what a change makes due is noted.
 */
export class DueLanes {
  readonly #sql: (text: string) => StatementSync
  /** The lane that had its turn last is at the end. */
  readonly #lanes = new Map<string, Lane>()
  readonly #privileged = new Map<string, Lane>()
  #seenMs = -1

  constructor(sql: (text: string) => StatementSync) {
    this.#sql = sql
  }

  /** A change has given a delivery this due time. */
  note(lane: Lane & { readonly privileged: boolean }, dueMs: number): void {
    if (dueMs <= this.#seenMs) {
      this.#add(lane, lane.privileged)
    }
  }

  /** Looks at all that is due again: after a change that was rolled back. */
  forget(): void {
    this.#seenMs = -1
  }

  /** Whether there may be anything to claim. */
  some(nowMs: number, room: (issuer: string, clientId: string) => Room): boolean {
    this.#look(nowMs)
    return (
      [...this.#privileged.values()].some(({ issuer, clientId }) => room(issuer, clientId).privileged > 0) ||
      [...this.#lanes.values()].some(({ issuer, clientId }) => room(issuer, clientId).others > 0)
    )
  }

  /** Leases and returns the rows. Runs in a transaction, and again after a rollback, when {@link forget} has been called. */
  claim(nowMs: number, leaseMs: number, limit: number, room: (issuer: string, clientId: string) => Room): Row[] {
    this.#look(nowMs)
    const claimed: Row[] = []
    const taken = new Map<string, number>()
    const take = ({ issuer, clientId }: Lane, most: number, which: string, order: 'asc' | 'desc') => {
      const rows = this.#sql(
        `update delivery set fence = fence + 1, leased = 1, due_ms = ?1 where id in (
           select id from delivery where state = 'open' ${which} and issuer = ?2 and client_id = ?3 and due_ms <= ?4
           order by due_ms ${order} limit ?5) and state = 'open' and due_ms <= ?4 returning *`,
      ).all(nowMs + leaseMs, issuer, clientId, nowMs, most)
      claimed.push(...rows)
      return rows.length
    }
    for (const [key, lane] of [...this.#privileged]) {
      const most = Math.min(room(lane.issuer, lane.clientId).privileged, limit - claimed.length)
      if (most > 0) {
        const count = take(lane, most, 'and privileged = 1', 'asc')
        taken.set(key, count)
        if (count < most) {
          this.#privileged.delete(key)
        }
      }
    }
    for (const [key, lane] of [...this.#lanes]) {
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
