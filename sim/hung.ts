import { Chance } from './chance.ts'
import { VirtualTime } from './clock.ts'
import { SimulatedIdp, type World } from './idp.ts'
import { Invariants } from './invariants.ts'
import { SimulatedRelay } from './relay.ts'
import { SimulatedRelyingParty } from './relying-parties.ts'
import type { Hands } from './sabotage.ts'
import { Disk } from './disk.ts'

const WITHIN_MS = 3_600_000
const FACTOR = 1.2

/** G3: the same world twice, a tenth of the relying parties hung in one of them; the others must not notice. */
export async function hungOnesDelayNobody(seed: number, hands: () => Hands, invariants: Invariants): Promise<void> {
  const chance = new Chance(seed)
  const healthy = chance.int(5, 30)
  const hung = Math.ceil(healthy / 9)
  const sessions = chance.int(healthy, 8 * healthy)
  const withoutMs = await msUntilHealthyAreDone(seed, healthy, hung, sessions, 'well', hands)
  const withMs = await msUntilHealthyAreDone(seed, healthy, hung, sessions, 'hung', hands)
  if (withMs > withoutMs * FACTOR) {
    invariants.fail('G3', `With ${hung} hung, the other ${healthy} took ${withMs} ms in place of ${withoutMs} ms`)
  }
}

async function msUntilHealthyAreDone(
  seed: number,
  healthy: number,
  others: number,
  sessions: number,
  mood: 'well' | 'hung',
  hands: () => Hands,
): Promise<number> {
  const time = new VirtualTime(0)
  const world: World = {
    time,
    chance: new Chance(seed),
    invariants: new Invariants(),
    faults: false,
    tell: () => undefined,
  }
  const relyingParties = new Map(
    Array.from({ length: healthy + others }, (_, n) => {
      const clientId = n < healthy ? `healthy-${n}` : `other-${n}`
      return [clientId, new SimulatedRelyingParty(world, clientId, [n < healthy ? 'well' : mood], true)] as const
    }),
  )
  const disk = new Disk()
  const idp: SimulatedIdp = new SimulatedIdp(world, [...relyingParties.keys()], (event) => relay.push(event))
  const relay = new SimulatedRelay({ world, disk, idp, relyingParties, hands: hands() }, 'relay', true)
  idp.login(sessions)
  idp.reset()
  const done = () =>
    disk.durable.deliveries.size > 0 &&
    [...disk.durable.deliveries.values()].every(
      ({ clientId, state }) => state === 'delivered' || !clientId.startsWith('healthy'),
    )
  await time.run(WITHIN_MS, done)
  relay.process.kill()
  return time.nowMs
}
