import { setTimeout as delay } from 'node:timers/promises'
import { type Access, type Kind, KINDS } from './access.ts'
import type { Act } from './acts.ts'
import { Person } from './person.ts'
import type { World } from './world.ts'

/** One trigger at one kind of access. */
export interface Cell {
  readonly trigger: string
  readonly how?: string
  readonly access: string
  readonly aliveBefore: boolean
  readonly aliveAfter: boolean
  /** From the act until it was first seen dead; absent for what lives, and for what could be tried only once. */
  readonly deadAfterMs?: number
  readonly expected: 'dead' | 'alive'
}

/** Longer than the relay takes for an application that is up, and than the sweep that follows a realm-wide logout. */
const GIVE_UP_MS = 30_000
/** By then all that the event has ended is dead, as the cells beside it show. */
const SETTLED_MS = 3000
/** Login times are whole seconds, and a login in the event's own second counts as from before it. */
const NEXT_SECOND_MS = 1100

export function asItShouldBe(cell: Cell): boolean {
  return cell.aliveBefore && cell.aliveAfter === (cell.expected === 'alive')
}

/**
 * Somebody new gets every kind of access, and the trigger fires.
 *
 * @param name of the new user
 */
export async function play(world: World, act: Act, name: string, kinds: readonly Kind[] = KINDS): Promise<Cell[]> {
  const person = await Person.create(world, name)
  const fire = await act.prepare(person)
  const prepared = performance.now()
  const made: { kind: Kind; access: Access; aliveBefore: boolean }[] = []
  for (const kind of kinds) {
    const access = await kind.make(person).catch((cause: unknown) => {
      throw new Error(`${act.trigger}: there is no ${kind.title}`, { cause })
    })
    made.push({ kind, access, aliveBefore: access.twinLived ?? false })
  }
  for (const one of made) {
    one.aliveBefore ||= one.access.twinLived === undefined && (await one.access.isAlive())
  }
  await world.setPolicy(act.policy ?? {})
  await delay(Math.max(NEXT_SECOND_MS, prepared + (act.afterMs ?? 0) - performance.now()))
  const began = performance.now()
  await fire()
  const cells = await Promise.all(
    made.map(async ({ kind, access, aliveBefore }): Promise<Cell> => {
      const expected = act.ends.includes(kind.endsWith) ? 'dead' : 'alive'
      const death = await (expected === 'dead' ? diesWithin(access, began) : livesOn(access))
      return {
        trigger: act.trigger,
        ...(act.how === undefined ? {} : { how: act.how }),
        access: kind.id,
        aliveBefore,
        aliveAfter: death === undefined,
        ...(death?.afterMs === undefined ? {} : { deadAfterMs: Math.round(death.afterMs) }),
        expected,
      }
    }),
  )
  await world.setPolicy({})
  return cells
}

interface Death {
  /** From the act until it was first seen. Absent for what could be tried only once. */
  readonly afterMs?: number
}

async function diesWithin({ isAlive, twinLived }: Access, began: number): Promise<Death | undefined> {
  if (twinLived !== undefined) {
    // In the event's own second everything counts as old; what is old must be refused later too.
    await delay(NEXT_SECOND_MS)
    return (await isAlive()) ? undefined : {}
  }
  while (performance.now() - began < GIVE_UP_MS) {
    if (!(await isAlive())) {
      return { afterMs: performance.now() - began }
    }
    await delay(10)
  }
  return undefined
}

/** What must live is asked when it has had the time to die. */
async function livesOn({ isAlive }: Access): Promise<Death | undefined> {
  await delay(SETTLED_MS)
  return (await isAlive()) ? undefined : {}
}
