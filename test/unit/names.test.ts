import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { underAllNames } from '../../relay/store/names.ts'
import type { Store } from '../../relay/store/port.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import {
  acceptInto,
  DAY_MS,
  ISSUER,
  NOW_MS,
  OTHER_ISSUER,
  securityEvent,
  session,
  temporaryFolder,
  uuid,
} from './given.ts'

const FORMER = 'https://old.example.org/realms/demo'
let kept: Store
let store: Store

beforeEach(async () => {
  const opened = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  onTestFinished(() => opened.close())
  kept = opened
  store = underAllNames(kept, new Map([[ISSUER, [FORMER]]]))
  const events = [
    securityEvent(1, ['orders', 'wiki'], { issuer: FORMER }),
    securityEvent(2, ['orders']),
    securityEvent(3, [], { issuer: OTHER_ISSUER, sessions: [session(uuid(3), 0, 'orders')] }),
  ]
  for (const [n, event] of events.entries()) {
    await acceptInto(kept, event, NOW_MS + n)
  }
})

test('under its name of today a realm has what is kept under its former names, and nothing of another', async () => {
  const clients = async (more: object) =>
    (await store.deliveries({ issuer: ISSUER, limit: 10, ...more })).map(({ clientId }) => clientId)
  expect(await clients({})).toEqual(['orders', 'wiki', 'orders'])
  expect(await clients({ limit: 2 })).toEqual(['orders', 'wiki'])
  expect(await clients({ after: `${uuid(1)}.1` })).toEqual(['orders'])
  expect((await store.containments({ issuer: ISSUER, limit: 10 })).map(({ id }) => id)).toEqual(['txn-2', 'txn-1'])
  expect((await store.containment(ISSUER, 'txn-1'))?.containment.issuer).toBe(FORMER)
  expect(await store.containment(ISSUER, 'txn-3')).toBeUndefined()
  expect(await store.unknown(ISSUER, [uuid(1), uuid(2), uuid(3)])).toEqual([uuid(3)])
})

test('who changed what is one list, newest first and page by page, whatever the realm was called then', async () => {
  for (const [n, issuer] of [FORMER, ISSUER, OTHER_ISSUER, FORMER, ISSUER].entries()) {
    await kept.addChange({ issuer, kind: 'relying_party_paused', atMs: NOW_MS + n, data: { n } })
  }
  const numbers = async (limit: number, before?: number) =>
    (await store.changes(ISSUER, limit, before)).map(({ data }) => data['n'])
  expect(await numbers(10)).toEqual([4, 3, 1, 0])
  const last = (await store.changes(ISSUER, 2)).at(-1)?.seq
  expect(await numbers(2)).toEqual([4, 3])
  expect(await numbers(2, last)).toEqual([1, 0])
})

test('what is open at a relying party is counted once, under the name of today', async () => {
  expect((await store.open()).filter(({ issuer }) => issuer !== OTHER_ISSUER)).toEqual([
    { issuer: ISSUER, clientId: 'orders', count: 2, oldestMs: NOW_MS, asked: false },
    { issuer: ISSUER, clientId: 'wiki', count: 1, oldestMs: NOW_MS, asked: false },
  ])
})

test('what nobody can be told about is counted once, under the name of today, until its last end', async () => {
  for (const [n, issuer] of [FORMER, ISSUER].entries()) {
    const legacy = session(uuid(7 + n), 0, 'legacy', {
      named: { kind: 'backchannel' },
      latestEndMs: NOW_MS + 10 * n + 10,
    })
    await acceptInto(kept, securityEvent(7 + n, [], { issuer, sessions: [legacy] }))
  }
  expect(await store.unreachable(NOW_MS)).toEqual([
    { issuer: ISSUER, clientId: 'legacy', count: 2, untilMs: NOW_MS + 20 },
  ])
})

test('a person who retries or dismisses means all names, up to the limit', async () => {
  const room = () => ({ privileged: 10, others: 10, latest: 0 })
  for (const claim of await store.claim(NOW_MS + 10, 1000, 10, room)) {
    await store.release(claim, NOW_MS + DAY_MS)
  }
  const act = { by: 'operator-1', atMs: NOW_MS + 20, reason: 'gone' }
  expect(await store.hasten({ issuer: ISSUER, clientId: 'orders' }, act, 1)).toBe(1)
  expect(await store.hasten({ issuer: ISSUER, clientId: 'orders' }, act, 10)).toBe(1)
  expect(await store.dismiss({ issuer: ISSUER }, act, 10)).toBe(3)
  expect((await store.deliveries({ issuer: OTHER_ISSUER, limit: 10 })).map(({ state }) => state)).toEqual(['open'])
})
