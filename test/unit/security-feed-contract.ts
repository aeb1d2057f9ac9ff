import { describe, expect, test } from 'vitest'
import type { SecurityFeedBatch, Store } from '../../relay/store/port.ts'
import { acceptInto, ISSUER, NOW_MS, OTHER_ISSUER, securityEvent } from './given.ts'
import { openForEachTest, outcome, type StoreUnderTest } from './store-contract.ts'

const LEASE_MS = 30_000

/** What every store promises of the evidence that the security feed reads. */
export function securityFeedContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`the feed contract on ${name}`, () => {
    let store: Store
    const reopen = openForEachTest(makeStore, (opened) => (store = opened))

    const accept = (n: number, issuer = ISSUER) => {
      const event = securityEvent(n, ['orders'], { issuer })
      return acceptInto(store, event)
    }
    const take = (nowMs = NOW_MS, limit = 500, issuer = ISSUER) =>
      store.takeSecurityFeed(issuer, nowMs, LEASE_MS, limit)
    const taken = async (nowMs = NOW_MS, limit = 500): Promise<SecurityFeedBatch> => {
      const batch = await take(nowMs, limit)
      if (!batch) {
        throw new Error('Nothing was to be taken')
      }
      return batch
    }
    const told = ({ lines }: SecurityFeedBatch) =>
      lines.map(({ containmentId, evidence }) => `${containmentId} ${evidence.kind}`)

    test('every line of evidence comes once, in order, by page, with its containment, of its own issuer alone', async () => {
      await accept(1)
      await accept(2, OTHER_ISSUER)
      await accept(3)
      const [claim] = (
        await store.claim(NOW_MS, LEASE_MS, 200, () => ({ privileged: 10, others: 10, latest: 0 }))
      ).filter(({ delivery }) => delivery.containmentId === 'txn-1')
      if (!claim) {
        throw new Error('Nothing was claimed')
      }
      await store.record(claim, outcome(claim, 'delivered', NOW_MS))
      const all: string[] = []
      for (let batch = await take(NOW_MS, 3); batch; batch = await take(NOW_MS, 3)) {
        expect(batch.lines.length).toBeLessThanOrEqual(3)
        expect(batch.lines.every(({ trigger }) => trigger === 'admin-reset-password')).toBe(true)
        all.push(...told(batch))
        expect(await store.settleSecurityFeed(batch, true)).toBe(true)
      }
      const started = ['upstream_sessions_ended', 'received', 'planned']
      expect(all).toEqual([
        ...started.map((kind) => `txn-1 ${kind}`),
        ...started.map((kind) => `txn-3 ${kind}`),
        'txn-1 attempt',
        'txn-1 closed',
      ])
      const other = await store.takeSecurityFeed(OTHER_ISSUER, NOW_MS, LEASE_MS, 500)
      expect(other && told(other)).toEqual(started.map((kind) => `txn-2 ${kind}`))
    })

    test('a batch that was not delivered is given out again, also after a crash; one that was is not', async () => {
      await accept(1)
      const batch = await taken(NOW_MS, 1)
      expect(await store.settleSecurityFeed(batch, true)).toBe(true)
      const failed = await taken(NOW_MS, 1)
      expect(told(failed)).toEqual(['txn-1 received'])
      expect(await store.settleSecurityFeed(failed, false)).toBe(true)
      expect(told(await taken(NOW_MS, 1))).toEqual(told(failed))
      await reopen()
      expect(told(await taken(NOW_MS + LEASE_MS))).toEqual(['txn-1 received', 'txn-1 planned'])
    })

    test('one process at a time has it, and whoever was too long about it moves nothing', async () => {
      await accept(1)
      const late = await taken()
      expect(await take(NOW_MS + LEASE_MS - 1)).toBeUndefined()
      const current = await taken(NOW_MS + LEASE_MS)
      expect(await store.settleSecurityFeed(late, true)).toBe(false)
      expect(await store.settleSecurityFeed(current, true)).toBe(true)
      expect(await store.settleSecurityFeed(current, true)).toBe(false)
      expect(await take(NOW_MS + 2 * LEASE_MS)).toBeUndefined()
    })
  })
}
