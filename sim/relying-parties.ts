import type { Answer, LanePolicy } from '../relay/domain/model.ts'
import type { World } from './idp.ts'
import type { Token } from './invariants.ts'

/**
 * - well: ends the session and says so
 * - slow: the same, often after nobody waits any more
 * - deaf: ends the session, and its answer never arrives
 * - lying: says 200 to all and ends nothing; its word counts, since there is no other
 * - failing: any other status, with any Retry-After
 * - refusing: nothing listens
 * - hung: takes the connection and never answers
 */
export type Mood = 'well' | 'slow' | 'deaf' | 'lying' | 'failing' | 'refusing' | 'hung'

/** What one falls into, one after the other; the first says it all for those that never change. */
const TEMPERS: readonly (readonly Mood[])[] = [
  ['well'],
  ['well', 'slow'],
  ['well', 'refusing'],
  ['well', 'failing', 'deaf'],
  ['refusing'],
  ['hung'],
  ['lying', 'well'],
  ['well', 'slow', 'deaf', 'failing', 'refusing', 'hung', 'lying'],
]
const STATUSES = [201, 202, 206, 301, 302, 400, 401, 403, 404, 405, 408, 413, 418, 429, 500, 501, 502, 503, 504, 599]
const RETRY_AFTER_MS = [undefined, undefined, 0, 1000, 60_000, 86_400_000, 999_999_000]
const TOKEN_LIFE_MS = 120_000

export class SimulatedRelyingParty {
  readonly clientId: string
  readonly #world: World
  readonly #moods: readonly Mood[]
  readonly #swingMs: number
  #incurable: boolean
  #mood: Mood
  /** All there ever were. */
  attempts = 0
  /** The sessions whose end it has confirmed, again for each time. */
  readonly confirmed: string[] = []

  /** @param incurable whether it stays as it is when the faults stop */
  constructor(world: World, clientId: string, moods = world.chance.pick(TEMPERS), incurable = false) {
    this.#incurable = incurable
    this.clientId = clientId
    this.#world = world
    this.#moods = moods
    this.#mood = world.chance.pick(moods)
    this.#swingMs = world.chance.pick([2000, 60_000, 900_000])
    if (moods.length > 1) {
      this.#swing()
    }
  }

  cure(): void {
    this.#incurable = false
  }

  /** Never rejects. What arrives is acted upon, also when the relay has died or given up meanwhile. */
  async take(token: Token, { timeoutMs }: LanePolicy): Promise<Answer> {
    const { time, chance } = this.#world
    const mood = this.#world.faults || this.#incurable ? this.#mood : 'well'
    this.attempts++
    if (mood === 'refusing') {
      await time.sleep(chance.ms(1, 2000))
      return { kind: 'failure', code: 'connection_refused' }
    }
    if (mood === 'hung') {
      await time.sleep(timeoutMs)
      return { kind: 'failure', code: 'timeout' }
    }
    const takesMs = mood === 'slow' ? chance.int(1, 3 * timeoutMs) : this.#world.faults ? chance.ms(2, 2000) : 20
    const answer = new Promise<Answer>((resolve) =>
      time.after(takesMs / 2, () => {
        const judged = this.#judge(token, mood)
        time.after(takesMs / 2, () => resolve(judged))
      }),
    )
    if (takesMs > timeoutMs) {
      await time.sleep(timeoutMs)
      return { kind: 'failure', code: 'timeout' }
    }
    return answer
  }

  #judge(token: Token, mood: Mood): Answer {
    const { time, chance, invariants } = this.#world
    if (mood === 'failing') {
      const retryAfterMs = chance.pick(RETRY_AFTER_MS)
      return {
        kind: 'response',
        status: chance.pick(STATUSES),
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      }
    }
    if (mood !== 'lying') {
      if (time.nowMs - token.iatMs > TOKEN_LIFE_MS) {
        return { kind: 'response', status: 400 }
      }
      invariants.loggedOut(this.clientId, token)
    }
    invariants.confirmed(token)
    this.confirmed.push(token.sid)
    return mood === 'deaf'
      ? { kind: 'failure', code: 'connection_lost' }
      : { kind: 'response', status: chance.pick([200, 204]) }
  }

  #swing(): void {
    this.#world.time.after(this.#world.chance.ms(1, this.#swingMs), () => {
      if (this.#world.faults) {
        this.#mood = this.#world.chance.pick(this.#moods)
        this.#swing()
      }
    })
  }
}
