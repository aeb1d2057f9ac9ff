import { uniformInt } from 'pure-rand/distribution/uniformInt'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'

const STEPS = 2 ** 30

/** All that is left to chance in a run, from its seed alone. */
export class Chance {
  readonly #generator

  constructor(seed: number) {
    this.#generator = xoroshiro128plus(seed)
  }

  /** A whole number, both ends included. */
  int(from: number, to: number): number {
    return uniformInt(this.#generator, from, to)
  }

  /** From 0 up to 1. */
  fraction(): number {
    return this.int(0, STEPS - 1) / STEPS
  }

  hit(probability: number): boolean {
    return this.fraction() < probability
  }

  /** Milliseconds, most of them near the lower end: a millisecond matters as much as a minute. */
  ms(from: number, to: number): number {
    return Math.round(from + (to - from) * this.fraction() ** 4)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(0, from.length - 1)] as T
  }
}
