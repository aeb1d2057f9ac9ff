import { join } from 'node:path'
import { World } from '../chaos/world.ts'
import { figure, type Line, type Size } from './stats.ts'

const MOST_ROUNDS = 10

/** A real relay process is killed with work under way; from its next start to the first logout token that arrives. */
export async function resume({ rounds }: Size): Promise<Line[]> {
  const world = await World.start(1, (dir) => ({ sqlite: join(dir, 'relay.db') }))
  const times: number[] = []
  try {
    let relay = world.spawn()
    await world.untilUp()
    for (let round = -1; round < Math.min(rounds, MOST_ROUNDS); round++) {
      world.ledger.delayMs = 500
      await Promise.all(Array.from({ length: 50 }, () => world.reset()))
      await world.ledger.told()
      await relay.kill9()
      const began = performance.now()
      const told = world.ledger.told()
      relay = world.spawn()
      await told
      if (round >= 0) {
        times.push(performance.now() - began)
      }
      world.ledger.delayMs = 0
      await world.untilDone()
    }
  } finally {
    await world.stop()
  }
  return [
    {
      what: 'after kill -9, from the start to the first logout token',
      unit: 'ms',
      figure: figure(times),
      goal: ['median', 'at most', 2000],
    },
  ]
}
