import { join } from 'node:path'
import { Hono } from 'hono'
import { errors, type JWTVerifyGetKey } from 'jose'
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { readAccess } from '../../relay/idp/keycloak/claims.ts'
import { apiRoutes } from '../../relay/api/app.ts'
import { otherMethods } from '../../relay/api/described.ts'
import { countOpen, makeMetrics } from '../../relay/telemetry/metrics.ts'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import type { Finding } from '../../relay/domain/finding.ts'
import type { Answer, OperatorOutcome } from '../../relay/domain/model.ts'
import { RelayError } from '../../relay/errors.ts'
import { endedBy } from '../../relay/watermarks/ended.ts'
import { Registrar } from '../../relay/registry/registrar.ts'
import { guardRoutes } from '../../relay/api/guard.ts'
import { pushRoute } from '../../relay/ingest/push.ts'
import { revocationRoute } from '../../relay/upstream/revocation.ts'
import { streamRoute } from '../../relay/upstream/stream.ts'
import { RelyingParties } from '../../relay/registry/registry.ts'
import type { Store } from '../../relay/store/port.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import {
  acceptInto,
  deliverersBy,
  ISSUER,
  NOW_MS,
  OTHER_ISSUER,
  securityEvent,
  session,
  temporaryFolder,
  uuid,
} from './given.ts'
import { type Realm, realm } from './signed.ts'

let ours: Realm
let others: Realm
let foreign: Realm
let store: Store
let app: ReturnType<typeof apiRoutes>
let keysOfOurs: () => Promise<JWTVerifyGetKey>
let notReady: string[]
let findings: Finding[]
let acts: unknown[][]
let answered: Answer
let outcome: OperatorOutcome | undefined

beforeAll(async () => {
  ;[ours, others, foreign] = await Promise.all([
    realm(),
    realm(OTHER_ISSUER),
    realm('https://evil.example.org/realms/demo'),
  ])
})

beforeEach(async () => {
  keysOfOurs = () => Promise.resolve(ours.keys)
  notReady = []
  findings = []
  acts = []
  answered = { kind: 'response', status: 400 }
  outcome = undefined
  store = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  const kept = store
  onTestFinished(() => kept.close())
  const relyingParties = new RelyingParties({
    allowHttpOnLoopback: false,
    allowAddresses: [],
    timeoutMs: 1000,
    concurrency: 1,
    overrides: [],
  })
  for (const issuer of [ISSUER, OTHER_ISSUER]) {
    const clientId = `app-of-${issuer.split('/').at(-1) ?? ''}`
    const target = backchannelAt(`https://${clientId}.example.org/logout`)
    relyingParties.replace(issuer, [{ issuer, clientId, target, enabled: true }])
  }
  const events = [
    securityEvent(1, ['orders', 'mail', 'wiki']),
    securityEvent(2, ['other-app'], { issuer: OTHER_ISSUER }),
  ]
  for (const event of events) {
    await acceptInto(store, event)
  }
  const metrics = makeMetrics()
  countOpen(metrics, store)
  app = apiRoutes({
    store,
    relyingParties,
    registrar: new Registrar({
      notes: store,
      relyingParties,
      deliverers: deliverersBy(() => Promise.resolve(answered)),
      observer: { changed: () => undefined },
      nowMs: () => NOW_MS,
    }),
    metrics,
    readAccess,
    keysOf: (issuer) =>
      issuer === ISSUER ? keysOfOurs() : issuer === OTHER_ISSUER ? Promise.resolve(others.keys) : undefined,
    isEnded: endedBy(store, () => Date.now()),
    flow: {
      retryNow: (...act) => Promise.resolve(acts.push(['retry', ...act])),
      dismiss: (...act) => Promise.resolve(acts.push(['dismiss', ...act])),
    },
    reread: (issuer, which) => {
      acts.push(['reread', issuer, which])
      return Promise.resolve({ read: 500, taken: 2, next: '1:2' })
    },
    contain: (...act) => {
      acts.push(['contain', ...act])
      return outcome ? Promise.resolve(outcome) : Promise.reject(new RelayError('idp_unavailable', 'down'))
    },
    audience: 'logout-relay',
    clientsOf: (issuer) => (issuer === ISSUER ? ['program', 'oncall'] : ['program']),
    findings: (issuer) => (issuer === ISSUER ? findings : []),
    allFindings: () => findings,
    nowMs: () => Date.now(),
    notReady: () => notReady,
  })
})

