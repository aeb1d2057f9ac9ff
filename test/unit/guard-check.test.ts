import { beforeEach, describe, expect, test, vi } from 'vitest'
import { RelayError } from '../../relay/errors.ts'
import { type GuardWorld, guardWorld } from './guard-world.ts'

let world: GuardWorld
beforeEach(async () => {
  world = await guardWorld()
  await world.feed.advance()
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

  test('puts nothing into a header that could break it', async () => {
    const answer = await check(await user({ sub: 'al\r\nice', sid: 'ß' }))
    expect([answer.status, answer.headers.get('x-guard-subject'), answer.headers.get('x-guard-sid')]).toEqual([
      200,
      null,
      null,
    ])
  })

  test('answers 503 when the watermarks have not been read for longer than the limit', async () => {
    world.log = { ...world.store, watermarks: () => Promise.reject(new RelayError('store_unavailable', 'gone')) }
    const token = await user()
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 31_000)
    const answer = await check(token)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
  })
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
  })
})

test('the published keys hold nothing private', async () => {
  const { keys } = (await (await world.app.request('/guard/jwks')).json()) as { keys: object[] }
  expect(keys.map((key) => Object.keys(key).sort())).toEqual([['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']])
})
