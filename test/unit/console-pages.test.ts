import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { describe, expect, onTestFinished, test } from 'vitest'
import { until } from '../../scripts/stage/process.ts'
import { parseConfig, Schema } from '../../relay/config/config.ts'
import { monthsTable } from '../../relay/console/months.ts'
import { settingsInForce } from '../../relay/console/settings.ts'
import { contained } from './audit-given.ts'
import { consoleWorld } from './console-world.ts'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import type { Finding } from '../../relay/domain/finding.ts'
import { acceptInto, ISSUER, NOW_MS, securityEvent, session as listed, uuid } from './given.ts'

const EVIL = '"><img src=x onerror=alert(1)>'
const PAGES = ['', '/containments', '/deliveries', '/relying-parties', '/coverage', '/changes', '/settings']

test('whatever relay.yaml sets is on the page of settings, under the name that it has there', () => {
  const yaml = `issuers: [{ issuer: ${ISSUER}, client_secret: s }]
relying_parties: [{ issuer: ${ISSUER}, client_id: wiki, concurrency: 1 }]`
  const names = settingsInForce(parseConfig(yaml, 'relay.yaml', {})).map(([name]) => name.split('.')[0])
  expect([...new Set(names)].sort()).toEqual(Object.keys(Schema.shape).sort())
})

test('a containment that owes nobody a logout does not say that nobody had a session', async () => {
  const world = consoleWorld()
  const silent = listed(uuid(1), 0, 'mobile-app', { named: { kind: 'backchannel' } })
  await acceptInto(world.store, securityEvent(1, [], { sessions: [silent] }))
  const olivia = await world.logIn()
  for (const path of ['', '/containments', '/containments/txn-1']) {
    expect([path, await (await olivia.get(path)).text()]).toEqual([path, expect.stringContaining('no logout was owed')])
  }
})

