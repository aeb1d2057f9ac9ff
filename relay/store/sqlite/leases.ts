import type { Delivery } from '../../domain/model.ts'

export interface Lease {
  readonly seq: number
  readonly fence: number
  readonly delivery: Delivery
  readonly untilMs: number
}

/** No two claims of this process have the same, whatever it opens and closes. */
let lastFence = 0

/**
 * What is claimed. The file belongs to one process, so that its leases are nobody else's matter: they need no write, and end
 * with the process. Of a delivery that was claimed again, only the newest claim counts.
 */
export class Leases {
  /** Those that have not run out, in the order in which they do, by the row. */
  readonly #held = new Map<number, Lease>()
  /** Those that have, and whose outcome counts until somebody else has claimed the delivery. */
  readonly #late = new Map<number, Lease>()
  readonly #seqs = new Map<string, number>()
  /** Ended in the transaction that is under way. */
  #ended: Lease[] = []

  has(seq: number): boolean {
    return this.#held.has(seq)
  }

  take(seq: number, delivery: Delivery, untilMs: number): Lease {
    const lease = { seq, fence: ++lastFence, delivery, untilMs }
    this.#late.delete(seq)
    this.#held.set(seq, lease)
    this.#seqs.set(delivery.id, seq)
    return lease
  }

  /** The row of a claim that still counts. */
  seqOf(id: string, fence: number): number | undefined {
    const seq = this.#seqs.get(id)
    const lease = seq === undefined ? undefined : (this.#held.get(seq) ?? this.#late.get(seq))
    return lease?.fence === fence ? seq : undefined
  }

  /** Its outcome is written. Last in its change: one that fails ends nothing. */
  end(seq: number): void {
    const lease = this.#held.get(seq) ?? this.#late.get(seq)
    if (lease) {
      this.#drop(lease)
      this.#ended.push(lease)
    }
  }

  committed(): void {
    this.#ended = []
  }

  rolledBack(): void {
    for (const lease of this.#ended) {
      this.#held.set(lease.seq, lease)
      this.#seqs.set(lease.delivery.id, lease.seq)
    }
    this.#ended = []
  }

  /** Those that have run out since it was asked last. */
  runOut(nowMs: number): Delivery[] {
    const out: Delivery[] = []
    for (const lease of this.#held.values()) {
      if (lease.untilMs > nowMs) {
        break
      }
      this.#held.delete(lease.seq)
      this.#late.set(lease.seq, lease)
      out.push(lease.delivery)
    }
    return out
  }

  /** When the next one runs out. */
  nextMs(): number | undefined {
    return this.#held.values().next().value?.untilMs
  }

  #drop({ seq, delivery }: Lease): void {
    this.#held.delete(seq)
    this.#late.delete(seq)
    this.#seqs.delete(delivery.id)
  }
}
