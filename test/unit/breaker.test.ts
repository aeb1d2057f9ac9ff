import { expect, test } from 'vitest'
import { after, type Breaker, HEALTHY, roomOf } from '../../relay/domain/breaker.ts'
import type { Answer } from '../../relay/domain/model.ts'

const NOW = 1_000_000
const answered = (status: number): Answer => ({ kind: 'response', status })
const failed = (times: number, breaker: Breaker = HEALTHY): Breaker =>
  times === 0 ? breaker : failed(times - 1, after(breaker, answered(503), NOW))

test('four failures in a row leave the lane its whole room', () => {
  expect(roomOf(failed(4), NOW, 4, 1)).toBe(3)
})

test('from the fifth on there is room for one probe, when it is time', () => {
  expect(roomOf(failed(5), NOW + 999, 4, 0)).toBe(0)
  expect(roomOf(failed(5), NOW + 1000, 4, 0)).toBe(1)
  expect(roomOf(failed(5), NOW + 1000, 4, 1)).toBe(0)
})

test('probes come at longer and longer intervals, at most 30 s', () => {
  expect([6, 7, 8, 9, 10, 11, 60].map((times) => (failed(times).probeMs ?? 0) - NOW)).toEqual([
    2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
  ])
})

test('one answer gives the lane its whole room back', () => {
  expect(roomOf(after(failed(20), answered(404), NOW), NOW, 4, 0)).toBe(4)
})

test.each<[Answer, boolean]>([
  [answered(200), false],
  [answered(400), false],
  [answered(404), false],
  [answered(429), true],
  [answered(500), true],
  [answered(503), true],
  [{ kind: 'failure', code: 'timeout' }, true],
  [{ kind: 'failure', code: 'connection_refused' }, true],
])('%j is trouble of the relying party: %s', (answer, trouble) => {
  expect(after(failed(4), answer, NOW).probeMs !== undefined).toBe(trouble)
})

test('an attempt of which nothing was sent says nothing of the lane', () => {
  for (const code of ['not_minted', 'address_not_allowed', 'http_not_allowed', 'bad_url'] as const) {
    expect(after(failed(5), { kind: 'failure', code }, NOW)).toEqual(failed(5))
    expect(after(HEALTHY, { kind: 'failure', code }, NOW)).toEqual(HEALTHY)
  }
})