const claims = (more: object = {}) => ({
  iss: ISSUER,
  sub: 'operator-1',
  aud: 'logout-relay',
  azp: 'program',
  typ: 'Bearer',
  iat: Math.floor(Date.now() / 1000),
  exp: Math.floor(Date.now() / 1000) + 60,
  resource_access: { 'logout-relay': { roles: ['view'] } },
  ...more,
})
const token = (more: object = {}, by = ours) => by.sign(claims(more), { typ: 'JWT' })
const get = (path: string, bearer?: string) =>
  app.request(path, { headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } })

describe('a caller’s token from before a reset of the caller', () => {
  const reset = (more: object = {}) => {
    const event = securityEvent(7, [], { subject: 'operator-1', watermarkMs: Date.now() - 60_000, ...more })
    return acceptInto(store, event, Date.now())
  }
  const secondsAgo = (seconds: number) => Math.floor(Date.now() / 1000) - seconds

  test.each<[string, object]>([
    ['is refused', { iat: secondsAgo(90) }],
    ['and refreshed since is refused for its login', { auth_time: secondsAgo(90) }],
  ])('%s', async (_, times) => {
    expect((await get('/api/v1/deliveries', await token(times))).status).toBe(200)
    await reset()
    const answer = await get('/api/v1/deliveries', await token(times))
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"'])
  })

  test('does not count against one from after it, nor against another realm’s caller of that name', async () => {
    await reset()
    expect((await get('/api/v1/deliveries', await token({ auth_time: secondsAgo(10) }))).status).toBe(200)
    const old = { iss: OTHER_ISSUER, iat: secondsAgo(90) }
    expect((await get('/api/v1/deliveries', await token(old, others))).status).toBe(200)
  })

  test.each<[string, JWTVerifyGetKey]>([
    ['answer with an error', () => Promise.reject(new errors.JOSEError('Expected 200 OK from the JSON Web Key Set'))],
    ['time out', () => Promise.reject(new errors.JWKSTimeout())],
    ['cannot be connected to', () => Promise.reject(new TypeError('fetch failed'))],
  ])('cannot be judged while the realm’s keys %s: 503', async (_, keys) => {
    keysOfOurs = () => Promise.resolve(keys)
    const answer = await get('/api/v1/deliveries', await token())
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
  })

  test('cannot be judged while the store is not there: 503', async () => {
    const sound = await token()
    await store.close()
    expect((await get('/api/v1/deliveries', sound)).status).toBe(503)
  })
})

