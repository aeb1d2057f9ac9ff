import { type Delivery, laneOf } from '../domain/model.ts'

/** So many confirmations are kept in mind: what was claimed just before one comes to be judged just after it. */
const REMEMBERED = 10_000

interface Confirmed {
  readonly sibling: Delivery
  readonly status: number | undefined
  readonly beforeMs: number
}

/** Which sessions a token is under way for, and which have just been confirmed to be ended. */
export class Sessions {
  readonly #underWay = new Map<string, string>()
  readonly #confirmed = new Map<string, Confirmed>()

  /** Whether this delivery may go, for as long as it has not left. Its siblings wait: the answer may end them as well. */
  enter(delivery: Delivery): boolean {
    const key = keyOf(delivery)
    const before = this.#underWay.get(key)
    if (before !== undefined && before !== delivery.id) {
      return false
    }
    this.#underWay.set(key, delivery.id)
    return true
  }

  leave(delivery: Delivery): void {
    const key = keyOf(delivery)
    if (this.#underWay.get(key) === delivery.id) {
      this.#underWay.delete(key)
    }
  }

  /** It was confirmed, and with it what was created before. */
  confirmed(delivery: Delivery, beforeMs: number, status: number | undefined): void {
    const key = keyOf(delivery)
    this.#confirmed.delete(key)
    this.#confirmed.set(key, { sibling: delivery, status, beforeMs })
    const [oldest] = this.#confirmed.keys()
    if (this.#confirmed.size > REMEMBERED && oldest !== undefined) {
      this.#confirmed.delete(oldest)
    }
  }

  /** The sibling with which this delivery has ended. */
  endedBy(delivery: Delivery): Pick<Confirmed, 'sibling' | 'status'> | undefined {
    const confirmed = this.#confirmed.get(keyOf(delivery))
    const isOlder = confirmed !== undefined && delivery.createdMs < confirmed.beforeMs
    return isOlder && delivery.id !== confirmed.sibling.id ? confirmed : undefined
  }
}

function keyOf({ issuer, clientId, sid }: Delivery): string {
  return JSON.stringify([laneOf(issuer, clientId), sid])
}
