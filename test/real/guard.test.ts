import { join } from 'node:path'
import { Hono } from 'hono'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Guard, honoGuard } from '../../guard/index.ts'
import { type GuardedWorld, startGuarded } from '../../scripts/demo/guarded.ts'
import type { World } from '../../scripts/demo/world.ts'
import type { KeycloakAt } from '../../scripts/stage/keycloak.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { logInAgain, openBrowserApp } from '../../scripts/stage/browser-app.ts'
import { call } from '../../scripts/stage/http.ts'
import { type OrdersApi, startOrders } from '../../scripts/stage/orders.ts'
import { freePort, ROOT, start, until, untilUp } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { nextSecond } from './demo-realm.ts'
import { startSharedWorld } from './shared.ts'

const audience = (more: Record<string, string> = {}) => ({
  name: 'orders-api',
  protocol: 'openid-connect',
  protocolMapper: 'oidc-audience-mapper',
  config: { 'included.client.audience': 'orders-api', 'access.token.claim': 'true', ...more },
})
const caller = { publicClient: true, directAccessGrantsEnabled: true, redirectUris: ['http://localhost:9/*'] }

let world: World<KeycloakAt>
let guarded: GuardedWorld
let orders: OrdersApi
let stockOrders: OrdersApi

beforeAll(async () => {
  world = await startSharedWorld('guard')
  guarded = await startGuarded(world)
  await world.demo.admin.createClient({
    ...caller,
    clientId: 'pairwise-caller',
    protocolMappers: [
      audience(),
      {
        name: 'pairwise',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-sha256-pairwise-sub-mapper',
        config: { pairwiseSubAlgorithmSalt: 'salt' },
      },
    ],
  })
  const lightweight = { 'lightweight.claim': 'true' }
  await world.demo.admin.createClient({
    ...caller,
    clientId: 'lightweight-caller',
    attributes: { 'client.use.lightweight.access.token.enabled': 'true' },
    protocolMappers: [
      audience(lightweight),
      {
        name: 'sub',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-sub-mapper',
        config: { 'access.token.claim': 'true', ...lightweight },
      },
    ],
  })
  orders = guarded.demo.orders
  stockOrders = guarded.stock.orders
})

afterAll(async () => {
  await guarded.stop()
  await world.stop()
})

const chrome = () => {
  if (!guarded.chrome) {
    throw new Error('Chromium is missing: apt-get install chromium')
  }
  return guarded.chrome
}
const person = (name: string, realm = world.demo) => realm.admin.createUser(name, 'password')
const reset = (user: string, realm = world.demo) => realm.admin.resetPassword(user, 'another')
/** Login times are whole seconds; a login in the reset's own second is from before it. */
const becomes = (token: string, status: number) =>
  until(`the API answers ${status}`, async () => (await orders.status(token)) === status, { everyMs: 5 })

test('a token of a pairwise client, whose sub nobody else knows, dies with the reset', async () => {
  const user = await person('gina')
  const { access_token } = await world.demo.tokens.directGrant('pairwise-caller', 'gina', 'password')
  expect(decodeJwt(access_token).sub).not.toBe(user)
  await becomes(access_token, 200)
  await nextSecond()
  expect((await reset(user)).status).toBe(204)
  await becomes(access_token, 401)
})

test('an access token lives on after a reset on stock Keycloak, and is dead with the guard meanwhile', async () => {
  const [demo, stock] = [await person('hans'), await person('hans', world.stock)]
  const tokens = await world.demo.tokens.directGrant('mobile-app', 'hans', 'password')
  const onStock = await world.stock.tokens.directGrant('mobile-app', 'hans', 'password')
  expect([await orders.status(tokens.access_token), await stockOrders.status(onStock.access_token)]).toEqual([200, 200])
  await nextSecond()
  await reset(stock, world.stock)
  await reset(demo)
  await becomes(tokens.access_token, 401)
  const answer = await orders.ask(tokens.access_token)
  expect(answer.headers['www-authenticate']).toBe(
    'Bearer error="invalid_token", error_description="The access token was revoked"',
  )
  expect(answer.headers['cache-control']).toBe('no-store')
  expect(await stockOrders.status(onStock.access_token)).toBe(200)
  // The person with the new password is welcome, in the next second.
  await nextSecond()
  const anew = await world.demo.tokens.directGrant('mobile-app', 'hans', 'another')
  expect(await orders.status(anew.access_token)).toBe(200)
})

