import { expect, onTestFinished, test } from 'vitest'
import { dropPast, type RetentionPorts } from '../../relay/run/retention.ts'
import type { Past, Pruned } from '../../relay/store/port.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { DAY_MS, ISSUER, NOW_MS } from './given.ts'

const NOTHING: Pruned = { watermarks: 0, containments: 0, deliveries: 0, evidence: 0, changes: 0 }

/** @param rows of evidence that are past; `answer` may stand in for the store's */
function given(rows: number, answer?: (call: number) => Promise<Pruned>) {
  const clock = new FakeClock(NOW_MS)
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  const asked: Past[] = []
  const dropped: Pruned[] = []
  let leader = true
  let left = rows
  const prune = (past: Past): Promise<Pruned> => {
    asked.push(past)
    const evidence = Math.min(left, past.limit)
    left -= evidence
    return answer?.(asked.length) ?? Promise.resolve({ ...NOTHING, evidence })
  }
  const forgotten: number[] = []
  const forgetSubjects = (beforeMs: number, limit: number): Promise<number> => {
    forgotten.push(beforeMs)
    return Promise.resolve(forgotten.length === 1 ? limit : 0)
  }
  const ports = { store: { prune, forgetSubjects }, clock, leads: () => leader, retentionDays: 400, fed: [ISSUER] }
  const run = (more: Partial<RetentionPorts> = {}) =>
    dropPast({ ...ports, dropped: (pruned) => dropped.push(pruned), ...more }, stop.signal)
  return { forgotten, clock, stop, asked, dropped, run, resign: () => (leader = false) }
}

test('the store is asked for what ended before the retention, and a quiet store is left alone until the next time', async () => {
  const { asked, dropped, run } = given(0)
  await run()
  expect(asked).toMatchObject([{ nowMs: NOW_MS, endedBeforeMs: NOW_MS - 400 * DAY_MS, fed: [ISSUER] }])
  expect(dropped).toEqual([])
})

test('a backlog goes a few rows at a time with a pause after each, and is told once as a whole', async () => {
  const { clock, asked, dropped, run } = given(500)
  const done = run()
  await settle()
  expect(asked).toHaveLength(1)
  expect(asked[0]?.limit).toBeLessThanOrEqual(200)
  await clock.advance(60_000)
  await done
  expect(asked).toHaveLength(3)
  expect(new Set(asked.map(({ nowMs }) => nowMs)).size).toBe(3)
  expect(dropped).toEqual([{ ...NOTHING, evidence: 500 }])
})

test('who leads no longer drops nothing more, nor does one that is asked to stop', async () => {
  for (const end of ['resign', 'stop'] as const) {
    const { clock, stop, asked, dropped, run, resign } = given(100_000)
    const done = run()
    await settle()
    if (end === 'resign') {
      resign()
    } else {
      stop.abort()
    }
    await clock.advance(60_000)
    await done
    expect(asked).toHaveLength(1)
    expect(dropped).toHaveLength(1)
  }
  const other = given(1)
  other.resign()
  await other.run()
  expect(other.asked).toEqual([])
})

test('what was dropped before the store failed is told all the same', async () => {
  const { clock, dropped, run } = given(0, (call) =>
    call === 1 ? Promise.resolve({ ...NOTHING, deliveries: 200 }) : Promise.reject(new Error('the disk is full')),
  )
  const done = run()
  const failed = expect(done).rejects.toThrow('the disk is full')
  await clock.advance(60_000)
  await failed
  expect(dropped).toEqual([{ ...NOTHING, deliveries: 200 }])
})

test('whose account it was goes by a time of its own, a few at a time, or with all else where none is set', async () => {
  const { clock, forgotten, run } = given(0)
  await run()
  expect(forgotten).toEqual([])
  const done = run({ subjectDays: 30 })
  await settle()
  await clock.advance(60_000)
  await done
  expect(forgotten.map((beforeMs) => beforeMs - (NOW_MS - 30 * DAY_MS))).toEqual([0, 200])
})
