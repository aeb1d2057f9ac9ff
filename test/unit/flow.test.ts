import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import { openKinds } from '../../relay/delivery/kinds.ts'
import type { Deliverer, Genuine } from '../../relay/delivery/port.ts'
import type {
  Answer,
  LanePolicy,
  Named,
  Refused,
  SecurityEvent,
  TokenNames,
  Watched,
} from '../../relay/domain/model.ts'
import { providerName, REVOCATION } from '../../relay/domain/provider.ts'
import { plan } from '../../relay/domain/plan.ts'
import { targetAt } from '../../relay/domain/target.ts'
import { RelayError } from '../../relay/errors.ts'
import { Flow } from '../../relay/flow/flow.ts'
import type { AttemptLine, LaneHealth, Registry } from '../../relay/flow/ports.ts'
import { type DeliverySettings, RelyingParties } from '../../relay/registry/registry.ts'
import type { Store } from '../../relay/store/port.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { FakeClock, settle } from './fake-clock.ts'
import {
  DAY_MS,
  deliverersBy,
  ISSUER,
  NOW_MS,
  OTHER_ISSUER,
  securityEvent,
  session,
  temporaryFolder,
  uuid,
} from './given.ts'

const POLICY: LanePolicy = { http: 'never', timeoutMs: 10_000, concurrency: 2, allowAddresses: [] }
const FORMERLY = 'https://former.example.org/realms/demo'
const OK: Answer = { kind: 'response', status: 200 }
const DOWN: Answer = { kind: 'failure', code: 'connection_refused' }

/**
 * The real flow on the real store. Identity provider and relying parties are stand-ins, since time is a test's own here;
 * the real ones are in test/real.
 */
function given({
  store,
  answers = () => OK,
  clock = new FakeClock(NOW_MS),
  concurrency = POLICY.concurrency,
  timeoutMs = POLICY.timeoutMs,
  seen = [],
  registry,
  issuers = [ISSUER],
  names,
  genuine,
  giveUpUnknownMs,
  kinds = [],
}: {
  store?: Store
  answers?: (uri: string, token: string) => Answer | Promise<Answer>
  clock?: FakeClock
  concurrency?: number
  timeoutMs?: number
  /** Is given the policy of each attempt. */
  seen?: LanePolicy[]
  registry?: Registry
  issuers?: readonly string[]
  /** Whom all tokens name. */
  names?: TokenNames
  genuine?: Genuine
  giveUpUnknownMs?: number
  /** Beside that of relying parties. */
  kinds?: readonly (readonly [string, Deliverer])[]
} = {}) {
  const kept = store ?? openSqliteStore(join(temporaryFolder(), 'relay.db'))
  const sent: { uri: string; token: string; atMs: number }[] = []
  const lines: AttemptLine[] = []
  const troubles: string[] = []
  const dismissed: [string, number][] = []
  const watched: [string, Watched][] = []
  const refusedAfter: [string, readonly Refused[]][] = []
  const laneStates: string[] = []
  const reports: string[][] = []
  const currentUris = new Map<string, string>()
  let minted = 0
  const idp = {
    mint: (
      deliveries: readonly { id: string }[],
    ): Promise<{ tokens: Map<string, string>; refused: Map<string, string>; names?: Map<string, TokenNames> }> =>
      Promise.resolve({
        tokens: new Map(deliveries.map(({ id }) => [id, `token ${++minted} of ${id}`])),
        refused: new Map(),
        ...(names === undefined ? {} : { names: new Map(deliveries.map(({ id }) => [id, names])) }),
      }),
    ...(genuine ? { genuine } : {}),
    report: (ended: readonly { id: string }[]): Promise<string[]> => {
      reports.push(ended.map(({ id }) => id))
      return Promise.resolve(ended.map(({ id }) => id))
    },
  }
  const ports = {
    store: kept,
    idps: new Map(issuers.map((issuer) => [issuer, idp])),
    registry: registry ?? {
      target: (_: string, clientId: string, named: Named) => targetAt(named, currentUris.get(clientId) ?? named.uri),
      lane: () => ({ ...POLICY, concurrency, timeoutMs }),
    },
    deliverers: new Map([
      ...kinds,
      ...deliverersBy(
        async (uri, token, policy) => {
          seen.push(policy)
          sent.push({ uri, token, atMs: clock.nowMs() - NOW_MS })
          return answers(uri, token)
        },
        {
          nowMs: () => clock.nowMs(),
          sleep: (ms, signal) => clock.sleep(ms, signal),
          trouble: (what) => void troubles.push(what),
          ...(giveUpUnknownMs === undefined ? {} : { giveUpUnknownMs }),
        },
      ),
    ]),
    clock,
    random: () => 1,
    observer: {
      received: () => undefined,
      watched: (issuer: string, seen: Watched) => void watched.push([issuer, seen]),
      refusedAfter: (issuer: string, refused: readonly Refused[]) => void refusedAfter.push([issuer, refused]),
      dismissed: (issuer: string, count: number) => void dismissed.push([issuer, count]),
      lane: ({ state }: LaneHealth) => void laneStates.push(state),
      changed: () => undefined,
      attempted: (line: AttemptLine) => void lines.push(line),
      trouble: (what: string) => void troubles.push(what),
    },
  }
  const flow = new Flow(ports)
  const start = () => {
    flow.start()
    onTestFinished(async () => {
      const stopped = flow.stop()
      await clock.advance(120_000)
      await stopped
      await kept.close()
    })
  }
  const state = async () => (await kept.deliveries({ issuer: ISSUER, limit: 500 })).map((d) => [d.clientId, d.state])
  return {
    clock,
    flow,
    start,
    store: kept,
    sent,
    lines,
    laneStates,
    dismissed,
    watched,
    refusedAfter,
    troubles,
    reports,
    idp,
    currentUris,
    state,
  }
}

