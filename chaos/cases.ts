import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../scripts/stage/process.ts'
import type { Account } from './ledger.ts'
import { World } from './world.ts'

/** The lease of a claim (relay/flow/flow.ts) and a little. */
const PAST_THE_LEASE_MS = 31_500

export interface Result {
  readonly name: string
  /** What was seen, in words. */
  readonly says: string
  readonly account: Account
  /** What should not have been, beside what the account counts. */
  readonly wrong: readonly string[]
}

export interface CaseOptions {
  readonly seed: number
  /** The member `store` of relay.yaml, given a directory. */
  readonly store: (dir: string) => object
  /** How many relay processes there are room for; 1 unless it is given. */
  readonly relays?: number
}

type Play = (world: World) => Promise<{ says: string; wrong?: readonly string[] }>

/** Runs one case in a world of its own, to the end of everything owed. */
export async function play(name: string, { seed, store, relays }: CaseOptions, act: Play): Promise<Result> {
  const world = await World.start(seed, store, relays)
  try {
    // What is not done in time is lost as far as anybody can tell: the account says how much.
    const seen = await act(world)
      .then(async (result) => {
        await world.untilDone()
        return result
      })
      .catch((cause: unknown) => ({ says: 'broken off', wrong: [String(cause)] }))
    await Promise.all(world.relays.map((relay) => relay.stop()))
    return { name, says: seen.says, wrong: seen.wrong ?? [], account: world.ledger.account(world.idp) }
  } finally {
    await world.stop()
  }
}

/** kill -9 at random points of the work, of the start, and of the idle moments between, under load. */
export function kills(options: CaseOptions, count: number): Promise<Result> {
  return play('kill -9', options, async (world) => {
    const { chance, ledger, idp } = world
    ledger.delayMs = 60
    ledger.failing = 0.02
    const resumed: number[] = []
    await world.underLoad(async () => {
      for (let n = 0; n < count; n++) {
        const began = performance.now()
        const relay = world.spawn()
        if (chance.hit(0.1)) {
          await delay(chance.int(0, 1000))
        } else {
          await Promise.race([idp.asked(), delay(30_000, undefined, { ref: false })])
          const owes = world.owed() > 0
          await Promise.race([ledger.told(), delay(2000, undefined, { ref: false })])
          if (owes) {
            resumed.push(performance.now() - began)
          }
          await delay(chance.ms(0, 500))
        }
        await relay.kill9()
        if ((n + 1) % 50 === 0) {
          process.stderr.write(`· ${n + 1} of ${count} kills\n`)
        }
      }
    })
    ledger.failing = 0
    world.spawn()
    const median = Math.round(resumed.sort((a, b) => a - b)[resumed.length >> 1] ?? Number.NaN)
    return { says: `${count} kills; from a start to the first logout token ${median} ms in the median` }
  })
}

/** SIGSTOP in mid-delivery until every lease is over: what it had claimed is claimed again, and stale outcomes are refused. */
export function paused(options: CaseOptions): Promise<Result> {
  return play('SIGSTOP past the lease', options, async (world) => {
    world.ledger.delayMs = 200
    const relay = world.spawn()
    await world.untilUp()
    await Promise.all(Array.from({ length: 40 }, () => world.reset()))
    await world.ledger.told()
    const from = performance.now()
    relay.signal('SIGSTOP')
    const second = await world.refusal()
    const pushed = await Promise.race([world.reset(), delay(6000, 'no answer' as const, { ref: false })])
    await delay(PAST_THE_LEASE_MS - (performance.now() - from))
    relay.signal('SIGCONT')
    world.ledger.fault(from, performance.now() + 500)
    return {
      says: 'a second relay on its store was refused',
      wrong: [
        ...(second.status === 1 && second.says.includes('Another process uses the store') ? [] : [second.says]),
        ...(pushed === undefined ? [] : [`a push to a stopped relay was answered ${pushed}`]),
      ],
    }
  })
}

/** SIGTERM in mid-delivery: attempts under way are finished and recorded, so nothing is told twice. */
export function stopped(options: CaseOptions, times: number): Promise<Result> {
  return play('SIGTERM in mid-delivery', options, async (world) => {
    const { ledger } = world
    ledger.delayMs = 400
    const wrong: string[] = []
    let slowest = 0
    for (let n = 0; n < times; n++) {
      const relay = world.spawn()
      await world.untilUp()
      await Promise.all(Array.from({ length: 20 }, () => world.reset()))
      await ledger.told()
      const before = ledger.confirmedTwice()
      const began = performance.now()
      relay.signal('SIGTERM')
      await until('it has stopped', () => relay.exited(), { seconds: 20 })
      slowest = Math.max(slowest, performance.now() - began)
      world.spawn()
      await world.untilDone()
      const twice = ledger.confirmedTwice() - before
      if (twice > 0) {
        wrong.push(`${twice} sessions were told again after a graceful stop`)
      }
      await world.relay?.stop()
    }
    world.spawn()
    return { says: `${times} stops, the slowest took ${Math.round(slowest)} ms`, wrong }
  })
}
