import { setTimeout as delay } from 'node:timers/promises'
import type { Answer } from '../stage/http.ts'
import type { Tokens } from '../stage/tokens.ts'
import type { Target } from './target.ts'

/** Tokens, and the client that refreshes them. */
export interface Held {
  readonly tokens: Tokens
  readonly clientId: string
}

/** How a loop makes tokens of tokens; `n` counts from 0. */
export type Step = (held: Held, n: number) => Promise<Answer<Tokens>>

export const refreshing =
  (target: Target): Step =>
  ({ tokens, clientId }) =>
    target.refresh(tokens.refresh_token, clientId)

/** One after another, tokens are made of tokens, until somebody ends it; whatever is refused is tried again. */
export class Loop {
  held: Held
  readonly #step: Step
  readonly #paceMs: number
  readonly #running: Promise<void>
  #ended = false

  constructor(held: Held, step: Step, paceMs = 0) {
    this.held = held
    this.#step = step
    this.#paceMs = paceMs
    this.#running = this.#run()
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.#running
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#ended; n++) {
      const answer = await this.#step(this.held, n)
      if (answer.status === 200) {
        this.held = { tokens: answer.json(), clientId: this.held.clientId }
      }
      await delay(this.#paceMs)
    }
  }
}

/** By what ways of asking what these loops hold still counts. */
export async function livesOf(target: Target, loops: readonly Loop[]): Promise<string[]> {
  const lives = new Set<string>()
  for (const { held } of loops) {
    for (const sight of await target.livesOf(held.tokens, held.clientId)) {
      lives.add(sight)
    }
  }
  return [...lives]
}
