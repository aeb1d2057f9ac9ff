import { Chance } from './chance.ts'
import { VirtualTime } from './clock.ts'
import { SimulatedIdp, type World } from './idp.ts'
import { Invariants } from './invariants.ts'
import { SimulatedRedis } from './redis.ts'
import { SimulatedRelay, SKEW_MS } from './relay.ts'
import { SimulatedRelyingParty } from './relying-parties.ts'
import type { Hands } from './sabotage.ts'

const START_MS = 1_790_000_000_000
const MINUTE = 60_000
const CALM_MS = 30 * MINUTE

/** Several relays on a Redis that loses what came last: what was acknowledged is there, or is read from the outbox again. */
export async function failoversLoseNothing(
  seed: number,
  hands: () => Hands,
  invariants: Invariants,
  trace?: (line: string) => void,
): Promise<number> {
  const chance = new Chance(seed)
  const time = new VirtualTime(START_MS)
  const mine = new Invariants()
  const tell = (what: string) => trace?.(`redis ${((time.nowMs - START_MS) / 1000).toFixed(3).padStart(10)} s  ${what}`)
  const world: World = { time, chance, invariants: mine, faults: true, tell }
  const redis = new SimulatedRedis(world)
  const clients = Array.from({ length: chance.int(1, 3) }, (_, n) => `rp-${n + 1}`)
  const relyingParties = new Map(clients.map((id) => [id, new SimulatedRelyingParty(world, id)]))
  const relays: SimulatedRelay[] = []
  const alive = () => relays.filter(({ process }) => !process.gone)
  const idp: SimulatedIdp = new SimulatedIdp(world, clients, (event) => {
    const all = alive()
    return all.length === 0 ? Promise.resolve(false) : chance.pick(all).push(event)
  })
  const given = hands()
  const boot = () =>
    relays.push(
      new SimulatedRelay(
        { world, disk: redis, idp, relyingParties, hands: given },
        `relay ${relays.length + 1}`,
        false,
      ),
    )
  let failovers = 0
  const failed = () => mine.violation !== undefined
  const look = () => {
    if (redis.isMet) {
      mine.look(redis.master.disk.seen, idp.outbox.values(), time.nowMs, SKEW_MS)
    }
  }
  const kill = (downMs: number) => {
    const all = alive().filter(({ process }) => process !== redis.apart)
    if (all.length > 0) {
      chance.pick(all).process.kill()
      tell('a relay is killed')
      time.after(downMs, boot)
    }
  }
  const failover = (cutOff: boolean) => {
    failovers++
    tell(`failover; the old master is ${cutOff ? 'cut off' : 'dead'}`)
    redis.failover(cutOff)
    mine.failedOver(idp.outbox.values())
    // And what the old one has taken meanwhile.
    time.after(MINUTE / 6, () => mine.failedOver(idp.outbox.values()))
  }
  const reunite = () => {
    if (redis.apart) {
      tell('the old master and its relay are back')
      redis.reunite()
      mine.failedOver(idp.outbox.values())
    }
  }
  const part = () => {
    const all = alive()
    if (all.length > 1 && !redis.apart) {
      failovers++
      tell('the master is cut off with a relay, and takes what it is told')
      redis.cutOffWith(chance.pick(all).process)
      mine.failedOver(idp.outbox.values())
      time.after(chance.ms(1, 2 * MINUTE), reunite)
    }
  }
  const mishap = () => {
    const kind = chance.int(1, 22)
    if (kind <= 6) {
      idp.reset()
    } else if (kind <= 8) {
      idp.login(chance.int(1, 3))
    } else if (kind <= 10) {
      kill(chance.ms(1, MINUTE))
    } else if (kind <= 12 && alive().length > 0) {
      const { process } = chance.pick(alive())
      process.pause()
      time.after(chance.ms(1, 2 * MINUTE), () => process.resume())
    } else if (kind <= 15) {
      failover(false)
    } else if (kind === 16) {
      failover(true)
    } else if (kind === 17) {
      tell('FLUSHALL')
      redis.flushAll()
      mine.failedOver(idp.outbox.values())
    } else if (kind === 18) {
      idp.away(chance.ms(1000, 3 * MINUTE))
    } else if (kind <= 20) {
      tell('the replica is cut off')
      redis.replicaAway(chance.ms(1, MINUTE))
    } else {
      part()
    }
  }

  for (let n = chance.int(2, 3); n > 0; n--) {
    boot()
  }
  idp.login(chance.int(1, 6))
  const stormEndsMs = time.nowMs + chance.int(1, 6) * MINUTE
  while (time.nowMs < stormEndsMs && !failed()) {
    mishap()
    await time.run(chance.ms(1, MINUTE), failed)
    look()
  }
  world.faults = false
  tell('--- no more faults')
  idp.away(0)
  reunite()
  alive().forEach(({ process }) => process.resume())
  if (alive().length === 0) {
    boot()
  }
  const owed = () =>
    redis.isMet && redis.master.disk.seen.shared.gap === undefined
      ? mine.owed(redis.master.disk.seen, idp.outbox.values(), idp.answers)
      : 'the outbox is not read again yet'
  const calmEndsMs = time.nowMs + CALM_MS
  while (time.nowMs < calmEndsMs && !failed() && owed() !== undefined) {
    await time.run(10_000, failed)
    look()
  }
  const left = owed()
  if (left !== undefined) {
    mine.fail('G5', `${CALM_MS / MINUTE} minutes after the last fault ${left}`)
  }
  alive().forEach(({ process }) => process.kill())
  if (mine.violation) {
    invariants.fail(mine.violation.guarantee, `On Redis: ${mine.violation.says}`)
  }
  return failovers
}
