import type { Target } from './target.ts'
import type { Targets } from './world.ts'

/**
 * Somebody who holds something from before a reset, and tries to keep it or to make something newer of it.
 * In the guarded realm nothing may live on. In the stock realm, which is the control, all of it must: what does not succeed
 * where nothing ends it is no attack.
 */
export interface Attack extends Described {
  /** How often it is tried in the short form, which is a part of `npm test`; absent where the attack has no place in it. */
  readonly quick?: number
  /** How many tries may run at the same time. */
  readonly atOnce?: number
  /** Why it cannot be tried on this version of Keycloak; undefined where it can. */
  readonly absent?: (world: Targets) => string | undefined
  /**
   * One try, with people of its own. Throws where it cannot be carried out, or where somebody cannot go on who may.
   *
   * @param name for the names of these people
   * @param n counts the tries from 0
   * @returns what lives on, empty where nothing does; it may name more than {@link loot}
   */
  readonly run: (target: Target, name: string, n: number) => Promise<readonly string[] | Measured>
}

/** What is told of an attack, however it is carried out. */
export interface Described {
  readonly id: string
  /** The file beside this one that has the attack. */
  readonly family: string
  /** A claim: what is true if the attack fails. */
  readonly title: string
  /** What the attacker does, for docs/attacks.md. */
  readonly tries: string
  /** What lives on if the attack succeeds. */
  readonly loot: readonly string[]
  /** How often it is tried in the guarded realm; 1 unless it says so. */
  readonly times?: number
  /** Why a stock realm shows nothing. */
  readonly noControl?: string
}

/** What lives on, and a figure for the page. */
export interface Measured {
  readonly lives: readonly string[]
  readonly says: string
}
