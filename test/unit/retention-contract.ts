import { describe, expect, test } from 'vitest'
import type { SecurityEvent } from '../../relay/domain/model.ts'
import type { Pruned, Store } from '../../relay/store/port.ts'
import { acceptInto, DAY_MS, ISSUER, NOW_MS, OTHER_ISSUER, securityEvent, session } from './given.ts'
import { openForEachTest, outcome, type StoreUnderTest } from './store-contract.ts'

const LEASE_MS = 30_000
/** When none of the sessions of `securityEvent` lives any more. */
const LAST_END_MS = NOW_MS + 30 * DAY_MS
/** Well after it. */
const PAST_MS = LAST_END_MS + DAY_MS

/** What every store promises of what it no longer keeps, and of what it does. */
export function retentionContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`the retention contract on ${name}`, () => {
    let store: Store
    const reopen = openForEachTest(makeStore, (opened) => (store = opened))

    const accept = (event: SecurityEvent, nowMs = NOW_MS) => acceptInto(store, event, nowMs)
    /** Of all that is due, with an end each. */
    const deliver = async (nowMs = NOW_MS) => {
      for (const claim of await store.claim(nowMs, LEASE_MS, 500, () => ({
        privileged: 500,
        others: 500,
        latest: 0,
      }))) {
        await store.record(claim, outcome(claim, 'delivered', nowMs))
      }
    }
    /** Something that is written last, and so may stay. */
    const last = () =>
      accept(securityEvent(99, ['orders'], { sessions: [session('99', 0, 'orders', { latestEndMs: 9e15 })] }))
    const prune = (endedBeforeMs: number, limit = 1000, fed: readonly string[] = []): Promise<Pruned> =>
      store.prune({ nowMs: NOW_MS, endedBeforeMs, fed, limit })
    const ids = async (issuer = ISSUER) => (await store.containments({ issuer, limit: 100 })).map(({ id }) => id).sort()
    const nothing = { watermarks: 0, containments: 0, deliveries: 0, evidence: 0, changes: 0 }

    test('a closed containment goes with its deliveries, its evidence and its jti, and none of another issuer', async () => {
      await accept(securityEvent(1, ['orders', 'wiki']))
      await deliver()
      await accept(securityEvent(1, [], { issuer: OTHER_ISSUER, sessions: [session('other', 0, 'orders')] }))
      await last()
      expect(await prune(PAST_MS)).toEqual({ watermarks: 0, containments: 1, deliveries: 2, evidence: 6, changes: 0 })
      expect(await store.containment(ISSUER, 'txn-1')).toBeUndefined()
      expect(await store.deliveries({ issuer: ISSUER, containmentId: 'txn-1', limit: 10 })).toEqual([])
      expect(await store.unreported(ISSUER, 10)).toEqual([])
      expect(await ids()).toEqual(['txn-99'])
      const [gone, kept] = [securityEvent(1, []).jti, securityEvent(99, []).jti]
      expect(await store.unknown(ISSUER, [gone, kept])).toEqual([gone])
      expect(await store.unknown(OTHER_ISSUER, [gone])).toEqual([])
      expect((await store.containment(OTHER_ISSUER, 'txn-1'))?.evidence).toHaveLength(3)
      expect(await store.deliveries({ issuer: OTHER_ISSUER, limit: 10 })).toHaveLength(1)
    })

    test('a large containment goes in several steps, itself last', async () => {
      await accept(securityEvent(1, ['orders', 'wiki']))
      await deliver()
      await last()
      expect(await prune(PAST_MS, 7)).toMatchObject({ containments: 0, deliveries: 1, evidence: 6 })
      expect(await ids()).toEqual(['txn-1', 'txn-99'])
      expect(await prune(PAST_MS, 7)).toMatchObject({ containments: 1, deliveries: 1, evidence: 0 })
      expect(await ids()).toEqual(['txn-99'])
    })

    test('what was pruned is gone after reopening, and pruning again finds nothing', async () => {
      await accept(securityEvent(1, ['orders']))
      await deliver()
      await last()
      expect(await prune(PAST_MS)).toMatchObject({ containments: 1, deliveries: 1, evidence: 5 })
      expect(await prune(PAST_MS)).toEqual(nothing)
      await reopen()
      expect(await prune(PAST_MS)).toEqual(nothing)
      expect(await ids()).toEqual(['txn-99'])
    })

    test('nothing of what is open goes, however old it is', async () => {
      await accept(securityEvent(1, ['orders', 'wiki']))
      const [first] = await store.claim(NOW_MS, LEASE_MS, 1, () => ({ privileged: 1, others: 1, latest: 0 }))
      await (first && store.record(first, outcome(first, 'delivered', NOW_MS)))
      await accept(securityEvent(2, [], { part: 1, parts: 2 }))
      await last()
      expect(await prune(9e15)).toEqual(nothing)
      expect(await store.deliveries({ issuer: ISSUER, containmentId: 'txn-1', limit: 10 })).toHaveLength(2)
      expect(await ids()).toEqual(['txn-1', 'txn-2', 'txn-99'])
    })

    test('time counts from the close, or from the end of the longest life of a session, told or not, if that is later', async () => {
      await accept(securityEvent(1, ['orders']))
      const more = { named: { kind: 'backchannel' }, latestEndMs: LAST_END_MS + DAY_MS }
      const unreachable = session('2', 0, 'legacy', more)
      await accept(securityEvent(2, [], { sessions: [unreachable] }))
      await deliver(LAST_END_MS + 10)
      await last()
      expect(await prune(LAST_END_MS + 10)).toEqual(nothing)
      expect(await prune(LAST_END_MS + 11)).toMatchObject({ containments: 1 })
      expect(await ids()).toEqual(['txn-2', 'txn-99'])
      expect(await prune(LAST_END_MS + DAY_MS)).toEqual(nothing)
      expect(await prune(LAST_END_MS + DAY_MS + 1)).toMatchObject({ containments: 1 })
    })

    test('a later part or supplement keeps the whole, also one that was closed before', async () => {
      await accept(securityEvent(1, []))
      const more = { named: { kind: 'backchannel' }, latestEndMs: LAST_END_MS + DAY_MS }
      const unreachable = session('2', 0, 'legacy', more)
      await accept(securityEvent(2, [], { txn: 'txn-1', sessions: [unreachable] }))
      await accept(securityEvent(3, [], { txn: 'txn-3' }))
      await accept(securityEvent(4, ['orders'], { txn: 'txn-3' }))
      await last()
      expect(await prune(PAST_MS)).toEqual(nothing)
      expect(await ids()).toEqual(['txn-1', 'txn-3', 'txn-99'])
      await deliver()
      expect(await prune(PAST_MS)).toMatchObject({ containments: 1 })
      expect(await prune(PAST_MS + DAY_MS)).toMatchObject({ containments: 1 })
      const jtis = [1, 2, 3, 4].map((n) => securityEvent(n, []).jti)
      expect(await store.unknown(ISSUER, jtis)).toEqual(jtis)
    })

    test('the jti of a sight of a privileged subject, which has no other line, goes as well', async () => {
      await accept(securityEvent(1, [], { watched: { logins: 1, failedLogins: 0, refusedRefreshes: 0 } }))
      await last()
      expect(await prune(PAST_MS)).toMatchObject({ containments: 1, evidence: 2 })
      expect(await store.unknown(ISSUER, [securityEvent(1, []).jti])).toHaveLength(1)
    })

    test('a call drops no more than it may, and calls come to an end', async () => {
      for (let n = 1; n <= 4; n++) {
        await accept(securityEvent(n, ['orders', 'wiki', 'shop']))
        await store.addChange({ issuer: ISSUER, kind: 'listener_on', atMs: NOW_MS, data: {} })
      }
      await deliver()
      await last()
      const sums: number[] = []
      const total: Record<string, number> = {}
      do {
        const pruned = await prune(PAST_MS, 5)
        Object.entries(pruned).forEach(([kind, count]) => (total[kind] = (total[kind] ?? 0) + count))
        sums.push(Object.values(pruned).reduce((sum, count) => sum + count, 0))
      } while (sums.at(-1) === 5)
      expect(Math.max(...sums)).toBe(5)
      expect(total).toEqual({ watermarks: 0, containments: 4, deliveries: 12, evidence: 4 * 7, changes: 4 })
      expect(await ids()).toEqual(['txn-99'])
    })

    test('several that prune at once drop each row once', async () => {
      for (let n = 1; n <= 6; n++) {
        await accept(securityEvent(n, ['orders']))
      }
      await deliver()
      await last()
      const all = await Promise.all([prune(PAST_MS, 20), prune(PAST_MS, 20), prune(PAST_MS, 20)])
      expect(all.reduce((sum, { containments }) => sum + containments, 0)).toBe(6)
      expect(all.reduce((sum, { evidence }) => sum + evidence, 0)).toBe(30)
      expect(await ids()).toEqual(['txn-99'])
    })

    test('changes go by their age, the oldest first, issuer by issuer', async () => {
      const change = (n: number, issuer = ISSUER) =>
        store.addChange({ issuer, kind: 'relying_party_paused', atMs: NOW_MS + n, data: { n } })
      for (const n of [1, 2, 3]) {
        await change(n)
        await change(n, OTHER_ISSUER)
      }
      expect(await prune(NOW_MS + 3)).toMatchObject({ changes: 4 })
      for (const issuer of [ISSUER, OTHER_ISSUER]) {
        expect((await store.changes(issuer, 10)).map(({ data }) => data['n'])).toEqual([3])
      }
    })

    test('evidence that the security feed has not told stays until it has, and holds up no issuer without a feed', async () => {
      await accept(securityEvent(1, ['orders']))
      await accept(securityEvent(2, [], { issuer: OTHER_ISSUER, sessions: [session('2', 0, 'orders')] }))
      await deliver()
      await last()
      expect(await prune(PAST_MS, 1000, [ISSUER])).toMatchObject({ containments: 1 })
      expect(await ids()).toEqual(['txn-1', 'txn-99'])
      const tell = async (limit: number) => {
        const batch = await store.takeSecurityFeed(ISSUER, NOW_MS, LEASE_MS, limit)
        await (batch && store.settleSecurityFeed(batch, true))
      }
      await tell(4)
      expect(await prune(PAST_MS, 1000, [ISSUER])).toEqual(nothing)
      await tell(1)
      expect(await prune(PAST_MS, 1000, [ISSUER])).toMatchObject({ containments: 1 })
    })

    test('whose account it was is forgotten by itself, once nothing of it is open or can live, and nothing else goes', async () => {
      await accept(securityEvent(1, ['orders'], { subject: 'alice-1' }))
      await accept(securityEvent(2, ['orders'], { subject: 'bob-1' }))
      await accept(securityEvent(3, [], { subject: 'carol-1', sessions: [] }))
      const [first] = await store.claim(NOW_MS, LEASE_MS, 1, () => ({ privileged: 1, others: 1, latest: 0 }))
      await (first && store.record(first, outcome(first, 'delivered', NOW_MS)))
      const named = async () =>
        (await store.containments({ issuer: ISSUER, limit: 10 })).map(({ subject = '-' }) => subject).sort()
      expect(await store.forgetSubjects(LAST_END_MS, 10)).toBe(1)
      expect(await named()).toEqual(['-', 'alice-1', 'bob-1'])
      expect(await store.forgetSubjects(LAST_END_MS + 1, 10)).toBe(1)
      // The other is open, however old it is.
      expect([await store.forgetSubjects(9e15, 10), (await named()).filter((one) => one === '-').length]).toEqual([
        0, 2,
      ])
      const gone = first?.delivery.containmentId === 'txn-1' ? 'alice-1' : 'bob-1'
      expect(await store.containments({ issuer: ISSUER, limit: 10, subject: gone })).toEqual([])
      await reopen()
      expect((await named()).filter((one) => one === '-')).toHaveLength(2)
      expect(await ids()).toEqual(['txn-1', 'txn-2', 'txn-3'])
    })

    test('no more subjects are forgotten at a time than may be', async () => {
      for (let n = 1; n <= 3; n++) {
        await accept(securityEvent(n, [], { sessions: [] }))
      }
      const at = (limit: number) => store.forgetSubjects(PAST_MS, limit)
      expect([await at(2), await at(2), await at(2)]).toEqual([2, 1, 0])
    })

    test('whatever was pruned, the security feed goes on where it was, and misses nothing', async () => {
      await accept(securityEvent(1, ['orders']))
      await deliver()
      const batch = await store.takeSecurityFeed(ISSUER, NOW_MS, LEASE_MS, 500)
      expect(batch?.lines).toHaveLength(5)
      await (batch && store.settleSecurityFeed(batch, true))
      await prune(PAST_MS)
      await reopen()
      await accept(securityEvent(2, ['orders']))
      const next = await store.takeSecurityFeed(ISSUER, NOW_MS, LEASE_MS, 500)
      expect(next?.lines.map(({ containmentId, evidence }) => `${containmentId} ${evidence.kind}`)).toEqual([
        'txn-2 upstream_sessions_ended',
        'txn-2 received',
        'txn-2 planned',
      ])
    })

    test('a security feed that begins after pruning tells all that is left', async () => {
      await accept(securityEvent(1, ['orders']))
      await deliver()
      await last()
      await prune(PAST_MS)
      const batch = await store.takeSecurityFeed(ISSUER, NOW_MS, LEASE_MS, 500)
      expect(batch?.lines.map(({ containmentId }) => containmentId)).toEqual(['txn-99', 'txn-99', 'txn-99'])
    })
  })
}
