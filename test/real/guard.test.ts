import { setTimeout as delay } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWorld, type World } from '../../scripts/demo/world.ts'
import { call } from '../../scripts/stage/http.ts'
import { type OrdersApi, startOrders } from '../../scripts/stage/orders.ts'
import { until } from '../../scripts/stage/process.ts'

let world: World
let orders: OrdersApi
let stockOrders: OrdersApi
const apis: OrdersApi[] = []

beforeAll(async () => {
  world = await startWorld(() => undefined)
  const secretOf = async (realm: string) => {
    const uuid = await world.keycloak.admin.clientUuid(realm, 'orders-api')
    const path = `/${realm}/clients/${uuid}/client-secret`
    return (await world.keycloak.admin.must<{ value: string }>('GET', path)).json().value
  }
  const api = { clientId: 'orders-api' }
  ;[orders, stockOrders] = await Promise.all([
    startOrders({
      ...api,
      issuer: world.keycloak.issuer('demo'),
      clientSecret: await secretOf('demo'),
      relayUrl: world.relay.url,
    }),
    startOrders({ ...api, issuer: world.keycloak.issuer('stock'), clientSecret: await secretOf('stock') }),
  ])
  apis.push(orders, stockOrders)
})

afterAll(async () => {
  await Promise.all(apis.map((api) => api.stop()))
  await world.stop()
})

const person = (name: string, realm = 'demo') => world.keycloak.admin.createUser(realm, name, 'password')
const reset = (user: string, realm = 'demo') => world.keycloak.admin.resetPassword(realm, user, 'another')
/** Login times are whole seconds; a login in the reset's own second is from before it. */
const nextSecond = () => delay(1100)
const becomes = (token: string, status: number) =>
  until(`the API answers ${status}`, async () => (await orders.status(token)) === status, { seconds: 20, everyMs: 5 })

test('a token of a pairwise client, whose sub nobody else knows, dies with the reset', async () => {
  await world.keycloak.admin.createClient('demo', {
    clientId: 'pairwise-caller',
    publicClient: true,
    directAccessGrantsEnabled: true,
    redirectUris: ['http://localhost:9/*'],
    protocolMappers: [
      {
        name: 'pairwise',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-sha256-pairwise-sub-mapper',
        config: { pairwiseSubAlgorithmSalt: 'salt' },
      },
      {
        name: 'orders-api',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-audience-mapper',
        config: { 'included.client.audience': 'orders-api', 'access.token.claim': 'true' },
      },
    ],
  })
  const user = await person('gina')
  const { access_token } = await world.demo.tokens.directGrant('pairwise-caller', 'gina', 'password')
  expect(decodeJwt(access_token).sub).not.toBe(user)
  await becomes(access_token, 200)
  await nextSecond()
  expect((await reset(user)).status).toBe(204)
  await becomes(access_token, 401)
})

test('an access token lives on after a reset on stock Keycloak, and is dead with the guard long before', async () => {
  const [demo, stock] = [await person('hans'), await person('hans', 'stock')]
  const tokens = await world.demo.tokens.directGrant('mobile-app', 'hans', 'password')
  const onStock = await world.stock.tokens.directGrant('mobile-app', 'hans', 'password')
  expect([await orders.status(tokens.access_token), await stockOrders.status(onStock.access_token)]).toEqual([200, 200])
  await nextSecond()
  await reset(stock, 'stock')
  const began = performance.now()
  await reset(demo)
  await becomes(tokens.access_token, 401)
  // Tens of milliseconds on a quiet machine; this is for one that other tests keep busy.
  expect(performance.now() - began).toBeLessThan(5000)
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

test('what is not written in Node gets the same answer from the relay, by check and by introspection', async () => {
  const user = await person('ida')
  const { access_token: token } = await world.demo.tokens.directGrant('mobile-app', 'ida', 'password')
  const check = () =>
    call('GET', `${world.relay.url}/guard/check?audience=orders-api`, { headers: { authorization: `Bearer ${token}` } })
  const uuid = await world.keycloak.admin.clientUuid('demo', 'orders-api')
  const secret = await world.keycloak.admin.must<{ value: string }>('GET', `/demo/clients/${uuid}/client-secret`)
  const caller = await world.demo.tokens.serviceAccount('orders-api', secret.json().value)
  const introspect = () =>
    call('POST', `${world.relay.url}/guard/introspect`, {
      form: { token },
      headers: { authorization: `Bearer ${caller}` },
    })
  const before = await check()
  expect([before.status, before.headers['x-guard-subject'], before.headers['x-guard-client']]).toEqual([
    200,
    user,
    'mobile-app',
  ])
  expect((await introspect()).json()).toMatchObject({ active: true, sub: user, client_id: 'mobile-app' })
  await nextSecond()
  await reset(user)
  await until('the relay refuses it', async () => (await check()).status === 401, { seconds: 20 })
  expect((await introspect()).json()).toEqual({ active: false })
})

test(
  'a guard refuses with 503 while the relay is gone for longer than the limit, and goes on when it is back',
  { timeout: 180_000 },
  async () => {
    const user = await person('jan')
    const { access_token: token } = await world.demo.tokens.directGrant('mobile-app', 'jan', 'password')
    await becomes(token, 200)
    await world.relay.stop()
    expect(await orders.status(token)).toBe(200)
    await until('the feed is too old', async () => (await orders.status(token)) === 503, { seconds: 60 })
    expect((await orders.ask(token)).headers['retry-after']).toBe('3')
    await nextSecond()
    await reset(user)
    const relay = await world.relay.restart()
    try {
      await becomes(token, 401)
    } finally {
      await relay.stop()
    }
  },
)
