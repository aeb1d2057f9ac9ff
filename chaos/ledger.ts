import { createServer, type Server } from 'node:http'
import { decodeJwt } from 'jose'
import type { Chance } from '../sim/chance.ts'
import type { Client, StandInIdp } from '../scripts/stage/stand-in-idp.ts'

/** One logout token that arrived at a relying party, and what it was answered. */
interface Telling {
  readonly sid: string
  readonly jti: string
  readonly atMs: number
  confirmed: boolean
}

/** When something was done to the relay that may make it tell twice; the same clock as the tellings. */
interface Fault {
  readonly fromMs: number
  toMs: number
}

/** What the ledger says of a run. All but `twice` must be 0. */
export interface Account {
  readonly acknowledged: number
  readonly sessions: number
  /** Sessions of acknowledged events that no relying party has confirmed. */
  readonly lost: number
  /** Sessions told again after a confirmation, with a fault in between: the outcome was not on the disk yet. */
  readonly twice: number
  /** Told again without such a fault. */
  readonly unexplained: number
  /** Reported to the identity provider as delivered, without a confirmation. */
  readonly untrue: number
  /** Tokens used twice, sent to another's relying party, or for a session of no event. */
  readonly wrong: number
}

/**
 * Relying parties with a ledger outside the product: what they were told and what they answered. Some answers are slow, some
 * are errors, some are lost on their way.
 */
export class Ledger {
  readonly clients: Client[] = []
  delayMs = 0
  /** Every answer takes this long, and up to `delayMs` more. */
  answerMs = 0
  /** How often a relying party answers 503, and how often its 200 is lost. */
  failing = 0
  readonly #tellings: Telling[] = []
  readonly #faults: Fault[] = []
  readonly #servers: Server[] = []
  readonly #wrong = new Set<string>()
  readonly #chance: Chance
  #told: (() => void)[] = []

  private constructor(chance: Chance) {
    this.#chance = chance
  }

  static async start(relyingParties: number, chance: Chance): Promise<Ledger> {
    const ledger = new Ledger(chance)
    for (let n = 0; n < relyingParties; n++) {
      await ledger.#open(`rp-${n}`)
    }
    return ledger
  }

  stop(): void {
    for (const server of this.#servers) {
      server.closeAllConnections()
      server.close()
    }
  }

  /** Resolves at the next logout token. */
  told(): Promise<void> {
    return new Promise((resolve) => this.#told.push(resolve))
  }

  /** @returns for a fault that is not over yet */
  fault(fromMs: number, toMs: number): { toMs: number } {
    const fault = { fromMs, toMs }
    this.#faults.push(fault)
    return fault
  }

  account(idp: StandInIdp): Account {
    const bySid = Map.groupBy(this.#tellings, ({ sid }) => sid)
    const isConfirmed = (sid: string) => bySid.get(sid)?.some(({ confirmed }) => confirmed) ?? false
    const rows = [...idp.outbox.values()]
    const owed = rows.filter(({ acknowledged }) => acknowledged).flatMap(({ sessions }) => sessions)
    const listed = new Map(rows.flatMap(({ sessions }) => sessions.map((session) => [session.sid, session])))
    const again = this.#again()
    const explained = again.filter((gap) =>
      this.#faults.some(({ fromMs, toMs }) => gap.fromMs <= toMs && gap.toMs >= fromMs),
    )
    const reported = [...listed.values()].filter(({ id }) => idp.answers.get(id) === 'delivered')
    return {
      acknowledged: rows.filter(({ acknowledged }) => acknowledged).length,
      sessions: owed.length,
      lost: owed.filter(({ sid }) => !isConfirmed(sid)).length,
      twice: explained.length,
      unexplained: again.length - explained.length,
      untrue: reported.filter(({ sid }) => !isConfirmed(sid)).length,
      wrong:
        this.#wrong.size +
        this.#tellings.length -
        new Set(this.#tellings.map(({ jti }) => jti)).size +
        [...bySid.keys()].filter((sid) => !listed.has(sid)).length,
    }
  }

  /** How many tokens came for a session after it had been confirmed. */
  confirmedTwice(): number {
    return this.#again().length
  }

  #again(): Fault[] {
    return [...Map.groupBy(this.#tellings, ({ sid }) => sid).values()].flatMap((tellings) =>
      tellings.slice(1).flatMap((telling, n) => {
        const before = tellings.slice(0, n + 1).findLast(({ confirmed }) => confirmed)
        return before ? [{ fromMs: before.atMs, toMs: telling.atMs }] : []
      }),
    )
  }

  async #open(clientId: string): Promise<void> {
    const server = createServer((question, response) => {
      let body = ''
      question.setEncoding('utf8').on('data', (part: string) => (body += part))
      question.on('end', () => {
        const { aud, sid, jti } = decodeJwt<{ sid: string; jti: string }>(
          new URLSearchParams(body).get('logout_token') ?? '',
        )
        if (aud !== clientId) {
          this.#wrong.add(jti)
        }
        const telling: Telling = { sid, jti, atMs: performance.now(), confirmed: false }
        this.#tellings.push(telling)
        this.#told.splice(0).forEach((tell) => tell())
        const refuses = this.#chance.hit(this.failing)
        const isLost = this.#chance.hit(this.failing)
        setTimeout(
          () => {
            if (refuses) {
              response.writeHead(503).end()
            } else if (isLost) {
              response.destroy()
            } else {
              telling.confirmed = true
              response.writeHead(200).end()
            }
          },
          this.answerMs + this.#chance.ms(0, this.delayMs),
        )
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    this.#servers.push(server)
    this.clients.push({ clientId, logoutUri: `http://127.0.0.1:${port}/logout` })
  }
}
