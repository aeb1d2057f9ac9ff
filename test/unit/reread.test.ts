import { expect, test } from 'vitest'
import { plan } from '../../relay/domain/plan.ts'
import { RelayError } from '../../relay/errors.ts'
import { Patience } from '../../relay/ingest/patience.ts'
import { reread, type RereadPorts, takeUp as takeUpAll } from '../../relay/ingest/reread.ts'
import type { Which } from '../../relay/idp/port.ts'
import { FakeClock } from './fake-clock.ts'
import { NOW_MS, securityEvent, uuid } from './given.ts'

/** An outbox of so many events, in pages of 30, and a store that has some of them. */
function given(events: number, stored: readonly number[] = [], ports: Partial<RereadPorts> = {}) {
  const has = new Set(stored.map(uuid))
  const clock = new FakeClock()
  const asked: Which[] = []
  const fetched: string[] = []
  const troubles: string[] = []
  const all = Array.from({ length: events }, (_, n) => uuid(n + 1))
  const made: RereadPorts = {
    rows: (which) => {
      asked.push(which)
      const from = all.indexOf(which.after ?? '') + 1
      const jtis = all.slice(from, from + 30)
      return Promise.resolve({ jtis, next: from + 30 < all.length ? jtis.at(-1) : undefined })
    },
    sets: (jtis) => {
      fetched.push(...jtis)
      return Promise.resolve({ sets: Object.fromEntries(jtis.map((jti) => [jti, jti])), ended: new Set<string>() })
    },
    unknown: (jtis) => Promise.resolve(jtis.filter((jti) => !has.has(jti))),
    verify: (set) => Promise.resolve(securityEvent(1, [], { jti: set })),
    receive: ({ jti }) => Promise.resolve(has.add(jti)),
    patience: new Patience(clock),
    trouble: (what) => void troubles.push(what),
    ...ports,
  }
  return { ports: made, clock, has, asked, fetched, troubles }
}

test('an emptied store gets every event of every page, once', async () => {
  const { ports, has, fetched } = given(70)
  const takeUp = () => takeUpAll(ports, new FakeClock(), new AbortController().signal)
  expect(await takeUp()).toBe(70)
  expect([has.size, fetched.length]).toEqual([70, 70])
  expect(await takeUp()).toBe(0)
  expect(fetched).toHaveLength(70)
})

test('an identity provider that is away is asked again until all is taken up', async () => {
  let failures = 3
  const clock = new FakeClock()
  const { ports, has, troubles } = given(70)
  const flaky: RereadPorts = {
    ...ports,
    sets: (jtis) =>
      jtis.includes(uuid(40)) && failures-- > 0
        ? Promise.reject(new RelayError('idp_unavailable', 'away'))
        : ports.sets(jtis),
  }
  const done = takeUpAll(flaky, clock, new AbortController().signal)
  await clock.advance(60_000)
  expect(await done).toBeGreaterThan(0)
  expect([has.size, troubles.length]).toEqual([70, 3])
})

test('what the store has is not even asked for', async () => {
  const { ports, fetched } = given(3, [1, 3])
  expect(await reread(ports, {})).toEqual({ read: 3, taken: 1 })
  expect(fetched).toEqual([uuid(2)])
})

test('a point in time is handed on, and each page names the next', async () => {
  const { ports, asked } = given(40)
  const { next } = await reread(ports, { sinceMs: NOW_MS })
  expect(await reread(ports, { sinceMs: NOW_MS, after: next })).toEqual({ read: 10, taken: 10 })
  expect(asked).toEqual([{ sinceMs: NOW_MS }, { sinceMs: NOW_MS, after: uuid(30) }])
})

test('an event that cannot be taken holds up no other, and is said', async () => {
  const { ports, has, troubles } = given(3, [], {
    verify: (set) =>
      set === uuid(2)
        ? Promise.reject(new RelayError('invalid_key', 'Nobody signed that'))
        : Promise.resolve(securityEvent(1, [], { jti: set })),
  })
  expect(await reread(ports, {})).toEqual({ read: 3, taken: 2 })
  expect([...has]).toEqual([uuid(1), uuid(3)])
  expect(troubles).toHaveLength(1)
})

test('what is signed with a key that the realm has just changed to is read again within seconds, not passed over', async () => {
  let known = false
  const { ports, clock, has } = given(40, [], {
    verify: (set) =>
      set === uuid(2) && !known
        ? Promise.reject(new RelayError('key_unknown', 'no key of that name'))
        : Promise.resolve(securityEvent(1, [], { jti: set })),
  })
  const done = takeUpAll(ports, clock, new AbortController().signal)
  await clock.advance(1000)
  expect([has.size, has.has(uuid(2))]).toEqual([29, false])
  known = true
  await clock.advance(3000)
  await done
  expect(has.size).toBe(40)
})

test('what is signed with a key that never comes holds up no other for longer than a minute, and is said', async () => {
  const { ports, clock, has, troubles } = given(40, [], {
    verify: (set) =>
      set === uuid(2)
        ? Promise.reject(new RelayError('key_unknown', 'no key of that name'))
        : Promise.resolve(securityEvent(1, [], { jti: set })),
  })
  const done = takeUpAll(ports, clock, new AbortController().signal)
  await clock.advance(70_000)
  await done
  expect(has.size).toBe(39)
  expect(troubles.at(-1)).toMatch(/cannot be taken \(key_unknown\)/)
})

test.each(['store_unavailable', 'idp_unavailable'] as const)('%s ends it, to be called again', async (code) => {
  const { ports } = given(3, [], { receive: () => Promise.reject(new RelayError(code, 'away')) })
  await expect(reread(ports, {})).rejects.toMatchObject({ code })
})

test('of an event that is read again, nothing is owed for a session that has its end; guards are told of all', () => {
  const event = securityEvent(1, ['orders', 'wiki'])
  const [orders, wiki] = event.sessions
  const planned = plan(event, NOW_MS, undefined, new Set([orders?.id ?? '']))
  expect(planned.deliveries.map(({ id }) => id)).toEqual([wiki?.id])
  expect(planned.evidence.find(({ kind }) => kind === 'planned')?.data).toMatchObject({
    deliveries: 1,
    ended_before: 1,
  })
  expect(planned.watermarks.map(({ name }) => name)).toContain(orders?.sid)
})
