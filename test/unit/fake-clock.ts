import type { Clock } from '../../relay/flow/ports.ts'

const TURNS = 16

/** Lets everything run that needs no time to pass: promises, and the store's commits at the end of a turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Time that passes only when a test says so. Sleepers wake in order, and what they do is done before the next wakes. */
export class FakeClock implements Clock {
  readonly #sleepers = new Set<{ readonly at: number; readonly wake: () => void }>()
  #now: number

  constructor(startMs = 1_790_000_000_000) {
    this.#now = startMs
  }

  nowMs(): number {
    return this.#now
  }

  monotonicMs(): number {
    return this.#now
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) {
        resolve()
        return
      }
      const sleeper = {
        at: this.#now + ms,
        wake: () => {
          this.#sleepers.delete(sleeper)
          resolve()
        },
      }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', sleeper.wake, { once: true })
    })
  }

  async advance(ms: number): Promise<void> {
    const target = this.#now + ms
    await settle()
    while (await this.#wakeNext(target)) {
      // Each wake may put another to sleep.
    }
    this.#now = target
  }

  /** Advances until the condition holds; fails when it does not within that much time. */
  async until(condition: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
    const target = this.#now + withinMs
    await settle()
    while (!(await condition())) {
      if (!(await this.#wakeNext(target))) {
        throw new Error(`The condition did not come true within ${withinMs} ms of fake time`)
      }
    }
  }

  async #wakeNext(target: number): Promise<boolean> {
    const [next] = [...this.#sleepers].sort((a, b) => a.at - b.at)
    if (!next || next.at > target) {
      return false
    }
    this.#now = Math.max(this.#now, next.at)
    next.wake()
    await settle()
    return true
  }
}
