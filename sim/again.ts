import { Chance } from './chance.ts'
import { VirtualTime } from './clock.ts'
import { Disk } from './disk.ts'
import { SimulatedIdp, type World } from './idp.ts'
import { Invariants } from './invariants.ts'
import { SimulatedRelay } from './relay.ts'
import { SimulatedRelyingParty } from './relying-parties.ts'
import type { Hands } from './sabotage.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND

/** The same person is reset again while the tokens of the first reset are under way: an answer ends no later event's session. */
export async function laterOnesAreOwed(seed: number, hands: () => Hands, invariants: Invariants): Promise<void> {
  const chance = new Chance(seed)
  const time = new VirtualTime(0)
  const mine = new Invariants()
  const world: World = { time, chance, invariants: mine, faults: false, tell: () => undefined }
  const party = new SimulatedRelyingParty(world, 'rp', ['slow'], true)
  const disk = new Disk()
  const idp: SimulatedIdp = new SimulatedIdp(world, ['rp'], (event) => relay.push(event))
  const relyingParties = new Map([['rp', party]])
  const relay = new SimulatedRelay({ world, disk, idp, relyingParties, hands: hands() }, 'relay', true)
  idp.resetOf(Array<string>(4).fill('rp'))
  for (let again = 0; again < 4; again++) {
    await time.run(chance.int(1, 5 * SECOND))
    idp.resetAgain()
    mine.look(disk.durable, idp.outbox.values(), time.nowMs, 0)
  }
  party.cure()
  const isDone = () => [...disk.durable.deliveries.values()].every(({ state }) => state === 'delivered')
  await time.run(30 * MINUTE, () => isDone() && idp.answers.size === disk.durable.deliveries.size)
  mine.look(disk.durable, idp.outbox.values(), time.nowMs, 0)
  const left = mine.owed(disk.durable, idp.outbox.values(), idp.answers)
  if (mine.violation) {
    invariants.fail(mine.violation.guarantee, mine.violation.says)
  } else if (left !== undefined) {
    invariants.fail('G5', `After resets that followed each other ${left}`)
  }
  relay.process.kill()
}
