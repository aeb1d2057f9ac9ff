import { expect, test } from 'vitest'
import { gapFiller } from '../../relay/ingest/gap.ts'

function given() {
  let nowMs = 0
  const stopping = new AbortController()
  const world = {
    gap: { id: 'gap-1', sinceMs: 1000 } as { id: string; sinceMs: number } | undefined,
    mayRead: true,
    reads: [] as number[],
    noticed: 0,
    closed: [] as string[],
    stopping,
    pass: (ms: number) => (nowMs += ms),
  }
  const look = gapFiller({
    gap: () => world.gap,
    closeGap: ({ id }) => {
      world.closed.push(id)
      world.gap = undefined
      return Promise.resolve()
    },
    mayRead: () => world.mayRead,
    read: (sinceMs) => {
      world.reads.push(sinceMs)
      return Promise.resolve()
    },
    noticed: () => world.noticed++,
    trouble: () => undefined,
    clock: { monotonicMs: () => nowMs },
    stopping: stopping.signal,
  })
  return { ...world, world, look }
}

test('a gap is read at once, and closed only after a second reading ten seconds later', async () => {
  const { world, look, pass } = given()
  await look()
  await look()
  expect([world.reads, world.closed, world.noticed]).toEqual([[1000], [], 1])
  pass(9_999)
  await look()
  expect(world.reads).toHaveLength(1)
  pass(1)
  await look()
  expect([world.reads, world.closed, world.noticed]).toEqual([[1000, 1000], ['gap-1'], 1])
})

test('another gap that opens meanwhile is read twice as well', async () => {
  const { world, look, pass } = given()
  await look()
  world.gap = { id: 'gap-2', sinceMs: 500 }
  pass(20_000)
  await look()
  expect([world.reads, world.closed]).toEqual([[1000, 500], []])
  pass(10_000)
  await look()
  expect(world.closed).toEqual(['gap-2'])
})

test('a process that may not read waits, and one that is stopping closes nothing', async () => {
  const { world, look, pass } = given()
  world.mayRead = false
  await look()
  expect([world.reads, world.noticed]).toEqual([[], 0])
  world.mayRead = true
  await look()
  pass(10_000)
  world.stopping.abort()
  await look()
  expect(world.closed).toEqual([])
})
