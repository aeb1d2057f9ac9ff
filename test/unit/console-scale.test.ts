import { describe, expect, test } from 'vitest'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import { judge } from '../../relay/delivery/backchannel/judge.ts'
import { wrongOfReason } from '../../relay/console/lanes.ts'
import type { SecurityEvent } from '../../relay/domain/model.ts'
import { consoleWorld } from './console-world.ts'
import { acceptInto, DAY_MS, ISSUER, NOW_MS, securityEvent } from './given.ts'

type World = ReturnType<typeof consoleWorld>
const ROOM = () => ({ privileged: 999, others: 999, latest: 0 })
const named = (n: number) => `party-${String(n).padStart(3, '0')}`

/** A console whose acts change its store. */
function actingWorld(): World {
  const world: World = consoleWorld({
    flow: {
      retryNow: (selection, by) => world.store.hasten(selection, { by, atMs: world.nowMs }, 10_000),
      dismiss: (selection, by, reason) => world.store.dismiss(selection, { by, reason, atMs: world.nowMs }, 10_000),
      unhealthyLanes: () => [],
    },
  })
  return world
}

/** Owed to each of these clients, and attempted with what is given for it; without it nothing was sent. */
async function owe(
  { store, relyingParties }: World,
  reasons: ReadonlyMap<string, string | undefined>,
  { n = 1, atMs = NOW_MS, ...more }: Partial<SecurityEvent> & { n?: number; atMs?: number } = {},
): Promise<void> {
  const target = (clientId: string) => backchannelAt(`https://${clientId}.example.org/logout`)
  const parties = [...reasons.keys()].map((clientId) => ({
    ...{ issuer: ISSUER, clientId, target: target(clientId), enabled: true },
  }))
  const known = relyingParties.list(ISSUER).filter(({ clientId }) => !reasons.has(clientId))
  relyingParties.replace(ISSUER, [...known, ...parties])
  await acceptInto(store, securityEvent(n, [...reasons.keys()], more), atMs)
  for (const claim of await store.claim(NOW_MS + DAY_MS, 1, 9999, ROOM)) {
    const reason = reasons.get(claim.delivery.clientId)
    await (reason === undefined
      ? store.release(claim, NOW_MS + DAY_MS)
      : store.record(claim, {
          ...{ state: 'open', atMs: NOW_MS, dueMs: NOW_MS + 9 * DAY_MS, attempts: 1, reason },
          ...{ target: claim.delivery.target, evidence: { kind: 'attempt', atMs: NOW_MS, data: {} } },
        }))
  }
}

const many = (count: number, reason: string | undefined, from = 0) =>
  new Map(Array.from({ length: count }, (_, n) => [named(from + n), reason]))
const text = async (answer: Response | Promise<Response>) => (await answer).text()
const rowsOf = (page: string) => [...page.matchAll(/name="id" value="([^"]+)"/g)].map(([, id]) => id)
const field = (page: string, name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? ''

/** All pages from one on, by their links. */
async function follow(get: (path: string) => Response | Promise<Response>, path: string): Promise<string[]> {
  const pages: string[] = []
  for (let at: string | undefined = path; at !== undefined && pages.length < 50;) {
    const page = await text(get(at))
    pages.push(page)
    at = /<a\s+class="button quiet"\s+href="\/console([^"]+)"\s*>\s*(?:More|Older|Next|Go on)/
      .exec(page)?.[1]
      ?.replaceAll('&amp;', '&')
  }
  return pages
}

