import type { Attack, Described } from './attack.ts'
import type { Target } from './target.ts'
import type { Targets } from './world.ts'

/** What came of the tries in one realm. */
export interface Tries {
  readonly tries: number
  /** Of each try in which something lived on: what. */
  readonly survivors: readonly (readonly string[])[]
  /** Figures of tries. */
  readonly says?: readonly string[]
  /** Why tries could not be carried out. */
  readonly failures: readonly string[]
}

/** One attack on one version of Keycloak. */
export interface Result {
  readonly id: string
  /** In the realm that is guarded; undefined where the attack is not to be had on this version. */
  readonly guarded?: Tries
  /** In the realm that is not; undefined where a stock realm shows nothing. */
  readonly stock?: Tries
  readonly absent?: string
}

export type Verdict = 'held' | 'absent' | 'lives' | 'failed' | 'no attack'

/** As it should be are `held` and `absent`. `no attack`: it does not succeed where nothing stands against it. */
export function verdictOn({ loot, noControl }: Described, { guarded, stock, absent }: Result): Verdict {
  if (absent !== undefined) {
    return 'absent'
  }
  if (!guarded || guarded.tries === 0 || guarded.failures.length > 0) {
    return guarded?.survivors.length ? 'lives' : 'failed'
  }
  if (guarded.survivors.length > 0) {
    return 'lives'
  }
  const lived = new Set(stock?.survivors.flat())
  return noControl !== undefined || loot.every((one) => lived.has(one)) ? 'held' : 'no attack'
}

export function asItShouldBe(attack: Described, result: Result): boolean {
  return ['held', 'absent'].includes(verdictOn(attack, result))
}

/** Tries the attack on both realms: in the stock one as often as shows that it is one. */
export async function play(world: Targets, attack: Attack, quick = false): Promise<Result> {
  const { id, times = 1, quick: quickTimes = times, noControl } = attack
  const absent = attack.absent?.(world)
  if (absent !== undefined) {
    return { id, absent }
  }
  const wanted = quick ? quickTimes : times
  const guarded = await tryAll(world.guarded, attack, wanted)
  return noControl === undefined
    ? { id, guarded, stock: await tryAll(world.stock, attack, Math.min(wanted, attack.atOnce ?? 1)) }
    : { id, guarded }
}

async function tryAll(target: Target, { id, run, atOnce = 1 }: Attack, tries: number): Promise<Tries> {
  const survivors: (readonly string[])[] = []
  const says: string[] = []
  const failures: string[] = []
  let next = 0
  const worker = async () => {
    for (let n = next++; n < tries; n = next++) {
      try {
        const outcome = await run(target, `${target.realm}-${id}-${n}`, n)
        const { lives, says: figure } = 'lives' in outcome ? outcome : { lives: outcome }
        if (figure !== undefined) {
          says.push(figure)
        }
        if (lives.length > 0) {
          survivors.push(lives)
        }
      } catch (cause) {
        failures.push(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause))
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, tries) }, worker))
  return { tries, survivors, says, failures }
}
