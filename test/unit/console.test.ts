import { join } from 'node:path'
import { Hono } from 'hono'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { LastAnswers, median } from '../../relay/console/answers.ts'
import { logoutTokenVerifier } from '../../relay/console/backchannel.ts'
import { containmentsPage } from '../../relay/console/containment.ts'
import { deliveriesPage } from '../../relay/console/deliveries.ts'
import { duration } from '../../relay/console/layout.ts'
import { nowPage } from '../../relay/console/now.ts'
import { consoleRoutes } from '../../relay/console/routes.ts'
import { type Person, Sessions } from '../../relay/console/sessions.ts'
import { barsOf } from '../../relay/console/timeline.ts'
import { plan } from '../../relay/domain/plan.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { ISSUER, NOW_MS, securityEvent, session as listed, temporaryFolder, uuid } from './given.ts'
import { type Realm, realm } from './signed.ts'

let ours: Realm
let foreign: Realm

beforeAll(async () => {
  ;[ours, foreign] = await Promise.all([realm(), realm('https://evil.example.org/realms/demo')])
})

const person: Person = { subject: 'olivia-1', sid: 'sid-1', name: 'olivia', roles: ['view'], idToken: 'x' }

describe('a logout token for the console', () => {
  const seconds = NOW_MS / 1000
  let n = 0
  const claims = (more: object = {}) => ({
    iss: ISSUER,
    aud: 'logout-relay-console',
    iat: seconds,
    exp: seconds + 120,
    jti: `jti-${n++}`,
    sid: 'sid-1',
    sub: 'olivia-1',
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    ...more,
  })
  const verifier = () =>
    logoutTokenVerifier(
      () => Promise.resolve(ours.keys),
      { issuer: ISSUER, clientId: 'logout-relay-console' },
      () => NOW_MS,
    )
  const signed = (more: object = {}, by = ours) => by.sign(claims(more), { typ: 'logout+jwt' })

  test('that is right says whom it is about, with a sid, a sub or both', async () => {
    const verify = verifier()
    expect(await verify(await signed())).toEqual({ sid: 'sid-1', sub: 'olivia-1' })
    expect(await verify(await signed({ sub: undefined }))).toEqual({ sid: 'sid-1' })
    expect(await verify(await signed({ sid: undefined }))).toEqual({ sub: 'olivia-1' })
  })

  test.each<[string, object]>([
    ['another issuer', { iss: 'https://other.example.org' }],
    ['another audience', { aud: 'express-app' }],
    ['no iat', { iat: undefined }],
    ['an iat to come', { iat: seconds + 600 }],
    ['no end', { exp: undefined }],
    ['an end that is past', { exp: seconds - 61 }],
    ['no jti', { jti: undefined }],
    ['no events', { events: undefined }],
    ['another event', { events: { 'https://example.org/other': {} } }],
    ['an event that is no object', { events: { 'http://schemas.openid.net/event/backchannel-logout': true } }],
    ['a nonce', { nonce: 'n' }],
    ['neither sid nor sub', { sid: undefined, sub: undefined }],
  ])('with %s is refused', async (_, more) => {
    expect(await verifier()(await signed(more))).toBeUndefined()
  })

  test('signed by somebody else, or by nobody, is refused', async () => {
    expect(await verifier()(await signed({}, foreign))).toBeUndefined()
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    expect(await verifier()(`${part({ alg: 'none' })}.${part(claims())}.`)).toBeUndefined()
  })

  test('counts once', async () => {
    const verify = verifier()
    const token = await signed()
    expect(await verify(token)).toBeDefined()
    expect(await verify(token)).toBeUndefined()
  })
})

describe('a session at the console', () => {
  test('ends by its sid, or without one by its sub, and no other does', () => {
    const sessions = new Sessions(() => NOW_MS)
    const [one, other] = [sessions.begin(person), sessions.begin({ ...person, sid: 'sid-2' })]
    expect(sessions.loggedOut({ sid: 'sid-1', sub: 'olivia-1' })).toBe(1)
    expect([sessions.find(one?.id ?? ''), sessions.find(other?.id ?? '')]).toEqual([undefined, other])
    expect(one?.ended.signal.reason).toBe('at the realm')
    expect(sessions.loggedOut({ sub: 'olivia-1' })).toBe(1)
    expect(sessions.find(other?.id ?? '')).toBeUndefined()
  })

  test('does not begin when the realm ended it while the login was still under way', () => {
    const sessions = new Sessions(() => NOW_MS)
    sessions.loggedOut({ sid: 'sid-1' })
    expect(sessions.begin(person)).toBeUndefined()
  })

  test('ends after an hour, whatever is done with it', () => {
    let nowMs = NOW_MS
    const sessions = new Sessions(() => nowMs)
    const session = sessions.begin(person)
    nowMs += 59 * 60_000
    expect(sessions.find(session?.id ?? '')).toBeDefined()
    nowMs += 60_000
    expect(sessions.find(session?.id ?? '')).toBeUndefined()
  })

  test('has an id and a token of its own each time, and a login is taken once and in time', () => {
    let nowMs = NOW_MS
    const sessions = new Sessions(() => nowMs)
    const [a, b] = [sessions.begin(person), sessions.begin(person)]
    expect(new Set([a?.id, b?.id, a?.csrf, b?.csrf]).size).toBe(4)
    const login = { state: 's', nonce: 'n', verifier: 'v', returnTo: '/console' }
    const id = sessions.beginLogin(login)
    expect([sessions.takeLogin(id)?.state, sessions.takeLogin(id)]).toEqual(['s', undefined])
    const late = sessions.beginLogin(login)
    nowMs += 10 * 60_000
    expect(sessions.takeLogin(late)).toBeUndefined()
  })

  test('costs bounded memory, however many logins are begun', () => {
    const sessions = new Sessions(() => NOW_MS)
    const first = sessions.beginLogin({ state: 's', nonce: 'n', verifier: 'v', returnTo: '/console' })
    for (let n = 0; n < 1000; n++) {
      sessions.beginLogin({ state: 's', nonce: 'n', verifier: 'v', returnTo: '/console' })
    }
    expect(sessions.takeLogin(first)).toBeUndefined()
  })
})