describe('the lists are closed', () => {
  test.each(['relying-parties', 'changes', 'containments', 'containments/txn-1', 'deliveries'])(
    'to nobody’s request for %s, with the challenge of RFC 6750',
    async (list) => {
      const answer = await get(`/api/v1/${list}`)
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    },
  )

  test.each<[string, () => Promise<string>]>([
    ['for another audience', () => token({ aud: 'account' })],
    ['that has ended', () => token({ exp: 1_600_000_000 })],
    ['that never ends', () => token({ exp: undefined })],
    ['that is an ID token', () => token({ typ: 'ID' })],
    ['of an issuer that is not configured', () => token({ iss: foreign.issuer }, foreign)],
    ['signed by somebody else in the issuer’s name', () => token({}, foreign)],
    ['of one configured realm in the name of another', () => token({}, others)],
    [
      'that is not signed',
      () => {
        const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
        return Promise.resolve(`${encode({ alg: 'none', typ: 'JWT' })}.${encode(claims())}.`)
      },
    ],
  ])('to a token %s', async (_, make) => {
    const answer = await get('/api/v1/deliveries', await make())
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
  })

  test.each<[string, () => Promise<string>, RegExp]>([
    [
      'one that has expired, and when',
      () => token({ exp: Math.floor(Date.now() / 1000) - 175 }),
      /^The token expired 2 min 5[56] s ago: get a fresh one$/,
    ],
    [
      'one for another audience',
      () => token({ aud: 'account' }),
      /^The token is not for the audience logout-relay: its holder needs a role/,
    ],
    [
      'one of another issuer',
      () => token({ iss: foreign.issuer }, foreign),
      /of an issuer \(iss\) that this relay does not serve/,
    ],
    ['one that is none', () => Promise.resolve('garbage'), /no token that the relay can read/],
    ['one that others have signed', () => token({}, foreign), /not signed by its realm/],
    ['an ID token', () => token({ typ: 'ID' }), /not an access token/],
  ])('and whoever sent it is told what is wrong with %s', async (_, make, says) => {
    const answer = await get('/api/v1/deliveries', await make())
    const { error, error_description } = (await answer.json()) as Record<string, string>
    expect([answer.status, error, error_description]).toEqual([401, 'invalid_token', expect.stringMatching(says)])
  })

  test('to a caller without the role, who is told which', async () => {
    const answer = await get('/api/v1/deliveries', await token({ resource_access: { account: { roles: ['view'] } } }))
    expect(answer.status).toBe(403)
    expect(await answer.text()).toMatch(/insufficient_scope.*role view/)
  })
})

describe('an operator’s token that was issued to a client which may not act here', () => {
  const all = { resource_access: { 'logout-relay': { roles: ['view', 'operate', 'confirm', 'dismiss'] } } }
  const body = { subject: 'alice', reason: 'laptop stolen', deliveries: { client_id: 'orders' }, client_id: 'orders' }
  const routes = () =>
    app.routes
      .filter(({ method, path }) => path.startsWith('/api/v1/') && (method === 'GET' || method === 'POST'))
      .filter(({ path }) => path !== '/api/v1/openapi.json')
      .map(({ method, path }) => `${method} ${path.replace(':id', 'txn-1')}`)

  test('opens none of the API, whatever its holder’s roles, and is told which client and which setting', async () => {
    expect(new Set(routes()).size).toBeGreaterThan(10)
    for (const [method = '', path = ''] of [...new Set(routes())].map((route) => route.split(' '))) {
      const answer = await app.request(path, {
        method,
        headers: {
          authorization: `Bearer ${await token({ ...all, azp: 'wiki' })}`,
          'content-type': 'application/json',
        },
        ...(method === 'POST' ? { body: JSON.stringify(body) } : {}),
      })
      expect([path, answer.status, answer.headers.get('www-authenticate')]).toEqual([
        ...[path, 403, 'Bearer error="insufficient_scope"'],
      ])
      const { error, error_description } = (await answer.json()) as Record<string, string>
      expect(error).toBe('unauthorized_client')
      expect(error_description).toMatch(/the client wiki .* issuers\[\]\.clients in relay\.yaml/)
    }
    expect(acts).toEqual([])
  })

  test.each<[string, object, number]>([
    ['a token that names no client is refused', { azp: undefined }, 403],
    ['one for several is not one for each', { azp: 'program, wiki' }, 403],
    ['another’s name in other letters is not its name', { azp: 'Program' }, 403],
    ['each client that is named may act', { azp: 'oncall' }, 200],
  ])('%s', async (_, more, status) => {
    expect((await get('/api/v1/deliveries', await token(more))).status).toBe(status)
  })

  test('is refused by the list of its own realm, whatever another realm’s list says', async () => {
    const theirs = (azp: string) => token({ iss: OTHER_ISSUER, azp }, others)
    expect((await get('/api/v1/deliveries', await theirs('oncall'))).status).toBe(403)
    expect((await get('/api/v1/deliveries', await theirs('program'))).status).toBe(200)
  })
})

