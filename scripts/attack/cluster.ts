import { decodeJwt } from 'jose'
import type { Node } from '../stage/nodes.ts'
import { until } from '../stage/process.ts'
import type { Described } from './attack.ts'
import { Intruder } from './cluster-intruder.ts'
import { resetTwiceAtOnce } from './cluster-resets.ts'
import { EVERY_SIGHT } from './cluster-sights.ts'
import { toldOnce } from './cluster-told.ts'
import { type Cluster, GUARDED, SECRET } from './cluster-world.ts'

/** One try at an attack, with a user of its own. */
export interface Try {
  readonly cluster: Cluster
  readonly realm: string
  /** For the names of its users. */
  readonly name: string
  /** Counts the tries from 0. */
  readonly n: number
  /** Tells what was measured. */
  readonly note: (what: string) => void
}

/** What came of a try. */
export interface Seen {
  /** What lives on. */
  readonly lives: readonly string[]
  /** What else is not as it should be: who cannot go on who may, what fails. */
  readonly wrong: readonly string[]
}

/** An attack on two nodes. They are played in the order of the list: the last leaves the nodes apart. */
export interface ClusterAttack extends Described {
  readonly times: number
  /** How often it is tried in the short form, which is a part of `npm test`; absent where the attack has no place in it. */
  readonly quick?: number
  /** Puts clocks and network as they are to be, once before all tries. */
  readonly arrange?: (cluster: Cluster) => Promise<void>
  /** Throws where it cannot be carried out. */
  readonly run: (one: Try) => Promise<Seen>
}

/** Whatever one can hold, for the control: in a stock realm a reset ends none of these. */
const EVERYTHING = [
  ...EVERY_SIGHT,
  ...['A', 'B'].flatMap((node) => [
    `a code at ${node}`,
    `a login under way at ${node}`,
    `a mailed link at ${node}`,
    `an approval at ${node}`,
  ]),
]
/** The same where nodes do not hear of each other, or one goes: what is under way may then fail by itself. */
const SESSIONS_AND_OLD_PASSWORD = [...EVERY_SIGHT, 'the old password at B']
const IN_USE =
  'logs in at both nodes, up to the moment of the reset, keeps refreshing at the one and the other, keeps trying the old password, and has a code, a login at the consent page, a mailed link and an approval (CIBA) under way at both'

/** The administrator takes node A and node B in turn. */
function resetInUse(one: Try): Promise<Seen> {
  const { cluster, realm, n } = one
  const { admin } = (n % 2 ? cluster.nodes.b : cluster.nodes.a).keycloak
  return Intruder.during(one, async (intruder) => {
    const { status, text } = await intruder.reset((user, password) => admin.resetPassword(realm, user, password))
    if (status !== 204) {
      throw new Error(`The reset: ${status} ${text}`)
    }
  })
}

/** The node that carries out the reset halts when the database has committed, and is started again a few seconds later. */
function haltAtCommit(one: Try): Promise<Seen> {
  const { cluster, realm, n } = one
  const { nodes } = cluster
  const node = n % 2 ? nodes.b : nodes.a
  return Intruder.during(one, async (intruder) => {
    const putBack = await intruder.reset((user, password) =>
      cluster.halting(node, realm, () => node.keycloak.admin.resetPassword(realm, user, password)),
    )
    await putBack()
    await nodes.restart(node)
    await nodes.seeEachOther(true)
    await intruder.goOn()
  })
}

/** Keycloak's nodes notice after forty seconds or so. Until then whatever waits for the other node waits in vain. */
async function resetInSilence(one: Try): Promise<Seen> {
  const { cluster, realm, note } = one
  const { nodes } = cluster
  try {
    return await Intruder.during(one, async (intruder) => {
      const { status } = await intruder.reset((user, password) => {
        nodes.wire.silence()
        return nodes.a.keycloak.admin.resetPassword(realm, user, password)
      })
      note(`the reset was answered ${status}`)
      await nodes.seeEachOther(false)
      note('the nodes have noticed')
      await intruder.goOn()
    })
  } finally {
    nodes.wire.join()
    await nodes.seeEachOther(true)
  }
}

