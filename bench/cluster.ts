import { join } from 'node:path'
import { World } from '../chaos/world.ts'
import { startRedis } from '../scripts/stage/redis.ts'
import { figure, type Line, type Size } from './stats.ts'

const MOST_ROUNDS = 5
const EVENTS = 250

/**
 * Real relay processes, from the first of 250 pushed events to the last end that is reported: two relays beside one on the
 * same Redis with relying parties of 50 ms, and one on Redis with `appendfsync always` beside one on SQLite with instant
 * ones, in turn.
 */
export async function cluster({ rounds }: Size): Promise<Line[]> {
  const redis = await startRedis()
  const onRedis = () => ({ redis: { nodes: [`127.0.0.1:${redis.port}`] } })
  const onSqlite = (dir: string) => ({ sqlite: join(dir, 'relay.db') })
  const figures = { one: [] as number[], two: [] as number[], sqlite: [] as number[], redis: [] as number[] }
  try {
    for (let round = 0; round < Math.min(rounds, MOST_ROUNDS); round++) {
      const on = async (store: (dir: string) => object, relays: number, ms: number) => {
        await redis.ask('FLUSHALL')
        return perSecond(store, relays, ms)
      }
      figures.one.push(await on(onRedis, 1, 50))
      figures.two.push(await on(onRedis, 2, 50))
      figures.sqlite.push(await on(onSqlite, 1, 0))
      figures.redis.push(await on(onRedis, 1, 0))
    }
  } finally {
    await redis.stop()
  }
  const ratio = (a: readonly number[], b: readonly number[]) =>
    figure(a.map((value, n) => value / (b[n] ?? Number.NaN)))
  return [
    { what: 'one relay on Redis, RPs of 50 ms', unit: 'per second', figure: figure(figures.one) },
    { what: 'two relays on Redis, RPs of 50 ms', unit: 'per second', figure: figure(figures.two) },
    {
      what: 'two beside one',
      unit: 'ratio',
      figure: ratio(figures.two, figures.one),
      goal: ['median', 'at least', 1.7],
    },
    { what: 'one relay on SQLite, instant RPs', unit: 'per second', figure: figure(figures.sqlite) },
    { what: 'one relay on Redis, appendfsync always', unit: 'per second', figure: figure(figures.redis) },
    {
      what: 'Redis beside SQLite',
      unit: 'ratio',
      figure: ratio(figures.redis, figures.sqlite),
      goal: ['median', 'at least', 0.7],
    },
  ]
}

/** Deliveries in a second, with a world of its own that has been warmed up. */
async function perSecond(store: (dir: string) => object, relays: number, answerMs: number): Promise<number> {
  const world = await World.start(1, store, relays)
  try {
    world.ledger.answerMs = answerMs
    for (let n = 0; n < relays; n++) {
      world.spawn(n)
    }
    await world.untilUp()
    await Promise.all(Array.from({ length: 20 }, () => world.reset()))
    await world.untilDone()
    const before = world.idp.answers.size
    const began = performance.now()
    await Promise.all(Array.from({ length: EVENTS }, () => world.reset()))
    await world.untilDone()
    return ((world.idp.answers.size - before) * 1000) / (performance.now() - began)
  } finally {
    await world.stop()
  }
}
