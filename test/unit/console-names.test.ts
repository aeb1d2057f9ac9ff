import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { RelayError } from '../../relay/errors.ts'
import type { UserLookup } from '../../relay/idp/keycloak/users.ts'
import { consoleWorld } from './console-world.ts'
import { acceptInto, ISSUER, NOW_MS, securityEvent, temporaryFolder } from './given.ts'

const ALICE = '0b7e1a52-0000-4000-8000-00000000a11c'
const RIGHTS = {
  accessToken: 'olivias-token',
  untilMs: NOW_MS + 300_000,
  refreshToken: 'olivias-refresh',
  readsUsers: true,
}
const FORBIDDEN = new RelayError('access_denied', 'not you')
const AWAY = new RelayError('idp_unavailable', 'away')

/** A realm in which olivia may look up users, with one user in it, and what it was asked. */
async function realmOf(name = 'alice') {
  const asked: { token: string; ids: readonly string[] }[] = []
  const world = { fails: undefined as Error | undefined, asked }
  const users: UserLookup = {
    names: (token, ids) => {
      asked.push({ token, ids })
      return world.fails ? Promise.reject(world.fails) : Promise.resolve(new Map([[ALICE, name]]))
    },
    find: (_, username) =>
      world.fails ? Promise.reject(world.fails) : Promise.resolve(username === name ? ALICE : undefined),
  }
  const file = join(temporaryFolder(), 'relay.db')
  const shown = consoleWorld({ users }, openSqliteStore(file))
  await acceptInto(shown.store, securityEvent(1, ['orders'], { subject: ALICE }))
  await shown.registrar.saw(ISSUER, [], {})
  return Object.assign(world, { shown, file })
}

test('whoever may look up users sees the name on every page, by their own token; anybody else sees the sub', async () => {
  const { shown, asked } = await realmOf()
  shown.rights = RIGHTS
  const olivia = await shown.logIn()
  shown.rights = undefined
  const victor = await shown.logIn({ subject: 'victor-1' })
  asked.length = 0
  for (const path of ['', '/containments', '/containments?of=txn-1', '/containments/txn-1']) {
    const [hers, his] = [await (await olivia.get(path)).text(), await (await victor.get(path)).text()]
    expect([path, hers]).toEqual([path, expect.stringContaining(`<bdi title="${ALICE}">alice</bdi>`)])
    expect([path, his]).toEqual([path, expect.stringContaining(`>${ALICE}</bdi>`)])
    expect([path, his.includes('alice')]).toEqual([path, false])
  }
  // Once for her session, at her login, and never again.
  expect(asked).toEqual([])
})

test('a name is in the memory of one session alone: not in the store', async () => {
  const { shown, asked, file } = await realmOf('a-name-of-a-person')
  shown.rights = RIGHTS
  expect(await (await (await shown.logIn()).get('')).text()).toContain('a-name-of-a-person')
  expect(asked).toEqual([{ token: 'olivias-token', ids: [ALICE] }])
  await (await shown.logIn()).get('')
  expect(asked).toHaveLength(2)
  await shown.store.close()
  expect(readFileSync(file).includes('a-name-of-a-person')).toBe(false)
})

test('the page that follows what happens shows names as well, to each as they may see them', async () => {
  const { shown } = await realmOf()
  shown.rights = RIGHTS
  const olivia = await shown.logIn()
  shown.rights = undefined
  const victor = await shown.logIn({ subject: 'victor-1' })
  const first = async (person: { get(path: string): Response | Promise<Response> }) => {
    const reader = (await person.get('/live')).body?.getReader()
    const read = await reader?.read()
    await reader?.cancel()
    return new TextDecoder().decode(read?.value as Uint8Array)
  }
  expect(await first(olivia)).toContain('>alice</bdi>')
  const his = await first(victor)
  expect([his.includes(ALICE), his.includes('alice')]).toEqual([true, false])
})

test('markup in a name is shown and does nothing', async () => {
  const { shown } = await realmOf('"><img src=x onerror=alert(1)>')
  shown.rights = RIGHTS
  const page = await (await (await shown.logIn()).get('')).text()
  expect(page).not.toContain('<img src=x')
  expect(page).toContain('&#60;img src=x')
})

test('whom the realm does not know is not asked for again, and somebody new is asked for alone', async () => {
  const { shown, asked } = await realmOf()
  await acceptInto(shown.store, securityEvent(2, ['orders'], { subject: 'gone-1' }))
  shown.rights = RIGHTS
  const olivia = await shown.logIn()
  await acceptInto(shown.store, securityEvent(3, ['orders'], { subject: 'bob-1' }))
  await olivia.get('')
  await olivia.get('')
  expect(asked.map(({ ids }) => [...ids].sort())).toEqual([[ALICE, 'gone-1'], ['bob-1']])
})

