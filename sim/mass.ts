import { Chance } from './chance.ts'
import { VirtualTime } from './clock.ts'
import { SimulatedIdp, type World } from './idp.ts'
import { Invariants } from './invariants.ts'
import { SimulatedRelay } from './relay.ts'
import { SimulatedRelyingParty } from './relying-parties.ts'
import type { Hands } from './sabotage.ts'
import { Disk } from './disk.ts'

const WITHIN_MS = 600_000
/** What comes after may wait for one attempt that is under way, and for the one that is started before it. */
const FAIR = 3
const FIRST = 2
const BEHIND = 40

interface Crowd {
  readonly relyingParties: number
  readonly events: number
  readonly sessions: number
}

/**
 * The same two resets twice, once with a mass reset before them, in one event or in hundreds: an ordinary one must not wait
 * for its end, and that of a privileged subject for hardly anything.
 */
export async function massResetDelaysNobody(seed: number, hands: () => Hands, invariants: Invariants): Promise<void> {
  const chance = new Chance(seed)
  const relyingParties = chance.int(1, 3)
  const isOne = chance.hit(0.5)
  const crowd: Crowd = { relyingParties, events: isOne ? 1 : 150, sessions: isOne ? 150 : 1 }
  const alone = await msOfTwoResets(seed, { ...crowd, events: 0 }, hands)
  const beside = await msOfTwoResets(seed, crowd, hands)
  const what = `${crowd.events} events with ${crowd.sessions} sessions at each of ${relyingParties}`
  if (beside.ordinary > alone.ordinary * FAIR) {
    invariants.fail('fair', `Beside ${what} a reset took ${beside.ordinary} ms in place of ${alone.ordinary} ms`)
  }
  if (beside.privileged > alone.privileged * FIRST) {
    invariants.fail('priority', `Beside ${what} a privileged one took ${beside.privileged}, not ${alone.privileged} ms`)
  }
}

async function msOfTwoResets(
  seed: number,
  { relyingParties, events, sessions }: Crowd,
  hands: () => Hands,
): Promise<{ ordinary: number; privileged: number }> {
  const time = new VirtualTime(0)
  const world: World = {
    time,
    chance: new Chance(seed),
    invariants: new Invariants(),
    faults: false,
    tell: () => undefined,
  }
  const clients = Array.from({ length: relyingParties }, (_, n) => `rp-${n}`)
  const parties = new Map(clients.map((id) => [id, new SimulatedRelyingParty(world, id, ['well'], true)]))
  const disk = new Disk()
  const idp: SimulatedIdp = new SimulatedIdp(world, clients, (event) => relay.push(event))
  const relay = new SimulatedRelay({ world, disk, idp, relyingParties: parties, hands: hands() }, 'relay', true)
  for (let n = 0; n < events; n++) {
    idp.resetOf(clients.flatMap((client) => Array<string>(sessions).fill(client)))
  }
  await time.run(200)
  const beganMs = time.nowMs
  const privileged = idp.resetOf(clients, true)
  // Nor is it served first only because it came last.
  for (let n = 0; n < Math.min(events, 1) * BEHIND; n++) {
    idp.resetOf(clients)
  }
  const ordinary = idp.resetOf(clients)
  const doneMs = (txn: string) => {
    const rows = [...disk.durable.deliveries.values()].filter(({ containmentId }) => containmentId === txn)
    const ended = rows.flatMap(({ endedMs }) => endedMs ?? [])
    return rows.length > 0 && ended.length === rows.length ? Math.max(...ended) - beganMs : undefined
  }
  await time.run(WITHIN_MS, () => doneMs(ordinary) !== undefined && doneMs(privileged) !== undefined)
  relay.process.kill()
  return { ordinary: doneMs(ordinary) ?? WITHIN_MS, privileged: doneMs(privileged) ?? WITHIN_MS }
}
