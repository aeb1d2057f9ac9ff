import { type ClusterAttack, clusterAttacks } from './cluster.ts'
import { type Cluster, GUARDED, startCluster, STOCK } from './cluster-world.ts'
import type { Result, Tries } from './play.ts'

/** Plays the attacks on two nodes of this version: in the guarded realm, and once in the stock one that is the control. */
export async function playCluster(
  version: string,
  progress: (what: string) => void,
  { attacks = clusterAttacks, quick = false }: { attacks?: readonly ClusterAttack[]; quick?: boolean } = {},
): Promise<Result[]> {
  progress(`Starting two nodes of Keycloak ${version} (a minute or so)`)
  const cluster = await startCluster(version)
  try {
    const results: Result[] = []
    for (const attack of attacks) {
      const { id, times, quick: quickTimes = times, noControl, arrange } = attack
      await arrange?.(cluster)
      const guarded = await tryOn(cluster, attack, GUARDED, quick ? quickTimes : times, progress)
      const stock = noControl === undefined ? await tryOn(cluster, attack, STOCK, 1, progress) : undefined
      results.push({ id, guarded, ...(stock && { stock }) })
    }
    return results
  } finally {
    await cluster.stop()
  }
}

/** Tries the attack that often in this realm, one after the other: each is as much as the machine can do. */
export async function tryOn(
  cluster: Cluster,
  { id, run }: ClusterAttack,
  realm: string,
  tries: number,
  progress: (what: string) => void = () => undefined,
): Promise<Tries> {
  const survivors: (readonly string[])[] = []
  const failures: string[] = []
  for (let n = 0; n < tries; n++) {
    const head = `${id}, ${realm} ${n + 1} of ${tries}`
    try {
      const note = (text: string) => progress(`      ${text}`)
      const { lives, wrong } = await run({ cluster, realm, name: `${realm}-${id}-${n}`, n, note })
      // In a stock realm who may go on often cannot, which is what some attacks show.
      failures.push(...(realm === STOCK ? [] : wrong))
      survivors.push(...(lives.length > 0 ? [lives] : []))
      progress(
        `${head}: ${[...wrong, lives.length > 0 ? `alive: ${lives.join(', ')}` : 'nothing lives on'].join('; ')}`,
      )
    } catch (cause) {
      const failure = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
      failures.push(failure)
      progress(`${head}: ${failure}`)
    }
  }
  return { tries, survivors, failures }
}
