import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import type { Claim, DeliveryState, ListedSession, Room, SecurityEvent, Target } from '../../relay/domain/model.ts'
import type { Outcome, Store } from '../../relay/store/port.ts'
import { acceptInto, DAY_MS, ISSUER, NOW_MS, OTHER_ISSUER, securityEvent, session, uuid } from './given.ts'

export interface StoreUnderTest {
  readonly store: Store
  /** Opens what is stored anew, as after a crash: whoever held leases is gone. */
  reopen(): Promise<Store>
}

/** Hands `use` a store for each test; answers a function that opens anew what is stored there and hands over that one. */
export function openForEachTest(
  makeStore: () => Promise<StoreUnderTest>,
  use: (store: Store) => void,
): () => Promise<void> {
  let under: StoreUnderTest
  let store: Store
  beforeEach(async () => {
    under = await makeStore()
    store = under.store
    use(store)
    onTestFinished(() => store.close().catch(() => undefined))
  })
  return async () => {
    store = await under.reopen()
    use(store)
  }
}

const LEASE_MS = 30_000
const ODD: Target = { kind: 'other', uri: 'https://new.example.org/', word: 'ä"\'' }
const URI = 'https://orders.example.org/logout'
const PLENTY: Room = { privileged: 1_000_000, others: 1_000_000, latest: 0 }
const plenty = () => PLENTY
const places = (others: number, latest = 0, reserved = 0): Room => ({ privileged: others + reserved, others, latest })

export function outcome(claim: Claim, state: DeliveryState, atMs: number, dueMs = atMs): Outcome {
  return {
    state,
    atMs,
    dueMs,
    attempts: claim.delivery.attempts + 1,
    reason: state === 'delivered' ? 'confirmed' : 'unavailable',
    status: state === 'delivered' ? 200 : 503,
    target: claim.delivery.target,
    evidence: { kind: 'attempt', atMs, data: { delivery: claim.delivery.id } },
  }
}