describe('what is wrong', () => {
  test.each([300, 400, 401, 403, 404, 405, 408, 418, 429, 500, 501, 502, 503, 504])(
    'has a name for an answer of %i',
    (status) => {
      expect(wrongOfReason(judge({ kind: 'response', status }).reason)).not.toBe('other')
    },
  )

  test.each([
    ...['timeout', 'connection_refused', 'connection_lost', 'name_not_found', 'tls', 'http_not_allowed'],
    ...['address_not_allowed', 'bad_url', 'not_minted'],
  ] as const)('has a name for an attempt that failed by %s', (code) => {
    expect(wrongOfReason(judge({ kind: 'failure', code }).reason)).not.toBe('other')
  })

  test('is said once for all whom it concerns, the most first, with how many and a link to them', async () => {
    const world = actingWorld()
    await owe(world, new Map([...many(20, 'timeout'), ...many(3, 'tls', 20), ...many(2, undefined, 23)]))
    await world.registrar.pause(ISSUER, named(0), { by: 'olivia-1', reason: 'for the move' })
    const olivia = await world.logIn()
    for (const [path, at] of [
      ['', '/deliveries'],
      ['/deliveries', '/deliveries'],
      ['/relying-parties', '/relying-parties'],
    ] as const) {
      const page = await text(olivia.get(path))
      const groups = [...page.matchAll(/href="\/console([^"?]+)\?wrong=(\w+)">[^<]+<\/a>\s*<span>(\d+) relying/g)]
      expect([path, groups.map(([, to, wrong, count]) => [to, wrong, count])]).toEqual([
        path,
        [
          [at, 'unreachable', '19'],
          [at, 'certificate', '3'],
          [at, 'waiting', '2'],
          [at, 'paused', '1'],
        ],
      ])
      expect([path, page]).toEqual([path, expect.stringContaining('Your network?')])
    }
  })

  test('is not laid to the network where a few cannot be reached, and is not said apart where there are few', async () => {
    const world = actingWorld()
    await owe(world, new Map([...many(9, 'timeout'), ...many(1, 'tls', 9)]))
    const olivia = await world.logIn()
    expect(await text(olivia.get('/deliveries'))).not.toContain('Your network?')
    expect(await text(olivia.get(''))).not.toContain('What is wrong')
  })

  test('is that of the oldest, also where it is not the first to be attempted', async () => {
    const world = actingWorld()
    await owe(world, new Map([['orders', 'tls']]), { n: 1, atMs: NOW_MS - 10 })
    await owe(world, new Map([['orders', 'timeout']]), { n: 2, atMs: NOW_MS })
    const olivia = await world.logIn()
    expect(rowsOf(await text(olivia.get('/deliveries?wrong=certificate')))).toHaveLength(2)
    expect(rowsOf(await text(olivia.get('/deliveries?wrong=unreachable')))).toEqual([])
  })
})