test('a token of a service account dies with its client’s secret, and those of people with a client that is disabled', async () => {
  const { admin, tokens } = world.demo
  const job = { clientId: 'nightly-export', secret: 'of-the-export', serviceAccountsEnabled: true }
  await admin.createClient({ ...job, standardFlowEnabled: false, protocolMappers: [audience()] })
  await admin.createClient({ ...caller, clientId: 'leaving-caller', protocolMappers: [audience()] })
  await person('jona')
  const ofJob = await tokens.serviceAccount(job.clientId, job.secret)
  const [leaving, staying] = await Promise.all(
    ['leaving-caller', 'mobile-app'].map((id) => tokens.directGrant(id, 'jona', 'password')),
  )
  const all = [ofJob, leaving?.access_token ?? '', staying?.access_token ?? '']
  const answers = () => Promise.all(all.map((token) => orders.status(token)))
  expect(await answers()).toEqual([200, 200, 200])
  await nextSecond()
  await admin.must('POST', `/clients/${await admin.clientUuid(job.clientId)}/client-secret`)
  await becomes(ofJob, 401)
  expect(await answers()).toEqual([401, 200, 200])
  const uuid = await admin.clientUuid('leaving-caller')
  await admin.must('PUT', `/clients/${uuid}`, { clientId: 'leaving-caller', enabled: false })
  await becomes(leaving?.access_token ?? '', 401)
  expect(await answers()).toEqual([401, 401, 200])
})

test('the relay says of a token what Keycloak says, by check and by introspection, whatever kind of token it is', async () => {
  const user = await person('ida')
  const kinds = ['mobile-app', 'pairwise-caller', 'lightweight-caller']
  const tokens = await Promise.all(
    kinds.map(async (id) => (await world.demo.tokens.directGrant(id, 'ida', 'password')).access_token),
  )
  const [plain = '', pairwise = '', lightweight = ''] = tokens
  const subs = [plain, pairwise, lightweight].map((token) => decodeJwt(token).sub)
  expect([subs[0] === user, subs[1] === user, subs[2] === user]).toEqual([true, false, true])
  expect([plain, lightweight].map((token) => 'preferred_username' in decodeJwt(token))).toEqual([true, false])
  const check = (token: string) =>
    call('GET', `${world.relay.url}/guard/check?audience=orders-api`, { headers: { authorization: `Bearer ${token}` } })
  const caller = await world.demo.tokens.serviceAccount('orders-api', world.appSecret)
  const introspect = (token: string) =>
    call<{ active: boolean }>('POST', `${world.relay.url}/guard/introspect`, {
      form: { token },
      headers: { authorization: `Bearer ${caller}` },
    })
  const said = async (token: string) => [
    (await check(token)).status,
    (await introspect(token)).json().active,
    await world.demo.tokens.isActive(token, 'orders-api', world.appSecret),
  ]
  const before = await Promise.all(tokens.map(said))
  expect(before).toEqual(tokens.map(() => [200, true, true]))
  const { headers } = await check(pairwise)
  expect([headers['x-guard-subject'], headers['x-guard-client']]).toEqual([subs[1], 'pairwise-caller'])
  expect((await introspect(plain)).json()).toMatchObject({ active: true, sub: user, client_id: 'mobile-app' })
  await nextSecond()
  await reset(user)
  await until('the relay refuses them', async () =>
    (await Promise.all(tokens.map(check))).every(({ status }) => status === 401),
  )
  expect(await Promise.all(tokens.map(said))).toEqual(tokens.map(() => [401, false, false]))
  expect((await introspect(plain)).json()).toEqual({ active: false })
})

test('on Express and on Node alone it is the same', async () => {
  const user = await person('kim')
  const { access_token: token } = await world.demo.tokens.directGrant('mobile-app', 'kim', 'password')
  const options = { issuer: world.demo.issuer, clientId: 'orders-api', clientSecret: world.appSecret }
  const apis = await Promise.all(
    (['express', 'node'] as const).map((example) => startOrders({ ...options, relayUrl: world.relay.url, example })),
  )
  apis.forEach((api) => onTestFinished(() => api.stop()))
  const answers = () => Promise.all(apis.map((api) => api.ask(token)))
  expect((await answers()).map(({ text }) => JSON.parse(text) as object)).toEqual(
    apis.map(() => ({ orders: ['a book'], for: user })),
  )
  await nextSecond()
  await reset(user)
  await until('both refuse', async () => (await answers()).every(({ status }) => status === 401))
})

