import { setTimeout as delay } from 'node:timers/promises'
import type { Node } from '../stage/nodes.ts'
import type { Tokens } from '../stage/tokens.ts'
import { Probe, type Tried } from './cluster-probe.ts'
import { EVERY_SIGHT, livesAt } from './cluster-sights.ts'
import { beginAll, type GoOn } from './cluster-under-way.ts'
import type { Seen, Try } from './cluster.ts'
import type { Cluster } from './cluster-world.ts'

const NEW_PASSWORD = 'another'
/** The old password is refused everywhere this long after the reset was answered. */
const WITHIN_MS = 1000
/** The new one is taken after this: the whole second of the commit is old, and when that was is known to some milliseconds. */
const TAKEN_WITHIN_MS = 1500
const REFRESH_PACE_MS = 30

/** What is kept in use by refreshing it, at one node and at the other in turn. */
class Loop {
  tokens: Tokens
  readonly #running: Promise<void>
  #ended = false

  constructor(tokens: Tokens, nodes: readonly Node[], realm: string) {
    this.tokens = tokens
    this.#running = this.#run(nodes, realm)
  }

  async end(): Promise<void> {
    this.#ended = true
    await this.#running
  }

  async #run(nodes: readonly Node[], realm: string): Promise<void> {
    for (let n = 0; !this.#ended; n++) {
      const form = { grant_type: 'refresh_token', client_id: 'flows-app', refresh_token: this.tokens.refresh_token }
      const answer = await nodes[n % nodes.length]
        ?.tokens(realm)
        .ask(form)
        .catch(() => undefined)
      if (answer?.status === 200) {
        this.tokens = answer.json()
      }
      await delay(REFRESH_PACE_MS)
    }
  }
}

/** Somebody who has the password of a user, and makes use of it in every way and at both nodes until it is reset. */
export class Intruder {
  readonly #cluster: Cluster
  readonly #realm: string
  readonly #name: string
  readonly user: string
  readonly #loops: Loop[] = []
  readonly #held: Tokens[] = []
  #goOn: readonly GoOn[] = []
  #old: Probe[] = []
  #new: Probe[] = []
  #answeredMs = 0
  /** The same by the wall clock, which is the database's too. */
  #answeredAt = 0

  readonly #note: (what: string) => void

  private constructor({ cluster, realm, name, note }: Try, user: string) {
    this.#note = note
    this.#cluster = cluster
    this.#realm = realm
    this.#name = name
    this.user = user
  }

  /** A new user has an intruder while that act goes on; it is to have the password reset. Then looks what is left. */
  static async during(one: Try, act: (intruder: Intruder) => Promise<unknown>): Promise<Seen> {
    const { cluster, realm, name } = one
    const intruder = new Intruder(one, await cluster.nodes.a.keycloak.admin.createUser(realm, name, 'password'))
    try {
      await intruder.#begin()
      await act(intruder)
    } finally {
      await intruder.#stop()
    }
    return intruder.#look()
  }

