import type { Claim, Delivery } from '../../domain/model.ts'

interface Lease extends Claim {
  readonly seq: number
  readonly untilMs: number
}

/** No two claims of this process have the same, whatever it opens and closes. */
let lastFence = 0

/**
 * What is claimed. The file belongs to one process, so that its leases are nobody else's matter: they need no write, and end
 * with the process. Of a delivery that was claimed again, only the newest claim counts.
 */
export class Leases {
  /** The newest of each delivery, by its id; also one that has run out, whose outcome counts until somebody else has claimed it. */
  readonly #newest = new Map<string, Lease>()
  /** Those that have not run out, by the row, in the order in which they do. */
  readonly #held = new Map<number, Lease>()
  /** Ended in the transaction that is under way. */
  #ended: Lease[] = []

  has(seq: number): boolean {
    return this.#held.has(seq)
  }

  take(seq: number, delivery: Delivery, untilMs: number): Claim {
    const lease = { seq, fence: ++lastFence, delivery, untilMs }
    this.#hold(lease)
    return lease
  }

  /** The row of a claim that still counts. */
  seqOf({ delivery, fence }: Claim): number | undefined {
    const lease = this.#newest.get(delivery.id)
    return lease?.fence === fence ? lease.seq : undefined
  }

  /** Its outcome is written. Last in its change: one that fails ends nothing. */
  end({ delivery }: Claim): void {
    const lease = this.#newest.get(delivery.id)
    if (lease) {
      this.#newest.delete(delivery.id)
      this.#held.delete(lease.seq)
      this.#ended.push(lease)
    }
  }

  committed(): void {
    this.#ended = []
  }

  rolledBack(): void {
    this.#ended.forEach((lease) => this.#hold(lease))
    this.#ended = []
  }

  /** Those that have run out since it was asked last. */
  runOut(nowMs: number): Delivery[] {
    const out: Delivery[] = []
    for (const { seq, delivery, untilMs } of this.#held.values()) {
      if (untilMs > nowMs) {
        break
      }
      this.#held.delete(seq)
      out.push(delivery)
    }
    return out
  }

  /** When the next one runs out. */
  nextMs(): number | undefined {
    return this.#held.values().next().value?.untilMs
  }

  #hold(lease: Lease): void {
    this.#newest.set(lease.delivery.id, lease)
    this.#held.set(lease.seq, lease)
  }
}
