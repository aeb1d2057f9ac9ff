import { describe, expect, test } from 'vitest'
import type { Change } from '../../relay/domain/change.ts'
import type { Store } from '../../relay/store/port.ts'
import { ISSUER, NOW_MS, OTHER_ISSUER } from './given.ts'
import { openForEachTest, type StoreUnderTest } from './store-contract.ts'

/** What every store promises of notes, and of who changed what. */
export function notesContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`the notes contract on ${name}`, () => {
    let store: Store
    const reopen = openForEachTest(makeStore, (opened) => (store = opened))

    const place = { issuer: ISSUER, name: 'party wiki' }
    const change = (n: number, more: Partial<Change> = {}): Change => ({
      issuer: ISSUER,
      kind: 'relying_party_paused',
      atMs: NOW_MS + n,
      data: { n },
      ...more,
    })
    const numbers = async (issuer = ISSUER, limit = 100, before?: number) =>
      (await store.changes(issuer, limit, before)).map(({ data }) => data['n'])

    test('a note is put, replaced and removed by whoever knows what it was, each with its changes', async () => {
      expect(await store.replaceNote(place, undefined, 'one', [change(1)])).toBe(true)
      expect(await store.replaceNote(place, 'one', 'two', [change(2), change(3)])).toBe(true)
      expect(await store.notes()).toEqual([{ ...place, text: 'two' }])
      expect(await store.replaceNote(place, 'two', undefined, [])).toBe(true)
      expect(await store.notes()).toEqual([])
      expect(await numbers()).toEqual([3, 2, 1])
    })

    test('whoever does not know what a note is changes nothing, and tells of nothing', async () => {
      expect(await store.replaceNote(place, 'one', 'two', [change(1)])).toBe(false)
      expect(await store.replaceNote(place, 'one', undefined, [change(1)])).toBe(false)
      await store.replaceNote(place, undefined, 'one', [])
      expect(await store.replaceNote(place, undefined, 'two', [change(1)])).toBe(false)
      expect(await store.replaceNote(place, 'other', undefined, [change(1)])).toBe(false)
      expect(await store.notes()).toEqual([{ ...place, text: 'one' }])
      expect(await numbers()).toEqual([])
    })

    test('of several that see the same at once, one tells of it', async () => {
      const all = [1, 2, 3].map((n) => store.replaceNote(place, undefined, 'one', [change(n)]))
      expect((await Promise.all(all)).filter(Boolean)).toHaveLength(1)
      expect(await numbers()).toHaveLength(1)
    })

    test('notes of two issuers and two names do not meet', async () => {
      const places = [place, { ...place, name: 'party' }, { ...place, issuer: OTHER_ISSUER }]
      for (const [n, one] of places.entries()) {
        expect(await store.replaceNote(one, undefined, String(n), [])).toBe(true)
      }
      expect((await store.notes()).map(({ text }) => text).sort()).toEqual(['0', '1', '2'])
    })

    test('changes come newest first, by page, of one issuer, whole, and survive reopening', async () => {
      const whole = { clientId: 'wiki', by: 'olivia-1', reason: 'being moved' }
      for (const n of [1, 2, 3]) {
        await store.addChange(change(n, n === 2 ? whole : {}))
        await store.addChange(change(-n, { issuer: OTHER_ISSUER }))
      }
      await store.replaceNote(place, undefined, 'one', [])
      await reopen()
      const [newest] = await store.changes(ISSUER, 1)
      expect(await numbers(ISSUER, 2)).toEqual([3, 2])
      expect(await numbers(ISSUER, 2, newest?.seq)).toEqual([2, 1])
      expect(await store.changes(ISSUER, 1, newest?.seq)).toMatchObject([change(2, whole)])
      expect(await numbers(OTHER_ISSUER)).toEqual([-3, -2, -1])
      expect(await store.notes()).toHaveLength(1)
    })
  })
}
