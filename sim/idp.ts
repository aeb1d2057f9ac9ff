import type { Delivery, ListedSession, SecurityEvent, TokenNames } from '../relay/domain/model.ts'
import { RelayError } from '../relay/errors.ts'
import type { Idp } from '../relay/flow/ports.ts'
import type { Which } from '../relay/idp/port.ts'
import type { Chance } from './chance.ts'
import type { VirtualTime } from './clock.ts'
import type { Invariants, Row, Token } from './invariants.ts'

export const ISSUER = 'https://idp.example.org/realms/simulated'
/** As the relay's adapter gives up. */
const TIMEOUT_MS = 10_000
const DAY_MS = 86_400_000
const ROWS = 3

/** Whether things go wrong, and what happened, for who wants to read it. */
export interface World {
  readonly time: VirtualTime
  readonly chance: Chance
  readonly invariants: Invariants
  faults: boolean
  /** How far the clock of the machine is ahead on which all relay processes run, where it is one. */
  readonly skewMs?: number
  readonly tell: (what: string) => void
}

interface Login {
  readonly clientId: string
  readonly sid: string
  readonly latestEndMs: number
}

/** The identity provider: its database loses nothing, but it is away at times, and what passes to and fro gets lost. */
export class SimulatedIdp implements Idp {
  readonly outbox = new Map<string, Row>()
  readonly answers = new Map<string, string>()
  readonly #world: World
  readonly #push: (event: SecurityEvent) => Promise<boolean>
  /** What the ledger still knows, by user. */
  readonly #ledger: Login[][] = []
  readonly #clients: readonly string[]
  #last: readonly Login[] = []
  #awayUntilMs = 0
  #number = 0

  /** @param push resolves to whether a 202 came back */
  constructor(world: World, clients: readonly string[], push: (event: SecurityEvent) => Promise<boolean>) {
    this.#world = world
    this.#clients = clients
    this.#push = push
    for (let user = world.chance.int(1, 4); user > 0; user--) {
      this.#ledger.push([])
    }
  }

  /** A user logs in at some clients; nearly all logins live for days, some are over soon. */
  login(count: number): void {
    const { chance, time } = this.#world
    const user = chance.pick(this.#ledger)
    for (let n = 0; n < count; n++) {
      const lifeMs = chance.hit(0.1) ? chance.int(1, 3_600_000) : 30 * DAY_MS
      user.push({
        clientId: chance.pick(this.#clients),
        sid: `sid-${++this.#number}`,
        latestEndMs: time.nowMs + lifeMs,
      })
    }
  }

  /** Somebody is reset. */
  reset(): void {
    const { chance } = this.#world
    this.#commit(chance.pick(this.#ledger), chance.hit(0.2), chance.hit(0.2) ? 2 : 1)
  }

  /** Somebody is reset who has one session at each of these clients, once for each time it is named. */
  resetOf(clients: readonly string[], privileged = false): string {
    const latestEndMs = this.#world.time.nowMs + 30 * DAY_MS
    this.#last = clients.map((clientId): Login => ({ clientId, sid: `sid-${++this.#number}`, latestEndMs }))
    return this.#commit(this.#last, privileged, 1)
  }

  /** The one who was reset last is reset again, with the same sessions. */
  resetAgain(): void {
    this.#commit(this.#last, false, 1)
  }

  /** The outbox rows are there from now on. They are pushed once, twice, late or never. */
  #commit(logins: readonly Login[], privileged: boolean, parts: number): string {
    const { chance, time, invariants, tell } = this.#world
    const now = time.nowMs
    const txn = `txn-${++this.#number}`
    for (let part = 1; part <= parts; part++) {
      const jti = `jti-${++this.#number}`
      const sessions = logins
        .filter((login, at) => login.latestEndMs > now && at % parts === part - 1)
        .map((login, at): ListedSession => ({
          ...login,
          id: `${jti}.${at}`,
          named: { kind: 'backchannel', uri: `https://${login.clientId}.example/` },
        }))
      const event: SecurityEvent = {
        issuer: ISSUER,
        jti,
        txn,
        type: 'https://schemas.openid.net/secevent/caep/event-type/credential-change',
        trigger: 'admin-reset-password',
        subject: 'somebody',
        watermarkMs: now,
        removedAtMs: now,
        part,
        parts,
        scope: 'subject',
        privileged,
        shadow: false,
        survivors: 0,
        steps: {},
        sessions,
      }
      const row: Row = { event, committedMs: now, acknowledged: false }
      this.outbox.set(jti, row)
      invariants.committed(event, now)
      tell(`reset: event ${jti} with ${sessions.length} sessions${privileged ? ', privileged' : ''}`)
      const pushes = this.#world.faults ? chance.int(0, 2) : 1
      for (let n = 0; n < pushes; n++) {
        time.after(this.#world.faults ? chance.ms(0, 600_000) : 5, () => void this.#pushOnce(row))
      }
    }
    return txn
  }

  away(ms: number): void {
    this.#awayUntilMs = this.#world.time.nowMs + ms
  }

  poll(maxEvents: number, ack: readonly string[]): Promise<{ sets: Record<string, string>; moreAvailable: boolean }> {
    return this.#exchange(() => {
      for (const jti of ack) {
        const row = this.outbox.get(jti)
        if (row) {
          row.acknowledged = true
        }
      }
      const open = [...this.outbox.entries()].filter(([, row]) => !row.acknowledged)
      const sets = Object.fromEntries(open.slice(0, maxEvents).map(([jti]) => [jti, jti]))
      return { sets, moreAvailable: open.length > maxEvents }
    })
  }