describe('open deliveries', () => {
  async function filled() {
    const world = actingWorld()
    await owe(world, many(130, 'timeout'), { n: 1, atMs: NOW_MS - 2 * DAY_MS, subject: 'alice-1' })
    await owe(world, new Map([...many(130, 'timeout'), ['wiki', 'tls']]), { n: 2, subject: 'bob-1' })
    return world
  }

  test.each([
    ['', 261],
    ['?wrong=unreachable', 260],
    ['?wrong=certificate', 1],
    ['?q=WIK', 1],
    ['?q=party-00', 20],
    ['?client_id=party-007', 2],
    ['?age=1d', 130],
    ['?age=7d', 0],
    ['?of=txn-2', 131],
    ['?of=txn-2&q=party', 130],
    ['?of=txn-1&age=1d&q=party-12', 10],
    ['?of=none', 0],
    ['?wrong=nonsense&age=nonsense', 261],
  ])('under %s are all on its pages, once each', async (query, count) => {
    const world = await filled()
    const olivia = await world.logIn()
    const pages = await follow(olivia.get, `/deliveries${query}`)
    const ids = pages.flatMap(rowsOf)
    expect([ids.length, new Set(ids).size, pages.length]).toEqual([count, count, Math.max(1, Math.ceil(count / 50))])
  })

  test('are searched for by a form, after which the filter is in the address and the user’s name is not', async () => {
    const ALICE = '0b7e1a52-0000-4000-8000-00000000a11c'
    const rights = { accessToken: 'olivias', untilMs: NOW_MS + 300_000, readsUsers: true }
    const find = (_: string, name: string) => Promise.resolve(name === 'alice' ? ALICE : undefined)
    const world = consoleWorld({ users: { names: () => Promise.resolve(new Map()), find } })
    world.rights = rights
    const olivia = await world.logIn()
    const search = { q: 'wiki ', user: 'alice', wrong: 'unreachable', age: '1h' }
    const found = await olivia.post('/deliveries', search)
    expect([found.status, found.headers.get('location')]).toEqual([
      303,
      `/console/deliveries?q=wiki&wrong=unreachable&of=none&age=1h`,
    ])
    const again = await olivia.post('/deliveries', { of: 'txn-1', q: '', user: '' })
    expect(again.headers.get('location')).toBe('/console/deliveries?of=txn-1')
    expect((await olivia.post('/deliveries', search, 'forged')).status).toBe(403)
  })

  test('that a filter takes are given up at once, with the reason in the evidence of each, and no others are', async () => {
    const world = await filled()
    const olivia = await world.logIn()
    const page = await text(olivia.get('/deliveries?wrong=unreachable'))
    expect(page).toMatch(/with all 260 at 130 relying parties, also those not shown/)
    const form = {
      ...{ which: 'all', wrong: field(page, 'wrong'), reason: 'they are gone' },
      ...{ shown: field(page, 'shown'), digest: field(page, 'digest') },
    }
    expect((await olivia.post('/deliveries/dismiss', { ...form, reason: '' })).status).toBe(400)
    const done = await olivia.post('/deliveries/dismiss', form)
    expect(done.headers.get('location')).toBe('/console/deliveries?wrong=unreachable&done=dismiss.260')
    const left = await world.store.deliveries({ issuer: ISSUER, state: 'open', limit: 999 })
    expect(left.map(({ clientId }) => clientId)).toEqual(['wiki'])
    const { evidence = [] } = (await world.store.containment(ISSUER, 'txn-1')) ?? {}
    const said = evidence.filter(({ kind }) => kind === 'dismissed').map(({ data }) => [data['by'], data['reason']])
    expect([said.length, new Set(said.map(String))]).toEqual([130, new Set(['olivia-1,they are gone'])])
  })

  test('of a user at some relying parties are made due, and nobody else’s', async () => {
    const world = await filled()
    const olivia = await world.logIn()
    const page = await text(olivia.get('/deliveries?of=txn-2&q=party-00'))
    const form = { which: 'all', of: 'txn-2', q: 'party-00', shown: field(page, 'shown') }
    const done = await olivia.post('/deliveries/retry', form)
    expect(done.headers.get('location')).toMatch(/done=retry\.10$/)
    const due = (await world.store.deliveries({ issuer: ISSUER, limit: 999 })).filter(({ dueMs }) => dueMs <= NOW_MS)
    expect(due.map(({ containmentId, clientId }) => [containmentId, clientId.slice(0, 8)])).toEqual(
      Array(10).fill(['txn-2', 'party-00']),
    )
  })

  test('are not given up without a filter, nor where the filter takes others than were shown, nor those that came since', async () => {
    const world = await filled()
    const olivia = await world.logIn()
    const open = async () => (await world.store.deliveries({ issuer: ISSUER, state: 'open', limit: 9999 })).length
    const form = (page: string) => ({
      ...{ which: 'all', reason: 'they are gone', shown: field(page, 'shown'), digest: field(page, 'digest') },
    })
    const all = form(await text(olivia.get('/deliveries')))
    expect(await text(olivia.post('/deliveries/dismiss', all))).toContain('filter first')
    const before = form(await text(olivia.get('/deliveries?q=party')))
    await owe(world, new Map([['party-new', 'timeout']]), { n: 3, atMs: NOW_MS + 5 })
    const changed = await olivia.post('/deliveries/dismiss', { ...before, q: 'party' })
    expect([changed.status, await changed.text()]).toEqual([
      400,
      expect.stringContaining('than it did when you looked'),
    ])
    expect(await open()).toBe(262)
    const shown = form(await text(olivia.get('/deliveries?q=wiki')))
    await owe(world, new Map([['wiki', 'tls']]), { n: 4, atMs: NOW_MS + 5 })
    const done = await olivia.post('/deliveries/dismiss', { ...shown, q: 'wiki' })
    expect([done.headers.get('location'), await open()]).toEqual([expect.stringContaining('done=dismiss.1'), 262])
  })
})

