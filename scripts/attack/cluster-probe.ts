import { setTimeout as delay } from 'node:timers/promises'
import type { Node } from '../stage/nodes.ts'
import type { Tokens } from '../stage/tokens.ts'

const PACE_MS = 150

/** One login that was tried. */
export interface Tried {
  /** By this process's monotonic clock, when it was asked for. */
  readonly askedMs: number
  /** Undefined: it was refused. */
  readonly tokens: Tokens | undefined
}

/** A password that is tried at one node all the time, by direct grant. */
export class Probe {
  readonly node: Node
  readonly tried: Tried[] = []
  readonly #running: Promise<void>
  #ended = false

  constructor(node: Node, realm: string, username: string, password: string) {
    this.node = node
    this.#running = this.#run(realm, {
      grant_type: 'password',
      client_id: 'flows-app',
      scope: 'openid',
      username,
      password,
    })
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.#running
  }

  /** When it was last taken, and first, of what was asked from then on; undefined where it never was. */
  taken(fromMs: number): { readonly first: Tried; readonly last: Tried } | undefined {
    const taken = this.tried.filter(({ askedMs, tokens }) => askedMs >= fromMs && tokens)
    const [first, last] = [taken[0], taken.at(-1)]
    return first && last && { first, last }
  }

  async #run(realm: string, form: Record<string, string>): Promise<void> {
    while (!this.#ended) {
      const askedMs = performance.now()
      const answer = await this.node
        .tokens(realm)
        .ask(form)
        .catch(() => undefined)
      // A node that has halted neither takes a password nor refuses one.
      if (answer) {
        this.tried.push({ askedMs, tokens: answer.status === 200 ? answer.json() : undefined })
      }
      await delay(PACE_MS)
    }
  }
}