test('nobody gets past the door without a session, and a stream or a post is not sent to a login', async () => {
  const never = () => Promise.reject(new Error('the store was asked'))
  const app = new Hono().route(
    '/console',
    consoleRoutes({
      client: { issuer: ISSUER, clientId: 'c', clientSecret: 's', url: 'https://r.example.org/console', audience: 'a' },
      store: { containments: never, containment: never, deliveries: never, open: never },
      relyingParties: { list: () => [] },
      answers: new LastAnswers(),
      keysOf: () => Promise.resolve(ours.keys),
      flow: { retryNow: never, dismiss: never },
      settings: [],
      nowMs: () => NOW_MS,
      sleep: () => Promise.resolve(),
    }),
  )
  for (const path of ['', '/containments', '/containments/x', '/deliveries', '/relying-parties', '/settings']) {
    const answer = await app.request(`/console${path}`)
    expect([path, answer.status, answer.headers.get('location')]).toEqual([
      path,
      302,
      `/console/login?to=${encodeURIComponent(`/console${path}`)}`,
    ])
  }
  expect((await app.request('/console/live')).status).toBe(401)
  for (const path of ['/deliveries/retry', '/deliveries/dismiss', '/logout']) {
    expect((await app.request(`/console${path}`, { method: 'POST' })).status).toBe(401)
  }
  expect((await app.request('/console/callback?code=x&state=y')).status).toBe(400)
})

test('a bar ends with the last answer, and is open or given up if one of its sessions is', () => {
  const { deliveries } = plan(securityEvent(1, ['a', 'a', 'b', 'c']), NOW_MS, () => undefined)
  const [a1, a2, b, c] = deliveries
  if (!a1 || !a2 || !b || !c) {
    throw new Error('four were planned')
  }
  const bars = barsOf(
    [
      { ...a1, state: 'delivered', endedMs: NOW_MS + 10 },
      { ...a2, state: 'delivered', endedMs: NOW_MS + 30 },
      { ...b, lastReason: 'timeout' },
      { ...c, state: 'dismissed', endedMs: NOW_MS + 5 },
    ],
    NOW_MS + 99,
  )
  expect(bars.map(({ clientId, state, endMs, reason }) => [clientId, state, endMs - NOW_MS, reason])).toEqual([
    ['a', 'confirmed', 30, undefined],
    ['b', 'open', 99, 'timeout'],
    ['c', 'given-up', 5, undefined],
  ])
})

test('of a relying party’s answers the last 24 are kept', () => {
  const answers = new LastAnswers()
  const line = { containment: 'c', delivery: 'd', issuer: ISSUER, clientId: 'a', attempt: 1, sinceEventMs: 1 }
  for (let n = 0; n < 30; n++) {
    answers.note({ ...line, outcome: 'delivered', reason: 'confirmed', durationMs: n }, NOW_MS)
  }
  expect(answers.of(ISSUER, 'a')).toHaveLength(24)
  expect(median(answers.of(ISSUER, 'a'))).toBe(18)
  expect(answers.of(ISSUER, 'b')).toEqual([])
})

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1250, '1.3 s'],
  [60_000, '1 min'],
  [3_661_000, '1 h 1 min'],
  [90_000_000, '1 d 1 h'],
])('%i ms reads %s', (ms, text) => {
  expect(duration(ms)).toBe(text)
})

test('markup in a name is shown and does nothing', async () => {
  const store = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  onTestFinished(() => store.close())
  const event = securityEvent(1, [], {
    trigger: '<b>t</b>',
    sessions: [listed(uuid(1), 0, '<img src=x onerror=alert(1)>')],
  })
  await store.accept(
    event,
    plan(event, NOW_MS, () => undefined),
  )
  const ports = { store, nowMs: () => NOW_MS }
  const session = new Sessions(() => NOW_MS).begin({ ...person, roles: ['view', 'operate', 'dismiss'] })
  if (!session) {
    throw new Error('no session')
  }
  const shown = [
    await nowPage(ports, ISSUER),
    await containmentsPage(ports, ISSUER, undefined),
    await deliveriesPage(ports, ISSUER, session, { clientId: '"><script>', after: undefined, done: undefined }),
  ].join('')
  expect(shown).not.toMatch(/<img src=x|<b>|<script>/)
  expect(shown).toContain('&lt;img src=x')
})
