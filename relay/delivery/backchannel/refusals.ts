import { type Answer, type Delivery, laneOf, type TokenNames } from '../../domain/model.ts'
import type { DelivererPorts, Sent } from '../port.ts'
import {
  isAlone,
  isRefusal,
  isTaken,
  type SecondLook,
  type Standing,
  standingOf,
  type Streak,
  streakAfter,
} from './refusal.ts'
import type { Send } from './send.ts'
import { ALG } from './target.ts'

const REMEMBERED = 10_000
/** A second look holds for the whole of a relying party for this long. */
const LOOK_HOLDS_MS = 600_000
/** For all of a second look: the tokens, and a POST of each. */
const LOOK_MS = 12_000

interface Look {
  readonly atMs: number
  readonly answers: Promise<SecondLook>
}

/** What is needed for a look. */
export type RefusalPorts = Pick<DelivererPorts, 'nowMs' | 'sleep' | 'trouble'> & { readonly send: Send }

/**
 * What relying parties refuse with 400, and what of it they refuse alone. It is learned anew after a restart, but for what
 * the last reason of a delivery says.
 */
export class Refusals {
  readonly #ports: RefusalPorts
  readonly #streaks = new Map<string, Streak>()
  readonly #confirmed = new Map<string, number>()
  readonly #looks = new Map<string, Look>()

  constructor(ports: RefusalPorts) {
    this.#ports = ports
  }

  /** What a refusal means beyond itself; undefined where nothing more is known. Never rejects. */
  async standing(sent: Sent): Promise<Standing | undefined> {
    const { delivery, answer, names } = sent
    const nowMs = this.#ports.nowMs()
    const lane = laneOf(delivery.issuer, delivery.clientId)
    if (names !== undefined && isTaken(answer)) {
      this.#confirmed.set(`${names} ${lane}`, nowMs)
    }
    const streak = streakAfter(this.#streaks.get(delivery.id), answer, names, nowMs)
    this.#remember(delivery.id, streak)
    if (!streak || names === undefined || !isRefusal(answer)) {
      return undefined
    }
    const confirmedMs = this.#confirmed.get(`${names} ${lane}`)
    const alone = wasAlone(delivery, names) || isAlone(streak, confirmedMs)
    // With the sid alone it is told where a newer login is: whether it takes that at all is worth a look at once.
    const isUntried = names === 'sid' && confirmedMs === undefined
    return alone || isUntried ? standingOf(names, alone, await this.#look(lane, nowMs, sent)) : undefined
  }

  #remember(id: string, streak: Streak | undefined): void {
    this.#streaks.delete(id)
    if (streak) {
      this.#streaks.set(id, streak)
    }
    const [oldest] = this.#streaks.keys()
    if (this.#streaks.size > REMEMBERED && oldest !== undefined) {
      this.#streaks.delete(oldest)
    }
  }

  #look(lane: string, nowMs: number, sent: Sent): Promise<SecondLook> {
    const before = this.#looks.get(lane)
    if (before && nowMs - before.atMs < LOOK_HOLDS_MS) {
      return before.answers
    }
    if (sent.leftMs < LOOK_MS) {
      return Promise.resolve(new Map())
    }
    const answers = this.#ask(sent)
    this.#looks.set(lane, { atMs: nowMs, answers })
    return answers
  }

  /**
   * What a relying party answers to tokens for nobody, which tells a session that it no longer has from a token that it does
   * not take. What cannot be had in time is left out.
   */
  async #ask({ delivery, target, policy, maker }: Sent): Promise<SecondLook> {
    const { send, sleep, trouble } = this.#ports
    const answers = new Map<TokenNames, Answer>()
    const over = new AbortController()
    const ask = async () => {
      try {
        const made = await maker?.genuine?.(delivery.clientId, delivery.target[ALG])
        for (const [names, token] of made?.tokens ?? []) {
          answers.set(names, await send(target.uri, token, policy))
        }
      } catch (cause) {
        trouble('No second look was had at a relying party that refuses a session', cause)
      }
      over.abort()
    }
    void ask()
    await sleep(LOOK_MS, over.signal)
    return new Map(answers)
  }
}

/** As its last attempt was judged, maybe before a restart. The shape is a part of it: another may be refused for itself. */
function wasAlone({ lastReason }: Delivery, names: TokenNames): boolean {
  return lastReason === `unknown_there:${names}` || lastReason === `refused_alone:${names}`
}
