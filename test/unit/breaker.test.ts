import { expect, test } from 'vitest'
import { after, type Breaker, HEALTHY, placesOf, stateOf } from '../../relay/domain/breaker.ts'
import type { Answer } from '../../relay/domain/model.ts'

const NOW = 1_000_000
const PLACES = 4
const answered = (status: number, retryAfterMs?: number): Answer => ({
  kind: 'response',
  status,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
})
/** The lane after so many failures, each as soon as it could be. */
const failed = (times: number, breaker: Breaker = HEALTHY): Breaker =>
  times === 0 ? breaker : failed(times - 1, after(breaker, answered(503), Math.max(NOW, breaker.probeMs ?? 0), PLACES))
const ok = (breaker: Breaker, times = 1): Breaker =>
  times === 0 ? breaker : ok(after(breaker, answered(200), NOW, PLACES), times - 1)

test('four failures in a row leave the lane its whole room', () => {
  expect(placesOf(failed(4), NOW, PLACES, 1)).toBe(3)
  expect(stateOf(failed(4))).toBe('healthy')
})

test('an answer in between begins the count anew', () => {
  expect(failed(4, ok(failed(4)))).toEqual({ failures: 4 })
})

test('from the fifth on there is room for one probe, when it is time', () => {
  expect(placesOf(failed(5), NOW + 999, PLACES, 0)).toBe(0)
  expect(placesOf(failed(5), NOW + 1000, PLACES, 0)).toBe(1)
  expect(placesOf(failed(5), NOW + 1000, PLACES, 1)).toBe(0)
  expect(stateOf(failed(5))).toBe('probed')
})

test('probes come at longer and longer intervals, at most 30 s', () => {
  const intervals = [5, 6, 7, 8, 9, 10, 11, 60].map((times) => {
    const before = failed(times - 1).probeMs ?? NOW
    return (failed(times).probeMs ?? 0) - before
  })
  expect(intervals).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
})

test('failures of attempts that began before the lane was probed do not put the probe off', () => {
  expect(after(failed(5), answered(503), NOW + 500, PLACES)).toEqual(failed(5))
})

test('the first answer opens two places, each further one another, until the lane has all of them', () => {
  const broken = failed(20)
  const room = [1, 2, 3].map((answers) => placesOf(ok(broken, answers), NOW, PLACES, 0))
  expect(room).toEqual([2, 3, 4])
  expect([1, 2, 3].map((answers) => stateOf(ok(broken, answers)))).toEqual(['recovering', 'recovering', 'healthy'])
  expect(placesOf(after(broken, answered(404), NOW, PLACES), NOW, PLACES, 0)).toBe(2)
})

test('a lane with one place has it back at the first answer', () => {
  expect(after(failed(20), answered(200), NOW, 1)).toEqual(HEALTHY)
})

test('one failure while it recovers makes it probed again', () => {
  const again = failed(1, ok(failed(9)))
  expect(stateOf(again)).toBe('probed')
  expect(again.probeMs).toBe(NOW + 1000)
})

test('a failure with Retry-After makes the whole lane wait as long as it asks, at most 15 minutes', () => {
  expect(after(HEALTHY, answered(503, 60_000), NOW, PLACES)).toEqual({ failures: 1, probeMs: NOW + 60_000 })
  expect(after(HEALTHY, answered(429, 999_000_000), NOW, PLACES).probeMs).toBe(NOW + 900_000)
  expect(after(HEALTHY, answered(503, 0), NOW, PLACES)).toEqual({ failures: 1 })
  expect(after(failed(5), answered(503, 60_000), NOW + 500, PLACES).probeMs).toBe(NOW + 60_500)
  expect(after(HEALTHY, answered(200, 60_000), NOW, PLACES)).toEqual(HEALTHY)
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
  expect(after(failed(4), answer, NOW, PLACES).probeMs !== undefined).toBe(trouble)
})

test('an attempt of which nothing was sent says nothing of the lane', () => {
  for (const code of ['not_minted', 'address_not_allowed', 'http_not_allowed', 'bad_url'] as const) {
    expect(after(failed(5), { kind: 'failure', code }, NOW, PLACES)).toEqual(failed(5))
    expect(after(HEALTHY, { kind: 'failure', code }, NOW, PLACES)).toEqual(HEALTHY)
  }
})