  /** All since a time, or what was acknowledged and in which a session has no end. */
  rows({ sinceMs, after = '' }: Which): Promise<{ jtis: readonly string[]; next?: string | undefined }> {
    return this.#exchange(() => {
      const jtis = [...this.outbox.values()]
        .filter(({ event, committedMs, acknowledged }) =>
          sinceMs === undefined
            ? acknowledged && event.sessions.some(({ id }) => !this.answers.has(id))
            : committedMs >= sinceMs,
        )
        .map(({ event }) => event.jti)
      const from = jtis.indexOf(after) + 1
      const page = jtis.slice(from, from + ROWS)
      return { jtis: page, next: from + ROWS < jtis.length ? page.at(-1) : undefined }
    })
  }

  sets(jtis: readonly string[]): Promise<{ sets: Record<string, string>; ended: ReadonlySet<string> }> {
    return this.#exchange(() => ({
      sets: Object.fromEntries(jtis.map((jti) => [jti, jti])),
      ended: new Set(this.answers.keys()),
    }))
  }

  /** In place of the signature: a SET is its own name here. */
  verify(set: string): Promise<SecurityEvent> {
    const row = this.outbox.get(set)
    if (!row) {
      return Promise.reject(new RelayError('invalid_key', 'Nobody signed that'))
    }
    if (this.#strikes(0.05)) {
      return Promise.reject(new RelayError('idp_unavailable', 'The keys cannot be had'))
    }
    return this.#strikes(0.05)
      ? Promise.reject(new RelayError('key_unknown', 'The key has just been changed'))
      : Promise.resolve(row.event)
  }

  mint(deliveries: readonly Delivery[]): ReturnType<Idp['mint']> {
    return this.#exchange(() => {
      const tokens = new Map<string, string>()
      const refused = new Map<string, string>()
      const names = new Map<string, TokenNames>()
      for (const { id } of deliveries) {
        const session = this.outbox.get(id.replace(/\.\d+$/, ''))?.event.sessions.find((each) => each.id === id)
        if (!session) {
          refused.set(id, 'unknown')
        } else if (this.answers.has(id)) {
          refused.set(id, this.answers.get(id) ?? '')
        } else if (session.latestEndMs <= this.#world.time.nowMs) {
          refused.set(id, 'expired')
        } else {
          const { clientId, sid } = session
          const token: Token = { jti: `token-${++this.#number}`, iatMs: this.#world.time.nowMs, id, clientId, sid }
          tokens.set(id, JSON.stringify(token))
          names.set(id, 'sid')
        }
      }
      return { tokens, refused, names }
    })
  }

  report(ended: readonly Delivery[]): Promise<readonly string[]> {
    return this.#exchange(() =>
      ended.map(({ id, sid, state }) => {
        this.#world.invariants.told(id, state)
        this.answers.set(id, state)
        if (state === 'delivered') {
          this.#ledger.forEach((logins, user) => (this.#ledger[user] = logins.filter((login) => login.sid !== sid)))
        }
        return id
      }),
    )
  }

  async #pushOnce(row: Row): Promise<void> {
    if ((await this.#push(row.event)) && !this.#strikes(0.2)) {
      row.acknowledged = true
    }
  }

  /** A question lost, an answer lost, or both there: with what it did having been done in the last two cases. */
  async #exchange<T>(answer: () => T): Promise<T> {
    const { time, chance } = this.#world
    if (time.nowMs < this.#awayUntilMs || this.#strikes(0.04)) {
      await time.sleep(chance.ms(1, TIMEOUT_MS))
      throw new RelayError('idp_unavailable', 'It does not answer')
    }
    await time.sleep(this.#latencyMs())
    const answered = answer()
    await time.sleep(this.#latencyMs())
    if (this.#strikes(0.04)) {
      await time.sleep(chance.ms(1, TIMEOUT_MS / 2))
      throw new RelayError('idp_unavailable', 'The answer was lost')
    }
    return answered
  }

  #latencyMs(): number {
    return this.#world.faults ? this.#world.chance.ms(1, TIMEOUT_MS / 4) : 5
  }

  #strikes(probability: number): boolean {
    return this.#world.faults && this.#world.chance.hit(probability)
  }
}
