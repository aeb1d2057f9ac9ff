import type { Person } from './person.ts'
import type { World } from './world.ts'

/** Something that a person's password has unlocked. */
export interface Access {
  /** Whether it is worth anything. What can be used only once is used up by asking. */
  readonly isAlive: () => Promise<boolean>
  /** For what can be used only once: whether another of its kind, got in the same way, was worth something. */
  readonly twinLived?: boolean
  /** Begins what its holder does while the event comes. Answers what ends it, more than once if need be. */
  readonly meanwhile?: () => Promise<() => Promise<unknown>>
}

/**
 * - `session`: ends with the sessions of its user
 * - `own session`: the same, and it hangs on the session of the person's own browser
 * - any other: kept, unless policy names that step
 * - `nothing`: nobody can end it before its time
 */
export type EndsWith =
  'session' | 'own session' | 'consents' | 'broker-tokens' | 'factors' | 'recovery-codes' | 'nothing'

/** A kind of access, and how somebody comes by it. Made in the order of their list. */
export interface Kind {
  readonly id: string
  readonly title: string
  readonly endsWith: EndsWith
  /** Why nobody can have it on this version of Keycloak; undefined where they can. */
  readonly absent?: (world: World) => string | undefined
  /** Whether it is alive is asked after all others: to use it changes what they are worth. */
  readonly askedLast?: true
  readonly make: (person: Person) => Promise<Access>
}

/** For what can be used only once: two are got, and one of them is used up. */
export async function twins<T>(get: (which: 'twin' | 'kept') => Promise<T>, use: (one: T) => Promise<boolean>) {
  const twinLived = await use(await get('twin'))
  const kept = await get('kept')
  return { twinLived, isAlive: () => use(kept) }
}

export function must<T>(answer: { status: number; text: string; json: () => T }, what: string): T {
  if (answer.status < 200 || answer.status > 299) {
    throw new Error(`${what}: ${answer.status} ${answer.text}`)
  }
  return answer.json()
}