test('a caller sees the rows of its own realm and of no other', async () => {
  const mine = await token()
  const theirs = await token({ iss: OTHER_ISSUER }, others)
  const clients = async (bearer: string) =>
    (
      (await (await get('/api/v1/deliveries', bearer)).json()) as { deliveries: { client_id: string }[] }
    ).deliveries.map((d) => d.client_id)
  expect(await clients(mine)).toEqual(['orders', 'mail', 'wiki'])
  expect(await clients(theirs)).toEqual(['other-app'])
  expect((await get('/api/v1/containments/txn-1', theirs)).status).toBe(404)
  expect((await get('/api/v1/containments/txn-1', mine)).status).toBe(200)
  expect(await (await get('/api/v1/relying-parties', theirs)).json()).toMatchObject({
    relying_parties: [{ client_id: 'app-of-other' }],
  })
})

test('evidence comes in pages, each naming the next, and the last none', async () => {
  const bearer = await token()
  const page = async (query: string) =>
    (await (await get(`/api/v1/containments/txn-1?${query}`, bearer)).json()) as { evidence: object[]; next?: number }
  const whole = await page('')
  expect(whole).not.toHaveProperty('next')
  const first = await page('limit=2')
  expect(first).toMatchObject({ evidence: whole.evidence.slice(0, 2), next: 2 })
  expect(await page('from=1&limit=1')).toMatchObject({ evidence: whole.evidence.slice(1, 2), next: 2 })
  expect(await page('from=2')).toEqual({ ...whole, evidence: whole.evidence.slice(2) })
  for (const query of ['limit=501', 'limit=0', 'from=-1', 'from=x']) {
    expect((await get(`/api/v1/containments/txn-1?${query}`, bearer)).status).toBe(400)
  }
})

test('a long list comes in pages, each naming the next, and the last none', async () => {
  const bearer = await token()
  const page = async (query: string) =>
    (await (await get(`/api/v1/deliveries?limit=2${query}`, bearer)).json()) as {
      deliveries: { id: string }[]
      next?: string
    }
  const first = await page('')
  const second = await page(`&after=${first.next ?? ''}`)
  expect([...first.deliveries, ...second.deliveries].map(({ id }) => id)).toEqual(
    [0, 1, 2].map((n) => `${uuid(1)}.${n}`),
  )
  expect(second.next).toBeUndefined()
})

test.each(['limit=0', 'limit=501', 'limit=x', 'state=lost'])('the query %s is refused by its name', async (query) => {
  const answer = await get(`/api/v1/deliveries?${query}`, await token())
  expect(answer.status).toBe(400)
  expect(await answer.text()).toContain(`"error_description":"${query.split('=')[0] ?? ''}: `)
})

test('answers with data are not kept by a cache on the way', async () => {
  expect((await get('/api/v1/deliveries', await token())).headers.get('cache-control')).toBe('no-store')
})

test('a store that cannot be read is a 503, not a lie and not a stack', async () => {
  store.deliveries = () => Promise.reject(new RelayError('store_unavailable', 'disk I/O error'))
  const answer = await get('/api/v1/deliveries', await token())
  expect(answer.status).toBe(503)
  expect(await answer.text()).not.toContain('disk')
})

test('the status says whom nobody can be told about and what is amiss, of the caller’s realm alone', async () => {
  const later = Date.now() + 60_000
  const silent = (n: number) =>
    session(uuid(n), 0, 'legacy', { named: { kind: 'backchannel' }, latestEndMs: later + n })
  await acceptInto(store, securityEvent(5, [], { sessions: [silent(5)] }))
  await acceptInto(store, securityEvent(6, [], { issuer: OTHER_ISSUER, sessions: [silent(6)] }))
  findings = [{ check: 'listener', about: ISSUER, ok: false, says: 'is OFF' }]
  const status = async (bearer: string) => (await get('/api/v1/status', bearer)).json()
  expect(await status(await token())).toEqual({
    unreachable: [{ client_id: 'legacy', sessions: 1, until_ms: later + 5 }],
    to_do: [{ check: 'listener', about: ISSUER, says: 'is OFF' }],
  })
  expect(await status(await token({ iss: OTHER_ISSUER }, others))).toEqual({
    unreachable: [{ client_id: 'legacy', sessions: 1, until_ms: later + 6 }],
    to_do: [],
  })
  expect((await get('/api/v1/status')).status).toBe(401)
  const { containments } = (await (await get('/api/v1/containments?limit=1', await token())).json()) as {
    containments: object[]
  }
  expect(containments[0]).toMatchObject({ id: 'txn-5', unreachable: 1, unreachable_until_ms: later + 5 })
})

