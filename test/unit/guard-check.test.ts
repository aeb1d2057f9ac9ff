import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { RelayError } from '../../relay/errors.ts'
import { type GuardWorld, guardWorld } from './guard-world.ts'

let world: GuardWorld
beforeEach(async () => {
  world = await guardWorld()
  await world.stream.advance()
})

const hourAgo = () => Math.floor(Date.now() / 1000) - 3600
const user = (more: object = {}) =>
  world.token('mobile-app', { aud: 'orders', sub: 'alice', sid: 's-1', iat: hourAgo(), auth_time: hourAgo(), ...more })
const check = (token?: string, query = '?audience=orders') =>
  world.app.request(
    `/guard/check${query}`,
    token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
  )
const introspect = async (token: string, caller?: string) =>
  world.app.request('/guard/introspect', {
    method: 'POST',
    headers: caller === undefined ? {} : { authorization: `Bearer ${caller}` },
    body: new URLSearchParams({ token }),
  })

describe('GET /guard/check', () => {
  test('passes with the verified subject in headers, and refuses after the reset', async () => {
    const token = await user()
    const before = await check(token)
    const headers = ['x-guard-subject', 'x-guard-client', 'x-guard-sid'].map((name) => before.headers.get(name))
    expect([before.status, headers]).toEqual([200, ['alice', 'mobile-app', 's-1']])
    await world.reset('alice')
    const after = await check(token)
    expect(after.status).toBe(401)
    expect(after.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
    expect(after.headers.get('cache-control')).toBe('no-store')
    expect(after.headers.get('x-guard-subject')).toBeNull()
  })

  test('leaves no failure unwatched for a token that needs no key while the keys cannot be had', async () => {
    const unwatched = vi.fn()
    process.on('unhandledRejection', unwatched)
    onTestFinished(() => void process.off('unhandledRejection', unwatched))
    world.keys = () => Promise.reject(new RelayError('idp_unavailable', 'down'))
    const unsigned = [{ alg: 'none' }, { iss: world.issuer }].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    )
    expect((await check(`${unsigned.join('.')}.x`)).status).toBe(401)
    await new Promise((resolve) => setImmediate(resolve))
    expect(unwatched).not.toHaveBeenCalled()
    expect((await check(await user())).status).toBe(503)
  })

  test('asks for a fresh login where only the login is too old', async () => {
    await world.reset('alice', { watermarkMs: Date.now() - 100_000 })
    const answer = await check(await user({ iat: hourAgo() + 3590 }))
    expect(answer.status).toBe(401)
    const age = Number(
      /insufficient_user_authentication".*max_age="(\d+)"/.exec(answer.headers.get('www-authenticate') ?? '')?.[1],
    )
    expect(age).toBeGreaterThanOrEqual(98)
    expect(age).toBeLessThanOrEqual(101)
  })

  test.each<[string, object | undefined, string, number]>([
    ['no token', undefined, '?audience=orders', 401],
    ['no audience named', {}, '', 400],
    ['another audience', {}, '?audience=wiki', 401],
    ['another issuer', { iss: 'https://elsewhere.example.org' }, '?audience=orders', 401],
    ['an expired token', { exp: 1_700_000_000 }, '?audience=orders', 401],
  ])('refuses %s', async (_, more, query, status) => {
    expect((await check(more && (await user(more)), query)).status).toBe(status)
  })

  test('refuses who has no name that a header can carry: the application would see nobody, or whom the request says', async () => {
    for (const more of [{ sub: 'al\r\nice' }, { sub: 'zoë' }, { sub: undefined }]) {
      const answer = await check(await user(more))
      expect([answer.status, answer.headers.get('x-guard-subject')]).toEqual([401, null])
    }
  })

  test('says all three headers always, so that none that the request has brought along is left standing', async () => {
    const answer = await check(await user({ sid: 'ß', azp: undefined }))
    const headers = ['x-guard-subject', 'x-guard-client', 'x-guard-sid'].map((name) => answer.headers.get(name))
    expect([answer.status, headers]).toEqual([200, ['alice', '', '']])
  })

  test('answers 503 when the watermarks have not been read for longer than the limit', async () => {
    world.log = { ...world.store, watermarks: () => Promise.reject(new RelayError('store_unavailable', 'gone')) }
    const token = await user()
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 31_000)
    const answer = await check(token)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
  })
})

