import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../scripts/stage/process.ts'
import { type RedisGroup, startRedisGroup } from '../scripts/stage/redis.ts'
import { play, type Result } from './cases.ts'
import { duration } from '../relay/text.ts'
import type { World } from './world.ts'

const RELAYS = 3
/** A relay is dead after 7 s of silence (relay/store/redis/member.ts); this is beyond it. */
const PAST_THE_LEASE_MS = 10_000
/** What an event that was lost may take to be read again: a second pass follows the first after this time. */
const SECOND_PASS_MS = 12_000

type Act = (world: World, group: RedisGroup) => Promise<{ says: string; wrong?: readonly string[] }>

/** Every case of the store on Redis: three relays, a master with a replica and three Sentinels, all of them real. */
export async function* redis(seed: number, count: number, isShort: boolean): AsyncGenerator<Result> {
  const both = [onceAllIsCalm(failovers(1)), flushed]
  if (isShort) {
    yield await on('a failover that loses the last writes, FLUSHALL, a relay killed', seed, 0, [...both, relayKilled])
    return
  }
  yield await on('kill -9 of the master, its last writes lost', seed, 0, [failovers(Math.ceil(count / 2))])
  yield await on('kill -9 of the master, a replica waited for', seed + 1, 1, [failovers(Math.floor(count / 2))])
  yield await on('a paused master that comes back', seed, 0, [masterPaused])
  yield await on('a replica cut off', seed, 1, [replicaCutOff])
  yield await on('FLUSHALL', seed, 0, [flushed])
  yield await on('a relay killed', seed, 1, [relayKilled])
  yield await on('a relay paused past its lease', seed, 1, [relayPaused])
  yield await on('all relays killed', seed, 1, [allKilled])
}

async function on(name: string, seed: number, replicas: number, acts: readonly Act[]): Promise<Result> {
  const group = await startRedisGroup()
  const sentinels = group.sentinels.map((port) => `127.0.0.1:${port}`)
  const store = () => ({ redis: { sentinels, master: group.name, replicas } })
  try {
    return await play(name, { seed, store, relays: RELAYS }, async (world) => {
      for (let n = 0; n < RELAYS; n++) {
        world.spawn(n)
      }
      await world.untilUp()
      const seen = []
      for (const act of acts) {
        seen.push(await act(world, group))
      }
      // What was lost without a trace of it in the store shows itself as read again.
      const read = [...world.log().matchAll(/"taken":(\d+)/g)].reduce((sum, [, taken]) => sum + Number(taken), 0)
      return {
        says: `${seen.map(({ says }) => says).join('; ')}; ${read} events read again`,
        wrong: seen.flatMap(({ wrong = [] }) => wrong),
      }
    })
  } finally {
    await group.stop()
  }
}

/** The master dies under load while its replica stands still and is cut off, so that what came last is lost with it. */
function failovers(count: number): Act {
  return async (world, group) => {
    const { chance, ledger } = world
    ledger.delayMs = 60
    const took: number[] = []
    await world.underLoad(async () => {
      for (let n = 0; n < count; n++) {
        await Promise.race([ledger.told(), delay(2000, undefined, { ref: false })])
        await delay(chance.ms(0, 500))
        const fault = ledger.fault(performance.now(), Infinity)
        const [master, replica] = [await group.master(), await group.replica()]
        replica.signal('SIGSTOP')
        await master.ask('CLIENT', 'KILL', 'TYPE', 'replica')
        await delay(chance.int(20, 400))
        await master.kill9()
        replica.signal('SIGCONT')
        took.push(await group.untilPromoted(master))
        await group.revive(master)
        await world.untilUp()
        fault.toMs = performance.now() + SECOND_PASS_MS
      }
    })
    return { says: `${count} failovers, the slowest took ${duration(Math.max(...took))}` }
  }
}

/** So that the case behind does not lie in the second pass of this one. */
function onceAllIsCalm(act: Act): Act {
  return async (world, group) => {
    const seen = await act(world, group)
    await world.untilDone()
    return seen
  }
}

/** It is replaced while it stands still, comes back, and believes for a while that it is master. */
const masterPaused: Act = (world, group) =>
  world.underLoad(async () => {
    await world.ledger.told()
    const fault = world.ledger.fault(performance.now(), Infinity)
    const old = await group.master()
    old.signal('SIGSTOP')
    const took = await group.untilPromoted(old)
    await world.untilUp()
    old.signal('SIGCONT')
    await until('it knows', async () => /role:slave/.test(String(await old.ask('INFO'))), { seconds: 60 })
    fault.toMs = performance.now() + SECOND_PASS_MS
    return { says: `replaced in ${duration(took)}, then a replica` }
  })

/** Nothing is acknowledged that the replica does not have; deliveries go on. */
const replicaCutOff: Act = async (world, group) => {
  await many(world, 10)
  const replica = await group.replica()
  const from = performance.now()
  replica.signal('SIGSTOP')
  await delay(200)
  const statuses = await many(world, 10)
  replica.signal('SIGCONT')
  world.ledger.fault(from, performance.now() + 500)
  return {
    says: '10 pushes answered 503 meanwhile',
    wrong: statuses.filter((status) => status !== 503).map((status) => `a push was answered ${String(status)}`),
  }
}

const flushed: Act = async (world, group) => {
  world.ledger.delayMs = 60
  const fault = await world.underLoad(async () => {
    await world.ledger.told()
    const begun = world.ledger.fault(performance.now(), Infinity)
    await (await group.master()).ask('FLUSHALL')
    await delay(1500)
    return begun
  })
  fault.toMs = performance.now() + SECOND_PASS_MS
  await world.untilDone()
  return { says: 'emptied under load' }
}

/** Whoever it is: what it had claimed is another's within ten seconds. */
const relayKilled: Act = async (world) => {
  world.ledger.delayMs = 400
  await many(world, 30)
  await world.ledger.told()
  const from = performance.now()
  await Promise.all([world.relays[0]?.kill9(), many(world, 5)])
  await world.untilDone()
  const took = performance.now() - from
  world.ledger.fault(from, performance.now())
  return {
    says: `all it had claimed was done after ${duration(took)}`,
    wrong: took > 15_000 ? [`taking over took ${duration(took)}`] : [],
  }
}

const relayPaused: Act = async (world) => {
  world.ledger.delayMs = 200
  await many(world, 40)
  await world.ledger.told()
  const from = performance.now()
  world.relays[0]?.signal('SIGSTOP')
  await many(world, 10)
  await delay(PAST_THE_LEASE_MS)
  const before = world.owed()
  world.relays[0]?.signal('SIGCONT')
  world.ledger.fault(from, performance.now() + 1000)
  return { says: 'the others went on', wrong: before > 0 ? [`${before} sessions waited for the paused one`] : [] }
}

const allKilled: Act = async (world) => {
  world.ledger.delayMs = 200
  await many(world, 40)
  await world.ledger.told()
  const from = performance.now()
  await Promise.all(world.relays.map((relay) => relay.kill9()))
  await many(world, 5)
  for (let n = 0; n < RELAYS; n++) {
    world.spawn(n)
  }
  await world.untilUp()
  await world.untilDone()
  world.ledger.fault(from, performance.now())
  return { says: 'gone on from where they were' }
}

function many(world: World, count: number): Promise<(number | undefined)[]> {
  return Promise.all(Array.from({ length: count }, () => world.reset()))
}
