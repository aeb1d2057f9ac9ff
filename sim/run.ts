import { laterOnesAreOwed } from './again.ts'
import { Chance } from './chance.ts'
import { VirtualTime } from './clock.ts'
import { SimulatedIdp, type World } from './idp.ts'
import { failoversLoseNothing } from './failover.ts'
import { hungOnesDelayNobody } from './hung.ts'
import { Invariants, type Violation } from './invariants.ts'
import { massResetDelaysNobody } from './mass.ts'
import { outageIsSpared } from './outage.ts'
import { SimulatedRelay, SKEW_MS, type Surroundings } from './relay.ts'
import { SimulatedRelyingParty } from './relying-parties.ts'
import type { Hands } from './sabotage.ts'
import { Disk } from './disk.ts'

const START_MS = 1_790_000_000_000
const SECOND = 1000
const MINUTE = 60 * SECOND
/** Two of the longest retry intervals: what G5 allows. */
const CALM_MS = 30 * MINUTE

export interface Figures {
  events: number
  deliveries: number
  attempts: number
  crashes: number
  pauses: number
  powerLosses: number
  storesLost: number
  failovers: number
  virtualMs: number
}

export function noFigures(): Figures {
  return {
    ...{ events: 0, deliveries: 0, attempts: 0, crashes: 0, pauses: 0 },
    ...{ powerLosses: 0, storesLost: 0, failovers: 0, virtualMs: 0 },
  }
}

export interface Run {
  readonly seed: number
  readonly violation: Violation | undefined
  readonly figures: Figures
  readonly trace: readonly string[]
}

/** One world from one seed: events while everything goes wrong, then nothing goes wrong any more, then all must be done. */
export async function run(seed: number, hands: () => Hands = () => ({}), traced = false): Promise<Run> {
  const time = new VirtualTime(START_MS)
  const chance = new Chance(seed)
  const invariants = new Invariants()
  const trace: string[] = []
  const tell = traced
    ? (what: string) => void trace.push(`${((time.nowMs - START_MS) / SECOND).toFixed(3).padStart(10)} s  ${what}`)
    : () => undefined
  const skewMs = chance.int(-SKEW_MS / 2, SKEW_MS / 2)
  const world: World = { time, chance, invariants, faults: true, skewMs, tell }
  const clients = Array.from({ length: chance.int(1, 6) }, (_, n) => `rp-${n + 1}`)
  const relyingParties = new Map(clients.map((id) => [id, new SimulatedRelyingParty(world, id)]))
  const disk = new Disk()
  const relays = new Relays()
  const idp = new SimulatedIdp(world, clients, (event) => relays.any(chance)?.push(event) ?? Promise.resolve(false))
  const around: Surroundings = { world, disk, idp, relyingParties, hands: hands() }
  const figures = noFigures()
  const look = () => invariants.look(disk.durable, idp.outbox.values(), time.nowMs, SKEW_MS)
  const failed = () => invariants.violation !== undefined

  relays.boot(around)
  for (let n = chance.int(1, 4); n > 0; n--) {
    idp.login(chance.hit(0.1) ? chance.int(20, 120) : chance.int(0, 8))
  }
  const stormEndsMs = time.nowMs + chance.int(1, 40) * MINUTE
  while (time.nowMs < stormEndsMs && !failed()) {
    mishap()
    await time.run(Math.min(chance.ms(1, 3 * MINUTE), stormEndsMs - time.nowMs), failed)
    look()
  }
  world.faults = false
  tell('--- no more faults')
  idp.away(0)
  relays.settle(around)
  const owed = () => invariants.owed(disk.durable, idp.outbox.values(), idp.answers)
  const calmEndsMs = time.nowMs + CALM_MS
  while (time.nowMs < calmEndsMs && !failed() && owed() !== undefined) {
    await time.run(Math.min(10 * SECOND, calmEndsMs - time.nowMs), failed)
  }
  look()
  const left = owed()
  if (left !== undefined) {
    invariants.fail('G5', `${CALM_MS / MINUTE} minutes after the last fault ${left}`)
  }
  if (!failed()) {
    await hungOnesDelayNobody(seed, hands, invariants)
    await massResetDelaysNobody(seed, hands, invariants)
    await outageIsSpared(seed, hands, invariants)
    await laterOnesAreOwed(seed, hands, invariants)
    figures.failovers = await failoversLoseNothing(
      seed,
      hands,
      invariants,
      traced ? (line) => trace.push(line) : undefined,
    )
  }
  figures.events = idp.outbox.size
  figures.deliveries = disk.seen.deliveries.size
  figures.attempts = [...relyingParties.values()].reduce((sum, { attempts }) => sum + attempts, 0)
  figures.virtualMs = time.nowMs - START_MS
  return { seed, violation: invariants.violation, figures, trace }

  /** One thing happens: mostly somebody uses the system, else something breaks. */
  function mishap(): void {
    const kind = chance.int(1, 20)
    if (kind <= 5) {
      idp.reset()
    } else if (kind <= 8) {
      idp.login(chance.int(1, 4))
    } else if (kind <= 11) {
      figures.crashes += relays.crash(around, chance.ms(1, 2 * MINUTE)) ? 1 : 0
    } else if (kind <= 15) {
      figures.pauses += relays.pause(around, chance.ms(1, 15 * MINUTE)) ? 1 : 0
    } else if (kind <= 16) {
      relays.replace(around)
    } else if (kind <= 18) {
      idp.away(chance.ms(SECOND, 10 * MINUTE))
      tell('the identity provider is away')
    } else {
      relays.killAll()
      const isStoreLost = chance.hit(0.1)
      if (isStoreLost) {
        figures.storesLost++
        tell('the store is lost')
        invariants.storeLost(idp.outbox.values())
        disk.loseAll()
      } else {
        figures.powerLosses++
        tell('the power is lost')
        disk.losePower()
      }
      look()
      // Nobody puts a store back while what the old process has asked for is still on its way.
      time.after(chance.ms(isStoreLost ? MINUTE / 2 : 1, MINUTE), () => relays.boot(around))
    }
  }
}