/** How each proxy asks about `POST /orders/1?x=2` that somebody sends with a header of his own making. */
const FORGED = { 'x-guard-subject': 'mallory', 'x-guard-sid': 'forged' }
const FORWARDED = {
  'x-forwarded-method': 'POST',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'orders.example.org',
  'x-forwarded-uri': '/orders/1?x=2',
  'x-forwarded-for': '203.0.113.7',
}
const ENVOY = '/guard/check?audience=orders&path='
describe.each<[string, string, Record<string, string>, string?]>([
  ['nginx auth_request', '/guard/check?audience=orders', { ...FORGED, connection: 'close' }],
  ['Traefik forwardAuth', '/guard/check?audience=orders', { ...FORGED, ...FORWARDED }],
  ['Caddy forward_auth', '/guard/check?audience=orders', { ...FORGED, ...FORWARDED, via: '1.1 Caddy' }],
  ['Envoy ext_authz', `${ENVOY}/orders/1?x=2`, { 'content-length': '0' }, 'POST'],
  ['Envoy ext_authz, of a preflight', `${ENVOY}/orders/1?x=2`, {}, 'OPTIONS'],
])('%s', (_, path, headers, method = 'GET') => {
  const ask = (token: string) =>
    world.app.request(path, { method, headers: { ...headers, authorization: `Bearer ${token}` } })

  test('gets 200 with the subject, and after the reset the challenge to hand on', async () => {
    const token = await user()
    const before = await ask(token)
    expect([before.status, before.headers.get('x-guard-subject'), before.headers.get('x-guard-sid')]).toEqual([
      200,
      'alice',
      's-1',
    ])
    await world.reset('alice')
    const after = await ask(token)
    expect(after.status).toBe(401)
    expect(after.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
  })
})

test.each([
  '/orders?audience=wiki',
  '/x&audience=wiki',
  '/../../healthz',
  '/%2e%2e/%2e%2e/guard/jwks',
  '//\\..\\..\\guard\\jwks',
])('what Envoy puts behind the audience cannot change the question: %s', async (target) => {
  const wiki = await user({ aud: 'wiki' })
  const answer = await world.app.request(ENVOY + target, { headers: { authorization: `Bearer ${wiki}` } })
  expect(answer.status).toBe(401)
})

describe('POST /guard/introspect', () => {
  test('says what the token is, and after the reset nothing but no', async () => {
    const token = await user()
    const caller = await world.token('orders')
    expect(await (await introspect(token, caller)).json()).toMatchObject({
      active: true,
      sub: 'alice',
      client_id: 'mobile-app',
    })
    await world.reset('alice')
    const answer = await introspect(token, caller)
    expect([answer.status, await answer.json()]).toEqual([200, { active: false }])
    expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  test.each<[string, object]>([
    ['a token for somebody else', { aud: 'wiki' }],
    ['an ID token', { typ: 'ID' }],
    ['an expired one', { exp: 1_700_000_000 }],
    ['one of another issuer', { iss: 'https://elsewhere.example.org' }],
  ])('says no more than no to %s', async (_, more) => {
    const answer = await introspect(await user(more), await world.token('orders'))
    expect([answer.status, await answer.json()]).toEqual([200, { active: false }])
  })

  test('says no to garbage, and nothing to who may not ask', async () => {
    expect(await (await introspect('garbage', await world.token('orders'))).json()).toEqual({ active: false })
    expect((await introspect(await user())).status).toBe(401)
    expect((await introspect(await user(), await world.token('orders', { resource_access: {} }))).status).toBe(403)
    expect((await introspect('', await world.token('orders'))).status).toBe(400)
    expect((await introspect('x'.repeat(2 ** 16), await world.token('orders'))).status).toBe(413)
  })
})

test('the published keys hold nothing private', async () => {
  const { keys } = (await (await world.app.request('/guard/jwks')).json()) as { keys: object[] }
  expect(keys.map((key) => Object.keys(key).sort())).toEqual([['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']])
})