test('an event is delivered once to each relying party, and each end is reported', async () => {
  const { flow, start, clock, sent, reports, state } = given()
  start()
  expect(await flow.receive(securityEvent(1, ['orders', 'mail']), 'push')).toBe('accepted')
  await clock.advance(60_000)
  // Lanes have no order among each other.
  expect(sent.map(({ uri }) => uri).sort()).toEqual([
    'https://mail.example.org/logout',
    'https://orders.example.org/logout',
  ])
  expect(reports.flat().sort()).toEqual([`${uuid(1)}.0`, `${uuid(1)}.1`])
  expect(await state()).toEqual([
    ['orders', 'delivered'],
    ['mail', 'delivered'],
  ])
})

test('an event that comes twice is delivered once', async () => {
  const { flow, start, clock, sent } = given()
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  expect(await flow.receive(securityEvent(1, ['orders']), 'poll')).toBe('duplicate')
  await clock.advance(60_000)
  expect(sent).toHaveLength(1)
})

test('what is seen of a privileged subject after an event is in its evidence, raises an alarm once, and closes nothing anew', async () => {
  const { flow, start, clock, store, watched } = given()
  start()
  await flow.receive(securityEvent(1, ['orders'], { privileged: true }), 'push')
  await clock.advance(60_000)
  const seen = { logins: 1, failedLogins: 2, refusedRefreshes: 3 }
  const later = securityEvent(2, [], { txn: 'txn-1', privileged: true, watched: seen })
  expect(await flow.receive(later, 'push')).toBe('accepted')
  expect(await flow.receive(later, 'poll')).toBe('duplicate')
  expect(watched).toEqual([[ISSUER, seen]])
  const { evidence = [] } = (await store.containment(ISSUER, 'txn-1')) ?? {}
  expect(evidence.filter(({ kind }) => kind === 'closed')).toHaveLength(1)
  expect(evidence.at(-1)).toMatchObject({
    kind: 'watched',
    data: { jti: uuid(2), logins: 1, failed_logins: 2, refused_refreshes: 3 },
  })
})

test('what Keycloak has refused since an event is in its evidence line by line, raises an alarm once, and closes nothing anew', async () => {
  const { flow, start, clock, store, refusedAfter } = given()
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(60_000)
  const refused = [
    { use: 'refresh_token', clientId: 'orders', address: '192.0.2.7', count: 40 },
    { use: 'link', clientId: '', address: '192.0.2.8', count: 1 },
  ]
  const later = securityEvent(2, [], { txn: 'txn-1', refusedAfter: refused })
  expect(await flow.receive(later, 'push')).toBe('accepted')
  expect(await flow.receive(later, 'poll')).toBe('duplicate')
  expect(refusedAfter).toEqual([[ISSUER, refused]])
  const { evidence = [] } = (await store.containment(ISSUER, 'txn-1')) ?? {}
  expect(evidence.filter(({ kind }) => kind === 'closed')).toHaveLength(1)
  expect(evidence.slice(-2)).toMatchObject([
    { kind: 'refused_after', data: { use: 'refresh_token', client_id: 'orders', address: '192.0.2.7', count: 40 } },
    { kind: 'refused_after', data: { use: 'link', client_id: '', address: '192.0.2.8', count: 1 } },
  ])
})

test('a relying party that is down is tried again by the back-off, each time with another token, until it answers', async () => {
  let up = false
  const { flow, start, clock, sent, state } = given({ answers: () => (up ? OK : DOWN) })
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(18_000)
  up = true
  await clock.advance(30_000)
  expect(sent.map(({ atMs }) => atMs / 1000)).toEqual([0, 1, 3, 8, 18, 48])
  expect(new Set(sent.map(({ token }) => token)).size).toBe(sent.length)
  expect(await state()).toEqual([['orders', 'delivered']])
})

test('a relying party that never answers holds up its own lane and no other', async () => {
  const never = new Promise<Answer>(() => undefined)
  const { flow, clock, sent, store } = given({ answers: (uri) => (uri.includes('hung') ? never : OK) })
  flow.start()
  await flow.receive(securityEvent(1, ['hung', 'hung', 'hung', 'orders', 'orders', 'orders', 'orders']), 'push')
  await clock.advance(1000)
  expect(sent.filter(({ uri }) => uri.includes('hung'))).toHaveLength(POLICY.concurrency)
  expect(sent.filter(({ uri }) => uri.includes('orders'))).toHaveLength(4)
  await store.close()
})

