import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../relay/flow/ports.ts'

interface Planned {
  readonly atMs: number
  readonly work: () => void
}

/** Time that moves from one planned thing to the next, and only when nothing is left to do at this instant. */
export class VirtualTime {
  #nowMs: number
  /** The next one last. */
  readonly #planned: Planned[] = []

  constructor(startMs: number) {
    this.#nowMs = startMs
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /** Returns what calls it off. Things planned for the same instant happen in the order of their planning. */
  after(ms: number, work: () => void): () => void {
    const planned = { atMs: this.#nowMs + Math.max(0, Math.round(ms)), work }
    let low = 0
    for (let high = this.#planned.length; low < high;) {
      const middle = (low + high) >>> 1
      if ((this.#planned[middle]?.atMs ?? 0) > planned.atMs) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    this.#planned.splice(low, 0, planned)
    return () => {
      const at = this.#planned.indexOf(planned)
      if (at >= 0) {
        this.#planned.splice(at, 1)
      }
    }
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve))
  }

  async run(ms: number, enough: () => boolean = () => false): Promise<void> {
    const untilMs = this.#nowMs + ms
    // The turn of Node's event loop ends only when every promise that can go on has gone on.
    await turn()
    while (!enough()) {
      const next = this.#planned.at(-1)
      if (!next || next.atMs > untilMs) {
        this.#nowMs = untilMs
        return
      }
      this.#planned.pop()
      this.#nowMs = next.atMs
      next.work()
      await turn()
    }
  }
}

/**
 * A process as the operating system treats it: it runs, stands still (SIGSTOP) or is gone (SIGKILL). Whatever it waits for
 * must reach it through {@link arrive}, so one that stands still does nothing, and one that is gone never does anything again.
 */
export class Process {
  readonly clock: Clock
  #held: (() => void)[] | undefined
  #gone = false

  /** @param skewMs how far its wall clock is off */
  constructor(time: VirtualTime, skewMs: number) {
    const began = time.nowMs
    this.clock = {
      nowMs: () => time.nowMs + skewMs,
      monotonicMs: () => time.nowMs - began,
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          if (signal?.aborted) {
            resolve()
            return
          }
          const wake = () => {
            signal?.removeEventListener('abort', rung)
            this.arrive(resolve)
          }
          const callOff = time.after(ms, wake)
          const rung = () => {
            callOff()
            resolve()
          }
          signal?.addEventListener('abort', rung, { once: true })
        }),
    }
  }

  get gone(): boolean {
    return this.#gone
  }

  get paused(): boolean {
    return this.#held !== undefined
  }

  arrive(work: () => void): void {
    if (this.#gone) {
      return
    }
    if (this.#held) {
      this.#held.push(work)
    } else {
      work()
    }
  }

  /** What is promised outside, as this process comes to know it. */
  learn<T>(outside: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      outside.then(
        (value) => this.arrive(() => resolve(value)),
        (cause: unknown) =>
          this.arrive(() => reject(cause instanceof Error ? cause : new TypeError('Not an error', { cause }))),
      )
    })
  }

  pause(): void {
    this.#held ??= []
  }

  resume(): void {
    const held = this.#held ?? []
    this.#held = undefined
    held.forEach((work) => this.arrive(work))
  }

  kill(): void {
    this.#gone = true
    this.#held = undefined
  }
}