test('a browser app fails at once after the reset and asks for a login; the new password brings the orders back', async () => {
  const user = await person('lea')
  const { url } = guarded.demo.browserApp
  const page = await openBrowserApp(chrome(), url, 'lea', 'password')
  expect(await page.textContent('#orders')).toBe('a book')
  await nextSecond()
  await reset(user)
  await page.waitForURL(/prompt=login/)
  await page.waitForSelector('#kc-login')
  await nextSecond()
  await logInAgain(page, 'lea', 'another')
  expect(page.url()).toBe(url)
})

test('a token on a login from before the reset steps up: the app asks Keycloak for a login that is new enough', async () => {
  await person('mia')
  const { url } = guarded.demo.browserApp
  const page = await openBrowserApp(chrome(), url, 'mia', 'password')
  await nextSecond()
  // In another tab, she changes her own password: her login goes on, and is older than the change.
  const change = new URL(`${world.demo.issuer}/protocol/openid-connect/auth`)
  const pkce = { code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' }
  change.search = new URLSearchParams({
    ...{ client_id: 'browser-app', redirect_uri: url, response_type: 'code', scope: 'openid' },
    ...{ kc_action: 'UPDATE_PASSWORD', ...pkce },
  }).toString()
  const tab = await page.context().newPage()
  await tab.goto(change.href)
  await tab.fill('#password-new', 'another')
  await tab.fill('#password-confirm', 'another')
  await tab.click('[type=submit]')
  await tab.waitForSelector('body[data-state=out]')
  await nextSecond()
  // Single sign-on gives her a token at once, but not one that counts.
  const asked = tab.waitForRequest(/max_age=\d+/)
  await tab.click('#log-in')
  await asked
  await logInAgain(tab, 'mia', 'another')
  expect(await tab.textContent('#orders')).toBe('a book')
})

test('sessions that are nothing but cookies die with the reset, and a later login revives none of them', async () => {
  const port = await freePort()
  const base = `http://localhost:${port}`
  await world.demo.admin.createClient({
    clientId: 'cookie-app',
    secret: world.appSecret,
    redirectUris: [`${base}/callback`],
    attributes: {
      'backchannel.logout.url': `${base}/backchannel-logout`,
      'backchannel.logout.session.required': 'true',
    },
  })
  const app = start(process.execPath, [join(ROOT, 'examples', 'cookie-sessions', 'server.ts')], {
    env: {
      ISSUER: world.demo.issuer,
      CLIENT_ID: 'cookie-app',
      CLIENT_SECRET: world.appSecret,
      PORT: String(port),
    },
    logFile: join(temporary('cookie-app'), 'log'),
  })
  onTestFinished(() => app.stop())
  await untilUp('The cookie app does not come up', app, async () => (await call('GET', base)).status === 200, 30)
  const page = `${base}/protected`
  const user = await person('nora')
  const [hers, stolen, anew] = [new Browser(), new Browser(), new Browser()]
  await hers.login(page, 'nora', 'password')
  await stolen.login(page, 'nora', 'password')
  expect(await Promise.all([hers.isAlive(page), stolen.isAlive(page)])).toEqual([true, true])
  await nextSecond()
  await reset(user)
  const dead = async () => !(await hers.isAlive(page)) && !(await stolen.isAlive(page))
  await until('both are dead', dead)
  await nextSecond()
  await anew.login(page, 'nora', 'another')
  expect([await anew.isAlive(page), await dead()]).toEqual([true, true])
})

test('a guard refuses with 503 while the relay is gone for longer than the limit, and goes on when it is back', async () => {
  const [relay, issuer, audience] = [world.relay.url, world.demo.issuer, 'orders-api']
  // Thirty seconds unless it says so.
  const guard = new Guard({ relay, issuer, clientId: audience, clientSecret: world.appSecret, limitMs: 12_000 })
  onTestFinished(() => guard.close())
  await guard.ready()
  const api = new Hono().use(honoGuard({ guard, audience })).get('/orders', (c) => c.json({ orders: ['a book'] }))
  const user = await person('jan')
  const { access_token: token } = await world.demo.tokens.directGrant('mobile-app', 'jan', 'password')
  const ask = () => api.request('/orders', { headers: { authorization: `Bearer ${token}` } })
  expect((await ask()).status).toBe(200)
  await world.relay.stop()
  expect((await ask()).status).toBe(200)
  await until('the feed is too old', async () => (await ask()).status === 503)
  expect((await ask()).headers.get('retry-after')).toBe('2')
  await nextSecond()
  await reset(user)
  const again = await world.relay.restart()
  try {
    await until('the API answers 401', async () => (await ask()).status === 401)
  } finally {
    await again.stop()
  }
})
