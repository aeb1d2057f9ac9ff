import { setTimeout as delay } from 'node:timers/promises'
import type { Tokens } from '../stage/tokens.ts'
import type { Target } from './target.ts'

/** Tokens, and the client that refreshes them. */
export interface Held {
  readonly tokens: Tokens
  readonly clientId: string
}

/** How a loop comes by newer tokens, if it does; `n` counts from 0. */
export type Step = (held: Held, n: number) => Promise<Tokens | undefined>

export const refreshing =
  (target: Target): Step =>
  async ({ tokens, clientId }) =>
    given(await target.refresh(tokens.refresh_token, clientId))

/** The tokens of an answer of the token endpoint, if it has any. */
export function given(answer: { readonly status: number; readonly json: () => Tokens }): Tokens | undefined {
  return answer.status === 200 ? answer.json() : undefined
}

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
      const tokens = await this.#step(this.held, n)
      if (tokens) {
        this.held = { tokens, clientId: this.held.clientId }
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
