import { describe, expect, test } from 'vitest'
import type { SecurityEvent } from '../../relay/domain/model.ts'
import type { Store } from '../../relay/store/port.ts'
import { acceptInto, DAY_MS, ISSUER, NOW_MS, OTHER_ISSUER, securityEvent } from './given.ts'
import { openForEachTest, type StoreUnderTest } from './store-contract.ts'

/** What every store promises of the watermarks that guards are fed with. */
export function watermarkContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`the watermark contract on ${name}`, () => {
    let store: Store
    const reopen = openForEachTest(makeStore, (opened) => (store = opened))

    const accept = (event: SecurityEvent) => acceptInto(store, event)

    const prune = (nowMs: number, limit = 1000) => store.prune({ nowMs, endedBeforeMs: 0, fed: [], limit })

    test('the watermarks of an event are there with it, each sub and sid once, and none moves back', async () => {
      const pairwise = securityEvent(1, ['orders', 'wiki']).sessions.map((listed, n) => ({
        ...listed,
        sid: 'one-sid',
        ...(n === 0 ? { sub: 'pairwise-1' } : {}),
      }))
      await accept(securityEvent(1, [], { sessions: pairwise }))
      const first = await store.watermarks(ISSUER, 0, 100)
      expect(first.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual([
        'sid one-sid',
        'sub pairwise-1',
        'sub user-1',
      ])
      const cursor = first.at(-1)?.seq ?? 0
      await accept(securityEvent(2, [], { watermarkMs: NOW_MS - 5000 }))
      expect(await store.watermarks(ISSUER, cursor, 100)).toEqual([])
      await accept(securityEvent(3, [], { watermarkMs: NOW_MS + 5000 }))
      expect(await store.watermarks(ISSUER, cursor, 100)).toMatchObject([
        { kind: 'sub', name: 'user-1', watermarkMs: NOW_MS + 5000 },
      ])
      expect(await store.watermarks(ISSUER, 0, 100)).toHaveLength(3)
      expect(await store.watermarks(OTHER_ISSUER, 0, 100)).toEqual([])
    })

    test('changes of watermarks come in order, by page, from where the clock is, and survive reopening', async () => {
      for (let n = 1; n <= 5; n++) {
        await accept(securityEvent(n, [], { subject: `user-${n}` }))
      }
      await reopen()
      const seqs = (await store.watermarks(ISSUER, 0, 100)).map(({ seq }) => seq)
      expect(seqs).toEqual([...seqs].sort((a, b) => a - b))
      expect(new Set(seqs).size).toBe(5)
      expect(Math.min(...seqs)).toBeGreaterThan(NOW_MS * 1000)
      expect((await store.watermarks(ISSUER, seqs[1] ?? 0, 2)).map(({ name }) => name)).toEqual(['user-3', 'user-4'])
    })

    test('those that one token is judged by are found by its sub and its sid', async () => {
      const event = securityEvent(1, ['orders'], { keptSid: 'sid-of-the-flow' })
      const [listed] = event.sessions
      await accept(event)
      await accept(securityEvent(2, ['orders'], { subject: 'somebody-else' }))
      const found = async (sub: string, sid: string | undefined, client?: string) =>
        (await store.watermarksOf(ISSUER, sub, sid, client)).map(({ kind, name }) => `${kind} ${name}`).sort()
      expect(await found('user-1', listed?.sid)).toEqual([`sid ${listed?.sid}`, 'sub user-1'])
      expect(await found('user-1', 'sid-of-the-flow')).toEqual(['kept sid-of-the-flow', 'sub user-1'])
      expect(await found('user-1', undefined)).toEqual(['sub user-1'])
      expect(await found('nobody', 'none')).toEqual([])
      expect(await store.watermarksOf(OTHER_ISSUER, 'user-1', listed?.sid, undefined)).toEqual([])
    })

    test('that of a client is there where all that it was issued has ended, and found by its client id', async () => {
      await accept(securityEvent(1, [], { subject: 'account-1', client: { clientId: 'export', allTokens: true } }))
      await accept(securityEvent(2, [], { subject: 'account-2', client: { clientId: 'import', allTokens: false } }))
      const found = async (client: string) =>
        (await store.watermarksOf(ISSUER, 'somebody', undefined, client)).map(({ kind, name }) => `${kind} ${name}`)
      expect(await found('export')).toEqual(['client export'])
      expect(await found('import')).toEqual([])
      expect((await store.watermarks(ISSUER, 0, 100)).map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual([
        'client export',
        'sub account-1',
        'sub account-2',
      ])
    })

    test('a refused event leaves no watermark, and one past its end is forgotten', async () => {
      const broken = securityEvent(1, ['orders'])
      await accept({ ...broken, sessions: [...broken.sessions, ...broken.sessions] }).catch(() => undefined)
      expect(await store.watermarks(ISSUER, 0, 100)).toEqual([])
      await accept(securityEvent(2, []))
      await prune(NOW_MS + 29 * DAY_MS)
      expect(await store.watermarks(ISSUER, 0, 100)).toHaveLength(1)
      expect(await prune(NOW_MS + 31 * DAY_MS)).toMatchObject({ watermarks: 1 })
      expect(await store.watermarks(ISSUER, 0, 100)).toEqual([])
    })

    test('a watermark is kept as long as a token that it refuses could live, however early its containment goes', async () => {
      const [first, second] = securityEvent(1, ['orders', 'wiki']).sessions
      const lives = [first, second].flatMap((listed, n) =>
        listed ? { ...listed, latestEndMs: NOW_MS + (60 + n) * DAY_MS } : [],
      )
      await accept(securityEvent(1, [], { sessions: lives }))
      await accept(securityEvent(2, []))
      const all = { endedBeforeMs: NOW_MS + 500 * DAY_MS, fed: [], limit: 1000 }
      await store.prune({ nowMs: NOW_MS + 61 * DAY_MS, ...all })
      const names = (await store.watermarksOf(ISSUER, 'user-1', first?.sid, undefined)).map(({ kind }) => kind)
      expect(names.sort()).toEqual(['sid', 'sub'])
      await store.prune({ nowMs: NOW_MS + 61 * DAY_MS + 1, ...all })
      expect(await store.watermarksOf(ISSUER, 'user-1', first?.sid, undefined)).toEqual([])
    })

    test('a later event keeps an older watermark of the same subject to the later end of the two', async () => {
      const [listed] = securityEvent(1, ['orders']).sessions
      await accept(securityEvent(1, [], { sessions: listed ? [{ ...listed, latestEndMs: NOW_MS + 90 * DAY_MS }] : [] }))
      await accept(securityEvent(2, [], { watermarkMs: NOW_MS }))
      await prune(NOW_MS + 90 * DAY_MS)
      expect(await store.watermarksOf(ISSUER, 'user-1', undefined, undefined)).toMatchObject([{ watermarkMs: NOW_MS }])
    })

    test('watermarks past their end go a few at a time, and those of later events get numbers above theirs', async () => {
      for (let n = 1; n <= 5; n++) {
        await accept(securityEvent(n, [], { subject: `user-${n}` }))
      }
      const seqs = (await store.watermarks(ISSUER, 0, 100)).map(({ seq }) => seq)
      const counts: number[] = []
      do {
        counts.push((await prune(NOW_MS + 31 * DAY_MS, 2)).watermarks)
      } while (counts.at(-1) === 2)
      expect(counts).toEqual([2, 2, 1])
      const later = securityEvent(6, [])
      await acceptInto(store, later, NOW_MS + 31 * DAY_MS)
      const [next, ...more] = await store.watermarks(ISSUER, seqs.at(-1) ?? 0, 100)
      expect(more).toEqual([])
      expect(next?.seq).toBeGreaterThan(seqs.at(-1) ?? 0)
    })
  })
}
