import { setTimeout as delay } from 'node:timers/promises'
import { errors } from 'jose'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { LastAnswers, quantile } from '../../relay/telemetry/answers.ts'
import { logoutTokenVerifier } from '../../relay/console/backchannel.ts'
import { rightsOf } from '../../relay/console/rights.ts'
import { type Person, type Rights, Sessions } from '../../relay/console/sessions.ts'
import { barsOf } from '../../relay/console/timeline.ts'
import { plan } from '../../relay/domain/plan.ts'
import { consoleWorld, OLIVIA } from './console-world.ts'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import { ISSUER, NOW_MS, securityEvent } from './given.ts'
import { type Realm, realm } from './signed.ts'

let ours: Realm
let foreign: Realm

beforeAll(async () => {
  ;[ours, foreign] = await Promise.all([realm(), realm('https://evil.example.org/realms/demo')])
})

const PAGES = ['', '/containments', '/deliveries', '/relying-parties', '/coverage', '/changes', '/settings']
const REASON = { reason: 'because of the move' }
const PARTY = { client_id: 'app', ...REASON }
/** Every form there is, filled in. */
const ACTS: Readonly<Record<string, Record<string, string>>> = {
  '/deliveries/retry': { client_id: 'app', which: 'all' },
  '/deliveries/dismiss': { client_id: 'app', which: 'all', ...REASON },
  '/relying-parties/register': { backchannel_logout_uri: 'https://app.example.org/logout', ...PARTY },
  '/relying-party/check': PARTY,
  '/relying-party/pause': PARTY,
  '/relying-party/resume': PARTY,
  '/relying-party/unregister': PARTY,
  '/end': { user: '0b7e1a52-0000-4000-8000-00000000a11c' },
  '/end/a-look': REASON,
}