describe('the first page', () => {
  const silent = (n: number) =>
    listed(uuid(n), 0, 'legacy', { named: { kind: 'backchannel' }, latestEndMs: NOW_MS + 60_000 })

  test('is amber for a session that nobody can be told about, as is its line in the list, until it ends by itself', async () => {
    const world = consoleWorld()
    await acceptInto(world.store, securityEvent(1, [], { sessions: [silent(1)] }))
    const olivia = await world.logIn()
    const now = await (await olivia.get('')).text()
    expect(now).toMatch(/class="summary waiting".*1 session nobody can be told about.*without a logout URL/s)
    expect(now).toMatch(/Nobody can be told.*<li class="open">\s*<strong>legacy<\/strong>/s)
    expect(now).not.toContain('All answered')
    expect(await (await olivia.get('/containments')).text()).toMatch(
      /<span class="open"\s*><span class="state">no logout was owed, 1 session that nobody could be told about/,
    )
    world.nowMs += 60_000
    expect(await (await olivia.get('')).text()).toMatch(/class="summary calm".*All answered/s)
    expect(await (await olivia.get('/containments')).text()).toMatch(/<span class="confirmed"\s*><span class="state">/)
  })

  test('does not call ended, in green, what was given up', async () => {
    const world = consoleWorld()
    await acceptInto(world.store, securityEvent(1, ['orders', 'wiki']))
    const olivia = await world.logIn()
    const [one, other] = await world.store.claim(NOW_MS, 1000, 9, () => ({ privileged: 9, others: 9, latest: 0 }))
    if (!one || !other) {
      throw new Error('two were to be claimed')
    }
    const { target } = one.delivery
    await world.store.record(one, {
      ...{ state: 'delivered', atMs: NOW_MS, dueMs: NOW_MS, attempts: 1, reason: 'confirmed', target },
      evidence: { kind: 'attempt', atMs: NOW_MS, data: {} },
    })
    await world.store.dismiss({ issuer: ISSUER }, { by: 'olivia-1', atMs: NOW_MS, reason: 'gone' }, 9)
    for (const path of ['', '/containments', '/containments/txn-1']) {
      const page = await (await olivia.get(path)).text()
      expect([path, page]).toEqual([
        path,
        expect.stringMatching(/given-up"\s*>.{0,400}1 session ended in [^<]*, 1 given up/s),
      ])
      expect([path, page]).not.toEqual([path, expect.stringContaining('"meta confirmed"')])
    }
    expect(await (await olivia.get('')).text()).toContain('but for what was given up below')
  })

  test('does not say of whoever was never asked that they have not answered', async () => {
    const found: Finding[] = []
    const world = consoleWorld({ findings: () => found })
    await acceptInto(world.store, securityEvent(1, ['orders', 'wiki']))
    const olivia = await world.logIn()
    const all = await (await olivia.get('')).text()
    expect(all).toMatch(/2 relying parties have not been asked yet, the oldest/)
    expect(all).not.toMatch(/has not answered|have not answered/)
    const [first] = await world.store.claim(NOW_MS, 1000, 1, () => ({ privileged: 1, others: 1, latest: 0 }))
    const { target } = first?.delivery ?? {}
    await (first &&
      target &&
      world.store.record(first, {
        ...{ state: 'open', atMs: NOW_MS, dueMs: NOW_MS + 9e6, attempts: 1, reason: 'timeout', target },
        evidence: { kind: 'attempt', atMs: NOW_MS, data: {} },
      }))
    const one = await (await olivia.get('')).text()
    expect(one).toMatch(/1 relying party has not answered yet, 1 relying party has not been asked yet/)
    expect(one).toMatch(/has not answered<\/span>.*not asked yet<\/span>/s)
    // What waits at one that fails is not sent, and that is its own doing.
    const probed = { issuer: ISSUER, state: 'probed', failures: 9 } as const
    const lanes = ['orders', 'wiki'].map((clientId) => ({ ...probed, clientId }))
    Object.assign(world.ports.flow, { unhealthyLanes: () => lanes })
    expect(await (await olivia.get('')).text()).toMatch(/2 relying parties have not answered yet, the oldest/)
    // With no logout tokens nobody is asked, however they have answered before.
    found.push({ check: 'logout tokens', about: ISSUER, ok: false, says: 'logout-tokens answered 403' })
    expect(await (await olivia.get('')).text()).toMatch(/1 relying party has not been asked yet/)
  })

  test.each([
    ['Keycloak makes no tokens', 'logout tokens', 'logout-tokens answered 403: give it the role', 'alarm "'],
    ['an event is refused', 'events', 'one is refused (invalid_request)', 'alarm "'],
    ['the disk is nearly full', 'room', 'has 9 MiB of disk left', 'alarm wait"'],
  ])(
    'says on every page that %s, and is green only where nothing lives that should not',
    async (_, check, says, tone) => {
      const world = consoleWorld({ findings: () => [{ check, about: ISSUER, ok: false, says }] })
      const olivia = await world.logIn()
      for (const path of PAGES) {
        const page = await (await olivia.get(path)).text()
        expect([path, page]).toEqual([path, expect.stringContaining(says)])
        expect([path, page]).toEqual([path, expect.stringContaining(`class="${tone}`)])
      }
      expect((await (await olivia.get('')).text()).includes('All answered')).toBe(check === 'room')
    },
  )

  test('is not green while the listener is off', async () => {
    const world = consoleWorld()
    await world.registrar.saw(ISSUER, [], { listener: false })
    const page = await (await (await world.logIn()).get('')).text()
    expect(page).toContain('Resets end nothing in this realm')
    expect(page).not.toContain('All answered')
  })

  test('has a place to say that it is stale, and other pages have none', async () => {
    const olivia = await consoleWorld().logIn()
    expect(await (await olivia.get('')).text()).toMatch(/<p class="alarm stale" role="alert" hidden><\/p>/)
    expect(await (await olivia.get('/changes')).text()).not.toContain('stale')
  })
})

test('markup in a user’s name, a client’s name, a reason, an answer and an address is shown and does nothing', async () => {
  const world = consoleWorld({ settings: [['name', EVIL]] })
  const event = securityEvent(1, [], { trigger: EVIL, sessions: [listed(uuid(1), 0, EVIL)] })
  await acceptInto(world.store, event)
  const room = () => ({ privileged: 9, others: 9, latest: 0 })
  for (const claim of await world.store.claim(NOW_MS, 1000, 9, room)) {
    await world.store.record(claim, {
      ...{ state: 'open', atMs: NOW_MS, dueMs: NOW_MS, attempts: 1, reason: EVIL, target: backchannelAt(EVIL) },
      evidence: { kind: 'attempt', atMs: NOW_MS, data: { client_id: EVIL, says: EVIL, outcome: 'retry' } },
    })
  }
  const party = { issuer: ISSUER, clientId: EVIL, enabled: true }
  await world.registrar.saw(ISSUER, [{ ...party, target: backchannelAt('https://a.example.org/') }], {
    policy: { mode: 'enforce' },
  })
  await world.registrar.saw(ISSUER, [{ ...party, target: backchannelAt(EVIL) }], { policy: { mode: EVIL } })
  await world.registrar.pause(ISSUER, EVIL, { by: 'olivia-1', reason: EVIL })
  const olivia = await world.logIn({ name: EVIL })
  const name = encodeURIComponent(EVIL)
  const shown: string[] = []
  for (const path of [
    ...PAGES,
    `/containments/${event.txn}`,
    `/deliveries?client_id=${name}&done=${name}`,
    `/relying-party?client_id=${name}&done=${name}`,
  ]) {
    const answer = await olivia.get(path)
    expect([path, answer.status]).toEqual([path, 200])
    shown.push(await answer.text())
  }
  const wrong = { client_id: EVIL, backchannel_logout_uri: EVIL, reason: EVIL }
  shown.push(await (await olivia.post('/relying-parties/register', wrong)).text())
  for (const page of shown) {
    expect(page).not.toContain('<img src=x')
    expect(page).toContain('&lt;img src=x')
  }
})

describe('coverage', () => {
  test('is read with the person’s own token, once, for that person, and the token is not kept', async () => {
    const tokens: string[] = []
    const world = consoleWorld({
      readRealm: (token) => {
        tokens.push(token)
        return Promise.resolve(contained())
      },
    })
    const olivia = await world.logIn({ roles: ['view'] })
    expect(await (await olivia.get('/coverage')).text()).toContain('view-realm')
    expect(tokens).toEqual([])
    const [begun = ''] = (await olivia.get('/coverage/read')).headers.getSetCookie()
    const back = await world.request('/callback?code=c', `${begun.split(';')[0] ?? ''}; ${olivia.cookie}`)
    const cookie = back.headers.getSetCookie().at(-1)?.split(';')[0] ?? ''
    expect(await (await world.request('/coverage', cookie)).text()).toContain('What survives a reset')
    expect(tokens).toEqual(['a token'])
    // The session of before has ended; another person's shows nothing of it.
    expect((await olivia.get('/coverage')).status).toBe(302)
    const other = await world.logIn({ subject: 'victor-1' })
    expect(await (await other.get('/coverage')).text()).not.toContain('What survives a reset')
  })

  test('says what is missing when the realm gives no such scope', async () => {
    const world = consoleWorld()
    const olivia = await world.logIn()
    const [begun = ''] = (await olivia.get('/coverage/read')).headers.getSetCookie()
    await world.request('/callback?error=invalid_scope', `${begun.split(';')[0] ?? ''}; ${olivia.cookie}`)
    expect(await (await olivia.get('/coverage')).text()).toMatch(/Not read.*logout-relay-audit/s)
  })
})

describe('somebody who watches', () => {
  /** The console behind a real socket, with a long page that differs at each look. Half a minute passes when it is told to. */
  async function watched() {
    const looks = { count: 0 }
    const halfMinutes = new Set<() => void>()
    const world = consoleWorld({
      sleep: (ms, stop) => {
        world.nowMs += 1000
        return new Promise((resolve) => {
          if (ms === 30_000) {
            halfMinutes.add(resolve)
            stop.addEventListener('abort', () => resolve())
          } else {
            setImmediate(resolve)
          }
        })
      },
    })
    const lane = (n: number) => ({
      issuer: ISSUER,
      clientId: `${n}`.repeat(1000),
      count: looks.count,
      oldestMs: 0,
      asked: true,
    })
    world.store.open = () => {
      looks.count++
      return Promise.resolve(Array.from({ length: 50 }, (_, n) => lane(n)))
    }
    const olivia = await world.logIn()
    const server = createServer((question, answer) => void getRequestListener(world.app.fetch)(question, answer))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    const { port } = server.address() as AddressInfo
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    onTestFinished(() => void socket.destroy())
    socket.write(`GET /console/live HTTP/1.1\r\nHost: x\r\nCookie: ${olivia.cookie}\r\n\r\n`)
    const isGone = () => new Promise<boolean>((done) => server.getConnections((_, count) => done(count === 0)))
    return { looks, socket, isGone, halfAMinutePasses: () => halfMinutes.forEach((pass) => pass()) }
  }
  const rest = () => new Promise((resolve) => setTimeout(resolve, 100))

  test('and never reads is drawn for no more, and is hung up on after half a minute', async () => {
    const { looks, socket, isGone, halfAMinutePasses } = await watched()
    socket.pause()
    let before = -1
    await until('nothing is drawn any more', async () => {
      const same = before === looks.count && looks.count > 1
      before = looks.count
      await rest()
      return same
    })
    await rest()
    expect([looks.count, await isGone()]).toEqual([before, false])
    halfAMinutePasses()
    await until('it is hung up on', isGone)
  })

  test('and reads is drawn for on and on', async () => {
    const { looks, socket, isGone, halfAMinutePasses } = await watched()
    let bytes = 0
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length))
    await until('more has come than any buffer holds', () => bytes > 20_000_000)
    halfAMinutePasses()
    const { count } = looks
    await until('and more comes', () => looks.count > count + 5)
    expect(await isGone()).toBe(false)
  })

  test('six times over has no seventh', async () => {
    const world = consoleWorld({
      sleep: (_, stop) => new Promise((resolve) => stop.addEventListener('abort', () => resolve())),
    })
    const olivia = await world.logIn()
    const answers: Response[] = []
    for (let n = 0; n < 7; n++) {
      answers.push(await olivia.get('/live'))
    }
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200, 503])
    expect((await (await world.logIn()).get('/live')).status).toBe(200)
    for (const answer of answers) {
      await answer.body?.cancel()
    }
  })
})