describe('containments', () => {
  async function filled() {
    const world = actingWorld()
    for (let n = 1; n <= 120; n++) {
      const trigger = n % 3 === 0 ? 'account-disabled' : 'admin-reset-password'
      const subject = n % 2 === 0 ? 'alice-1' : 'bob-1'
      const clients = n % 4 === 0 ? ['wiki', 'orders'] : n % 5 === 0 ? ['orders'] : []
      // Ten of one instant each, so that pages end amid them.
      const atMs = NOW_MS - DAY_MS * Math.floor((120 - n) / 40) - Math.floor((120 - n) / 10)
      await acceptInto(world.store, securityEvent(n, clients, { trigger, subject }), atMs)
    }
    await world.store.dismiss({ issuer: ISSUER, clientId: 'wiki' }, { by: 'x', atMs: NOW_MS, reason: 'gone' }, 999)
    await world.store.dismiss({ issuer: ISSUER, containmentId: 'txn-4' }, { by: 'x', atMs: NOW_MS, reason: 'gone' }, 9)
    return world
  }
  const day = (ago: number) => new Date(NOW_MS - ago * DAY_MS).toISOString().slice(0, 10)
  const linked = (page: string) =>
    [...page.matchAll(/href="\/console\/containments\/(txn-\d+)"/g)].map(([, id]) => Number(id?.slice(4)))

  test.each<[string, (n: number) => boolean]>([
    ['', () => true],
    ['?trigger=account-disabled', (n) => n % 3 === 0],
    ['?of=txn-2&trigger=account-disabled', (n) => n % 6 === 0],
    ['?state=open', (n) => (n % 4 === 0 || n % 5 === 0) && n !== 4],
    ['?state=given-up', (n) => n === 4],
    ['?state=ended', (n) => n % 4 !== 0 && n % 5 !== 0],
    ['?client=orders', (n) => n % 4 === 0 || n % 5 === 0],
    ['?client=wiki&of=txn-1', () => false],
    [`?from=${day(1)}`, (n) => n > 40],
    [`?to=${day(1)}`, (n) => n <= 80],
    [`?from=${day(1)}&to=${day(1)}`, (n) => n > 40 && n <= 80],
    ['?state=nonsense&from=nonsense', () => true],
  ])('under %s are all on its pages, once each and newest first', async (query, means) => {
    const world = await filled()
    const olivia = await world.logIn()
    const found = (await follow(olivia.get, `/containments${query}`)).flatMap(linked)
    const wanted = Array.from({ length: 120 }, (_, n) => n + 1).filter(means)
    expect([...found].sort((a, b) => a - b)).toEqual(wanted)
    expect(found.map((n) => Math.floor((120 - n) / 10))).toEqual(
      [...found].map((n) => Math.floor((120 - n) / 10)).sort((a, b) => a - b),
    )
  })

  test('that none is like are looked for as far as one page may cost, and it says how far that was', async () => {
    const world = consoleWorld()
    const asked: number[] = []
    const store = { ...world.store }
    world.store.containments = async (filter) => {
      const found = await store.containments(filter)
      asked.push(found.length)
      return found
    }
    await Promise.all(Array.from({ length: 3000 }, (_, n) => acceptInto(world.store, securityEvent(n, []), NOW_MS - n)))
    const olivia = await world.logIn()
    asked.length = 0
    const pages = await follow(olivia.get, '/containments?trigger=account-disabled')
    expect(pages).toHaveLength(2)
    expect(pages[0]).toMatch(/among the 2,000 that were looked at.*Go on looking before/s)
    expect(pages[1]).not.toContain('among the')
    expect(asked.reduce((sum, count) => sum + count, 0)).toBeLessThan(3600)
  })
})

test('relying parties are on pages that say how many there are, and are found by a part of their name and by what is wrong', async () => {
  const world = actingWorld()
  await owe(world, new Map([...many(70, 'timeout'), ...many(60, 'tls', 70)]))
  const olivia = await world.logIn()
  const found = async (path: string) => {
    const pages = await follow(olivia.get, path)
    const names = pages.flatMap((page) => [...page.matchAll(/relying-party\?client_id=([\w-]+)/g)].map(([, id]) => id))
    return [names.length, new Set(names).size, pages.length]
  }
  expect(await found('/relying-parties')).toEqual([130, 130, 3])
  expect(await found('/relying-parties?wrong=certificate')).toEqual([60, 60, 2])
  expect(await found('/relying-parties?q=PARTY-00')).toEqual([10, 10, 1])
  expect(await text(olivia.get('/relying-parties?page=3'))).toContain('101 to 130 of 130')
  expect(await text(olivia.get('/relying-parties?page=99'))).toContain('101 to 130 of 130')
  expect(await text(olivia.get('/relying-parties?page=nonsense'))).toContain('1 to 50 of 130')
})

test('a filter is kept over a login, also one with a space', async () => {
  const world = consoleWorld()
  const wanted = '/console/deliveries?q=my+app*&wrong=unreachable'
  let returned = ''
  world.ports.login.begin = (returnTo) => {
    returned = returnTo
    return Promise.reject(new Error('far enough'))
  }
  await world.request(`/login?to=${encodeURIComponent(wanted)}`, '')
  expect(returned).toBe(wanted)
})

test('who may see nothing here is shown the way out at the realm, and no way back in', async () => {
  const world = consoleWorld()
  const ids: unknown[] = []
  world.ports.login.logoutUrl = (...given) => {
    ids.push(...given)
    return Promise.resolve(new URL(`${ISSUER}/logout?client_id=console`))
  }
  world.person = { ...world.person, roles: [] }
  const begun = (await world.request('/login?to=/console', '')).headers.getSetCookie()[0]?.split(';')[0] ?? ''
  const page = await text(world.request('/callback?code=c', begun))
  expect(page).toContain(`href="${ISSUER}/logout?client_id=console"`)
  expect(page).not.toContain('To the console')
  // A token does not get into a page.
  expect(ids).toEqual([])
})
