import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClusterAttack, clusterAttacks } from '../../scripts/attack/cluster.ts'
import { tryOn } from '../../scripts/attack/cluster-play.ts'
import { type Cluster, GUARDED, startCluster, STOCK } from '../../scripts/attack/cluster-world.ts'

// The short form of the attacks on two nodes of `npm run attack`, in their order: the last leaves the nodes apart.

let cluster: Cluster
beforeAll(async () => {
  cluster = await startCluster()
}, 600_000)
afterAll(() => cluster.stop())

const SHORT = clusterAttacks.flatMap((attack) =>
  attack.quick === undefined ? [] : [[attack.title, attack.id, attack, attack.quick] as const],
)

describe('two nodes on one database', { timeout: 300_000 }, () => {
  test.each(SHORT)('%s (%s)', async (_title, _id, attack: ClusterAttack, tries) => {
    await attack.arrange?.(cluster)
    expect(await tryOn(cluster, attack, GUARDED, tries)).toMatchObject({ survivors: [], failures: [] })
  })

  test('with that cut, the other node of a stock realm takes the old password: the cut is one', async () => {
    const [, , cut] = SHORT.at(-1) ?? []
    const { survivors } = await tryOn(cluster, cut as ClusterAttack, STOCK, 1)
    expect(survivors.flat()).toEqual(expect.arrayContaining([...(cut?.loot ?? [])]))
  })
})
