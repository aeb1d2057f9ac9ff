import type { SecurityEvent } from '../relay/domain/model.ts'
import type { Tables } from './disk.ts'

const TOKEN_LIFE_MS = 120_000

export type Guarantee = 'G1' | 'G2' | 'G3' | 'G4' | 'G5' | 'G6' | 'evidence' | 'fair' | 'priority' | 'lane' | 'once'

export interface Violation {
  readonly guarantee: Guarantee
  readonly says: string
}

/** What the simulated identity provider signed. Nobody else makes one, so there is no signature. */
export interface Token {
  readonly jti: string
  readonly iatMs: number
  /** The session's id in the security event. */
  readonly id: string
  readonly clientId: string
  readonly sid: string
}

/** The outbox row of a committed event. */
export interface Row {
  readonly event: SecurityEvent
  readonly committedMs: number
  acknowledged: boolean
}

/** What must hold, told by all parts of the world what they see. The first violation is kept: later ones follow from it. */
export class Invariants {
  #violation: Violation | undefined
  readonly #jtis = new Set<string>()
  /** Sessions of committed events, by their id. */
  readonly #listed = new Map<
    string,
    { readonly clientId: string; readonly sid: string; readonly latestEndMs: number; readonly committedMs: number }
  >()
  readonly #confirmed = new Set<string>()
  /** When the latest token was made on which a relying party has confirmed the end of a session, by its name there. */
  readonly #sessionsConfirmed = new Map<string, number>()
  readonly #ended = new Map<string, string>()
  /** Events from before the store was lost. */
  #lost: ReadonlySet<string> = new Set()
  /** Those, and events from before a failover. */
  readonly #forgotten = new Set<string>()

  get violation(): Violation | undefined {
    return this.#violation
  }

  fail(guarantee: Guarantee, says: string): void {
    this.#violation ??= { guarantee, says }
  }

  committed({ sessions }: SecurityEvent, committedMs: number): void {
    sessions.forEach((session) => this.#listed.set(session.id, { ...session, committedMs }))
  }

  sent({ jti, iatMs, id }: Token, nowMs: number): void {
    if (this.#jtis.has(jti)) {
      this.fail('G4', `The token ${jti} for ${id} was sent twice`)
    }
    this.#jtis.add(jti)
    if (nowMs - iatMs > TOKEN_LIFE_MS) {
      this.fail('G4', `The token for ${id} was ${nowMs - iatMs} ms old when it was sent`)
    }
  }

  /** A relying party has ended a session on a token. */
  loggedOut(clientId: string, { id, sid }: Token): void {
    const session = this.#listed.get(id)
    if (session?.clientId !== clientId || session.sid !== sid) {
      this.fail('G6', `${clientId} ended ${sid}, which no event lists for it as ${id}`)
    }
  }

  /** A relying party has sent 200 or 204 for a delivery, whether or not anybody heard. */
  confirmed({ id, clientId, sid, iatMs }: Token): void {
    this.#confirmed.add(id)
    const session = `${clientId} ${sid}`
    this.#sessionsConfirmed.set(session, Math.max(iatMs, this.#sessionsConfirmed.get(session) ?? 0))
  }

  /**
   * Whether its relying party has said that it is ended: on a token of its own, or on one for the same session that was made
   * after the event. One that is older may have ended an earlier login under the same session id.
   */
  #isConfirmed(id: string): boolean {
    const session = this.#listed.get(id)
    if (this.#confirmed.has(id) || !session) {
      return this.#confirmed.has(id)
    }
    const confirmedMs = this.#sessionsConfirmed.get(`${session.clientId} ${session.sid}`)
    return confirmedMs !== undefined && confirmedMs >= session.committedMs
  }

  /** The store is gone with all it knew. What has its end at the identity provider need not come back. */
  storeLost(outbox: Iterable<Row>): void {
    this.failedOver(outbox)
    this.#lost = new Set(this.#forgotten)
  }

  /** The store may have lost what it was told last. The events must come back all the same; what has its end need not. */
  failedOver(outbox: Iterable<Row>): void {
    this.#ended.clear()
    for (const { event } of outbox) {
      this.#forgotten.add(event.jti)
    }
  }

  told(id: string, outcome: string): void {
    if (outcome === 'delivered' && !this.#isConfirmed(id)) {
      this.fail('G2', `The identity provider was told that ${id} is delivered, and its relying party never said so`)
    }
  }

  /**
   * What must hold at every instant of what the store keeps. What it may have lost, an open gap must reach back to.
   *
   * @param skewMs how far the clocks of relay and identity provider may be apart
   */
  look(tables: Tables, outbox: Iterable<Row>, nowMs: number, skewMs: number): void {
    const { events, shared } = tables
    for (const { event, committedMs, acknowledged } of outbox) {
      const isExcused = this.#lost.has(event.jti) || (shared.gap?.sinceMs ?? Infinity) <= committedMs
      if (acknowledged && !isExcused && !events.has(`${event.issuer} ${event.jti}`)) {
        this.fail('G1', `The event ${event.jti} was acknowledged and is not in the store`)
      }
    }
    for (const row of tables.deliveries.values()) {
      const before = this.#ended.get(row.id)
      if (before !== undefined && before !== row.state) {
        this.fail('G1', `${row.id} had ended as ${before} and is ${row.state}`)
      }
      if (row.state === 'open') {
        continue
      }
      this.#ended.set(row.id, row.state)
      if (row.state === 'delivered' && !this.#isConfirmed(row.id)) {
        this.fail('G2', `${row.id} is delivered, and ${row.clientId} never said so`)
      }
      if (row.state === 'expired' && row.latestEndMs > nowMs + skewMs) {
        this.fail('G1', `${row.id} was given up ${row.latestEndMs - nowMs} ms before its session's latest end`)
      }
      if (row.state === 'dismissed') {
        this.fail('G1', `${row.id} was dismissed by nobody`)
      }
    }
    this.#readEvidence(tables)
  }

  /** The attempts that the evidence of a delivery names are 1, 2, 3…: each counted once, by who held the claim. */
  #readEvidence({ journal, deliveries }: Tables): void {
    const counted = new Map<string, number>()
    for (const { kind, data } of journal.map(({ evidence }) => evidence)) {
      if (kind === 'attempt') {
        const id = String(data['delivery'])
        const expected = (counted.get(id) ?? 0) + 1
        counted.set(id, expected)
        if (data['attempt'] !== expected) {
          this.fail('evidence', `Attempt ${expected} at ${id} is written down as ${data['attempt'] ?? 'none'}`)
        }
      }
    }
    for (const [id, attempts] of counted) {
      if (deliveries.get(id)?.attempts !== attempts) {
        this.fail('evidence', `${id} counts other attempts than the ${attempts} of its evidence`)
      }
    }
  }

  /** Why something is still owed, if it is. */
  owed({ deliveries }: Tables, outbox: Iterable<Row>, answers: ReadonlyMap<string, string>): string | undefined {
    for (const { event, acknowledged } of outbox) {
      if (!acknowledged) {
        return `the event ${event.jti} has not reached the relay`
      }
      for (const { id, clientId } of event.sessions) {
        const row = deliveries.get(id)
        if (!row && answers.has(id) && this.#forgotten.has(event.jti)) {
          continue
        }
        if (!row) {
          return `there is no delivery for ${id}`
        }
        if (row.state === 'open') {
          return `${id} at ${clientId} is open after ${row.attempts} attempts`
        }
        if (answers.get(id) !== row.state) {
          return `the identity provider has not been told that ${id} is ${row.state}`
        }
      }
    }
    return undefined
  }
}
