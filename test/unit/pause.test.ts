import { expect, test } from 'vitest'
import { Lanes } from '../../relay/flow/lanes.ts'
import { FakeClock } from './fake-clock.ts'
import { ISSUER, NOW_MS } from './given.ts'

test('a relying party that is paused has no room, not for a privileged subject and not for a probe', async () => {
  const clock = new FakeClock(NOW_MS)
  let concurrency = 0
  const lane = () => ({ http: 'never' as const, allowAddresses: [], timeoutMs: 1000, concurrency })
  const lanes = new Lanes({ target: () => undefined, lane }, clock)
  const none = { privileged: 0, others: 0, latest: 0 }
  expect(lanes.room(ISSUER, 'wiki')).toEqual(none)
  for (let n = 0; n < 5; n++) {
    lanes.answered({ issuer: ISSUER, clientId: 'wiki' } as never, { kind: 'failure', code: 'timeout' })
  }
  await clock.advance(60_000)
  expect(lanes.room(ISSUER, 'wiki')).toEqual(none)
  concurrency = 4
  expect(lanes.room(ISSUER, 'wiki')).toMatchObject({ privileged: 1 })
})
