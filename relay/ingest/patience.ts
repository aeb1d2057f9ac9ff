import type { Clock } from '../flow/ports.ts'
import { KEYS_COOLDOWN_MS } from '../idp/port.ts'

/** When another look is worth it. */
export const KEYS_AGAIN_MS = KEYS_COOLDOWN_MS + 500
/** A key that the realm publishes is at every node of the identity provider long before. */
const PATIENCE_MS = 60_000
const REMEMBERED = 1000

/** For how long events have been waiting for the key that they are signed with. */
export class Patience {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #since = new Map<string, number>()

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  /** Whether the key of this event may still come. Of one that came too late before, the next look decides. */
  mayCome(jti: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    const sinceMs = this.#since.get(jti) ?? nowMs
    this.#since.set(jti, sinceMs)
    const [oldest] = this.#since.keys()
    if (this.#since.size > REMEMBERED && oldest !== undefined) {
      this.#since.delete(oldest)
    }
    return nowMs - sinceMs < PATIENCE_MS
  }

  came(jti: string): void {
    this.#since.delete(jti)
  }
}