const clocks =
  (a: number, b: number) =>
  async ({ nodes }: Cluster) => {
    await setClock(nodes.a, a)
    await setClock(nodes.b, b)
    await nodes.seeEachOther(true)
  }

/** Clocks that have been wrong for a while: the nodes have told each other. */
const clocksApart = (a: number, b: number) => async (cluster: Cluster) => {
  await clocks(a, b)(cluster)
  const sinceMs = Date.now()
  const told = (seconds: number) =>
    cluster.postgres.psql(`select count(*) from logout_relay_node
      where seen_ms > ${sinceMs} and abs(ahead_ms - ${seconds * 1000}) < 500`) !== '0'
  await until('each node has told how its clock goes', () => told(a) && told(b), { everyMs: 500 })
}

/** And sees by the age of a token that the node goes by it. */
async function setClock(node: Node, seconds: number): Promise<void> {
  node.shiftClock(seconds)
  const second = () => Math.floor(Date.now() / 1000) + seconds
  const from = second()
  const { iat = 0 } = decodeJwt(await node.tokens(GUARDED).serviceAccount('reader', SECRET))
  if (iat < from || iat > second()) {
    throw new Error(`Node ${node.name} says that it is ${iat - from} s later than it was told`)
  }
}

const apart = (seconds: number, a: number, b: number) => ({
  id: `clocks-${seconds}-s-apart`,
  family: 'cluster',
  title: `Two nodes whose clocks are ${seconds} s apart, and neither is the database's: nothing from before a reset lives at either, and the new password works at both`,
  tries: IN_USE,
  loot: EVERYTHING,
  times: 4,
  arrange: clocksApart(a, b),
  run: resetInUse,
})

export const clusterAttacks: readonly ClusterAttack[] = [
  { ...apart(3, -1, 2), quick: 2 },
  apart(60, -20, 40),
  {
    id: 'two-resets-at-once',
    family: 'cluster',
    title: 'Two resets of one user at the same moment at two nodes: neither fails, one password works at both nodes',
    tries: 'makes use of two administrators who reset at once',
    loot: [],
    times: 10,
    quick: 4,
    noControl: 'a stock realm answers both, and ends nothing',
    arrange: clocks(0, 0),
    run: resetTwiceAtOnce,
  },
  {
    id: 'told-once',
    family: 'cluster',
    title: 'What both nodes find after an event is told once',
    tries: 'nothing: the timers of both nodes fall due together',
    loot: [],
    times: 1,
    quick: 1,
    noControl: 'a stock realm tells nobody',
    run: toldOnce,
  },
  {
    id: 'node-halted-after-the-commit',
    family: 'cluster',
    title:
      'A node halts right after the commit of a reset: the other refuses the old password within a second and takes the new one',
    tries: IN_USE,
    loot: SESSIONS_AND_OLD_PASSWORD,
    times: 2,
    quick: 1,
    run: haltAtCommit,
  },
  {
    id: 'network-silent',
    family: 'cluster',
    title: 'The network between the caches goes silent just before a reset, and no node has noticed: the same',
    tries: IN_USE,
    loot: SESSIONS_AND_OLD_PASSWORD,
    times: 1,
    run: resetInSilence,
  },
  {
    id: 'network-cut',
    family: 'cluster',
    title: 'The network between the caches is cut, and each node takes itself for the only one: the same',
    tries: IN_USE,
    loot: SESSIONS_AND_OLD_PASSWORD,
    times: 4,
    quick: 2,
    arrange: async ({ nodes }) => {
      nodes.wire.cut()
      await nodes.seeEachOther(false)
    },
    run: resetInUse,
  },
]