test('a minting that fails as a whole costs no relying party an attempt', async () => {
  const { flow, start, clock, idp, sent, lines, troubles } = given()
  const { mint } = idp
  idp.mint = () => Promise.reject(new RelayError('idp_unavailable', 'away'))
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(2500)
  expect([sent, lines]).toEqual([[], []])
  expect(troubles.length).toBeGreaterThan(1)
  idp.mint = mint
  await clock.advance(1000)
  expect(lines.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([[1, 'delivered']])
})

test('a backlog does not flood an identity provider that cannot mint: once a second, a few batches', async () => {
  const { flow, start, clock, idp, lines, troubles } = given({ concurrency: 100 })
  const { mint } = idp
  let calls = 0
  idp.mint = () => {
    calls += 1
    return Promise.reject(new RelayError('idp_unavailable', 'away'))
  }
  start()
  for (let n = 1; n <= 4; n++) {
    const clients = Array.from({ length: 480 }, (_, at) => `client-${n}-${at}`)
    await flow.receive(securityEvent(n, clients), 'push')
  }
  await clock.advance(10_000)
  expect(calls).toBeGreaterThan(10)
  expect(calls).toBeLessThan(200)
  expect(troubles.length).toBeLessThanOrEqual(11)
  idp.mint = mint
  await clock.advance(10_000)
  expect(lines.filter(({ outcome }) => outcome === 'delivered')).toHaveLength(1920)
})

test('what is owed for a realm that is no longer configured is looked at once a minute, and still expires', async () => {
  const { flow, start, clock, store, troubles } = given()
  start()
  const sessions = [session(uuid(1), 0, 'orders', { latestEndMs: NOW_MS + 900_000 })]
  await flow.receive(securityEvent(1, [], { issuer: OTHER_ISSUER, sessions }), 'push')
  await clock.advance(600_000)
  expect(troubles.length).toBeGreaterThan(5)
  expect(troubles.length).toBeLessThan(12)
  await clock.advance(600_000)
  expect(await store.deliveries({ issuer: OTHER_ISSUER, limit: 10 })).toMatchObject([{ state: 'expired' }])
})

test('a token that could not be made now costs its relying party no attempt, and the others do not wait for it', async () => {
  const { flow, start, clock, idp, lines } = given()
  const { mint } = idp
  idp.mint = (some) => mint(some.filter(({ id }) => !id.endsWith('.0')))
  start()
  await flow.receive(securityEvent(1, ['orders', 'mail']), 'push')
  await clock.advance(2500)
  expect(lines.map(({ clientId }) => clientId)).toEqual(['mail'])
  idp.mint = mint
  await clock.advance(1000)
  expect(lines.map(({ clientId, attempt }) => [clientId, attempt])).toEqual([
    ['mail', 1],
    ['orders', 1],
  ])
})

test('a large event does not ask for all its tokens at once, and a privileged one does not wait for it', async () => {
  const { flow, start, clock, idp, lines } = given()
  const { mint } = idp
  let [waiting, most] = [0, 0]
  let slow = true
  const asked: string[] = []
  idp.mint = async (some) => {
    asked.push(...some.map(({ id }) => id))
    most = Math.max(most, (waiting += some.length))
    await clock.sleep(slow ? 1000 : 0)
    waiting -= some.length
    return mint(some)
  }
  start()
  const clients = Array.from({ length: 480 }, (_, n) => `client-${n}`)
  await flow.receive(securityEvent(1, clients), 'push')
  await flow.receive(securityEvent(2, clients), 'push')
  await clock.advance(500)
  await flow.receive(securityEvent(3, ['boss'], { privileged: true }), 'push')
  await clock.advance(100)
  expect(asked).toContain(`${uuid(3)}.0`)
  expect(most).toBeLessThanOrEqual(400)
  slow = false
  await clock.advance(10_000)
  expect(lines.filter(({ outcome }) => outcome === 'delivered')).toHaveLength(961)
})

test('what the relay may sign is asked for apart from what only the realm can make, and from retries', async () => {
  const { flow, start, clock, idp } = given({ answers: () => DOWN })
  const asked: string[][] = []
  const { mint } = idp
  idp.mint = (some) => {
    asked.push(some.map(({ id }) => id.replace(/.*\./, '')))
    return mint(some)
  }
  start()
  const may = { named: { ...backchannelAt('https://a.example.org/'), alg: 'RS256' } }
  const sessions = ['a', 'b', 'c'].map((name, n) => session(uuid(1), n, name, n === 1 ? {} : may))
  await flow.receive(securityEvent(1, [], { sessions }), 'push')
  await clock.advance(10)
  expect(asked.sort()).toEqual([['0', '2'], ['1']])
  asked.length = 0
  await clock.advance(1000)
  expect(asked.flat().sort()).toEqual(['0', '1', '2'])
  expect(asked).toHaveLength(1)
})

test('what is owed of a kind that this relay does not know waits, and keeps nothing else of the realm waiting', async () => {
  const { start, clock, store, sent, troubles, state } = given()
  const { deliveries, ...planned } = plan(securityEvent(1, ['orders', 'mail']), NOW_MS)
  const [other, known] = deliveries.map((one, n) => (n === 0 ? { ...one, target: { kind: 'pigeon', uri: 'x:' } } : one))
  await store.accept(securityEvent(1, ['orders', 'mail']), {
    ...planned,
    deliveries: [other, known].flatMap((d) => d ?? []),
  })
  start()
  await clock.advance(100)
  expect(sent.map(({ uri }) => uri)).toEqual(['https://mail.example.org/logout'])
  expect(troubles).toEqual(['Deliveries are owed of the kind pigeon, which this relay does not know'])
  expect((await state()).sort()).toEqual([
    ['mail', 'delivered'],
    ['orders', 'open'],
  ])
  await clock.advance(59_000)
  expect(troubles).toHaveLength(1)
  await clock.advance(2000)
  expect(troubles).toHaveLength(2)
})

test('of a session whose token cannot be encrypted the evidence says what to mend', async () => {
  const { flow, start, clock, idp, store, state } = given()
  idp.mint = (some) =>
    Promise.resolve({ tokens: new Map(), refused: new Map(some.map(({ id }) => [id, 'no_encryption_key'])) })
  start()
  const event = securityEvent(1, ['orders'])
  await flow.receive(event, 'push')
  await clock.advance(10)
  const { evidence = [] } = (await store.containment(event.issuer, event.txn)) ?? {}
  expect(evidence.find(({ kind }) => kind === 'attempt')?.data).toMatchObject({
    reason: 'not_minted:no_encryption_key',
    says: expect.stringMatching(/wants its tokens encrypted.*never told in clear/) as string,
  })
  expect(await state()).toEqual([['orders', 'open']])
})

test('a session for which no token is made stays open, with the reason', async () => {
  const { flow, start, clock, idp, sent, lines, state } = given()
  idp.mint = (some) => Promise.resolve({ tokens: new Map(), refused: new Map(some.map(({ id }) => [id, 'no_key'])) })
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(10)
  expect(sent).toEqual([])
  expect(lines.map(({ reason }) => reason)).toEqual(['not_minted:no_key'])
  expect(await state()).toEqual([['orders', 'open']])
})

test.each(['delivered', 'expired', 'dismissed'] as const)(
  'a session of which the identity provider knows that it is %s ends so, and nobody is told',
  async (outcome) => {
    const { flow, start, clock, idp, sent, lines, state, store } = given()
    idp.mint = (deliveries) =>
      Promise.resolve({ tokens: new Map(), refused: new Map(deliveries.map(({ id }) => [id, outcome])) })
    start()
    await flow.receive(securityEvent(1, ['orders']), 'reread')
    await clock.advance(10)
    expect([sent, lines]).toEqual([[], []])
    expect(await state()).toEqual([['orders', outcome]])
    const kinds = (await store.containment(ISSUER, 'txn-1'))?.evidence.map(({ kind }) => kind)
    expect(kinds?.at(-2)).toBe(outcome === 'expired' ? 'expired' : 'ended_before')
  },
)

test('a session past its latest end is expired and nobody is told any more', async () => {
  const { flow, start, clock, sent, state } = given({ answers: () => DOWN })
  start()
  const jti = uuid(1)
  const sessions = [session(jti, 0, 'orders', { latestEndMs: NOW_MS + 5000 })]
  await flow.receive(securityEvent(1, [], { sessions }), 'push')
  await clock.advance(60_000)
  expect(sent.map(({ atMs }) => atMs)).toEqual([0, 1000, 3000])
  expect(await state()).toEqual([['orders', 'expired']])
})

describe('a session that is owed for several events', () => {
  /** The n-th event is about the first n logins at one client, as they have followed each other. */
  const event = (n: number, more: Partial<SecurityEvent> = {}) =>
    securityEvent(n, [], {
      sessions: Array.from({ length: n }, (_, at) => session(uuid(n), at, 'orders', { sid: `login ${at + 1}` })),
      ...more,
    })
  const sidOf = ({ token }: { token: string }) => `login ${Number(/\.(\d+)$/.exec(token)?.[1]) + 1}`

  test.each<TokenNames>(['sid', 'sid+sub'])(
    'is told once when its relying party is back, and the evidence of each event says with what it has ended (%s)',
    async (names) => {
      let up = false
      const { flow, start, clock, sent, store, reports } = given({ answers: () => (up ? OK : DOWN), names })
      start()
      for (let n = 1; n <= 8; n++) {
        await flow.receive(event(n), 'push')
        await clock.advance(60_000)
      }
      up = true
      const before = sent.length
      await clock.advance(60_000)
      expect(sent.slice(before).map(sidOf).sort()).toEqual(Array.from({ length: 8 }, (_, n) => `login ${n + 1}`))
      const open = await store.deliveries({ issuer: ISSUER, state: 'open', limit: 100 })
      expect([open, reports.flat()]).toEqual([[], expect.objectContaining({ length: 36 })])
      const kinds = (await store.containment(ISSUER, 'txn-4'))?.evidence.map(({ kind, data }) =>
        kind === 'attempt' ? `${kind} ${String(data['outcome'])}` : kind,
      )
      expect(kinds?.filter((kind) => kind === 'ended_by_sibling' || kind === 'attempt delivered')).toHaveLength(4)
      expect(kinds?.at(-1)).toBe('closed')
    },
  )

  test('has one token under way at a time', async () => {
    const answers: ((answer: Answer) => void)[] = []
    const { flow, start, clock, sent } = given({
      answers: () => new Promise((resolve) => answers.push(resolve)),
      concurrency: 10,
      names: 'sid',
    })
    await flow.receive(event(1), 'push')
    await flow.receive(event(2), 'push')
    await flow.receive(event(3), 'push')
    await clock.advance(1)
    start()
    await clock.advance(2500)
    expect(sent.map(sidOf).sort()).toEqual(['login 1', 'login 2', 'login 3'])
    answers.forEach((answer) => answer(OK))
    await clock.advance(60_000)
    expect(sent).toHaveLength(3)
  })

  test('is told again for an event that comes while its token is under way: it may be a later login', async () => {
    const answers: ((answer: Answer) => void)[] = []
    const { flow, start, clock, sent, store } = given({
      answers: () => (answers.length > 0 ? OK : new Promise((resolve) => answers.push(resolve))),
      names: 'sid',
    })
    start()
    await flow.receive(event(1), 'push')
    await clock.advance(10)
    await flow.receive(
      event(1, { jti: uuid(9), txn: 'txn-9', sessions: [session(uuid(9), 0, 'orders', { sid: 'login 1' })] }),
      'push',
    )
    answers[0]?.(OK)
    await clock.advance(10)
    expect(await store.deliveries({ issuer: ISSUER, limit: 9 })).toMatchObject([
      { state: 'delivered' },
      { state: 'open' },
    ])
    await clock.advance(2000)
    expect(sent).toHaveLength(2)
  })

  test.each<TokenNames | undefined>(['sub', undefined])(
    'is told for each where its tokens name no session, or nobody knows whom (%s)',
    async (names) => {
      let up = false
      const { flow, start, clock, sent } = given({ answers: () => (up ? OK : DOWN), ...(names ? { names } : {}) })
      start()
      await flow.receive(event(1), 'push')
      await flow.receive(event(2), 'push')
      await clock.advance(20_000)
      up = true
      const before = sent.length
      await clock.advance(60_000)
      expect(sent.slice(before).map(sidOf).sort()).toEqual(['login 1', 'login 1', 'login 2'])
    },
  )
})

describe('a relying party that says 400 to sessions', () => {
  const REFUSED: Answer = { kind: 'response', status: 400 }
  const forNobody: Genuine = () =>
    Promise.resolve({
      tokens: new Map([
        ['sid+sub', 'for nobody'],
        ['sid', 'sid for nobody'],
      ]),
    })
  const HALF_A_DAY_MS = DAY_MS / 2
  const FORTY = Array<string>(40).fill('wiki')
  const idOf = (token: string) => Number(/\.(\d+)$/.exec(token)?.[1])
  /** Two of its forty sessions are there; the rest has ended there long ago, and so has one that never was. */
  const forgetful = (there: readonly number[]) => (_: string, token: string) =>
    there.includes(idOf(token)) ? OK : REFUSED
  const counts = async (store: Store) =>
    Object.fromEntries(
      [
        ...Map.groupBy(
          await store.deliveries({ issuer: ISSUER, limit: 500 }),
          (d) => `${d.state} ${d.lastReason ?? ''}`,
        ),
      ].map(([state, some]) => [state, some.length]),
    )

  test.each([
    ['first', [0, 1]],
    ['last', [38, 39]],
  ])(
    'that it no longer has: they are told apart, slowed, and given up by rule (those that live come %s)',
    async (_, there) => {
      const { flow, start, clock, sent, store, reports } = given({
        ...{ answers: forgetful(there), names: 'sid+sub', genuine: forNobody, giveUpUnknownMs: 3 * DAY_MS },
      })
      start()
      await flow.receive(securityEvent(1, FORTY), 'push')
      await clock.advance(3_600_000)
      expect(await counts(store)).toEqual({ 'delivered confirmed': 2, 'open unknown_there:sid+sub': 38 })
      const looks = () => sent.filter(({ token }) => token.endsWith('for nobody')).length
      // Both shapes, for the whole relying party, and no more than every ten minutes.
      expect(looks()).toBeGreaterThanOrEqual(2)
      expect(looks()).toBeLessThanOrEqual(12)
      const before = sent.length
      await clock.advance(2 * DAY_MS)
      // Each day four attempts, and some on the way there.
      expect((sent.length - before) / 38).toBeLessThan(14)
      expect(await counts(store)).toEqual({ 'delivered confirmed': 2, 'open unknown_there:sid+sub': 38 })
      await clock.advance(1.5 * DAY_MS)
      expect(await counts(store)).toEqual({ 'delivered confirmed': 2, 'dismissed unknown_there:sid+sub': 38 })
      expect(reports.flat()).toHaveLength(40)
      const found = await store.containment(ISSUER, 'txn-1')
      expect(found?.containment.open).toBe(0)
      const last = found?.evidence.filter(({ data }) => data['outcome'] === 'given_up')
      expect(last).toHaveLength(38)
      expect(last?.[0]?.data).toMatchObject({
        ...{ status: 400, names: 'sid+sub', says: expect.stringMatching(/^Given up by rule: .*never was/) as string },
      })
    },
  )

  test('that it no longer has, is not given up where nobody could look twice, where that is switched off, or once it says anything else', async () => {
    const names = 'sid+sub'
    const unseen = given({ answers: forgetful([0]), names, giveUpUnknownMs: HALF_A_DAY_MS })
    const off = given({ answers: forgetful([0]), names, genuine: forNobody })
    let back = false
    const mended = given({
      answers: (uri, token) => (back ? DOWN : forgetful([0])(uri, token)),
      ...{ names, genuine: forNobody, giveUpUnknownMs: HALF_A_DAY_MS },
    } as const)
    for (const { flow, start, clock } of [unseen, off, mended]) {
      start()
      await flow.receive(securityEvent(1, ['wiki', 'wiki']), 'push')
      await clock.advance(HALF_A_DAY_MS / 2)
      back = true
      await clock.advance(HALF_A_DAY_MS)
      back = false
    }
    expect(await counts(unseen.store)).toEqual({ 'delivered confirmed': 1, 'open refused_alone:sid+sub': 1 })
    expect(await counts(off.store)).toEqual({ 'delivered confirmed': 1, 'open unknown_there:sid+sub': 1 })
    expect(await counts(mended.store)).toEqual({ 'delivered confirmed': 1, 'open connection_refused': 1 })
  })

  test('while it refuses everything, also what it took before, is told as densely as ever', async () => {
    let broken = false
    const { flow, start, clock, sent, store } = given({
      answers: (_, token) => (broken || token.endsWith('nobody') ? REFUSED : OK),
      ...{ names: 'sid+sub', genuine: forNobody, giveUpUnknownMs: HALF_A_DAY_MS },
    })
    start()
    await flow.receive(securityEvent(1, ['wiki']), 'push')
    await clock.advance(120_000)
    broken = true
    await flow.receive(securityEvent(2, ['wiki']), 'push')
    await clock.advance(DAY_MS)
    expect(await counts(store)).toEqual({ 'delivered confirmed': 1, 'open rejected': 1 })
    expect(sent.length).toBeGreaterThan(90)
  })

  test('that it does have, under another sub, is told so and not slowed', async () => {
    const { flow, start, clock, sent, store } = given({
      answers: (_, token) => (idOf(token) === 1 ? REFUSED : OK),
      ...{ names: 'sid+sub', genuine: forNobody, giveUpUnknownMs: HALF_A_DAY_MS },
    })
    start()
    await flow.receive(securityEvent(1, ['wiki', 'wiki']), 'push')
    await clock.advance(DAY_MS)
    expect(await counts(store)).toEqual({ 'delivered confirmed': 1, 'open another_subject:sid+sub': 1 })
    expect(sent.length).toBeGreaterThan(90)
  })

  test('stays known for it after a restart, and a token of another shape is judged anew', async () => {
    const path = join(temporaryFolder(), 'relay.db')
    const clock = new FakeClock(NOW_MS)
    const given_ = { answers: forgetful([0]), genuine: forNobody, clock, giveUpUnknownMs: HALF_A_DAY_MS }
    const first = given({ ...given_, store: openSqliteStore(path), names: 'sid+sub' })
    first.flow.start()
    await first.flow.receive(securityEvent(1, ['wiki', 'wiki']), 'push')
    await clock.advance(3_600_000)
    const stopped = first.flow.stop()
    await clock.advance(120_000)
    await stopped
    await first.store.close()
    const second = given({ ...given_, store: openSqliteStore(path), names: 'sid+sub' })
    second.flow.start()
    await clock.advance(HALF_A_DAY_MS - 4_000_000)
    expect(second.sent.filter(({ token }) => !token.endsWith('nobody')).length).toBeLessThan(10)
    expect(await counts(second.store)).toEqual({ 'delivered confirmed': 1, 'open unknown_there:sid+sub': 1 })
    const over = second.flow.stop()
    await clock.advance(120_000)
    await over
    await second.store.close()
    const third = given({ ...given_, store: openSqliteStore(path), names: 'sid' })
    third.start()
    await clock.advance(DAY_MS)
    expect(await counts(third.store)).toEqual({ 'delivered confirmed': 1, 'open rejected': 1 })
  })

  test('and needs a sub: the first refusal of a token with the sid alone says so, with what to do, and nothing is given up', async () => {
    const { flow, start, clock, store, sent } = given({
      answers: (_, token) => (token === 'for nobody' ? OK : REFUSED),
      ...{ names: 'sid', genuine: forNobody, giveUpUnknownMs: HALF_A_DAY_MS },
    })
    start()
    await flow.receive(securityEvent(1, ['pac4j-app']), 'push')
    await clock.advance(100)
    const attempts = async () =>
      (await store.containment(ISSUER, 'txn-1'))?.evidence.filter(({ kind }) => kind === 'attempt')
    expect((await attempts())?.[0]?.data).toMatchObject({
      ...{ reason: 'needs_sub:sid', names: 'sid', status: 400 },
      says: expect.stringMatching(
        /^It needs sub.*receivers\.md.*token\.shape to sid\+sub; else no shape is right/,
      ) as string,
    })
    await clock.advance(DAY_MS)
    expect(await counts(store)).toEqual({ 'open needs_sub:sid': 1 })
    expect(sent.length).toBeGreaterThan(90)
  })

  test('for a token with the sid alone, where nobody could look twice, is read as what it may be', async () => {
    const { flow, start, clock, store } = given({ answers: () => REFUSED, names: 'sid' })
    start()
    await flow.receive(securityEvent(1, ['pac4j-app']), 'push')
    await clock.advance(100)
    const line = (await store.containment(ISSUER, 'txn-1'))?.evidence.find(({ kind }) => kind === 'attempt')
    expect(line?.data).toMatchObject({
      reason: 'rejected',
      says: expect.stringMatching(/names the sid alone.*If it needs sub, docs\/receivers\.md/) as string,
    })
  })

  test('is not waited for where its second look hangs: the attempt is recorded within its lease', async () => {
    const { flow, start, clock, store, lines } = given({
      answers: (_, token) => (token.endsWith('nobody') ? new Promise<Answer>(() => undefined) : REFUSED),
      ...{ names: 'sid', genuine: forNobody },
    })
    start()
    await flow.receive(securityEvent(1, ['wiki']), 'push')
    await clock.advance(15_000)
    expect(lines.map(({ attempt, outcome }) => [attempt, outcome])[0]).toEqual([1, 'retry'])
    expect(await counts(store)).toEqual({ 'open rejected': 1 })
  })
})

describe('a client whose logout URL is changed,', () => {
  const [old, fresh] = ['https://old.example.org/logout', 'https://orders.example.org/logout']
  const party = (logoutUri: string) => ({
    ...{ issuer: ISSUER, clientId: 'orders', target: backchannelAt(logoutUri) },
    ...{ enabled: true },
  })
  const relyingParties = (readMs: number | undefined, overrides: DeliverySettings['overrides'] = []) => {
    const settings = { allowHttpOnLoopback: false, allowAddresses: [], timeoutMs: 1000, concurrency: 2, overrides }
    const parties = new RelyingParties({ ...settings, formerIssuers: new Map([[FORMERLY, ISSUER]]) })
    parties.replace(ISSUER, [party(old)], readMs)
    return parties
  }

  test.each([
    ['half a minute before the event', NOW_MS - 30_000, NOW_MS],
    ['before the start of the relay', undefined, NOW_MS],
    ['just after the event, by clocks that may differ', NOW_MS - 10_000, NOW_MS - 40_000],
  ])('and was looked at %s, is told where the event says, at each attempt', async (_, readMs, removedAtMs) => {
    const { flow, start, clock, sent } = given({ registry: relyingParties(readMs), answers: () => DOWN })
    start()
    await flow.receive(securityEvent(1, ['orders'], { removedAtMs }), 'push')
    await clock.advance(1500)
    expect(sent.map(({ uri }) => uri)).toEqual([fresh, fresh])
  })

  test('is told where it is now once the realm has been looked at since, also under a former name of the realm', async () => {
    const registry = relyingParties(NOW_MS - 30_000)
    for (const [n, issuer] of [ISSUER, FORMERLY].entries()) {
      const { flow, start, clock, sent } = given({ registry, answers: () => DOWN, issuers: [ISSUER, FORMERLY] })
      start()
      await flow.receive(securityEvent(n, ['orders'], { issuer, removedAtMs: NOW_MS }), 'push')
      await clock.advance(1500)
      registry.replace(ISSUER, [party('https://newest.example.org/logout')], clock.nowMs() + 5000)
      await clock.advance(5000)
      expect([sent[0]?.uri, sent.at(-1)?.uri]).toEqual([fresh, 'https://newest.example.org/logout'])
      registry.replace(ISSUER, [party(old)], NOW_MS - 30_000)
    }
  })

  test('is told where it is now by an event that waited in the outbox meanwhile', async () => {
    const { flow, start, clock, sent } = given({ registry: relyingParties(NOW_MS) })
    start()
    await flow.receive(securityEvent(1, ['orders'], { removedAtMs: NOW_MS - 3_600_000 }), 'poll')
    await clock.advance(100)
    expect(sent.map(({ uri }) => uri)).toEqual([old])
  })

  test('and had none at the event, is not told where it was before, but where relay.yaml says', async () => {
    const sessions = [session(uuid(1), 0, 'orders', { named: { kind: 'backchannel' } })]
    const event = securityEvent(1, [], { sessions, removedAtMs: NOW_MS })
    const untold = given({ registry: relyingParties(NOW_MS - 30_000) })
    untold.start()
    await untold.flow.receive(event, 'push')
    await untold.clock.advance(100)
    expect(untold.sent).toEqual([])
    const override = { issuer: ISSUER, clientId: 'orders', logoutUri: 'https://file.example.org/logout' }
    const told = given({ registry: relyingParties(NOW_MS - 30_000, [override]) })
    told.start()
    await told.flow.receive(event, 'push')
    await told.clock.advance(100)
    expect(told.sent.map(({ uri }) => uri)).toEqual(['https://file.example.org/logout'])
  })
})

test('what waits for an identity provider goes where relay.yaml says now, and nowhere while it says nothing', async () => {
  const clientId = providerName('https://login.example.com')
  const settings = { allowHttpOnLoopback: false, allowAddresses: [], timeoutMs: 1000, concurrency: 2, overrides: [] }
  const toldAt = (url: string) =>
    new RelyingParties({ ...settings, told: [{ issuer: ISSUER, clientId, url, allowAddresses: [] }] })
  let [parties, credential] = [toldAt('https://old.example.com/'), 'old']
  const posted: string[] = []
  const deliverer = openKinds({
    ...{ nowMs: () => NOW_MS, sleep: () => Promise.resolve(), trouble: () => undefined },
    wayTo: () => ({ audience: 'https://login.example.com/', subject: 'iss_sub', authorization: credential }),
    post: (uri, { authorization }) => {
      posted.push(`${authorization} to ${uri}`)
      return Promise.resolve({ kind: 'response', status: uri.includes('old') ? 503 : 204 })
    },
  }).get(REVOCATION)
  const registry: Registry = {
    target: (...asked) => parties.target(...asked),
    lane: (...asked) => parties.lane(...asked),
  }
  const { flow, start, clock, idp, state } = given({ registry, kinds: deliverer ? [[REVOCATION, deliverer]] : [] })
  const claims = { sub_id: { format: 'iss_sub', iss: 'https://login.example.com', sub: 'of-anna' } }
  let minted = 0
  idp.mint = (some) => {
    minted += some.length
    const token = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.e30`
    return Promise.resolve({ tokens: new Map(some.map(({ id }) => [id, token])), refused: new Map() })
  }
  start()
  const sessions = [session(uuid(1), 0, clientId, { named: { kind: REVOCATION } })]
  await flow.receive(securityEvent(1, [], { sessions }), 'push')
  await clock.advance(100)
  expect(posted).toEqual(['old to https://old.example.com/'])
  parties = new RelyingParties(settings)
  await clock.advance(600_000)
  expect([posted.length, minted, await state()]).toEqual([1, 1, [[clientId, 'open']]])
  ;[parties, credential] = [toldAt('https://new.example.com/'), 'new']
  await clock.advance(61_000)
  expect(posted.slice(1)).toEqual(['new to https://new.example.com/'])
  expect(await state()).toEqual([[clientId, 'delivered']])
})

test('a retry goes to the logout URL of today, and the evidence says that it changed', async () => {
  const { flow, start, clock, sent, store, currentUris } = given({
    answers: (uri) => (uri.includes('new') ? OK : DOWN),
  })
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(10)
  currentUris.set('orders', 'https://new.example.org/logout')
  await clock.advance(1000)
  expect(sent.map(({ uri }) => uri)).toEqual(['https://orders.example.org/logout', 'https://new.example.org/logout'])
  const evidence = (await store.containment(ISSUER, 'txn-1'))?.evidence ?? []
  expect(evidence.filter(({ kind }) => kind === 'attempt').map(({ data }) => data['logout_uri_changed'])).toEqual([
    undefined,
    true,
  ])
})

test('what was owed when the relay was killed is delivered by the next one', async () => {
  const file = join(temporaryFolder(), 'relay.db')
  const first = given({ store: openSqliteStore(file), answers: () => new Promise<Answer>(() => undefined) })
  first.flow.start()
  await first.flow.receive(securityEvent(1, ['orders']), 'push')
  await settle()
  expect(first.sent).toHaveLength(1)
  await first.store.close()
  const second = given({ store: openSqliteStore(file) })
  second.start()
  await second.clock.advance(10)
  expect(second.sent).toHaveLength(1)
  expect(await second.state()).toEqual([['orders', 'delivered']])
})

test('an outcome that cannot be stored is said, and the delivery is attempted again after its lease', async () => {
  const { flow, start, clock, store, sent, troubles, state } = given()
  const record = store.record.bind(store)
  store.record = () => Promise.reject(new RelayError('store_unavailable', 'disk full'))
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(1000)
  expect(troubles).toEqual(['The outcome of an attempt could not be stored; it will be attempted again'])
  store.record = record
  await clock.advance(60_000)
  expect(sent).toHaveLength(2)
  expect(await state()).toEqual([['orders', 'delivered']])
})

test('an end is reported again until the identity provider has recorded it', async () => {
  const { flow, start, clock, idp, reports } = given()
  const { report } = idp
  idp.report = () => Promise.reject(new RelayError('idp_unavailable', 'away'))
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(5000)
  expect(reports).toEqual([])
  idp.report = report
  await clock.advance(120_000)
  expect(reports).toEqual([[`${uuid(1)}.0`]])
})

test('a delivery that somebody asks for is attempted at once, whatever the back-off says', async () => {
  let up = false
  const { flow, start, clock, sent, state } = given({ answers: () => (up ? OK : DOWN) })
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(200_000)
  const before = sent.length
  up = true
  expect(await flow.retryNow({ issuer: ISSUER, clientId: 'orders' }, 'operator-1')).toBe(1)
  await clock.advance(10)
  expect(sent).toHaveLength(before + 1)
  expect(await state()).toEqual([['orders', 'delivered']])
})

test('more deliveries than fit in one change are dismissed all, counted, reported and never attempted again', async () => {
  const { flow, start, clock, sent, dismissed, reports, store } = given({ answers: () => DOWN })
  start()
  for (let part = 1; part <= 3; part++) {
    const clients = Array.from({ length: 300 }, (_, n) => `app-${part}-${n}`)
    await flow.receive(securityEvent(part, clients), 'push')
  }
  await clock.advance(10)
  const attempted = sent.length
  expect(await flow.dismiss({ issuer: ISSUER, createdFromMs: 0 }, 'operator-1', 'the applications are gone')).toBe(900)
  await clock.advance(120_000)
  expect([sent.length, dismissed]).toEqual([attempted, [[ISSUER, 900]]])
  expect(new Set(reports.flat()).size).toBe(900)
  expect(await store.changes(ISSUER, 2)).toMatchObject([{ by: 'operator-1', data: { count: 900 } }])
})

test('what was dismissed before the store failed is told, though not all was', async () => {
  const kept = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  let calls = 0
  const failing: Store = {
    ...kept,
    dismiss: (...which) =>
      ++calls === 2 ? Promise.reject(new RelayError('store_unavailable', 'The disk is full')) : kept.dismiss(...which),
  }
  const { flow, start, clock, dismissed, store } = given({ store: failing, answers: () => DOWN })
  start()
  for (let part = 1; part <= 2; part++) {
    const clients = Array.from({ length: 300 }, (_, n) => `app-${part}-${n}`)
    await flow.receive(securityEvent(part, clients), 'push')
  }
  await clock.advance(10)
  const dismissing = flow.dismiss({ issuer: ISSUER, createdFromMs: 0 }, 'operator-1', 'the applications are gone')
  await expect(dismissing).rejects.toMatchObject({ code: 'store_unavailable' })
  expect(dismissed).toEqual([[ISSUER, 500]])
  expect(await store.changes(ISSUER, 2)).toMatchObject([{ by: 'operator-1', data: { count: 500 } }])
})

test('an attempt behind a slow minting ends within its lease, so that its answer counts', async () => {
  const policies: LanePolicy[] = []
  const { flow, start, clock, idp, lines } = given({ answers: () => OK, timeoutMs: 20_000, seen: policies })
  const mint = idp.mint
  idp.mint = async (deliveries) => {
    await clock.sleep(15_000)
    return mint(deliveries)
  }
  start()
  await flow.receive(securityEvent(1, ['orders']), 'push')
  await clock.advance(15_010)
  expect(policies.map(({ timeoutMs }) => 15_000 + timeoutMs < 30_000)).toEqual([true])
  expect(lines.map(({ outcome }) => outcome)).toEqual(['delivered'])
})

test('a relying party that fails is only probed, and what it is owed is not burnt as attempts', async () => {
  const { flow, start, clock, sent, store, laneStates } = given({ answers: () => DOWN })
  start()
  await flow.receive(securityEvent(1, Array<string>(100).fill('orders')), 'push')
  await clock.advance(61_000)
  // Five failures and one that had begun, then probes after 1, 2, 4, 8, 16 and 30 seconds.
  expect(sent.map(({ atMs }) => atMs / 1000)).toEqual([0, 0, 0, 0, 0, 0, 1, 3, 7, 15, 31, 61])
  const waiting = await store.deliveries({ issuer: ISSUER, state: 'open', limit: 500 })
  expect(waiting).toHaveLength(100)
  expect(waiting.filter(({ attempts }) => attempts === 0).length).toBeGreaterThan(85)
  expect(laneStates).toEqual(['probed'])
  expect(flow.unhealthyLanes()).toEqual([
    { issuer: ISSUER, clientId: 'orders', state: 'probed', failures: 11, probeMs: NOW_MS + 91_000 },
  ])
})

test('at its first answer all that waits is due, and no more are under way than have been answered', async () => {
  let up = false
  let [underWay, answered, most] = [0, 0, 0]
  const clock = new FakeClock(NOW_MS)
  const answers = async () => {
    if (!up) {
      return DOWN
    }
    underWay++
    most = Math.max(most, underWay)
    expect(underWay).toBeLessThanOrEqual(answered + 1)
    await clock.sleep(50)
    underWay--
    answered++
    return OK
  }
  const { flow, start, state, laneStates } = given({ answers, clock, concurrency: 8 })
  start()
  await flow.receive(securityEvent(1, Array<string>(60).fill('orders')), 'push')
  await clock.advance(300_000)
  up = true
  await clock.advance(31_000 + 1000)
  expect((await state()).every(([, each]) => each === 'delivered')).toBe(true)
  expect(most).toBe(8)
  expect(laneStates).toEqual(['probed', 'recovering', 'healthy'])
})

test('a probed relying party delays no other', async () => {
  const { flow, start, clock, sent } = given({ answers: (uri) => (uri.includes('down') ? DOWN : OK) })
  start()
  await flow.receive(securityEvent(1, Array<string>(400).fill('down')), 'push')
  await clock.advance(10_000)
  await flow.receive(securityEvent(2, ['orders']), 'push')
  await clock.advance(1)
  expect(sent.at(-1)?.uri).toBe('https://orders.example.org/logout')
})

test('a privileged subject waits for no attempt of another, however many are due and under way', async () => {
  const never = new Promise<Answer>(() => undefined)
  const { flow, clock, sent, store } = given({ answers: () => never })
  flow.start()
  await flow.receive(securityEvent(1, Array<string>(300).fill('orders')), 'push')
  await clock.advance(10)
  await flow.receive(securityEvent(2, ['orders'], { privileged: true }), 'push')
  await clock.advance(10)
  expect(sent).toHaveLength(POLICY.concurrency + 1)
  expect(sent.at(-1)?.token).toContain(uuid(2))
  await store.close()
})

test('a reset waits neither for one with a thousand sessions nor for a thousand resets', async () => {
  const clock = new FakeClock(NOW_MS)
  const { flow, start, sent } = given({ clock, answers: () => clock.sleep(50).then(() => OK) })
  start()
  for (let n = 1; n <= 5; n++) {
    await flow.receive(securityEvent(n, Array<string>(200).fill('orders'), { txn: 'mass', part: n, parts: 5 }), 'push')
  }
  for (let n = 6; n <= 200; n++) {
    await flow.receive(securityEvent(n, ['orders']), 'push')
  }
  await clock.advance(1000)
  await flow.receive(securityEvent(500, ['orders']), 'push')
  await clock.advance(120)
  expect(sent.map(({ token }) => token).some((token) => token.includes(uuid(500)))).toBe(true)
})