test('containments say whose account it was, and are found by it', async () => {
  await acceptInto(store, securityEvent(5, ['orders'], { subject: 'alice-1' }))
  const found = async (query: string) =>
    (await (await get(`/api/v1/containments?${query}`, await token())).json()) as { containments: object[] }
  expect((await found('subject=alice-1')).containments).toMatchObject([{ id: 'txn-5', subject: 'alice-1' }])
  expect((await found('subject=bob-1')).containments).toEqual([])
})

test('every time in an answer is in milliseconds and says so in its name', async () => {
  const bearer = await token()
  const times = (value: unknown, name = ''): string[] =>
    typeof value === 'number'
      ? value > 1_000_000_000
        ? [name]
        : []
      : typeof value === 'object' && value !== null
        ? Object.entries(value).flatMap(([key, one]) => times(one, Array.isArray(value) ? name : key))
        : []
  const found: string[] = []
  for (const path of ['deliveries', 'containments', 'containments/txn-1', 'relying-parties', 'changes']) {
    found.push(...times(await (await get(`/api/v1/${path}`, bearer)).json()))
  }
  expect(found.length).toBeGreaterThan(10)
  expect(found.filter((name) => !name.endsWith('_ms'))).toEqual([])
})

test('health needs no token, and readiness says what it waits for', async () => {
  expect((await get('/healthz')).status).toBe(200)
  findings = [{ check: 'roles', about: ISSUER, ok: false, says: 'give it one' }]
  const ready = await get('/readyz')
  expect([ready.status, await ready.json()]).toEqual([
    200,
    { status: 'ready', to_do: [`${ISSUER}: roles give it one`] },
  ])
  notReady = [`${ISSUER}: not connected yet`]
  const answer = await get('/readyz')
  expect(answer.status).toBe(503)
  expect(JSON.stringify(await answer.json())).toContain('not connected yet')
})

test('the metrics count what is open, by relying party and without a person or a session', async () => {
  const text = await (await get('/metrics')).text()
  expect(text).toContain(`logout_relay_deliveries_open{issuer="${ISSUER}",client_id="orders"} 1`)
  expect(text).not.toMatch(/user-1|sid-/)
})