/** What every store promises, whatever it is built on. */
export function storeContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`the store contract on ${name}`, () => {
    let store: Store
    const reopen = openForEachTest(makeStore, (opened) => (store = opened))

    const accept = (event: SecurityEvent) => acceptInto(store, event)
    const claim = (nowMs = NOW_MS, room: (issuer: string, clientId: string) => Room = plenty, limit = 200) =>
      store.claim(nowMs, LEASE_MS, limit, room)
    const claimOne = async (nowMs = NOW_MS): Promise<Claim> => {
      const [first, ...more] = await claim(nowMs)
      if (!first || more.length > 0) {
        throw new Error(`Expected one claim, got ${first ? more.length + 1 : 0}`)
      }
      return first
    }
    const all = () => store.deliveries({ issuer: ISSUER, limit: 500 })
    const evidenceKinds = async (id: string) =>
      (await store.containment(ISSUER, id))?.evidence.map(({ kind }) => kind) ?? []

    test('an accepted event is there with its containment, deliveries and evidence', async () => {
      expect(await accept(securityEvent(1, ['orders', 'wiki']))).toBe('accepted')
      expect(await all()).toMatchObject([
        { clientId: 'orders', state: 'open', attempts: 0, containmentId: 'txn-1' },
        { clientId: 'wiki', state: 'open', attempts: 0, containmentId: 'txn-1' },
      ])
      const found = await store.containment(ISSUER, 'txn-1')
      expect(found?.containment).toMatchObject({ trigger: 'admin-reset-password', deliveries: 2, open: 2 })
      expect(found?.evidence.map(({ kind }) => kind)).toEqual(['upstream_sessions_ended', 'received', 'planned'])
    })

    test('evidence can be had in parts, in order, none twice and none left out', async () => {
      await accept(securityEvent(1, ['orders']))
      const part = async (from: number, limit: number) =>
        (await store.containment(ISSUER, 'txn-1', { from, limit }))?.evidence.map(({ kind }) => kind)
      expect(await part(0, 2)).toEqual(['upstream_sessions_ended', 'received'])
      expect(await part(2, 2)).toEqual(['planned'])
      expect(await part(3, 2)).toEqual([])
    })

    test('a delivery keeps its target, with all that its kind has put there, and the target of its last attempt', async () => {
      const may = session(uuid(1), 0, 'orders', { named: { ...backchannelAt(URI), alg: 'ES256' } })
      await accept(securityEvent(1, [], { sessions: [may, session(uuid(1), 1, 'wiki')] }))
      const claims = await claim()
      expect(claims.map(({ delivery: { clientId, target } }) => [clientId, target]).sort()).toEqual([
        ['orders', { kind: 'backchannel', uri: URI, alg: 'ES256' }],
        ['wiki', { kind: 'backchannel', uri: 'https://wiki.example.org/logout' }],
      ])
      for (const one of claims) {
        await store.record(one, { ...outcome(one, 'open', NOW_MS), target: ODD })
      }
      expect((await all()).map(({ target }) => target)).toEqual([ODD, ODD])
    })

    test('a redelivered event is a duplicate and plans nothing twice', async () => {
      await accept(securityEvent(1, ['orders']))
      expect(await accept(securityEvent(1, ['orders']))).toBe('duplicate')
      expect(await all()).toHaveLength(1)
      expect((await store.containment(ISSUER, 'txn-1'))?.containment).toMatchObject({ deliveries: 1, open: 1 })
      expect(await evidenceKinds('txn-1')).toHaveLength(3)
    })

    test('the same event asked for twice at once is accepted once', async () => {
      const event = securityEvent(1, ['orders'])
      expect((await Promise.all([accept(event), accept(event), accept(event)])).sort()).toEqual([
        'accepted',
        'duplicate',
        'duplicate',
      ])
      expect(await all()).toHaveLength(1)
    })

    test('a known jti with other content changes nothing', async () => {
      await accept(securityEvent(1, ['orders']))
      expect(await accept(securityEvent(1, ['wiki', 'shop'], { txn: 'other' }))).toBe('duplicate')
      expect(await all()).toMatchObject([{ clientId: 'orders' }])
    })

    test('the same jti of another issuer is another event', async () => {
      await accept(securityEvent(1, []))
      expect(await accept(securityEvent(1, [], { issuer: OTHER_ISSUER }))).toBe('accepted')
    })

    test('an event that cannot be written takes no other of the same turn with it', async () => {
      const broken = securityEvent(1, ['orders'])
      const twice = { ...broken, sessions: [...broken.sessions, ...broken.sessions] }
      const [bad, good] = await Promise.allSettled([accept(twice), accept(securityEvent(2, ['wiki']))])
      expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'store_unavailable' } })
      expect(good).toMatchObject({ status: 'fulfilled', value: 'accepted' })
      expect(await all()).toMatchObject([{ clientId: 'wiki' }])
    })

    test('a claim in the turn of an event that cannot be written takes all that is due, once', async () => {
      await accept(securityEvent(1, ['orders', 'wiki']))
      const broken = securityEvent(2, ['orders'])
      const twice = { ...broken, sessions: [...broken.sessions, ...broken.sessions] }
      const claiming = claim()
      // The claim has looked and stands first in the turn's commit; the event fails behind it.
      await new Promise<void>((resolve) => process.nextTick(resolve))
      const [claimed, bad] = await Promise.allSettled([claiming, accept(twice)])
      expect(bad.status).toBe('rejected')
      expect(claimed).toMatchObject({ status: 'fulfilled', value: { length: 2 } })
      expect(await claim()).toEqual([])
      expect(await claim(NOW_MS + LEASE_MS)).toHaveLength(2)
    })

    test('an outcome in the turn of an event that cannot be written counts, once', async () => {
      await accept(securityEvent(1, ['orders', 'wiki']))
      const [first, second] = (await claim()) as [Claim, Claim]
      const broken = securityEvent(2, ['orders'])
      const twice = { ...broken, sessions: [...broken.sessions, ...broken.sessions] }
      const results = await Promise.allSettled([
        store.record(first, outcome(first, 'open', NOW_MS, NOW_MS + 5000)),
        store.release(second, NOW_MS + 5000),
        accept(twice),
      ])
      expect(results).toMatchObject([{ value: true }, { status: 'fulfilled' }, { status: 'rejected' }])
      expect((await evidenceKinds('txn-1')).filter((kind) => kind === 'attempt')).toHaveLength(1)
      expect((await claim(NOW_MS + 5000)).map(({ delivery }) => delivery.attempts).sort()).toEqual([0, 1])
    })

    test('a claim leases: nobody else gets it before the lease ends', async () => {
      await accept(securityEvent(1, ['orders']))
      expect(await claim()).toHaveLength(1)
      expect(await claim()).toEqual([])
      expect(await claim(NOW_MS + LEASE_MS - 1)).toEqual([])
    })

    test('two claims at once share nothing', async () => {
      await accept(securityEvent(1, ['a', 'b', 'c']))
      const [one, two] = await Promise.all([claim(), claim()])
      const ids = [...one, ...two].map(({ delivery }) => delivery.id)
      expect(ids).toHaveLength(3)
      expect(new Set(ids).size).toBe(3)
    })

    test('the end of a lease makes a delivery claimable again, with a new fence', async () => {
      await accept(securityEvent(1, ['orders']))
      const before = await claimOne()
      const after = await claimOne(NOW_MS + LEASE_MS)
      expect(after.delivery.id).toBe(before.delivery.id)
      expect(after.fence).toBeGreaterThan(before.fence)
      expect(after.delivery.attempts).toBe(0)
    })

    test('an outcome that comes after its lease counts as long as nobody else has claimed the delivery', async () => {
      await accept(securityEvent(1, ['orders']))
      const late = await claimOne()
      expect(await claim(NOW_MS + LEASE_MS, () => places(0))).toEqual([])
      expect(await store.record(late, outcome(late, 'delivered', NOW_MS + LEASE_MS))).toBe(true)
      expect(await claim(NOW_MS + DAY_MS)).toEqual([])
    })

    test('the fence refuses a stale outcome, which leaves no trace', async () => {
      await accept(securityEvent(1, ['orders']))
      const stale = await claimOne()
      const current = await claimOne(NOW_MS + LEASE_MS)
      expect(await store.record(stale, outcome(stale, 'delivered', NOW_MS + LEASE_MS))).toBe(false)
      expect(await all()).toMatchObject([{ state: 'open', attempts: 0 }])
      expect(await evidenceKinds('txn-1')).not.toContain('attempt')
      expect(await store.record(current, outcome(current, 'delivered', NOW_MS + LEASE_MS))).toBe(true)
      expect(await all()).toMatchObject([{ state: 'delivered', attempts: 1 }])
    })

    test('an outcome counts once, also when it is told twice', async () => {
      await accept(securityEvent(1, ['orders', 'wiki']))
      const [first] = await claim()
      if (!first) {
        throw new Error('nothing was claimed')
      }
      expect(await store.record(first, outcome(first, 'delivered', NOW_MS))).toBe(true)
      expect(await store.record(first, outcome(first, 'delivered', NOW_MS))).toBe(false)
      expect((await store.containment(ISSUER, 'txn-1'))?.containment.open).toBe(1)
    })

    test('a failed attempt is due again when its outcome says, not before', async () => {
      await accept(securityEvent(1, ['orders']))
      const first = await claimOne()
      await store.record(first, outcome(first, 'open', NOW_MS, NOW_MS + 5000))
      expect(await claim(NOW_MS + 4999)).toEqual([])
      expect((await claimOne(NOW_MS + 5000)).delivery).toMatchObject({
        attempts: 1,
        lastStatus: 503,
        lastReason: 'unavailable',
      })
    })

    test('an ended delivery is never claimed again', async () => {
      await accept(securityEvent(1, ['a', 'b']))
      const [a, b] = await claim()
      if (!a || !b) {
        throw new Error('two were to be claimed')
      }
      await store.record(a, outcome(a, 'delivered', NOW_MS))
      await store.record(b, outcome(b, 'expired', NOW_MS))
      expect(await claim(NOW_MS + DAY_MS)).toEqual([])
      expect((await all()).map(({ endedMs }) => endedMs)).toEqual([NOW_MS, NOW_MS])
    })

    test('a released claim is due when told, unattempted, and its fence is worth nothing for another', async () => {
      await accept(securityEvent(1, ['orders']))
      const first = await claimOne()
      await store.release(first, NOW_MS + 1000)
      expect(await claim(NOW_MS + 999)).toEqual([])
      const second = await claimOne(NOW_MS + 1000)
      expect(second.delivery.attempts).toBe(0)
      await store.release(first, NOW_MS)
      expect(await claim(NOW_MS + 1001)).toEqual([])
    })

    test('no more of a lane is claimed than it has room for', async () => {
      await accept(securityEvent(1, ['orders', 'orders', 'orders', 'wiki', 'full']))
      const room = (_: string, clientId: string) => places({ orders: 2, wiki: 4 }[clientId] ?? 0)
      const claimed = (await claim(NOW_MS, room)).map(({ delivery }) => delivery.clientId).sort()
      expect(claimed).toEqual(['orders', 'orders', 'wiki'])
    })

    test('the limit holds over all lanes', async () => {
      await accept(securityEvent(1, ['a', 'a', 'b', 'b', 'c']))
      expect(await claim(NOW_MS, plenty, 3)).toHaveLength(3)
    })

    test('one lane with 1,000 due rows does not hide another', async () => {
      await accept(securityEvent(1, Array<string>(500).fill('big')))
      await accept(securityEvent(2, Array<string>(500).fill('big')))
      await accept(securityEvent(3, ['small']))
      const claimed = await claim(NOW_MS, () => places(4))
      expect(claimed.map(({ delivery }) => delivery.clientId).sort()).toEqual(['big', 'big', 'big', 'big', 'small'])
    })

    test('a lane without room for thousands of due rows does not hide another', async () => {
      await accept(securityEvent(1, Array<string>(500).fill('hung')))
      await accept(securityEvent(2, ['small']))
      const room = (_: string, clientId: string) => places(clientId === 'hung' ? 0 : 4)
      expect((await claim(NOW_MS, room, 10)).map(({ delivery }) => delivery.clientId)).toEqual(['small'])
      expect(await claim(NOW_MS, room, 10)).toEqual([])
      expect(await claim(NOW_MS, plenty, 1000)).toHaveLength(500)
    })

    test('what is owed for a privileged subject is claimed before all that was due longer', async () => {
      await accept(securityEvent(1, ['orders', 'orders', 'orders', 'wiki']))
      await accept(securityEvent(2, ['orders'], { privileged: true }))
      const [first, ...others] = await claim(NOW_MS, () => places(2))
      expect(first?.delivery).toMatchObject({ containmentId: 'txn-2', privileged: true })
      expect(others.map(({ delivery }) => [delivery.containmentId, delivery.privileged])).toEqual([
        ['txn-1', false],
        ['txn-1', false],
      ])
    })

    test('privileged subjects come first in every lane, also where the limit cuts', async () => {
      await accept(securityEvent(1, ['a', 'b', 'c', 'd']))
      await accept(securityEvent(2, ['c', 'd'], { privileged: true }))
      const claimed = await claim(NOW_MS, plenty, 3)
      expect(claimed.filter(({ delivery }) => delivery.privileged)).toHaveLength(2)
    })

    test('asked for what is owed for privileged subjects alone, it leaves the rest', async () => {
      await accept(securityEvent(1, ['orders', 'wiki']))
      await accept(securityEvent(2, ['wiki'], { privileged: true }))
      const claimed = await store.claim(NOW_MS, LEASE_MS, 200, plenty, 'privileged')
      expect(claimed.map(({ delivery }) => delivery.privileged)).toEqual([true])
      expect(await claim()).toHaveLength(2)
    })

    test('a place that is kept for privileged subjects is given to nobody else', async () => {
      await accept(securityEvent(1, ['orders', 'orders']))
      expect(await claim(NOW_MS, () => places(0, 0, 1))).toEqual([])
      await accept(securityEvent(2, ['orders', 'orders'], { privileged: true }))
      expect((await claim(NOW_MS, () => places(0, 0, 1))).map(({ delivery }) => delivery.privileged)).toEqual([true])
    })

    test('a failed attempt for a privileged subject waits for its time like any other, and comes first again then', async () => {
      await accept(securityEvent(1, ['orders'], { privileged: true }))
      const only = await claimOne()
      await store.record(only, outcome(only, 'open', NOW_MS, NOW_MS + 5000))
      await accept(securityEvent(2, ['orders', 'orders']))
      expect((await claim(NOW_MS, () => places(1))).map(({ delivery }) => delivery.privileged)).toEqual([false])
      expect((await claim(NOW_MS + 5000, () => places(1))).map(({ delivery }) => delivery.privileged)).toEqual([true])
    })

    test('a place for the latest is given to what is due since last, so one reset does not wait behind a thousand', async () => {
      const due = (event: SecurityEvent, nowMs: number) => acceptInto(store, event, nowMs)
      await due(securityEvent(1, Array<string>(400).fill('orders')), NOW_MS)
      await due(securityEvent(2, Array<string>(400).fill('orders')), NOW_MS + 1)
      await due(securityEvent(3, ['orders']), NOW_MS + 2)
      const claimed = await claim(NOW_MS + 3, () => places(4, 2))
      expect(claimed.map(({ delivery }) => delivery.containmentId).sort()).toEqual(['txn-1', 'txn-1', 'txn-2', 'txn-3'])
    })

    test('places for the latest do not make more of a lane due than there is', async () => {
      await accept(securityEvent(1, ['orders', 'orders', 'orders']))
      const claimed = await claim(NOW_MS, () => places(8, 4))
      expect(new Set(claimed.map(({ delivery }) => delivery.id)).size).toBe(3)
      expect(claimed).toHaveLength(3)
    })

    test('a clock that is set back hides nothing for ever', async () => {
      await accept(securityEvent(1, ['orders', 'orders']))
      expect(await claim(NOW_MS + 10_000, () => places(1))).toHaveLength(1)
      expect(await claim(NOW_MS - 60_000)).toEqual([])
      expect(await claim(NOW_MS)).toHaveLength(1)
    })

    test('nothing is lost by reopening, and what was leased is due at once', async () => {
      await accept(securityEvent(1, ['orders']))
      const before = await claimOne()
      await reopen()
      const after = await claimOne()
      expect(after.delivery).toMatchObject({ id: before.delivery.id, attempts: 0 })
      expect(after.fence).toBeGreaterThan(before.fence)
      expect(await store.record(before, outcome(before, 'delivered', NOW_MS))).toBe(false)
    })

    test('reopening does not hurry what waits for its next attempt', async () => {
      await accept(securityEvent(1, ['orders']))
      const first = await claimOne()
      await store.record(first, outcome(first, 'open', NOW_MS, NOW_MS + 60_000))
      await reopen()
      expect(await claim(NOW_MS + 59_999)).toEqual([])
      expect(await claim(NOW_MS + 60_000)).toHaveLength(1)
    })

    test('a duplicate is known after reopening', async () => {
      await accept(securityEvent(1, ['orders']))
      await reopen()
      expect(await accept(securityEvent(1, ['orders']))).toBe('duplicate')
    })

    describe('the siblings of a delivery, owed for the same session for other events,', () => {
      const LATER_MS = NOW_MS + 10_000
      const sessions = (n: number, more: Partial<ListedSession> = {}) => [
        session(uuid(n), 0, 'orders', { sid: 'one session', ...more }),
      ]
      const owed = (n: number, more: Partial<SecurityEvent> = {}, createdMs = NOW_MS) =>
        acceptInto(store, securityEvent(n, [], { sessions: sessions(n), ...more }), createdMs)
      /** The first of what is due is delivered, and all else given back. */
      const deliverOne = async (beforeMs: number | undefined, id = `${uuid(1)}.0`) => {
        const claims = await claim()
        for (const each of claims) {
          if (each.delivery.id !== id) {
            await store.release(each, NOW_MS)
          }
        }
        const one = claims.find(({ delivery }) => delivery.id === id)
        if (!one) {
          throw new Error(`${id} was to be claimed`)
        }
        const delivered = outcome(one, 'delivered', LATER_MS)
        return store.record(one, beforeMs === undefined ? delivered : { ...delivered, endsSiblingsBeforeMs: beforeMs })
      }
      const states = async () => (await all()).map(({ id, state }) => `${Number(id.slice(-4, -2))} ${state}`)

      test('end with it, each with a line in the evidence of its own containment, and are reported', async () => {
        await owed(1)
        await owed(2)
        await owed(3, { part: 1, parts: 2 })
        await deliverOne(NOW_MS + 1)
        expect(await states()).toEqual(['1 delivered', '2 delivered', '3 delivered'])
        expect((await all())[1]).toMatchObject({
          ...{ attempts: 0, endedMs: LATER_MS, lastStatus: 200, lastReason: 'sibling_confirmed' },
        })
        const found = await store.containment(ISSUER, 'txn-2')
        expect(found?.containment).toMatchObject({ open: 0, closedMs: LATER_MS })
        expect(found?.evidence.slice(-2)).toEqual([
          {
            kind: 'ended_by_sibling',
            atMs: LATER_MS,
            data: {
              ...{ delivery: `${uuid(2)}.0`, client_id: 'orders', attempts: 0 },
              ...{ sibling: `${uuid(1)}.0`, sibling_containment: 'txn-1' },
            },
          },
          expect.objectContaining({ kind: 'closed' }),
        ])
        expect((await store.containment(ISSUER, 'txn-3'))?.containment).toMatchObject({ open: 0, arrived: 1 })
        expect(await store.unreported(ISSUER, 10)).toHaveLength(3)
        expect(await claim(LATER_MS + DAY_MS)).toEqual([])
        expect(await store.nextDueMs(NOW_MS)).toBeUndefined()
        expect(await store.open()).toEqual([])
      })

      test('stay open when it stays open, expires, or ends without a word of them', async () => {
        await owed(1)
        await owed(2)
        const [first, second] = await claim()
        if (!first || !second) {
          throw new Error('two were to be claimed')
        }
        await store.release(second, NOW_MS)
        await store.record(first, outcome(first, 'open', NOW_MS, NOW_MS))
        expect(await states()).toEqual(['1 open', '2 open'])
        await deliverOne(undefined)
        expect(await states()).toEqual(['1 delivered', '2 open'])
      })

      test('stay open where they were created later: a later login may have been given the same id', async () => {
        await owed(1)
        await owed(2, {}, NOW_MS + 500)
        const [first, ...more] = await claim(NOW_MS)
        expect(more).toEqual([])
        await (first &&
          store.record(first, { ...outcome(first, 'delivered', LATER_MS), endsSiblingsBeforeMs: NOW_MS + 500 }))
        expect(await states()).toEqual(['1 delivered', '2 open'])
      })

      test('stay with whoever has leased them', async () => {
        await owed(1)
        await owed(2)
        const [first, second] = await claim()
        if (!first || !second) {
          throw new Error('two were to be claimed')
        }
        await store.record(first, { ...outcome(first, 'delivered', LATER_MS), endsSiblingsBeforeMs: LATER_MS })
        expect(await states()).toEqual(['1 delivered', '2 open'])
        expect(await store.record(second, outcome(second, 'delivered', LATER_MS))).toBe(true)
      })

      test('are none of another client, another session or another realm, and none that have ended', async () => {
        await owed(1)
        await owed(2, { sessions: sessions(2, { clientId: 'wiki' }) })
        await owed(3, { sessions: sessions(3, { sid: 'another session' }) })
        await owed(4, { issuer: OTHER_ISSUER })
        await owed(5)
        await store.dismiss(
          { issuer: ISSUER, containmentId: 'txn-5' },
          { by: 'operator-1', atMs: NOW_MS, reason: 'x' },
          1,
        )
        await deliverOne(LATER_MS)
        expect(await states()).toEqual(['1 delivered', '2 open', '3 open', '5 dismissed'])
        expect(await store.deliveries({ issuer: OTHER_ISSUER, limit: 5 })).toMatchObject([{ state: 'open' }])
      })

      test('end with none whose claim is no longer current', async () => {
        await owed(1)
        await owed(2)
        const [stale, second] = await claim()
        if (!stale || !second) {
          throw new Error('two were to be claimed')
        }
        await store.release(second, NOW_MS)
        // Its lease has run out, and somebody else has it now.
        const [, again] = await claim(NOW_MS + LEASE_MS)
        await (again && store.release(again, NOW_MS))
        const delivered = { ...outcome(stale, 'delivered', LATER_MS), endsSiblingsBeforeMs: LATER_MS }
        expect(await store.record(stale, delivered)).toBe(false)
        expect(await states()).toEqual(['1 open', '2 open'])
      })

      test('are a hundred at most at once, and the next ends the others', async () => {
        const many = Array.from({ length: 150 }, (_, n) => session(uuid(2), n, 'orders', { sid: 'one session' }))
        await owed(1)
        await owed(2, { sessions: many })
        await deliverOne(LATER_MS)
        const left = await store.deliveries({ issuer: ISSUER, state: 'open', limit: 500 })
        expect(left).toHaveLength(50)
        await deliverOne(LATER_MS, left[0]?.id)
        expect(await store.deliveries({ issuer: ISSUER, state: 'open', limit: 500 })).toEqual([])
      })

      test('are found after reopening', async () => {
        await owed(1)
        await owed(2)
        await reopen()
        await deliverOne(LATER_MS)
        expect(await states()).toEqual(['1 delivered', '2 delivered'])
      })
    })

    test('a containment says how many of its deliveries were given up, by whomever', async () => {
      await accept(securityEvent(1, ['a', 'b', 'c', 'd']))
      for (const [n, one] of (await claim()).entries()) {
        const state = (['delivered', 'expired', 'dismissed', 'open'] as const)[n] ?? 'open'
        await store.record(one, outcome(one, state, NOW_MS))
      }
      await store.dismiss({ issuer: ISSUER }, { by: 'operator-1', atMs: NOW_MS, reason: 'gone' }, 10)
      await reopen()
      expect((await store.containment(ISSUER, 'txn-1'))?.containment).toMatchObject({ deliveries: 4, dismissed: 2 })
    })

    test('a containment closes with its last delivery, and the evidence says so once', async () => {
      await accept(securityEvent(1, ['a', 'b']))
      const [a, b] = await claim()
      if (!a || !b) {
        throw new Error('two were to be claimed')
      }
      await store.record(a, outcome(a, 'delivered', NOW_MS + 10))
      expect(await evidenceKinds('txn-1')).not.toContain('closed')
      expect((await store.containment(ISSUER, 'txn-1'))?.containment).not.toHaveProperty('closedMs')
      await store.record(b, outcome(b, 'expired', NOW_MS + 20))
      await store.record(b, outcome(b, 'expired', NOW_MS + 30))
      await accept(securityEvent(1, ['a', 'b']))
      expect((await evidenceKinds('txn-1')).filter((kind) => kind === 'closed')).toHaveLength(1)
      const closed = await store.containment(ISSUER, 'txn-1')
      expect(closed?.containment).toMatchObject({ open: 0, closedMs: NOW_MS + 20 })
      expect(closed?.evidence.at(-1)).toEqual({
        kind: 'closed',
        atMs: NOW_MS + 20,
        data: { deliveries: 2, ms_since_event: 220 },
      })
    })

    test('an event without a session closes its containment at once', async () => {
      await accept(securityEvent(1, []))
      expect((await store.containment(ISSUER, 'txn-1'))?.containment.closedMs).toBe(NOW_MS)
    })

    test('an event in several parts stays open until all of them have come', async () => {
      await accept(securityEvent(1, ['a'], { part: 1, parts: 2 }))
      const a = await claimOne()
      await store.record(a, outcome(a, 'delivered', NOW_MS))
      const half = await store.containment(ISSUER, 'txn-1')
      expect(half?.containment).toMatchObject({ deliveries: 1, open: 0, parts: 2, arrived: 1 })
      expect(half?.containment).not.toHaveProperty('closedMs')
      expect(await evidenceKinds('txn-1')).not.toContain('closed')
      await accept(securityEvent(1, ['a'], { part: 1, parts: 2 }))
      expect((await store.containment(ISSUER, 'txn-1'))?.containment.arrived).toBe(1)
      await accept(securityEvent(2, [], { txn: 'txn-1', part: 2, parts: 2 }))
      expect((await store.containment(ISSUER, 'txn-1'))?.containment).toMatchObject({ arrived: 2, closedMs: NOW_MS })
      expect(await evidenceKinds('txn-1')).toContain('closed')
    })

    test('a supplementary event is no part of a large one, whichever comes first', async () => {
      await accept(securityEvent(1, [], { txn: 'txn-1' }))
      expect((await store.containment(ISSUER, 'txn-1'))?.containment).toHaveProperty('closedMs')
      await accept(securityEvent(2, [], { txn: 'txn-1', part: 1, parts: 2 }))
      const half = await store.containment(ISSUER, 'txn-1')
      expect(half?.containment).toMatchObject({ parts: 2, arrived: 1 })
      expect(half?.containment).not.toHaveProperty('closedMs')
      await accept(securityEvent(3, [], { txn: 'txn-1' }))
      expect((await store.containment(ISSUER, 'txn-1'))?.containment.arrived).toBe(1)
      await accept(securityEvent(4, [], { txn: 'txn-1', part: 2, parts: 2 }))
      expect((await store.containment(ISSUER, 'txn-1'))?.containment).toMatchObject({ arrived: 2, closedMs: NOW_MS })
    })

    test('events that it does not have are told from those that it has, issuer by issuer', async () => {
      await accept(securityEvent(1, ['a']))
      const [known, not] = [securityEvent(1, []).jti, securityEvent(2, []).jti]
      expect(await store.unknown(ISSUER, [known, not])).toEqual([not])
      expect(await store.unknown(OTHER_ISSUER, [known])).toEqual([known])
      expect(await store.unknown(ISSUER, [])).toEqual([])
    })

    test('a session found later opens its containment again', async () => {
      await accept(securityEvent(1, ['a']))
      const a = await claimOne()
      await store.record(a, outcome(a, 'delivered', NOW_MS))
      await accept(securityEvent(2, ['b'], { txn: 'txn-1' }))
      const found = await store.containment(ISSUER, 'txn-1')
      expect(found?.containment).toMatchObject({ deliveries: 2, open: 1 })
      expect(found?.containment).not.toHaveProperty('closedMs')
    })

    test('a person can make due at once what waits, and only what they mean', async () => {
      await accept(securityEvent(1, ['orders', 'wiki']))
      for (const each of await claim()) {
        await store.record(each, outcome(each, 'open', NOW_MS, NOW_MS + DAY_MS))
      }
      const act = { by: 'operator-1', atMs: NOW_MS + 10 }
      expect(await store.hasten({ issuer: OTHER_ISSUER, clientId: 'orders' }, act, 10)).toBe(0)
      expect(await store.hasten({ issuer: ISSUER, clientId: 'orders' }, act, 10)).toBe(1)
      expect(await store.hasten({ issuer: ISSUER, clientId: 'orders' }, act, 10)).toBe(0)
      expect((await claim(NOW_MS + 10)).map(({ delivery }) => delivery.clientId)).toEqual(['orders'])
      const asked = (await store.containment(ISSUER, 'txn-1'))?.evidence.filter(({ kind }) => kind === 'retry_asked')
      expect(asked?.map(({ data }) => [data['client_id'], data['by']])).toEqual([['orders', 'operator-1']])
    })

    test('what the relay itself makes due at once is of no interest for the evidence', async () => {
      await accept(securityEvent(1, ['orders']))
      const only = await claimOne()
      await store.record(only, outcome(only, 'open', NOW_MS, NOW_MS + DAY_MS))
      expect(await store.hasten({ issuer: ISSUER, clientId: 'orders' }, { atMs: NOW_MS + 10 }, 10)).toBe(1)
      expect(await claim(NOW_MS + 10)).toHaveLength(1)
      expect(await evidenceKinds('txn-1')).not.toContain('retry_asked')
    })

    test('what is under way cannot be hurried into a second attempt at once', async () => {
      await accept(securityEvent(1, ['orders']))
      await claimOne()
      expect(await store.hasten({ issuer: ISSUER }, { by: 'operator-1', atMs: NOW_MS + 1 }, 10)).toBe(0)
      expect(await claim(NOW_MS + 1)).toEqual([])
    })

    test('a dismissed delivery is over, with its reason, also for an attempt under way', async () => {
      await accept(securityEvent(1, ['orders']))
      const underWay = await claimOne()
      const act = { by: 'operator-1', atMs: NOW_MS + 5, reason: 'the application is gone' }
      expect(await store.dismiss({ issuer: ISSUER, id: underWay.delivery.id }, act, 10)).toBe(1)
      expect(await store.dismiss({ issuer: ISSUER, id: underWay.delivery.id }, act, 10)).toBe(0)
      expect(await store.record(underWay, outcome(underWay, 'open', NOW_MS + 6))).toBe(false)
      expect(await all()).toMatchObject([{ state: 'dismissed', endedMs: NOW_MS + 5 }])
      expect((await store.unreported(ISSUER, 10)).map(({ state }) => state)).toEqual(['dismissed'])
      const found = await store.containment(ISSUER, 'txn-1')
      expect(found?.containment).toMatchObject({ open: 0, dismissed: 1, closedMs: NOW_MS + 5 })
      expect(found?.evidence.find(({ kind }) => kind === 'dismissed')?.data).toMatchObject({
        by: 'operator-1',
        reason: 'the application is gone',
      })
    })

    test('a selection is narrowed by everything it names, and limited', async () => {
      await accept(securityEvent(1, ['orders', 'orders', 'wiki']))
      await accept(securityEvent(2, ['orders']))
      const act = { by: 'operator-1', atMs: NOW_MS, reason: 'gone' }
      expect(await store.dismiss({ issuer: ISSUER, createdFromMs: NOW_MS + 1 }, act, 10)).toBe(0)
      expect(await store.dismiss({ issuer: ISSUER, createdBeforeMs: NOW_MS }, act, 10)).toBe(0)
      expect(await store.dismiss({ issuer: ISSUER, clientId: 'orders', containmentId: 'txn-1' }, act, 1)).toBe(1)
      expect(await store.dismiss({ issuer: ISSUER, clientId: 'orders', containmentId: 'txn-1' }, act, 10)).toBe(1)
      expect((await store.deliveries({ issuer: ISSUER, state: 'open', limit: 10 })).map((d) => d.clientId)).toEqual([
        'wiki',
        'orders',
      ])
    })

    test('the next due time is the earliest after now, of open deliveries only', async () => {
      expect(await store.nextDueMs(NOW_MS)).toBeUndefined()
      await accept(securityEvent(1, ['orders', 'wiki']))
      const [a, b] = await claim()
      if (!a || !b) {
        throw new Error('two were to be claimed')
      }
      expect(await store.nextDueMs(NOW_MS)).toBe(NOW_MS + LEASE_MS)
      await store.record(a, outcome(a, 'open', NOW_MS, NOW_MS + 5000))
      expect(await store.nextDueMs(NOW_MS)).toBe(NOW_MS + 5000)
      await store.record(b, outcome(b, 'delivered', NOW_MS))
      expect(await store.nextDueMs(NOW_MS + 5000)).toBeUndefined()
    })

    test('an end stays unreported until it is reported, issuer by issuer', async () => {
      await accept(securityEvent(1, ['orders']))
      await accept(
        securityEvent(2, [], { issuer: OTHER_ISSUER, sessions: [session(securityEvent(2, []).jti, 0, 'orders')] }),
      )
      expect(await store.unreported(ISSUER, 10)).toEqual([])
      for (const each of await claim()) {
        await store.record(each, outcome(each, 'delivered', NOW_MS))
      }
      const [mine, ...more] = await store.unreported(ISSUER, 10)
      expect(more).toEqual([])
      expect(mine).toMatchObject({ issuer: ISSUER, state: 'delivered', lastStatus: 200, endedMs: NOW_MS })
      await store.reported([mine?.id ?? ''])
      expect(await store.unreported(ISSUER, 10)).toEqual([])
      expect(await store.unreported(OTHER_ISSUER, 10)).toHaveLength(1)
    })

    test('what is still open cannot be marked as reported', async () => {
      const event = securityEvent(1, ['orders'])
      await accept(event)
      await store.reported(event.sessions.map(({ id }) => id))
      const only = await claimOne()
      await store.record(only, outcome(only, 'delivered', NOW_MS))
      expect(await store.unreported(ISSUER, 10)).toHaveLength(1)
    })

    test('lists hold what was asked for and no other issuer', async () => {
      await accept(securityEvent(1, ['a', 'b']))
      await accept(
        securityEvent(2, [], { issuer: OTHER_ISSUER, sessions: [session(securityEvent(2, []).jti, 0, 'a')] }),
      )
      await accept(securityEvent(3, ['a']))
      const ids = async (filter: object) =>
        (await store.deliveries({ issuer: ISSUER, limit: 500, ...filter })).map(({ id }) => id.slice(-3))
      expect(await ids({})).toEqual(['1.0', '1.1', '3.0'])
      expect(await ids({ clientId: 'a' })).toEqual(['1.0', '3.0'])
      expect(await ids({ containmentId: 'txn-3' })).toEqual(['3.0'])
      expect(await ids({ state: 'delivered' })).toEqual([])
      expect(await ids({ limit: 2 })).toEqual(['1.0', '1.1'])
      expect(await ids({ after: securityEvent(1, ['a', 'b']).sessions[1]?.id })).toEqual(['3.0'])
      expect((await store.containments({ issuer: ISSUER, limit: 10 })).map(({ id }) => id).sort()).toEqual([
        'txn-1',
        'txn-3',
      ])
      expect(await store.containment(OTHER_ISSUER, 'txn-1')).toBeUndefined()
    })

    test('open deliveries are counted by client with the age of the oldest', async () => {
      await accept(securityEvent(1, ['a', 'a', 'b']))
      expect((await store.open()).sort((x, y) => x.clientId.localeCompare(y.clientId))).toEqual([
        { issuer: ISSUER, clientId: 'a', count: 2, oldestMs: NOW_MS, asked: false },
        { issuer: ISSUER, clientId: 'b', count: 1, oldestMs: NOW_MS, asked: false },
      ])
    })

    test('a relying party counts as asked only when its oldest delivery was attempted', async () => {
      await accept(securityEvent(1, ['a', 'b']))
      const a = (await claim()).find(({ delivery }) => delivery.clientId === 'a')
      await (a && store.record(a, outcome(a, 'open', NOW_MS, NOW_MS + DAY_MS)))
      const asked = async () =>
        Object.fromEntries((await store.open()).map((lane) => [lane.clientId, [lane.asked, lane.lastReason]]))
      const reason = a && outcome(a, 'open', NOW_MS).reason
      expect(await asked()).toEqual({ a: [true, reason], b: [false, undefined] })
      await reopen()
      expect(await asked()).toEqual({ a: [true, reason], b: [false, undefined] })
    })

    test('what is open of each client is right after every change, also after one that failed, as if it were counted anew', async () => {
      const clients = ['a', 'b', 'c']
      let [n, atMs] = [0, NOW_MS]
      const event = (): SecurityEvent => {
        const jti = uuid(++n)
        // At one client all name the same session, so that an answer there ends the others.
        const sid = (clientId: string) => (clientId === 'c' ? 'again' : `${jti}-${clientId}`)
        const sessions = clients.slice(n % 3).map((one, at) => ({ ...session(jti, at, one), sid: sid(one) }))
        return securityEvent(n, [], { sessions })
      }
      const take = (one: SecurityEvent) => acceptInto(store, one, ++atMs)
      const record = async (state: DeliveryState) => {
        // One of each client, so that its siblings are nobody's.
        const claims = await claim(atMs, () => places(1), 9)
        const ends = state === 'delivered' ? { endsSiblingsBeforeMs: atMs + 1 } : {}
        await Promise.all(claims.map((one) => store.record(one, { ...outcome(one, state, atMs), ...ends })))
      }
      const broken = () => {
        const one = event()
        return Promise.allSettled([take({ ...one, sessions: [...one.sessions, ...one.sessions] }), take(event())])
      }
      const acts: (() => Promise<unknown>)[] = [
        () => take(event()),
        () => record('open'),
        () => take(event()),
        () => record('delivered'),
        broken,
        () => store.dismiss({ issuer: ISSUER, clientId: clients[n % 3] ?? '' }, { by: 'x', atMs, reason: 'gone' }, 1),
        () => Promise.all([record('delivered'), broken()]),
        () => store.hasten({ issuer: ISSUER }, { atMs }, 5),
      ]
      const counted = async () => {
        const open = await store.deliveries({ issuer: ISSUER, state: 'open', limit: 999 })
        const lanes = [...Map.groupBy(open, ({ clientId }) => clientId)].map(([clientId, those]) => {
          const [oldest] = [...those].sort((x, y) => x.createdMs - y.createdMs)
          return {
            ...{ issuer: ISSUER, clientId, count: those.length },
            ...{ oldestMs: oldest?.createdMs, asked: oldest?.attempts !== 0 },
            ...(oldest?.lastReason === undefined ? {} : { lastReason: oldest.lastReason }),
          }
        })
        return lanes.sort((x, y) => x.clientId.localeCompare(y.clientId))
      }
      for (let round = 0; round < 40; round++) {
        await acts[round % acts.length]?.()
        const open = (await store.open()).sort((x, y) => x.clientId.localeCompare(y.clientId))
        expect([round, open]).toEqual([round, await counted()])
      }
      const ended = (await all()).filter(({ state }) => state !== 'open')
      const bySibling = ended.filter(({ state, attempts }) => state === 'delivered' && attempts === 0)
      expect([ended.length > 10, bySibling.length > 0]).toEqual([true, true])
    })

    test('each month says what came of its containments, also where one is opened again, and after reopening', async () => {
      const [november, december] = [Date.parse('2026-11-30T23:59:59Z'), Date.parse('2026-12-01T00:00:00Z')]
      const take = (n: number, clients: readonly string[], atMs: number, more: Partial<SecurityEvent> = {}) =>
        acceptInto(store, securityEvent(n, clients, { watermarkMs: atMs - 100, ...more }), atMs)
      const answer = async (nowMs: number, most: number) => {
        const claims = await claim(nowMs, () => places(most), most)
        await Promise.all(claims.map((one) => store.record(one, outcome(one, 'delivered', nowMs))))
      }
      await take(1, ['a', 'b'], november)
      await answer(november + 500, 2)
      await take(2, ['a'], december)
      await answer(december + 59_000, 1)
      await take(3, [], december)
      await take(4, ['a'], december)
      await store.dismiss({ issuer: ISSUER, clientId: 'a' }, { by: 'x', atMs: december, reason: 'gone' }, 9)
      await take(5, ['a'], december)
      await acceptInto(store, securityEvent(6, ['a'], { issuer: OTHER_ISSUER }), december)
      const ofDecember = {
        month: '2026-12',
        containments: 4,
        told: 1,
        withinSecond: 0,
        withinMinute: 1,
        longestMs: 59_100,
      }
      const ofNovember = { month: '2026-11', containments: 1, closed: 1, sessions: 2, told: 1, withinSecond: 1 }
      const longest = { withinMinute: 1, longestMs: 600 }
      expect(await store.months(ISSUER)).toEqual([
        { ...ofDecember, closed: 3, sessions: 1 },
        { ...ofNovember, ...longest },
      ])
      // A supplementary part of the first event, which is told two hours later.
      const late = { txn: 'txn-1', jti: uuid(7), watermarkMs: november - 100 }
      await acceptInto(store, securityEvent(7, ['c'], late), december)
      const opened = { closed: 0, sessions: 0, told: 0, withinSecond: 0, withinMinute: 0 }
      expect((await store.months(ISSUER))[1]).toMatchObject({ ...ofNovember, ...opened })
      await store.dismiss({ issuer: ISSUER, containmentId: 'txn-5' }, { by: 'x', atMs: december, reason: 'gone' }, 9)
      await answer(december + 7_200_000, 9)
      await reopen()
      expect(await store.months(ISSUER)).toEqual([
        { ...ofDecember, closed: 4, sessions: 1 },
        { ...ofNovember, sessions: 3, withinSecond: 0, withinMinute: 0, longestMs: 7_201_100 },
      ])
    })

    test('the longest time of a month stays where more has come to that containment since, and was given up', async () => {
      const take = (n: number, clients: readonly string[], atMs: number, txn = `txn-${n}`) =>
        acceptInto(store, securityEvent(n, clients, { txn, watermarkMs: NOW_MS }), atMs)
      const answer = async (atMs: number) => {
        const claims = await claim(atMs, () => places(9), 9)
        await Promise.all(claims.map((one) => store.record(one, outcome(one, 'delivered', atMs))))
      }
      await take(1, ['a'], NOW_MS)
      await answer(NOW_MS + 500)
      await take(2, ['a'], NOW_MS)
      await answer(NOW_MS + 90_000)
      await take(3, ['b'], NOW_MS + 90_000, 'txn-2')
      await store.dismiss({ issuer: ISSUER, clientId: 'b' }, { by: 'x', atMs: NOW_MS + 90_000, reason: 'gone' }, 9)
      await reopen()
      expect(await store.months(ISSUER)).toMatchObject([{ containments: 2, closed: 2, told: 1, longestMs: 90_000 }])
    })

    test('a containment is kept with whose account it was, and found by that, newest first', async () => {
      for (const [n, subject] of ['alice-1', 'bob-1', 'alice-1'].entries()) {
        await acceptInto(store, securityEvent(n + 1, ['orders'], { subject }), NOW_MS + n)
      }
      await acceptInto(store, securityEvent(9, [], { subject: 'alice-1', issuer: OTHER_ISSUER }))
      const found = async (more: object) =>
        (await store.containments({ issuer: ISSUER, limit: 10, ...more })).map(
          ({ id, subject }) => `${id} ${subject ?? ''}`,
        )
      expect(await found({ subject: 'alice-1' })).toEqual(['txn-3 alice-1', 'txn-1 alice-1'])
      expect(await found({ subject: 'alice-1', limit: 1 })).toEqual(['txn-3 alice-1'])
      expect(await found({ subject: 'alice-1', beforeMs: NOW_MS + 2 })).toEqual(['txn-1 alice-1'])
      expect(await found({ subject: 'nobody' })).toEqual([])
      expect(await found({})).toEqual(['txn-3 alice-1', 'txn-2 bob-1', 'txn-1 alice-1'])
      await reopen()
      expect((await store.containment(ISSUER, 'txn-2'))?.containment.subject).toBe('bob-1')
    })

    describe('what nobody can be told about', () => {
      const silent = (jti: string, n: number, clientId: string, untilMs: number, sid = `sid-${jti}-${n}`) =>
        session(jti, n, clientId, { named: { kind: 'backchannel' }, latestEndMs: untilMs, sid })
      const unreachable = async (nowMs = NOW_MS) =>
        (await store.unreachable(nowMs)).sort((a, b) => a.clientId.localeCompare(b.clientId))

      test('is counted by client until it ends by itself, and in its containment for good', async () => {
        const sessions = [
          ...[silent(uuid(1), 0, 'mobile', NOW_MS + 10), silent(uuid(1), 1, 'mobile', NOW_MS + 20)],
          ...[silent(uuid(1), 2, 'legacy', NOW_MS + 30), session(uuid(1), 3, 'orders')],
        ]
        await accept(securityEvent(1, [], { sessions }))
        await reopen()
        expect(await unreachable()).toEqual([
          { issuer: ISSUER, clientId: 'legacy', count: 1, untilMs: NOW_MS + 30 },
          { issuer: ISSUER, clientId: 'mobile', count: 2, untilMs: NOW_MS + 20 },
        ])
        expect(await unreachable(NOW_MS + 10)).toEqual([
          { issuer: ISSUER, clientId: 'legacy', count: 1, untilMs: NOW_MS + 30 },
          { issuer: ISSUER, clientId: 'mobile', count: 1, untilMs: NOW_MS + 20 },
        ])
        expect(await unreachable(NOW_MS + 30)).toEqual([])
        const [kept] = await store.containments({ issuer: ISSUER, limit: 1 })
        expect(kept).toMatchObject({ deliveries: 1, unreachable: 3, unreachableUntilMs: NOW_MS + 30 })
      })

      test('is counted once, however many events name it, and goes when it can be told', async () => {
        const again = (n: number, more: object) =>
          securityEvent(n, [], { sessions: [{ ...silent(uuid(n), 0, 'mobile', NOW_MS + n, 'sid-1'), ...more }] })
        await accept(again(1, {}))
        await accept(again(2, {}))
        expect(await unreachable()).toEqual([{ issuer: ISSUER, clientId: 'mobile', count: 1, untilMs: NOW_MS + 2 }])
        await accept(again(3, { named: backchannelAt(URI) }))
        expect(await unreachable()).toEqual([])
        expect(await store.open()).toMatchObject([{ clientId: 'mobile', count: 1 }])
      })

      test('is dropped when it has ended, and not before', async () => {
        await accept(securityEvent(1, [], { sessions: [silent(uuid(1), 0, 'mobile', NOW_MS + 10)] }))
        const prune = (nowMs: number) => store.prune({ nowMs, endedBeforeMs: 0, fed: [], limit: 1000 })
        // With the watermark of its session, which ends at the same time.
        await prune(NOW_MS + 10)
        expect(await unreachable(NOW_MS + 9)).toHaveLength(1)
        await prune(NOW_MS + 11)
        expect(await unreachable(NOW_MS + 9)).toEqual([])
      })
    })

    test('after its close every change is refused as store_unavailable', async () => {
      await accept(securityEvent(1, ['orders']))
      const held = await claimOne()
      await store.close()
      await expect(accept(securityEvent(2, []))).rejects.toMatchObject({ code: 'store_unavailable' })
      await expect(store.record(held, outcome(held, 'delivered', NOW_MS))).rejects.toMatchObject({
        code: 'store_unavailable',
      })
      await expect(store.unreported(ISSUER, 1)).rejects.toMatchObject({ code: 'store_unavailable' })
    })
  })
}