test('after a failure pages come without names for half a minute, and after a refusal for good', async () => {
  const world = await realmOf()
  const { shown, asked } = world
  shown.rights = RIGHTS
  world.fails = AWAY
  const olivia = await shown.logIn()
  await olivia.get('')
  expect(asked).toHaveLength(1)
  shown.nowMs += 30_000
  world.fails = FORBIDDEN
  await olivia.get('')
  expect(asked).toHaveLength(2)
  shown.nowMs += 30_000
  world.fails = undefined
  expect(await (await olivia.get('')).text()).toContain(`>${ALICE}</bdi>`)
  expect(asked).toHaveLength(2)
})

test('a token that ends is renewed, and without that the sub is shown', async () => {
  const { shown, asked } = await realmOf()
  const renewals: string[] = []
  shown.ports.login.renew = (token) => {
    renewals.push(token)
    return Promise.resolve(
      renewals.length === 1 ? { accessToken: 'renewed', untilMs: shown.nowMs + 60_000, readsUsers: true } : undefined,
    )
  }
  shown.rights = { ...RIGHTS, untilMs: NOW_MS }
  const olivia = await shown.logIn()
  expect([renewals, asked.map(({ token }) => token)]).toEqual([['olivias-refresh'], ['renewed']])
  await acceptInto(shown.store, securityEvent(2, ['orders'], { subject: 'bob-1' }))
  shown.nowMs += 60_000
  expect(await (await olivia.get('')).text()).toContain('>bob-1</bdi>')
  // There is nothing to renew it with.
  expect([renewals.length, asked.length]).toEqual([1, 1])
})

test('a user is searched for by name with one’s own rights, or by id, and no name gets into an address', async () => {
  const world = await realmOf()
  const { shown } = world
  await acceptInto(shown.store, securityEvent(2, ['orders'], { subject: 'bob-1', trigger: 'account-disabled' }))
  shown.rights = RIGHTS
  const olivia = await shown.logIn()
  const found = await olivia.post('/containments', { user: ' alice ' })
  expect([found.status, found.headers.get('location')]).toEqual([303, '/console/containments?of=txn-1'])
  const page = await (await olivia.get('/containments?of=txn-1')).text()
  expect([page.includes('>Password reset by an administrator</a'), page.includes('>Account disabled</a')]).toEqual([
    true,
    false,
  ])
  const nobody = await olivia.post('/containments', { user: 'nobody' })
  expect([nobody.status, await nobody.text()]).toEqual([400, expect.stringContaining('no user of this name')])
  shown.rights = undefined
  const victor = await shown.logIn({ subject: 'victor-1' })
  const refused = await victor.post('/containments', { user: 'alice' })
  expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('give the user’s id')])
  const byId = await victor.post('/containments', { user: ALICE })
  expect(byId.headers.get('location')).toBe('/console/containments?of=txn-1')
  expect((await victor.post('/containments', { user: ALICE }, 'forged')).status).toBe(403)
})

test('neither a name nor a user’s id is in any address that a page leads to, also where the user has no containment', async () => {
  const { shown } = await realmOf()
  shown.rights = RIGHTS
  const olivia = await shown.logIn()
  const search = async (path: string, user: string) =>
    (await olivia.post(path, { user })).headers.get('location')?.replace('/console', '') ?? ''
  const other = '0b7e1a52-0000-4000-8000-00000000b0b0'
  const found = [
    await search('/containments', 'alice'),
    await search('/containments', other),
    await search('/deliveries', ALICE),
    await search('/deliveries', other),
  ]
  expect(found).toEqual([
    '/containments?of=txn-1',
    '/containments?of=none',
    '/deliveries?of=txn-1',
    '/deliveries?of=none',
  ])
  const addresses: string[] = []
  const pages = []
  for (const path of ['', '/containments', '/deliveries', '/containments/txn-1', '/changes', ...found]) {
    const answer = await olivia.get(path)
    const page = await answer.text()
    pages.push([path, answer.status])
    addresses.push(path, ...[...page.matchAll(/(?:href|action|formaction)="([^"]*)"/g)].map(([, to = '']) => to))
  }
  expect(pages.filter(([, status]) => status !== 200)).toEqual([])
  expect(addresses.length).toBeGreaterThan(100)
  expect(addresses.filter((to) => [ALICE, other, 'alice'].some((one) => to.includes(one)))).toEqual([])
  expect(await (await olivia.get('/containments?of=none')).text()).toContain('Of this user there are none')
})

test('where nobody knows any more whose account it was, a filter by it takes nobody’s, and a page says so', async () => {
  const { shown } = await realmOf()
  const olivia = await shown.logIn()
  const page = await (await olivia.get('/containments?of=txn-gone')).text()
  expect(page).toContain('not known any more')
  expect(page).not.toContain('href="/console/containments/txn-1"')
  const form = { which: 'all', of: 'txn-gone', reason: 'because', shown: String(NOW_MS) }
  const given = await olivia.post('/deliveries/retry', form)
  expect([given.headers.get('location'), shown.acts]).toEqual(['/console/deliveries?of=txn-gone&done=retry.0', []])
})