test('every route of the relay is described, those of the push and the guard too, and each with a token says what it answers to who may not', async () => {
  interface Described {
    responses: Record<string, unknown>
    security?: unknown
  }
  const { paths } = (await (await get('/api/v1/openapi.json')).json()) as {
    paths: Record<string, Record<string, Described>>
  }
  const described = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((m) => `${m} ${path}`))
  const none = {} as never
  const upstreams = new Hono()
    .route('/', revocationRoute({ upstreams: [], heard: none, refused: none }))
    .route('/upstreams/:name', streamRoute({ upstream: { stream: {} } } as never))
  const guard = guardRoutes({ key: {} } as never)
  const routed = [...app.routes, ...pushRoute(none).routes, ...guard.routes, ...upstreams.routes]
    // The check takes the method of whatever request a gateway asks about; a description has no word for that.
    .map(({ path, method }) => ({ path, method: path === '/guard/check' ? 'GET' : method }))
    .filter(({ method }) => method !== 'ALL')
    .map(({ path, method }) => `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
  expect(described.length).toBeGreaterThan(18)
  expect(described.sort()).toEqual([...new Set(routed)].sort())
  for (const [path, operations] of Object.entries(paths).filter(([path]) => /^.api.v1.(?!openapi)/.test(path))) {
    for (const operation of Object.values(operations)) {
      expect([path, Object.keys(operation.responses)]).toEqual([
        path,
        expect.arrayContaining(['200', '400', '401', '403', '503']) as string[],
      ])
      expect(operation.security).toEqual([{ bearer: [] }])
    }
  }
})

test('a method that a path does not take is answered with those that it takes, and what is not switched on is not there', async () => {
  const all = new Hono().route('/', app).route('/', otherMethods(app))
  const answer = await all.request('/healthz', { method: 'DELETE' })
  expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  expect((await all.request('/guard/jwks')).status).toBe(404)
  expect((await all.request('/nowhere', { method: 'DELETE' })).status).toBe(404)
})

describe('what a person does to open deliveries', () => {
  const tokenFor = (role: string) => token({ resource_access: { 'logout-relay': { roles: [role] } } })
  const post = async (path: string, body: unknown, role: string) =>
    app.request(`/api/v1/deliveries/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await tokenFor(role)}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const orders = { deliveries: { client_id: 'orders' } }

  test('is done for their own realm and in their name', async () => {
    expect(await (await post('retry', orders, 'operate')).json()).toEqual({ changed: 1 })
    expect((await post('dismiss', { ...orders, reason: 'the application is gone' }, 'dismiss')).status).toBe(200)
    const selection = { issuer: ISSUER, clientId: 'orders' }
    expect(acts).toEqual([
      ['retry', selection, 'operator-1'],
      ['dismiss', selection, 'operator-1', 'the application is gone'],
    ])
  })

  test('is done by a service account in its name, and its sub stays beside it', async () => {
    const bearer = await token({
      resource_access: { 'logout-relay': { roles: ['operate'] } },
      preferred_username: 'service-account-program',
    })
    const body = JSON.stringify(orders)
    const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' }
    await app.request('/api/v1/deliveries/retry', { method: 'POST', headers, body })
    expect(acts.at(-1)?.at(-1)).toBe('service-account-program (operator-1)')
    // Such a name of another client is a name that somebody has chosen.
    const other = await token({
      resource_access: { 'logout-relay': { roles: ['operate'] } },
      preferred_username: 'service-account-wiki',
    })
    await app.request('/api/v1/deliveries/retry', {
      method: 'POST',
      headers: { ...headers, authorization: `Bearer ${other}` },
      body,
    })
    expect(acts.at(-1)?.at(-1)).toBe('operator-1')
  })

  test.each([
    ['retry', 'view'],
    ['retry', 'dismiss'],
    ['dismiss', 'view'],
    ['dismiss', 'operate'],
  ])('takes the role of its own: %s is closed to %s', async (path, role) => {
    expect((await post(path, { ...orders, reason: 'the application is gone' }, role)).status).toBe(403)
    expect(acts).toEqual([])
  })

  test.each<[string, string, unknown, RegExp]>([
    ['nothing selected', 'retry', { deliveries: {} }, /name at least one of/],
    ['a misspelt selector', 'retry', { deliveries: { clientid: 'orders' } }, /clientid/],
    ['no reason', 'dismiss', orders, /reason/],
    ['an empty reason', 'dismiss', { ...orders, reason: '   ' }, /reason: say why/],
    ['no body', 'retry', undefined, /Malformed JSON/],
  ])('is refused with %s, and nothing happens', async (_, path, body, expected) => {
    const answer = await post(path, body, path === 'retry' ? 'operate' : 'dismiss')
    expect(answer.status).toBe(400)
    expect(await answer.text()).toMatch(expected)
    expect(acts).toEqual([])
  })

  test('is refused with a body that nothing here needs, before it is read: 413', async () => {
    let sent = 0
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        controller.enqueue(new Uint8Array(4096).fill(0x20))
        sent += 4096
        if (sent > 2 ** 22) {
          controller.close()
        }
      },
    })
    const answer = await app.request('/api/v1/deliveries/retry', {
      method: 'POST',
      headers: { authorization: `Bearer ${await tokenFor('operate')}`, 'content-type': 'application/json' },
      body: endless,
      duplex: 'half',
    })
    expect([answer.status, await answer.json()]).toEqual([413, expect.objectContaining({ error: 'invalid_request' })])
    expect(sent).toBeLessThan(2 ** 18)
  })

  test('needs a token', async () => {
    for (const path of ['retry', 'dismiss']) {
      expect((await app.request(`/api/v1/deliveries/${path}`, { method: 'POST' })).status).toBe(401)
    }
  })
})