test('the containments of each month are on a line, below the newest of them and nowhere else; before there are any, there is none', async () => {
  const world = consoleWorld()
  const olivia = await world.logIn()
  const page = async (path: string) => (await olivia.get(path)).text()
  expect(await page('/containments')).not.toContain('By month')
  const day = Date.parse('2026-08-31T12:00:00Z')
  await acceptInto(world.store, securityEvent(1, ['orders', 'wiki'], { watermarkMs: day - 200 }), day)
  await acceptInto(world.store, securityEvent(2, ['orders']))
  const claims = await world.store.claim(day, 60_000, 9, () => ({ privileged: 9, others: 9, latest: 0 }))
  await Promise.all(
    claims.map((claim) =>
      world.store.record(claim, {
        ...{ state: 'delivered', atMs: day + 800, dueMs: day, attempts: 1, reason: 'confirmed' },
        target: claim.delivery.target,
        evidence: { kind: 'attempt', atMs: day + 800, data: {} },
      }),
    ),
  )
  const rows = (await page('/containments')).split('By month')[1] ?? ''
  const cells = [...rows.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row = '']) =>
    [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell = '']) => cell.replaceAll(/<[^>]*>/g, '').trim()),
  )
  expect(cells.slice(1)).toEqual([
    ['2026-09', '1', '0', '–', '–', '–', '1'],
    ['2026-08', '1', '2', '100 %', '100 %', '1 s', '0'],
  ])
  for (const path of ['/containments?of=txn-1', '/containments?state=open', `/containments?before=${NOW_MS}`]) {
    expect([path, (await page(path)).includes('By month')]).toEqual([path, false])
  }
})

test('a month in which two versions of the relay have counted more ends than containments has none that are not ended', async () => {
  const month = { month: '2026-08', containments: 2, closed: 3, sessions: 3, told: 3, withinSecond: 3, withinMinute: 3 }
  const page = String(await monthsTable([{ ...month, longestMs: 900 }]))
  expect(page).toMatch(/data-label="Not ended">\s*<span class="none">0</)
})
