import { expect, test, vi } from 'vitest'
import { bearer } from '../../guard/bearer.ts'
import { type KeySet, verifyJwt } from '../../guard/jwt.ts'
import { LogoutReceiver } from '../../guard/logout.ts'
import { logoutTokenVerifier } from '../../relay/console/backchannel.ts'
import { RealmKeys } from '../../relay/signing/realm-keys.ts'
import { ISSUER } from './given.ts'
import { edwards448Realm } from './signed.ts'

const now = () => Math.floor(Date.now() / 1000)
const access = () => ({ iss: ISSUER, aud: 'orders', sub: 'user-1', typ: 'Bearer', iat: now(), exp: now() + 60 })
const logout = () => ({
  ...{ iss: ISSUER, aud: 'orders', iat: now(), exp: now() + 120, jti: crypto.randomUUID(), sid: 'a-session' },
  events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
})

test('whoever verifies a token of the realm’s takes Ed448, and not with another key', async () => {
  const [edwards, stranger] = await Promise.all([edwards448Realm(), edwards448Realm()])
  const { keys } = edwards
  const guard = { issuer: ISSUER, check: () => 'ok' as const, maxAgeSeconds: () => 1 }
  const judge = bearer({ guard, audience: 'orders', keys })
  const receiver = new LogoutReceiver({ issuer: ISSUER, clientId: 'orders', endSession: () => undefined, keys })
  const receive = async (token: string) => {
    const body = new URLSearchParams({ logout_token: token })
    return (await receiver.receive(new Request('https://orders.example.org', { method: 'POST', body }))).status
  }
  const console = logoutTokenVerifier(() => Promise.resolve(keys), { issuer: ISSUER, clientId: 'orders' }, Date.now)
  for (const [realm, taken] of [[edwards, true] as const, [stranger, false] as const]) {
    expect('claims' in (await judge(`Bearer ${await realm.sign(access(), { typ: 'JWT' })}`))).toBe(taken)
    expect(await receive(await realm.sign(logout(), { typ: 'logout+jwt' }))).toBe(taken ? 200 : 400)
    expect(await console(await realm.sign(logout(), { typ: 'logout+jwt' }))).toEqual(
      taken ? { sid: 'a-session' } : undefined,
    )
  }
})

test('a key on Ed448 is not fetched again for each token, but when the set is old', async () => {
  const { sign, jwks } = await edwards448Realm()
  const set = { fresh: true }
  const asked = vi.fn(() => Promise.reject(new Error('fetched')))
  const reload = vi.fn(() => Promise.resolve(void (set.fresh = true)))
  const keys: KeySet = Object.defineProperties<KeySet>(asked, {
    jwks: { value: () => jwks },
    fresh: { get: () => set.fresh },
    reload: { value: reload },
  })
  const own = new RealmKeys({ places: [], publishedForMs: 0, tell: () => undefined, trouble: () => undefined })
  for (const each of [keys, own.allBut(keys)]) {
    set.fresh = true
    reload.mockClear()
    await verifyJwt(await sign(access()), each, { issuer: ISSUER })
    expect([asked.mock.calls.length, reload.mock.calls.length]).toEqual([0, 0])
    set.fresh = false
    await verifyJwt(await sign(access()), each, { issuer: ISSUER })
    expect([asked.mock.calls.length, reload.mock.calls.length]).toEqual([0, 1])
  }
})
