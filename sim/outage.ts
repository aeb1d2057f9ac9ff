import { Chance } from './chance.ts'
import { VirtualTime } from './clock.ts'
import { SimulatedIdp, type World } from './idp.ts'
import { Invariants } from './invariants.ts'
import { SimulatedRelay } from './relay.ts'
import { SimulatedRelyingParty } from './relying-parties.ts'
import type { Hands } from './sabotage.ts'
import { Disk } from './disk.ts'

const MINUTE = 60_000
const PROBE_MAX_MS = 30_000
/** Before the lane is only probed, and the probes that come closer together at first. */
const FIRST_ATTEMPTS = 20

/** A relying party is down with a backlog: it is asked now and then, and told everything soon after it is back. */
export async function outageIsSpared(seed: number, hands: () => Hands, invariants: Invariants): Promise<void> {
  const chance = new Chance(seed)
  const time = new VirtualTime(0)
  const world: World = { time, chance, invariants: new Invariants(), faults: false, tell: () => undefined }
  const party = new SimulatedRelyingParty(world, 'rp', [chance.pick(['refusing', 'hung'])], true)
  const disk = new Disk()
  const idp: SimulatedIdp = new SimulatedIdp(world, ['rp'], (event) => relay.push(event))
  const relyingParties = new Map([['rp', party]])
  const relay = new SimulatedRelay({ world, disk, idp, relyingParties, hands: hands() }, 'relay', true)
  idp.resetOf(Array<string>(chance.int(100, 300)).fill('rp'))
  for (let again = chance.int(0, 3); again > 0; again--) {
    time.after(chance.ms(1, MINUTE), () => idp.resetAgain())
  }
  const downMs = chance.int(5, 30) * MINUTE
  await time.run(downMs)
  const most = FIRST_ATTEMPTS + downMs / PROBE_MAX_MS
  if (party.attempts > most) {
    invariants.fail('lane', `One that was down for ${downMs / MINUTE} minutes was sent ${party.attempts} attempts`)
  }
  party.cure()
  const isDone = () => [...disk.durable.deliveries.values()].every(({ state }) => state === 'delivered')
  await time.run(PROBE_MAX_MS + MINUTE, isDone)
  if ([...disk.durable.deliveries.values()].some(({ state }) => state === 'expired')) {
    invariants.fail('G1', 'What was owed to one that was down has been given up before its end')
  } else if (!isDone()) {
    invariants.fail('lane', 'What was owed to one that was down is not delivered within a minute of the next probe')
  }
  const twice = party.confirmed.find((sid, at) => party.confirmed.indexOf(sid) < at)
  if (twice !== undefined) {
    invariants.fail('once', `The end of ${twice} was asked for again after it had been confirmed`)
  }
  relay.process.kill()
}
