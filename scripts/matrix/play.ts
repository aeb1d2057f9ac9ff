import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { KINDS } from './access.ts'
import type { Act } from './acts.ts'
import type { Access, Kind } from './kind.ts'
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
  /** Why it could not be tried on this version of Keycloak. */
  readonly absent?: string
  /** Why nobody came by it, which is wrong. */
  readonly failed?: string
}

/** Longer than the relay takes for an application that is up, and than the sweep that follows a realm-wide logout. */
const GIVE_UP_MS = 30_000
/** By then all that the event has ended is dead, as the cells beside it show. */
const SETTLED_MS = 3000
/** Login times are whole seconds, and a login in the event's own second counts as from before it. */
const NEXT_SECOND_MS = 1100

export function asItShouldBe(cell: Cell): boolean {
  return cell.absent !== undefined || (cell.aliveBefore && cell.aliveAfter === (cell.expected === 'alive'))
}

/**
 * Somebody new gets every kind of access, and the trigger fires.
 *
 * @param name of the new user
 */
export async function play(world: World, act: Act, name: string, kinds: readonly Kind[] = KINDS): Promise<Cell[]> {
  const ends: (() => Promise<unknown>)[] = []
  try {
    if (act.withoutListener) {
      await world.setListening(false)
    }
    await world.setRegistering(act.inDirectory === true)
    const person = await Person.register(world, name)
    await world.setRegistering(false)
    const fire = await act.prepare(person)
    const prepared = performance.now()
    const made: Made[] = []
    for (const kind of kinds) {
      made.push(await make(kind, person))
    }
    for (const one of made) {
      one.aliveBefore ||= one.access !== undefined && one.access.twinLived === undefined && (await one.access.isAlive())
    }
    await world.setPolicy(act.policy ?? {})
    await delay(Math.max(NEXT_SECOND_MS, prepared + (act.afterMs ?? 0) - performance.now()))
    for (const { access } of made) {
      ends.push(...(access?.meanwhile ? [await access.meanwhile()] : []))
    }
    const began = performance.now()
    await fire()
    const looks = new Map(made.filter(({ kind }) => !kind.askedLast).map((one) => [one, look(one, act, began)]))
    const others = Promise.all(looks.values())
    return await Promise.all(made.map((one) => looks.get(one) ?? others.then(() => look(one, act, began))))
  } finally {
    await Promise.all(ends.map((end) => end()))
    await world.setPolicy({})
    if (act.withoutListener) {
      await world.setListening(true)
    }
  }
}

interface Made {
  readonly kind: Kind
  readonly access?: Access
  /** Why there is none. */
  readonly why?: Pick<Cell, 'absent' | 'failed'>
  aliveBefore: boolean
}

async function make(kind: Kind, person: Person): Promise<Made> {
  const absent = kind.absent?.(person.world)
  if (absent !== undefined) {
    return { kind, why: { absent }, aliveBefore: false }
  }
  try {
    const access = await kind.make(person)
    return { kind, access, aliveBefore: access.twinLived ?? false }
  } catch (cause) {
    return { kind, why: { failed: inspect(cause) }, aliveBefore: false }
  }
}

async function look({ kind, why, access, aliveBefore }: Made, act: Act, began: number): Promise<Cell> {
  const expected = act.ends.includes(kind.endsWith) ? 'dead' : 'alive'
  const { trigger, how } = act
  const cell = { trigger, ...(how === undefined ? {} : { how }), access: kind.id, aliveBefore, expected } as const
  if (!access) {
    return { ...cell, ...why, aliveAfter: false }
  }
  const death = await (expected === 'dead' ? diesWithin(access, began) : livesOn(access))
  return {
    ...cell,
    aliveAfter: death === undefined,
    ...(death?.afterMs === undefined ? {} : { deadAfterMs: Math.round(death.afterMs) }),
  }
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
