import { afterEach, expect, test } from 'vitest'
import type { SecurityEvent } from '../../relay/domain/model.ts'
import { RelayError } from '../../relay/errors.ts'
import { type PollPorts, pollOutbox } from '../../relay/ingest/poll.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { securityEvent } from './given.ts'

const INTERVAL_MS = 5000
const stop = {
  now: (): void => {
    // nothing runs yet
  },
}

afterEach(() => stop.now())

type Poll = { readonly ack: readonly string[]; readonly setErrs: object; readonly atMs: number }

/** An outbox that hands out what is in it until it is acknowledged or refused, as Keycloak does. */
function polling(
  sets: Record<string, string>,
  ports: Partial<PollPorts<SecurityEvent>> = {},
  intervalMs = INTERVAL_MS,
) {
  const clock = new FakeClock()
  const polls: Poll[] = []
  const troubles: string[] = []
  const received: string[] = []
  const outbox = new Map(Object.entries(sets))
  const polled = { times: 0 }
  const controller = new AbortController()
  const running = pollOutbox(
    {
      poll: (_, ack, setErrs) => {
        polls.push({ ack: [...ack], setErrs: { ...setErrs }, atMs: clock.nowMs() })
        for (const jti of [...ack, ...Object.keys(setErrs)]) {
          outbox.delete(jti)
        }
        return Promise.resolve({ sets: Object.fromEntries(outbox) })
      },
      verify: (set) => Promise.resolve(securityEvent(1, [], { jti: set })),
      refused: () => undefined,
      receive: (event: SecurityEvent) => {
        received.push(event.jti)
        return Promise.resolve('accepted')
      },
      polled: () => {
        polled.times++
      },
      trouble: (what) => troubles.push(what),
      ...ports,
    },
    clock,
    intervalMs,
    controller.signal,
  )
  stop.now = () => controller.abort()
  return { clock, polls, troubles, received, outbox, polled, running }
}

test('what the outbox holds is received, then acknowledged at once by the next poll', async () => {
  const { clock, polls, received, outbox } = polling({ one: 'one', two: 'two' })
  await clock.until(() => polls.length === 2, INTERVAL_MS - 1)
  expect(received).toEqual(['one', 'two'])
  expect(polls.map(({ ack }) => ack)).toEqual([[], ['one', 'two']])
  expect(outbox.size).toBe(0)
})

test('an empty outbox is polled at the interval', async () => {
  const { clock, polls, polled } = polling({})
  await clock.until(() => polls.length === 3)
  expect(polls.map(({ atMs }) => atMs - (polls[0]?.atMs ?? 0))).toEqual([0, INTERVAL_MS, 2 * INTERVAL_MS])
  expect(polled.times).toBe(3)
})

test('nothing is acknowledged before its receive has resolved', async () => {
  let durable: (value: unknown) => void = () => undefined
  const { clock, polls } = polling({ one: 'one' }, { receive: () => new Promise((resolve) => (durable = resolve)) })
  await clock.advance(60_000)
  expect(polls).toHaveLength(1)
  durable('accepted')
  await clock.until(() => polls.length === 2)
  expect(polls[1]?.ack).toEqual(['one'])
})

test('a SET that cannot be taken is reported, and the others go on', async () => {
  const { clock, polls, received, troubles } = polling(
    { one: 'one', bad: 'bad', two: 'two' },
    {
      verify: (set) =>
        set === 'bad'
          ? Promise.reject(new RelayError('invalid_key', 'The signature does not verify'))
          : Promise.resolve(securityEvent(1, [], { jti: set })),
    },
  )
  await clock.until(() => polls.length === 2)
  expect(received).toEqual(['one', 'two'])
  expect(polls[1]).toMatchObject({
    ack: ['one', 'two'],
    setErrs: { bad: { err: 'invalid_key', description: 'The signature does not verify' } },
  })
  expect(troubles).toHaveLength(1)
})

test('a key that the realm has just changed to is no refusal: its events are asked for again within seconds', async () => {
  let known = false
  const unknown = new RelayError('key_unknown', 'no key of that name')
  const { clock, polls, received, troubles } = polling(
    { old: 'old', new: 'new' },
    {
      verify: (set) =>
        set === 'new' && !known ? Promise.reject(unknown) : Promise.resolve(securityEvent(1, [], { jti: set })),
    },
    3_600_000,
  )
  await clock.advance(1000)
  expect(polls.at(-1)).toMatchObject({ ack: ['old'], setErrs: {} })
  known = true
  await clock.advance(3000)
  expect(received).toEqual(['old', 'new'])
  expect(polls.at(-1)).toMatchObject({ ack: ['new'], setErrs: {} })
  expect(troubles).toEqual([])
})