/** At most one relay process works at a time; old ones that stood still may wake beside it, late, and stay for a while. */
class Relays {
  #current: SimulatedRelay | undefined
  #old: SimulatedRelay[] = []
  #number = 0

  any(chance: Chance): SimulatedRelay | undefined {
    const alive = [this.#current, ...this.#old]
      .filter((relay) => relay !== undefined)
      .filter((relay) => !relay.process.gone)
    return alive.length === 0 ? undefined : chance.pick(alive)
  }

  boot(around: Surroundings): void {
    if (this.#current === undefined || this.#current.process.gone) {
      // Some stores free the leases of a process that is gone, others let them run out.
      const freeLeases = around.world.chance.hit(0.5)
      this.#current = new SimulatedRelay(around, `relay ${++this.#number}`, freeLeases)
    }
  }

  crash(around: Surroundings, downMs: number): boolean {
    const relay = this.#current
    if (relay === undefined || relay.process.gone) {
      return false
    }
    relay.process.kill()
    around.world.tell(`relay ${this.#number}: killed`)
    around.world.time.after(downMs, () => this.boot(around))
    return true
  }

  pause(around: Surroundings, ms: number): boolean {
    const { time, chance, tell } = around.world
    const relay = this.#current
    if (relay === undefined || relay.process.gone || relay.process.paused) {
      return false
    }
    relay.process.pause()
    tell(`relay ${this.#number}: stands still for ${ms} ms`)
    const taken = chance.hit(0.6)
    if (taken) {
      this.#old.push(relay)
      this.#current = undefined
      time.after(chance.ms(1, ms), () => this.boot(around))
    }
    time.after(ms, () => {
      tell('one that stood still goes on')
      relay.process.resume()
      if (taken) {
        time.after(chance.ms(1, MINUTE), () => relay.process.kill())
      }
    })
    return true
  }

  /** An upgrade: the old one is asked to stop, the new one starts when it has. */
  replace(around: Surroundings): void {
    const relay = this.#current
    if (relay && !relay.process.gone && !relay.process.paused) {
      around.world.tell(`relay ${this.#number}: asked to stop`)
      void relay.stop().then(() => this.boot(around))
    }
  }

  killAll(): void {
    for (const relay of [this.#current, ...this.#old]) {
      relay?.process.kill()
    }
  }

  /** One process works, and no other is left. */
  settle(around: Surroundings): void {
    this.#old.forEach((relay) => relay.process.kill())
    this.#current?.process.resume()
    this.boot(around)
  }
}
