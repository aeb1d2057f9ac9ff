import type { Clock } from './ports.ts'

/** Wakes one sleeper. A ring before the wait is not lost. */
export class Doorbell {
  readonly #clock: Clock
  #rung = new AbortController()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  ring(): void {
    // An abort makes an error with a stack, even where it is one already: under load there are hundreds of rings to a wait.
    if (!this.#rung.signal.aborted) {
      this.#rung.abort()
    }
  }

  async wait(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#rung.signal)
    this.#rung = new AbortController()
  }
}