test('a key that stays unknown for a minute is reported, and its event holds up no other', async () => {
  const unknown = new RelayError('key_unknown', 'no key of that name')
  const { clock, polls, received, troubles, outbox } = polling(
    { bad: 'bad' },
    {
      verify: (set) => (set === 'bad' ? Promise.reject(unknown) : Promise.resolve(securityEvent(1, [], { jti: set }))),
    },
  )
  await clock.advance(30_000)
  outbox.set('one', 'one')
  await clock.advance(29_000)
  expect(received).toEqual(['one'])
  expect(polls.map(({ setErrs }) => Object.keys(setErrs).length)).not.toContain(1)
  await clock.advance(10_000)
  expect(polls.filter(({ setErrs }) => 'bad' in setErrs).map(({ setErrs }) => setErrs)).toEqual([
    { bad: { err: 'invalid_key', description: 'no key of that name' } },
  ])
  expect(troubles).toHaveLength(1)
  // As after its rest at Keycloak.
  outbox.set('bad', 'bad')
  await clock.advance(10_000)
  expect(troubles).toHaveLength(2)
})

test.each([
  ['a store that fails', { receive: () => Promise.reject(new RelayError('store_unavailable', 'full')) }],
  ['keys that cannot be had', { verify: () => Promise.reject(new RelayError('idp_unavailable', 'down')) }],
  ['a failure that nobody foresaw', { receive: () => Promise.reject(new TypeError('x is not a function')) }],
])('%s acknowledges and refuses nothing, and is no successful poll', async (_, ports) => {
  const { clock, polls, troubles, polled } = polling({ one: 'one' }, ports)
  await clock.until(() => polls.length === 3)
  expect(polls.map(({ ack, setErrs }) => [ack, setErrs])).toEqual([
    [[], {}],
    [[], {}],
    [[], {}],
  ])
  expect((polls[1]?.atMs ?? 0) - (polls[0]?.atMs ?? 0)).toBe(INTERVAL_MS)
  expect(troubles.length).toBeGreaterThanOrEqual(2)
  expect(polled.times).toBe(0)
})

test('what was received before the store failed is acknowledged', async () => {
  const { clock, polls } = polling(
    { one: 'one', two: 'two' },
    {
      receive: ({ jti }) =>
        jti === 'two' ? Promise.reject(new RelayError('store_unavailable', 'full')) : Promise.resolve('accepted'),
    },
  )
  await clock.until(() => polls.length === 2)
  expect(polls[1]).toMatchObject({ ack: ['one'], setErrs: {} })
})

test('an event that fails again and again holds up no other', async () => {
  const { clock, polls, outbox, troubles } = polling(
    { bad: 'bad', one: 'one', two: 'two' },
    {
      receive: ({ jti }) =>
        jti === 'bad' ? Promise.reject(new RelayError('idp_unavailable', 'down')) : Promise.resolve('accepted'),
    },
  )
  await clock.until(() => polls.length === 3)
  expect(polls.map(({ ack, setErrs }) => [ack, setErrs])).toEqual([
    [[], {}],
    [['one', 'two'], {}],
    [[], {}],
  ])
  expect([...outbox.keys()]).toEqual(['bad'])
  expect(troubles.length).toBeGreaterThan(1)
})

test('where one after the other fails, the others of an answer are not tried', async () => {
  const tried: string[] = []
  const sets = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`${n}`, `${n}`]))
  const { clock, polls } = polling(sets, {
    receive: ({ jti }) => {
      tried.push(jti)
      return Promise.reject(new RelayError('store_unavailable', 'full'))
    },
  })
  await clock.until(() => polls.length === 1)
  await settle()
  expect(tried).toEqual(['0', '1', '2'])
})

test('an acknowledgement that did not get through is sent again', async () => {
  let calls = 0
  const acks: (readonly string[])[] = []
  const { clock } = polling(
    {},
    {
      poll: (_, ack) => {
        acks.push([...ack])
        calls++
        return calls === 2
          ? Promise.reject(new RelayError('idp_unavailable', 'down'))
          : Promise.resolve({ sets: calls === 1 ? { one: 'one' } : {} })
      },
    },
  )
  await clock.until(() => calls === 4)
  expect(acks).toEqual([[], ['one'], ['one'], []])
})

test('more that is available is fetched without waiting for the interval', async () => {
  let calls = 0
  const { clock } = polling(
    {},
    {
      poll: () => Promise.resolve({ sets: {}, moreAvailable: ++calls < 5 }),
    },
  )
  await clock.advance(INTERVAL_MS - 1)
  expect(calls).toBe(5)
})

test('what comes again although it has been answered is asked for at the interval, and not at once', async () => {
  const acks: (readonly string[])[] = []
  const { clock, received } = polling(
    {},
    {
      poll: (_, ack) => {
        acks.push([...ack])
        return Promise.resolve({ sets: { one: 'one' } })
      },
    },
  )
  await clock.advance(2 * INTERVAL_MS + 1)
  expect(acks).toEqual([[], ['one'], ['one'], ['one']])
  expect(received).toHaveLength(4)
})

test('it ends when it is told to, also in its sleep', async () => {
  const { running } = polling({})
  await settle()
  stop.now()
  await running
})