  async #begin(): Promise<void> {
    for (const node of this.#nodes) {
      for (const scope of ['openid', 'openid offline_access']) {
        const others = this.#nodes.filter((one) => one !== node)
        this.#loops.push(new Loop(await this.#logIn(node, scope), [node, ...others], this.#realm))
      }
    }
    this.#old = this.#nodes.map((node) => new Probe(node, this.#realm, this.#name, 'password'))
    await delay(300)
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#loops, ...this.#old, ...this.#new].map((one) => one.end()))
  }

  /** Begins all that can be finished later, and logs in once more at both nodes; the reset comes at once after that. */
  async reset<T>(reset: (user: string, password: string) => Promise<T>): Promise<T> {
    this.#goOn = await beginAll(this.#nodes, this.#cluster, this.#realm, this.#name)
    const lastMinute = ['openid', 'openid offline_access'].flatMap((scope) =>
      this.#nodes.map((node) => this.#logIn(node, scope)),
    )
    this.#held.push(...(await Promise.all(lastMinute)))
    const askedMs = performance.now()
    const answer = await reset(this.user, NEW_PASSWORD)
    this.#answeredMs = performance.now()
    this.#answeredAt = Date.now()
    this.#note(`the reset took ${Math.round(this.#answeredMs - askedMs)} ms`)
    this.#new = this.#nodes.map((node) => new Probe(node, this.#realm, this.#name, NEW_PASSWORD))
    await this.goOn()
    return answer
  }

  /** All goes on for that long, after the reset. */
  goOn(forMs = 3000): Promise<void> {
    return delay(forMs)
  }

  /** Goes on with what was under way, and asks both nodes for all that there is, and for the new password. */
  async #look(): Promise<Seen> {
    const lives = new Set<string>()
    for (const goOn of this.#goOn) {
      ;(await goOn().catch(() => [])).forEach((one) => lives.add(one))
    }
    for (const probe of this.#old) {
      this.#held.push(...probe.tried.flatMap(({ tokens }) => tokens ?? []))
      if (probe.taken(this.#answeredMs + WITHIN_MS)) {
        lives.add(`the old password at ${probe.node.name}`)
      }
    }
    for (const tokens of [...this.#loops.map((loop) => loop.tokens), ...this.#held]) {
      ;(await this.#livesOf(tokens)).forEach((one) => lives.add(one))
    }
    this.#tell()
    return { lives: [...lives].sort(), wrong: await this.#whoCannotGoOn() }
  }

  async #livesOf(tokens: Tokens): Promise<string[]> {
    return (await Promise.all(this.#nodes.map((node) => livesAt(node, this.#realm, tokens)))).flat()
  }

  get #nodes(): readonly Node[] {
    return [this.#cluster.nodes.a, this.#cluster.nodes.b]
  }

  #logIn(node: Node, scope: string): Promise<Tokens> {
    return node.tokens(this.#realm).directGrant('flows-app', this.#name, 'password', scope)
  }

  #after(tried: Tried | undefined): string {
    return tried === undefined ? 'never' : `${Math.round(tried.askedMs - this.#answeredMs)} ms`
  }

  #tell(): void {
    const rows = this.#cluster.postgres.psql(
      `select watermark_ms from logout_relay_watermark where user_id = '${this.user}' order by 1`,
    )
    const watermarks = rows.split('\n').filter((row) => row !== '')
    this.#note(
      `watermarks, after the answer: ${watermarks.map((ms) => `${Math.round(Number(ms) - this.#answeredAt)} ms`).join(', ') || 'none'}`,
    )
    for (const [n, node] of this.#nodes.entries()) {
      const old = this.#after(this.#old[n]?.taken(this.#answeredMs)?.last)
      const first = this.#after(this.#new[n]?.taken(0)?.first)
      this.#note(
        `node ${node.name}, after the answer: the old password last taken ${old}, the new one first taken ${first}`,
      )
    }
  }

  /** From then on each node takes the new password, and what it gives lives at both. */
  async #whoCannotGoOn(): Promise<string[]> {
    const wrong: string[] = []
    for (const { node, tried } of this.#new) {
      const later = tried.filter(({ askedMs }) => askedMs >= this.#answeredMs + TAKEN_WITHIN_MS)
      const refused = later.find(({ tokens }) => tokens === undefined)
      if (refused || !later[0]) {
        wrong.push(`node ${node.name} refuses the new password, asked ${this.#after(refused)} after the reset`)
      }
      const taken = later.find(({ tokens }) => tokens)
      const lives = taken?.tokens ? await this.#livesOf(taken.tokens) : EVERY_SIGHT
      const dead = EVERY_SIGHT.filter((sight) => !lives.includes(sight))
      if (dead.length > 0) {
        wrong.push(
          `a login by the new password at node ${node.name}, ${this.#after(taken)} after the reset, is dead: ${dead.join(', ')}`,
        )
      }
    }
    return wrong
  }
}