const person: Person = { ...OLIVIA, roles: ['view'] }

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

  test('with another typ than that of a logout token is refused, also one that the realm has signed for somebody else', async () => {
    for (const typ of ['at+jwt', 'secevent+jwt', 'guard-feed+jwt']) {
      expect(await verifier()(await ours.sign(claims(), { typ }))).toBeUndefined()
    }
    for (const header of [
      { typ: undefined },
      { typ: 'JWT' },
      { typ: 'logout+jwt' },
      { typ: 'application/logout+jwt' },
    ] as object[]) {
      expect(await verifier()(await ours.sign(claims(), header))).toMatchObject({ sid: 'sid-1' })
    }
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

test('the console’s logout receiver says 400 to what is no form, and 503 while the realm’s keys cannot be had', async () => {
  const down = () => Promise.reject(new errors.JOSEError('Expected 200 OK from the JSON Web Key Set'))
  const { app } = consoleWorld({ keysOf: () => Promise.resolve(down) })
  const post = async (init: RequestInit) =>
    (await app.request('/console/backchannel-logout', { method: 'POST', ...init })).status
  expect(await post({ headers: { 'content-type': 'multipart/form-data' }, body: 'x' })).toBe(400)
  const logout_token = await ours.sign({ iss: ISSUER }, { typ: 'logout+jwt' })
  expect(await post({ body: new URLSearchParams({ logout_token }) })).toBe(503)
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

  const rights: Rights = { accessToken: 'a', refreshToken: 'r', untilMs: NOW_MS + 300_000, readsUsers: false }

  test('is over after an hour also if nobody comes back or logs in, and its tokens are gone', () => {
    vi.useFakeTimers({ now: NOW_MS })
    onTestFinished(() => void vi.useRealTimers())
    const sessions = new Sessions(() => Date.now())
    const left = sessions.begin(person, rights)
    vi.advanceTimersByTime(30 * 60_000)
    const other = sessions.begin({ ...person, sid: 'sid-2' }, rights)
    expect([left?.ended.signal.aborted, left?.rights]).toEqual([false, rights])
    vi.advanceTimersByTime(30 * 60_000)
    expect([left?.ended.signal.aborted, left?.rights]).toEqual([true, undefined])
    expect([other?.ended.signal.aborted, other?.rights]).toEqual([false, rights])
  })

  test('leaves neither tokens nor a timer behind when it ends before that', () => {
    vi.useFakeTimers({ now: NOW_MS })
    onTestFinished(() => void vi.useRealTimers())
    const sessions = new Sessions(() => Date.now())
    const session = sessions.begin(person, rights)
    expect(vi.getTimerCount()).toBe(1)
    sessions.loggedOut({ sid: 'sid-1' })
    expect([session?.rights, vi.getTimerCount()]).toEqual([undefined, 0])
  })

  test('takes no tokens any more that were renewed while it ended', async () => {
    const sessions = new Sessions(() => NOW_MS)
    const session = sessions.begin(person, { ...rights, untilMs: NOW_MS })
    if (!session) {
      throw new TypeError('No session')
    }
    const renewal = Promise.withResolvers<Rights | undefined>()
    const world = consoleWorld()
    const asked = rightsOf(session, {
      login: { ...world.ports.login, renew: () => renewal.promise },
      nowMs: () => NOW_MS,
    })
    sessions.end(session.id)
    renewal.resolve(rights)
    expect([await asked, session.rights]).toEqual([undefined, undefined])
  })

  test('has an id and a token of its own each time', () => {
    const sessions = new Sessions(() => NOW_MS)
    const [a, b] = [sessions.begin(person), sessions.begin(person)]
    expect(new Set([a?.id, b?.id, a?.csrf, b?.csrf]).size).toBe(4)
  })

  test('begins with a login that its browser alone has kept, unread and unchanged, and for ten minutes', async () => {
    let nowMs = NOW_MS
    const sessions = new Sessions(() => nowMs)
    const login = { state: 's', nonce: 'n', verifier: 'secret-verifier', returnTo: '/console', audit: false }
    const sealed = await sessions.sealLogin(login)
    expect(Buffer.from(sealed.split('.')[3] ?? '', 'base64url').toString('latin1')).not.toContain('secret-verifier')
    expect(await sessions.openLogin(sealed)).toMatchObject(login)
    const parts = sealed.split('.')
    parts[3] = `${parts[3]?.startsWith('A') ? 'B' : 'A'}${parts[3]?.slice(1)}`
    for (const other of ['', 'x', parts.join('.'), await new Sessions(() => nowMs).sealLogin(login)]) {
      expect(await sessions.openLogin(other)).toBeUndefined()
    }
    nowMs += 10 * 60_000
    expect(await sessions.openLogin(sealed)).toBeUndefined()
  })
})

test('nobody gets past the door without a session, and a stream or a post is not sent to a login', async () => {
  const never = () => Promise.reject(new Error('the store was asked'))
  const { app } = consoleWorld({
    store: {
      ...{
        containments: never,
        containment: never,
        deliveries: never,
        open: never,
        months: never,
        unreachable: never,
        changes: never,
      },
    },
    flow: { retryNow: never, dismiss: never, unhealthyLanes: () => [] },
  })
  for (const path of [
    ...PAGES,
    '/containments/x',
    '/relying-party',
    '/relying-parties/register',
    '/coverage/read',
    '/end',
    '/end/x',
  ]) {
    const answer = await app.request(`/console${path}`)
    expect([path, answer.status, answer.headers.get('location')]).toEqual([
      path,
      302,
      `/console/login?to=${encodeURIComponent(`/console${path}`)}`,
    ])
  }
  expect((await app.request('/console/live')).status).toBe(401)
  for (const path of [...Object.keys(ACTS), '/logout']) {
    expect((await app.request(`/console${path}`, { method: 'POST' })).status).toBe(401)
  }
  expect((await app.request('/console/callback?code=x&state=y')).status).toBe(400)
})

test('a bar ends with the last answer, and is open or given up if one of its sessions is', () => {
  const { deliveries } = plan(securityEvent(1, ['a', 'a', 'b', 'c']), NOW_MS)
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

test('of a relying party’s answers the last 100 are kept, with the times of half and of almost all of them', () => {
  const answers = new LastAnswers()
  const line = { containment: 'c', delivery: 'd', issuer: ISSUER, clientId: 'a', attempt: 1, owedForMs: 1 }
  for (let n = 0; n < 130; n++) {
    answers.add({ ...line, outcome: 'delivered', reason: 'confirmed', durationMs: n }, NOW_MS)
  }
  const last = answers.of(ISSUER, 'a')
  expect(last).toHaveLength(100)
  expect([0.5, 0.99, 1].map((share) => quantile(last, share))).toEqual([79, 128, 129])
  expect([quantile(last.slice(-1), 0.5), quantile([], 0.5)]).toEqual([129, undefined])
  expect(answers.of(ISSUER, 'b')).toEqual([])
})

describe('a person at the console', () => {
  const uri = 'https://app.example.org/logout'
  const app = { issuer: ISSUER, clientId: 'app', target: backchannelAt(uri), enabled: true }
  const withApp = () => {
    const world = consoleWorld()
    world.relyingParties.replace(ISSUER, [app])
    return world
  }
  const changed = async ({ store }: ReturnType<typeof consoleWorld>) => (await store.changes(ISSUER, 100)).length

  test('who may only look posts nothing, and sees nothing to post but a search', async () => {
    const world = withApp()
    const victor = await world.logIn({ name: 'victor', roles: ['view'] })
    for (const [path, form] of Object.entries(ACTS)) {
      expect([path, (await victor.post(path, form)).status]).toEqual([path, 403])
    }
    for (const path of [...PAGES, '/relying-party?client_id=app']) {
      const page = await (await victor.get(path)).text()
      const acts = [...page.matchAll(/<form[^>]*action="([^"]*)"/g)].map(([, action]) => action)
      expect([path, acts, page.match(/<form/g)?.length]).toEqual([
        ...[path, path === '/containments' ? ['/console/logout', '/console/containments'] : ['/console/logout']],
        path === '/containments' ? 2 : 1,
      ])
    }
    for (const path of ['/relying-parties/register', '/end', '/end/a-look']) {
      expect([path, (await victor.get(path)).status]).toEqual([path, 403])
    }
    expect([world.acts, await changed(world)]).toEqual([[], 0])
  })

  test.each<[string, string]>([
    ['no token', ''],
    ['somebody else’s', 'A'.repeat(43)],
    ['one of an earlier session', 'earlier'],
  ])('a form with %s is not taken, also from who may', async (_, given) => {
    const world = withApp()
    const earlier = await world.logIn()
    const olivia = await world.logIn()
    for (const [path, form] of Object.entries(ACTS)) {
      const answer = await olivia.post(path, form, given === 'earlier' ? earlier.csrf : given)
      expect([path, answer.status]).toEqual([path, 403])
    }
    expect([world.acts, await changed(world)]).toEqual([[], 0])
  })

  test('who has no role of the relay gets no session, and pushes nobody out of theirs', async () => {
    const world = withApp()
    const olivia = await world.logIn()
    world.person = { ...world.person, subject: 'nobody-1', sid: 'sid-nobody', roles: ['operate'] }
    for (let n = 0; n < 1001; n++) {
      const begun = (await world.request('/login?to=/console', '')).headers.getSetCookie()[0]?.split(';')[0] ?? ''
      const answer = await world.request('/callback?code=c', begun)
      expect(answer.status).toBe(403)
      expect(answer.headers.getSetCookie().filter((cookie) => !cookie.includes('-login='))).toEqual([])
    }
    expect((await olivia.get('')).status).toBe(200)
  })

  test('a login that has expired, or was begun in another browser, is not finished', async () => {
    const world = withApp()
    const begun = (await world.request('/login?to=/console', '')).headers.getSetCookie()[0]?.split(';')[0] ?? ''
    expect((await world.request('/callback?code=c', '')).status).toBe(400)
    expect((await world.request('/callback?code=c', begun.replace(/=.*/, '=other'))).status).toBe(400)
    world.nowMs += 10 * 60_000
    expect((await world.request('/callback?code=c', begun)).status).toBe(400)
  })

  test('whose password is reset is out at once, also where the console is paused and told of nothing', async () => {
    const world = consoleWorld({
      sleep: (ms, signal) => delay(ms > 1000 ? ms : 20, undefined, { signal }).catch(() => undefined),
    })
    const console = { ...app, clientId: 'logout-relay-console' }
    world.relyingParties.replace(ISSUER, [app, console])
    const thief = await world.logIn()
    expect((await thief.post('/relying-party/pause', { ...PARTY, client_id: console.clientId })).status).toBe(303)
    const stream = (await thief.get('/live')).text()
    const event = securityEvent(1, [], { subject: OLIVIA.subject, watermarkMs: NOW_MS + 5000 })
    const accept = () => world.store.accept(event, plan(event, NOW_MS))
    await accept()
    expect(await stream).toContain('event: ended')
    expect((await thief.get('/deliveries')).status).toBe(302)
    expect((await thief.post('/deliveries/dismiss', ACTS['/deliveries/dismiss'] ?? {})).status).toBe(401)
    expect(world.acts).toEqual([])
    // Nor does a code that was got before the reset let anybody in.
    expect((await (await world.logIn()).get('')).status).toBe(302)
    const after = { ...OLIVIA.claims, iat: NOW_MS / 1000 + 6 }
    for (const claims of [{ ...after, auth_time: NOW_MS / 1000 + 6 }, after]) {
      expect((await (await world.logIn({ claims })).get('')).status).toBe(200)
    }
  })

  test('a session that has ended reads nothing and does nothing', async () => {
    const world = withApp()
    const olivia = await world.logIn()
    world.nowMs += 60 * 60_000
    expect((await olivia.get('/deliveries')).status).toBe(302)
    expect((await olivia.post('/relying-party/pause', PARTY)).status).toBe(401)
    expect(await changed(world)).toBe(0)
  })

  test('pauses with a reason, which every page then shows, and resumes', async () => {
    const world = withApp()
    const olivia = await world.logIn()
    expect((await olivia.post('/relying-party/pause', { client_id: 'app', reason: ' ' })).status).toBe(400)
    expect((await olivia.post('/relying-party/pause', PARTY)).status).toBe(303)
    for (const path of PAGES) {
      expect(await (await olivia.get(path)).text()).toMatch(
        /app<\/a> is paused.*by\s+<bdi[^>]*>olivia<\/bdi>: “because of the move”/s,
      )
    }
    expect(world.relyingParties.lane(ISSUER, 'app').concurrency).toBe(0)
    expect((await olivia.post('/relying-party/resume', PARTY)).status).toBe(303)
    expect(await (await olivia.get('')).text()).not.toContain('is paused')
    expect(world.acts).toEqual([['retry', { issuer: ISSUER, clientId: 'app' }, 'olivia-1']])
    expect((await olivia.post('/relying-party/resume', PARTY)).status).toBe(400)
  })

  test('registers one that accepts anything only in spite of being told so', async () => {
    const world = consoleWorld()
    world.answer = { kind: 'response', status: 200 }
    const olivia = await world.logIn()
    const form = ACTS['/relying-parties/register'] ?? {}
    const told = await olivia.post('/relying-parties/register', form)
    expect([told.status, await told.text()]).toEqual([422, expect.stringMatching(/accepts anything.*despite_check/s)])
    expect(await changed(world)).toBe(0)
    expect((await olivia.post('/relying-parties/register', { ...form, despite_check: 'true' })).status).toBe(303)
    const list = await (await olivia.get('/relying-parties')).text()
    expect(list).toMatch(/app<\/a>.*check failed.*registered here/s)
    expect(await (await olivia.get('/changes')).text()).toMatch(/Registered here.*although it failed the check/s)
  })

  test('is told on every page that a realm’s resets end nothing', async () => {
    const world = consoleWorld()
    await world.registrar.saw(ISSUER, [], { listener: false })
    const olivia = await world.logIn({ roles: ['view'] })
    for (const path of PAGES) {
      expect(await (await olivia.get(path)).text()).toContain('Resets end nothing in this realm')
    }
  })
})