describe('what a person does to a relying party', () => {
  const post = async (path: string, body: unknown, role = 'operate') =>
    app.request(`/api/v1/relying-parties${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await token({ resource_access: { 'logout-relay': { roles: [role] } } })}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    })
  const shop = { client_id: 'shop', backchannel_logout_uri: 'https://shop.example.org/logout', reason: 'it is new' }
  const parties = async () => (await get('/api/v1/relying-parties', await token())).json()

  test('registers it if it refuses what it must, and it is listed with who named it', async () => {
    const answer = await post('', shop)
    expect([answer.status, await answer.json()]).toMatchObject([200, { registered: true, check: { ok: true } }])
    expect(await parties()).toMatchObject({
      relying_parties: [{ source: 'realm' }, { client_id: 'shop', source: 'registered', outvoted: [] }],
    })
    expect((await post('/unregister', { client_id: 'shop', reason: 'a mistake' })).status).toBe(200)
    expect((await post('/unregister', { client_id: 'shop', reason: 'a mistake' })).status).toBe(404)
  })

  test('does not register one that accepts anything, unless it is wanted all the same', async () => {
    answered = { kind: 'response', status: 200 }
    const refused = await post('', shop)
    expect([refused.status, await refused.text()]).toEqual([422, expect.stringContaining('accepts anything')])
    expect((await post('', { ...shop, despite_check: true })).status).toBe(200)
    expect(await (await get('/api/v1/changes', await token())).json()).toMatchObject({
      changes: [{ kind: 'relying_party_registered', weakening: true, by: 'operator-1', data: { check: 'failed' } }],
    })
  })

  test('pauses it with a reason, which is shown, and attempts what waits when it is resumed', async () => {
    const named = { client_id: 'app-of-demo' }
    expect((await post('/pause', named)).status).toBe(400)
    expect((await post('/pause', { ...named, reason: 'being moved' })).status).toBe(200)
    expect(await parties()).toMatchObject({
      relying_parties: [{ paused: { by: 'operator-1', reason: 'being moved' } }],
    })
    expect((await post('/resume', named)).status).toBe(200)
    expect(acts).toEqual([['retry', { issuer: ISSUER, clientId: 'app-of-demo' }, 'operator-1']])
    expect((await post('/resume', named)).status).toBe(404)
  })

  test.each(['', '/check', '/pause', '/resume', '/unregister'])('at %s takes the role operate', async (path) => {
    for (const role of ['view', 'dismiss']) {
      expect((await post(path, { ...shop }, role)).status).toBe(403)
    }
    expect((await app.request(`/api/v1/relying-parties${path}`, { method: 'POST' })).status).toBe(401)
  })

  test.each<[string, object, RegExp]>([
    ['addresses it would like to be allowed', { ...shop, allow_addresses: ['10.0.0.0/8'] }, /allow_addresses/],
    ['no reason', { ...shop, reason: ' ' }, /reason: say why/],
    [
      'a logout URL that is none',
      { ...shop, backchannel_logout_uri: '//shop' },
      /backchannel_logout_uri is no absolute/,
    ],
    ['an empty name', { ...shop, client_id: '' }, /client_id/],
  ])('with %s is refused by name', async (_, body, expected) => {
    const answer = await post('', body)
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringMatching(expected)])
  })
})

test('the outbox of the caller’s own realm is read again, a page at a time, by who may operate', async () => {
  const read = async (role: string, body: unknown) =>
    app.request('/api/v1/outbox/reread', {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await token({ resource_access: { 'logout-relay': { roles: [role] } } })}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    })
  const answer = await read('operate', { since_ms: 7, after: '1:1' })
  expect([answer.status, await answer.json()]).toEqual([200, { read: 500, taken: 2, next: '1:2' }])
  expect((await read('operate', {})).status).toBe(200)
  expect((await read('view', {})).status).toBe(403)
  expect((await read('operate', { since: 7 })).status).toBe(400)
  expect(acts).toEqual([
    ['reread', ISSUER, { sinceMs: 7, after: '1:1' }],
    ['reread', ISSUER, { sinceMs: undefined, after: undefined }],
  ])
})

describe("a person's or a program's own word", () => {
  const tokenFor = (role: string) => token({ resource_access: { 'logout-relay': { roles: [role] } } })
  const post = (body: object, bearer: string) =>
    app.request('/api/v1/containments', {
      method: 'POST',
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const word = { subject: 'alice', reason: 'laptop stolen' }
  const done: OperatorOutcome = {
    ...{ kind: 'done', subject: 'user-1', containmentId: 'txn-1', sessions: 3, relyingParties: 2, unreachable: 1 },
    ...{ shadow: false, confirmationRequired: false },
  }

  test('goes to the caller’s own realm with the caller’s own token', async () => {
    outcome = done
    const bearer = await tokenFor('operate')
    const answer = await post({ ...word, confirm: true }, bearer)
    expect(await answer.json()).toEqual({
      ...{ subject: 'user-1', containment_id: 'txn-1', sessions: 3, relying_parties: 2, unreachable: 1 },
      ...{ shadow: false, confirmation_required: false, dry_run: false },
    })
    expect(acts).toEqual([['contain', ISSUER, bearer, { ...word, dryRun: false, confirm: true }]])
  })

  test('may be of a client, and the answer names it', async () => {
    outcome = { ...done, clientId: 'export' }
    const answer = await post({ client_id: 'export', reason: 'leaked' }, await tokenFor('operate'))
    expect(await answer.json()).toMatchObject({ subject: 'user-1', client_id: 'export', containment_id: 'txn-1' })
    const request = { clientId: 'export', reason: 'leaked', dryRun: false, confirm: false }
    expect(acts).toEqual([['contain', ISSUER, expect.any(String), request]])
  })

  test.each(['view', 'dismiss'])('is not taken from whoever has the role %s alone', async (role) => {
    outcome = done
    expect((await post(word, await tokenFor(role))).status).toBe(403)
    expect(acts).toEqual([])
  })

  test.each<[string, object, RegExp]>([
    ['no subject', { reason: 'laptop stolen' }, /subject/],
    ['a user and a client', { ...word, client_id: 'export' }, /not both/],
    ['an empty client', { reason: 'laptop stolen', client_id: ' ' }, /client_id: give a client’s id/],
    ['an empty subject', { ...word, subject: ' ' }, /subject: give a user’s id or user name/],
    ['no reason', { subject: 'alice' }, /reason/],
    ['a misspelt dry run', { ...word, dryrun: true }, /dryrun/],
  ])('is refused with %s, and nothing happens', async (_, body, expected) => {
    outcome = done
    const answer = await post(body, await tokenFor('operate'))
    expect(answer.status).toBe(400)
    expect(await answer.text()).toMatch(expected)
    expect(acts).toEqual([])
  })

  test.each([
    [404, 'not_found'],
    [409, 'confirmation_required'],
    [403, 'insufficient_scope'],
  ])('that the realm refuses with %d is answered with the same and with its words', async (status, error) => {
    outcome = { kind: 'refused', status, error, description: 'why' }
    const answer = await post(word, await tokenFor('operate'))
    expect(answer.status).toBe(status)
    expect(await answer.json()).toEqual({ error, error_description: 'why' })
  })

  test('that nobody answers for is not called done: 503, to be asked again', async () => {
    const answer = await post(word, await tokenFor('operate'))
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await answer.text()).toContain('not known whether anything has ended')
  })
})
