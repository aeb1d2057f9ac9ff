import { figure, type Line } from './stats.ts'

/** The realm with the extension and the one without, in the same server. */
export type Twins<T> = Readonly<Record<'demo' | 'stock', T>>

/**
 * What the extension adds to an act: the act in both realms, one after the other, each time the other one first, so that the
 * noise of the machine is in both.
 *
 * @param warmUp how often first, uncounted
 * @param atMost the goal for what is added, in milliseconds, for the median
 */
export async function addedTo(
  what: string,
  { rounds, warmUp, atMost }: { readonly rounds: number; readonly warmUp: number; readonly atMost: number },
  act: Twins<() => Promise<unknown>>,
): Promise<Line[]> {
  const times: Twins<number[]> = { demo: [], stock: [] }
  for (let round = -warmUp; round < rounds; round++) {
    for (const realm of round % 2 === 0 ? (['demo', 'stock'] as const) : (['stock', 'demo'] as const)) {
      const began = performance.now()
      await act[realm]()
      if (round >= 0) {
        times[realm].push(performance.now() - began)
      }
    }
  }
  const added = times.demo.map((ms, n) => ms - (times.stock[n] ?? Number.NaN))
  const bare = what.replace(/^a /, '')
  return [
    { what: `${bare}, stock`, unit: 'ms', figure: figure(times.stock) },
    { what: `${bare}, with the extension`, unit: 'ms', figure: figure(times.demo) },
    { what: `added to ${what}`, unit: 'ms', figure: figure(added), goal: ['median', 'at most', atMost] },
  ]
}
