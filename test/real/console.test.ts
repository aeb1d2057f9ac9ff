import { execFile, spawn } from 'node:child_process'
import { promisify } from 'node:util'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { World } from '../../scripts/demo/world.ts'
import type { KeycloakAt } from '../../scripts/stage/keycloak.ts'
import { Browser as Person } from '../../scripts/stage/browser.ts'
import { call } from '../../scripts/stage/http.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { nextSecond } from './demo-realm.ts'
import { startRecorder } from './recorder.ts'
import { startSharedWorld } from './shared.ts'

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const ARTEFACTS = join(ROOT, 'test', 'artefacts', 'console')
const CLI = join(ROOT, 'relay', 'cli.ts')
const FORMS = [
  ['light', 'light', 1280],
  ['dark', 'dark', 1280],
  ['phone', 'light', 390],
] as const
const PAGES = ['', '/containments', '/deliveries', '/relying-parties', '/coverage', '/changes', '/settings']

let world: World<KeycloakAt>
let chrome: Browser
let olivia: Page
/** Answers every POST with this. */
let stranger: Server
let strangerAnswers = 400

beforeAll(async () => {
  mkdirSync(ARTEFACTS, { recursive: true })
  world = await startSharedWorld('console')
  // Seen by the relay within a minute; a test further down waits for it.
  const attributes = {
    'logout-relay.policy.email-changed': 'off',
    'logout-relay.clients': 'logout-relay-operator, logout-relay-console',
  }
  await world.demo.admin.must('PUT', '', { attributes })
  stranger = createServer((_, answer) => answer.writeHead(strangerAnswers).end())
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve))
  chrome = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
})

afterAll(async () => {
  await chrome.close()
  stranger.close()
  await world.demo.express.stop()
  await world.stop()
})

/** Login times are whole seconds; a login in the reset's own second is from before it. */
const reset = async (username: string, password = 'another') =>
  expect((await world.demo.admin.resetPassword(await world.demo.admin.userId(username), password)).status).toBe(204)

/** A context of its own, logged in at the console through Keycloak's login page. */
async function loggedIn(username: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
  const page = await (await chrome.newContext(options)).newPage()
  await page.goto(world.consoleUrl)
  await page.fill('#username', username)
  await page.fill('#password', world.password)
  await page.click('#kc-login')
  await page.waitForURL(`${world.consoleUrl}**`)
  return page
}

/** Somebody with a session at the Express application, which is then stopped: their reset stays open. */
async function openContainment(username: string): Promise<Person> {
  await world.demo.admin.createUser(username, 'password')
  const person = new Person()
  await person.login(world.demo.express.url, username, 'password')
  await nextSecond()
  await world.demo.express.stop()
  await reset(username)
  return person
}

async function findings(page: Page): Promise<string[]> {
  // The page's own policy forbids a foreign script, as it should; the debugger may run one.
  await page.evaluate(readFileSync(AXE, 'utf8'))
  const { violations } = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>(
    "axe.run({ resultTypes: ['violations'] })",
  )
  return violations.map(({ id, nodes }) => `${page.url()} ${id}: ${nodes.map((node) => node.html).join(' ')}`)
}

test('who is not logged in is sent to the realm, and comes back to the page they wanted', async () => {
  const page = await (await chrome.newContext()).newPage()
  await page.goto(`${world.consoleUrl}/settings`)
  expect(page.url()).toContain(world.demo.issuer)
  expect(page.url()).toContain('code_challenge_method=S256')
  await page.fill('#username', 'olivia')
  await page.fill('#password', world.password)
  await page.click('#kc-login')
  await page.waitForURL(`${world.consoleUrl}/settings`)
  expect(await page.textContent('h1')).toBe('Settings in force')
  const [cookie] = (await page.context().cookies(world.consoleUrl)).filter(({ name }) => name.endsWith('console'))
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Lax' })
  olivia = page
})

test('a containment is watched live to its end while a relying party is down and comes back', async () => {
  await olivia.goto(world.consoleUrl)
  const person = await openContainment('nora')
  await olivia.waitForSelector('.card tr.open')
  await olivia.waitForSelector('text=connection refused')
  await shoot(olivia, 'under-way')
  world.demo.express = await world.demo.express.restart()
  // Its next attempt comes by itself; nobody touches the page.
  await olivia.waitForSelector('text=All answered', { timeout: 60_000 })
  expect(await person.isAlive(world.demo.express.url)).toBe(false)
  await olivia.click('.card h3 a')
  await olivia.waitForSelector('.story')
  expect(await olivia.textContent('.story')).toMatch(/attempt\s+1.*Nothing listens.*It confirmed the logout.*Closed/s)
  await shoot(olivia, 'containment')
})

describe('with deliveries that stay open', () => {
  beforeAll(async () => {
    await openContainment('oscar')
    await olivia.goto(`${world.consoleUrl}/coverage`)
    await olivia.click('text=Audit now')
    await olivia.goto(`${world.consoleUrl}/deliveries?client_id=express-app`)
    await until('it has been attempted', async () => {
      await olivia.reload()
      return (await olivia.textContent('main'))?.includes('connection refused')
    })
  })

  test('somebody who may only look sees no buttons, and a post of theirs is refused', async () => {
    const victor = await loggedIn('victor')
    await victor.goto(`${world.consoleUrl}/deliveries`)
    expect(await victor.locator('.deliveries button').count()).toBe(0)
    const csrf = (await victor.getAttribute('input[name=csrf]', 'value')) ?? ''
    const form = { csrf, client_id: 'express-app', which: 'all', reason: 'because' }
    for (const act of ['retry', 'dismiss']) {
      const answer = await victor.request.post(`${world.consoleUrl}/deliveries/${act}`, { form, maxRedirects: 0 })
      expect([act, answer.status()]).toEqual([act, 403])
    }
    await victor.context().close()
  })

  test.each([
    ['no token', {}],
    ['another’s token', { csrf: 'A'.repeat(43) }],
  ])('a form with %s is refused, also from who may', async (_, csrf) => {
    const form = { ...csrf, client_id: 'express-app', which: 'all', reason: 'because' }
    const answer = await olivia.request.post(`${world.consoleUrl}/deliveries/dismiss`, { form, maxRedirects: 0 })
    expect(answer.status()).toBe(403)
    await olivia.reload()
    expect(await olivia.locator('.choose tbody tr').count()).toBe(1)
  })

  test('axe finds nothing on any page, in light, dark and on a phone; and they are kept as pictures', async () => {
    const found: string[] = []
    const state = await olivia.context().storageState()
    for (const [look, colorScheme, width] of FORMS) {
      const context = await chrome.newContext({ storageState: state, colorScheme, viewport: { width, height: 800 } })
      const page = await context.newPage()
      const one = (await list(page))[0] ?? ''
      const more = [
        '/deliveries?client_id=express-app',
        '/relying-party?client_id=express-app',
        '/relying-parties/register',
        '/end',
      ]
      for (const path of [...PAGES, ...more, one]) {
        await page.goto(path.startsWith('http') ? path : world.consoleUrl + path)
        found.push(...(await findings(page)))
        const wide = await page.evaluate('document.documentElement.scrollWidth > document.documentElement.clientWidth')
        expect([look, path, wide]).toEqual([look, path, false])
        const name = path === '' ? 'now' : path.startsWith('http') ? 'one' : path.replaceAll(/[^a-z]+/g, '-').slice(1)
        await shoot(page, `${name}-${look}`)
      }
      await context.close()
    }
    expect(found).toEqual([])
  }, 240_000)

  test('a relying party is paused with a reason, is told of nothing, and is told at once when it is resumed', async () => {
    const party = `${world.consoleUrl}/relying-party?client_id=express-app`
    await olivia.goto(party)
    await olivia.fill('form[action$=pause] input[name=reason]', 'being moved')
    await olivia.click('text="Pause"')
    await olivia.goto(world.consoleUrl)
    expect(await olivia.textContent('.alarms')).toMatch(/express-app is paused.*by\s+olivia: “being moved”/s)
    await shoot(olivia, 'paused')
    await olivia.goto(`${world.consoleUrl}/deliveries?client_id=express-app`)
    expect(await olivia.textContent('.choose tbody')).toContain('paused')
    await olivia.check('.choose input[type=checkbox]')
    await olivia.click('text=Attempt now')
    const attempts = async () => /(\d+) attempts?/.exec((await olivia.textContent('.choose tbody')) ?? '')?.[1]
    const before = await attempts()
    await delay(2000)
    await olivia.reload()
    expect(await attempts()).toBe(before)
    await olivia.goto(party)
    await olivia.click('text="Resume"')
    await olivia.goto(`${world.consoleUrl}/deliveries?client_id=express-app`)
    await until('it is attempted again', async () => {
      await olivia.reload()
      return (await attempts()) !== before
    })
    expect(await olivia.locator('.alarms').count()).toBe(0)
  })

  test('they are found by what is wrong and by user, and the address holds no name', async () => {
    await olivia.goto(`${world.consoleUrl}/deliveries`)
    await olivia.selectOption('select[name=wrong]', 'unreachable')
    await olivia.fill('input[name=user]', 'oscar')
    await olivia.click('text="Search"')
    await olivia.waitForURL(/\/deliveries\?wrong=unreachable&of=[\w-]{36}$/)
    expect(olivia.url()).not.toContain(await world.demo.admin.userId('oscar'))
    expect(await olivia.textContent('h1')).toMatch(/for\s+oscar\s*: cannot be reached/)
    expect(await olivia.locator('.choose tbody tr').count()).toBe(1)
    expect(await findings(olivia)).toEqual([])
    await olivia.selectOption('select[name=wrong]', 'certificate')
    await olivia.click('text="Search"')
    await olivia.waitForSelector('text=None that the filter takes')
  })

  test('one is retried by its tick, and all of a relying party are given up with a reason', async () => {
    await olivia.goto(`${world.consoleUrl}/deliveries?client_id=express-app`)
    await olivia.check('.choose input[type=checkbox]')
    await olivia.click('text=Attempt now')
    await olivia.waitForSelector('text=1 due now')
    await olivia.check('input[value=all]')
    await olivia.click('text=Give up')
    expect(await olivia.textContent('h1')).toBe('Say why')
    await olivia.goBack()
    await olivia.check('input[value=all]')
    await olivia.fill('input[name=reason]', '<script>alert(1)</script> gone')
    await olivia.click('text=Give up')
    await olivia.waitForSelector('text=1 given up')
    await olivia.goto((await list(olivia))[0] ?? '')
    expect(await olivia.textContent('.story')).toContain('gave it up: “<script>alert(1)</script> gone”')
  })
})

describe('a relying party is registered', () => {
  const fill = async (clientId: string) => {
    await olivia.goto(`${world.consoleUrl}/relying-parties`)
    await olivia.click('text="Register"')
    await olivia.fill('input[name=client_id]', clientId)
    const { port } = stranger.address() as AddressInfo
    await olivia.fill('input[name=backchannel_logout_uri]', `http://127.0.0.1:${port}/logout`)
    await olivia.fill('input[name=reason]', 'it has no client of its own')
    await olivia.click('text=Check and register')
  }

  test('if it refuses what it must', async () => {
    strangerAnswers = 400
    await fill('good-app')
    await olivia.waitForSelector('text=Registered')
    expect(await olivia.textContent('main')).toMatch(/a registration here.*refuses what the realm has not signed/s)
  })

  test('in spite of it only, if it accepts anything; and that stays to be seen', async () => {
    strangerAnswers = 200
    await fill('any-app')
    expect(await olivia.textContent('[role=alert]')).toContain('accepts anything')
    await shoot(olivia, 'accepts-anything')
    expect(await findings(olivia)).toEqual([])
    await olivia.check('text=Register it all the same')
    await olivia.click('text=Check and register')
    await olivia.waitForSelector('text=check failed')
    await olivia.goto(`${world.consoleUrl}/relying-parties`)
    expect(await olivia.textContent('tr:has-text("any-app")')).toContain('check failed')
    await olivia.goto(`${world.consoleUrl}/changes`)
    await shoot(olivia, 'changes')
    expect(await findings(olivia)).toEqual([])
    expect(await olivia.textContent('.changes li')).toMatch(/any-app.*although it failed the check.*by olivia/s)
  })

  test('and checked again whenever somebody wants it', async () => {
    strangerAnswers = 405
    await olivia.goto(`${world.consoleUrl}/relying-party?client_id=good-app`)
    await olivia.click('text=Check now')
    await olivia.waitForSelector('text=The logout URL takes no POST')
  })
})

test('coverage is read with the operator’s own rights, and says which are missing to who has not', async () => {
  await olivia.goto(`${world.consoleUrl}/coverage`)
  await olivia.click('text=Audit')
  await olivia.waitForSelector('text=What survives a reset')
  expect(await olivia.textContent('tr:has-text("express-app")')).toMatch(/ended/)
  const victor = await loggedIn('victor')
  await victor.goto(`${world.consoleUrl}/coverage`)
  expect(await victor.textContent('main')).not.toContain('What survives')
  await victor.click('text=Audit now')
  expect(await victor.textContent('[role=alert]')).toContain('view-realm')
  await victor.context().close()
})

test(
  'a policy that is weakened in Keycloak is told of, in the list and in the metrics',
  { timeout: 120_000 },
  async () => {
    await until(
      'the relay has looked',
      async () => {
        await olivia.goto(`${world.consoleUrl}/changes`)
        return (await olivia.textContent('main'))?.includes('email-changed')
      },
      { seconds: 90, everyMs: 1000 },
    )
    expect(await olivia.textContent('.changes li:has-text("email-changed")')).toMatch(
      /weaker.*sessions.*→.*off.*in the realm/s,
    )
    expect(await world.relay.metrics()).toMatch(/weakening_changes_total\{.*kind="policy_weakened"\} 1/)
  },
)

test('every answer forbids what is inline, foreign or framed, and nothing inline is there', async () => {
  for (const path of PAGES) {
    const answer = await olivia.request.get(world.consoleUrl + path)
    expect(answer.headers()['content-security-policy']).toMatch(/^default-src 'none'; .*frame-ancestors 'none'/)
    expect(answer.headers()['content-security-policy']).not.toContain('unsafe')
    expect(answer.headers()['cache-control']).toBe('no-store')
    expect(await answer.text()).not.toMatch(/ style=| on\w+="|<script(?![^>]* src=)|<style/)
  }
})

test('pages can be read without JavaScript', async () => {
  const page = await loggedIn('victor', { javaScriptEnabled: false })
  expect(await page.textContent('h1')).toBe('Now')
  await page.click('text=Open deliveries')
  expect(await page.textContent('main')).toContain('nobody owes an answer')
  await page.context().close()
})

test('a logout token that is not the realm’s ends nobody’s session', async () => {
  const url = `${world.consoleUrl}/backchannel-logout`
  expect((await call('POST', url, { form: { logout_token: world.operatorToken } })).status).toBe(400)
  expect((await call('POST', url, { form: { logout_token: 'garbage' } })).status).toBe(400)
  expect((await call('POST', url, { form: {} })).status).toBe(400)
  expect((await olivia.goto(world.consoleUrl))?.status()).toBe(200)
})

describe('what still lives is said on the first page', () => {
  /** One look at the page in each form, which axe has nothing against. */
  const look = async (name: string) => {
    const state = await olivia.context().storageState()
    for (const [form, colorScheme, width] of FORMS) {
      const context = await chrome.newContext({ storageState: state, colorScheme, viewport: { width, height: 800 } })
      const page = await context.newPage()
      await page.goto(world.consoleUrl)
      expect(await findings(page)).toEqual([])
      await shoot(page, `${name}-${form}`)
      await context.close()
    }
  }

  test('where an application was never asked, since the relay may not have logout tokens: not that it has not answered', async () => {
    const { admin } = world.demo
    const account = await admin.userId('service-account-logout-relay')
    const roles = `/users/${account}/role-mappings/clients/${await admin.clientUuid('logout-relay')}`
    const held = (await admin.must('GET', roles)).json() as { name: string }[]
    const role = held.find(({ name }) => name === 'logout-tokens')
    await admin.must('DELETE', roles, [role])
    await admin.createUser('never-asked', 'password')
    const person = new Person()
    world.demo.express = await world.demo.express.restart()
    await person.login(world.demo.express.url, 'never-asked', 'password')
    await nextSecond()
    await reset('never-asked')
    await olivia.goto(world.consoleUrl)
    await olivia.waitForSelector('.alarm:has-text("logout-tokens answered 403")')
    await olivia.waitForSelector('text=1 relying party has not been asked yet')
    expect(await olivia.textContent('main')).not.toMatch(/not answered yet|All answered/)
    await look('not-asked')
    await admin.must('POST', roles, [role])
    await olivia.waitForSelector('text=All answered', { timeout: 60_000 })
    expect(await olivia.locator('.alarm:has-text("logout-tokens")').count()).toBe(0)
    expect(await person.isAlive(world.demo.express.url)).toBe(false)
  })

  test('where nobody can be told: amber, with the client and until when, and green again once it was told', async () => {
    const { admin, tokens } = world.demo
    const recorder = await startRecorder()
    onTestFinished(() => recorder.close())
    await admin.createUser('untold', 'password')
    const secret = 'secret-of-a-test'
    await admin.createClient({ clientId: 'legacy', secret, publicClient: false, directAccessGrantsEnabled: true })
    await tokens.directGrant('legacy', 'untold', 'password', 'openid', secret)
    // It has nothing but its tokens, which are dead.
    await tokens.directGrant('mobile-app', 'untold', 'password')
    await nextSecond()
    await reset('untold')
    await olivia.goto(world.consoleUrl)
    await olivia.waitForSelector('text=1 session nobody can be told about')
    expect(await olivia.textContent('main')).not.toContain('mobile-app')
    expect(await olivia.textContent('li:has-text("legacy")')).toMatch(/1 session.*until .* UTC at worst/s)
    await look('unreachable')
    await olivia.goto(`${world.consoleUrl}/containments`)
    expect(await olivia.textContent('.rows li:first-child .open')).toContain('that nobody could be told about')
    const env = { ...process.env, LOGOUT_RELAY_URL: world.relay.url, LOGOUT_RELAY_TOKEN: world.operatorToken }
    const status = await promisify(execFile)(process.execPath, [CLI, 'status'], { env }).catch(
      (cause: unknown) => cause,
    )
    expect(status).toMatchObject({
      code: 4,
      stdout: expect.stringMatching(/^legacy {2}1 session that nobody can be told about/) as string,
    })
    await admin.setClientAttributes('legacy', { 'backchannel.logout.url': recorder.logoutUri })
    await reset('untold')
    await olivia.goto(world.consoleUrl)
    await olivia.waitForSelector('text=All answered', { timeout: 60_000 })
    expect(recorder.tokens).toHaveLength(1)
  })
})

test('whoever may look up users sees whose account it was, and finds it by name; anybody else sees the id', async () => {
  const subject = await world.demo.admin.userId('untold')
  await olivia.goto(`${world.consoleUrl}/containments`)
  expect(await olivia.textContent('.rows li:first-child bdi')).toBe('untold')
  await olivia.fill('input[name=user]', 'untold')
  await olivia.click('text="Search"')
  await olivia.waitForURL(/\/containments\?of=[\w-]{36}$/)
  expect(olivia.url()).not.toContain(subject)
  expect(await olivia.locator('.rows li').count()).toBe(2)
  expect(await findings(olivia)).toEqual([])
  await shoot(olivia, 'of-a-user')
  const victor = await loggedIn('victor')
  await victor.goto(`${world.consoleUrl}/containments`)
  expect(await victor.textContent('.rows li:first-child bdi')).toBe(subject)
  expect(await victor.textContent('main')).not.toContain('untold')
  await victor.fill('input[name=user]', 'untold')
  await victor.click('text="Search"')
  expect(await victor.textContent('main')).toContain('You may not look up users')
  await victor.goto(olivia.url())
  expect(await victor.locator('.rows li').count()).toBe(2)
  await victor.context().close()
  const { text } = await call('GET', `${world.relay.url}/metrics`)
  const log = readFileSync(join(world.relay.dir, 'log'), 'utf8')
  expect([text.includes('untold'), log.includes('untold')]).toEqual([false, false])
})

test('everything of a user ends from the console, without JavaScript: what would end is shown first, the realm ends it on the person’s own word, and no address names anybody', async () => {
  const { admin, tokens, express } = world.demo
  await admin.createUser('thea', 'password')
  const subject = await admin.userId('thea')
  const person = new Person()
  await person.login(express.url, 'thea', 'password')
  const offline = await tokens.directGrant('mobile-app', 'thea', 'password', 'openid offline_access')
  await nextSecond()
  const page = await loggedIn('olivia', { javaScriptEnabled: false })
  const addresses: string[] = []
  page.on('request', (request) => addresses.push(request.url()))
  await page.goto(`${world.consoleUrl}/containments`)
  await page.click('text=End everything of a user')
  await page.fill('input[name=user]', 'thea')
  await page.click('text="See what would end"')
  await page.waitForSelector('.look, [role=alert]')
  expect(await page.textContent('h1')).toMatch(/End everything of\s+thea/)
  expect(await page.textContent('.look')).toMatch(
    /Told, and ended there\s+1 session at\s+1 application\s+Cannot be told/,
  )
  expect([await person.isAlive(express.url), await tokens.lives('mobile-app', offline)]).toEqual([true, true])
  await lookAt('end-of-a-user', page)
  await page.reload()
  await page.fill('input[name=reason]', 'laptop stolen')
  await page.click('text="End everything"')
  await page.waitForURL(/\/containments\/[\w-]{36}$/)
  expect(await page.textContent('h1')).toBe('Contained by an operator')
  expect(await page.textContent('.story')).toMatch(/olivia\s+asked for it with\s+logout-relay-console: “laptop stolen”/)
  await until('the application was told', async () => !(await person.isAlive(express.url)))
  expect(await tokens.lives('mobile-app', offline)).toBe(false)
  await page.goBack()
  expect(await page.textContent('[role=status]')).toContain('It is done at Keycloak')
  await lookAt('end-done', page)
  expect(addresses.length).toBeGreaterThan(10)
  expect(addresses.filter((to) => to.includes(subject) || to.includes('thea'))).toEqual([])
  await page.context().close()
  const victor = await loggedIn('victor')
  await victor.goto(`${world.consoleUrl}/containments`)
  expect(await victor.locator('text=End everything').count()).toBe(0)
  const csrf = (await victor.getAttribute('input[name=csrf]', 'value')) ?? ''
  const posted = await victor.request.post(`${world.consoleUrl}/end`, { form: { csrf, user: subject } })
  expect([posted.status(), await posted.text()]).toEqual([403, expect.stringContaining('It takes the role operate')])
  await victor.context().close()
})

test('somebody logs in on the command line by the browser that they have, acts as themselves there, and logs out', async () => {
  const { admin, issuer } = world.demo
  const client = await admin.clientUuid('logout-relay-operator')
  const attributes = { 'oauth2.device.authorization.grant.enabled': 'true' }
  await admin.must('PUT', `/clients/${client}`, { attributes })
  const { value } = (await admin.must('GET', `/clients/${client}/client-secret`)).json() as { value: string }
  const [secret, kept] = [join(world.relay.dir, 'operator-secret'), join(world.relay.dir, 'login.json')]
  writeFileSync(secret, value, { mode: 0o600 })
  const env = {
    ...process.env,
    ...{ LOGOUT_RELAY_URL: world.relay.url, LOGOUT_RELAY_ISSUER: issuer, LOGOUT_RELAY_LOGIN_FILE: kept },
  }
  const withSecret = { ...env, LOGOUT_RELAY_CLIENT_SECRET_FILE: secret }
  const logIn = async () => {
    const login = spawn(process.execPath, [CLI, 'login'], { env: withSecret, stdio: ['ignore', 'pipe', 'pipe'] })
    let [said, printed] = ['', '']
    login.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
    login.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
    await until('it says where to go', () => said.includes('user_code='), { seconds: 60 })
    const page = await olivia.context().newPage()
    await page.goto(/https?:\S+/.exec(said)?.[0] ?? '')
    await page.click('[name=accept]')
    await until('it has its token', () => login.exitCode !== null, { seconds: 60 })
    expect([login.exitCode, printed]).toEqual([
      0,
      expect.stringMatching(/^Logged in as olivia; kept for you alone in /) as string,
    ])
    expect(`${said}${printed}`).not.toContain(value)
  }
  await logIn()
  const run = (own: NodeJS.ProcessEnv, ...args: string[]) =>
    promisify(execFile)(process.execPath, [CLI, ...args], { env: own }).then(
      ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
      (cause: unknown) => cause as { code: number; stdout: string; stderr: string },
    )
  const found = await run(env, 'containments', '--user', 'untold')
  expect([found.code, found.stdout.trim().split('\n')]).toEqual([
    0,
    Array(2).fill(expect.stringContaining(await admin.userId('untold'))),
  ])
  // The client by itself, with no login and no token: what a program does, which may not look up users.
  const program = {
    ...withSecret,
    ...{ LOGOUT_RELAY_CLIENT_ID: 'logout-relay-operator', LOGOUT_RELAY_LOGIN_FILE: `${kept}.none` },
  }
  expect(await run(program, 'containments', '--limit', '1')).toMatchObject({ code: 0 })
  expect(await run(program, 'containments', '--user', 'untold')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/users \(403\): it takes the role view-users .*--user 5b2e…/) as string,
  })
  expect(await run(withSecret, 'logout')).toMatchObject({ stdout: 'Logged out, here and at the realm\n' })
  expect(await run(env, 'status')).toMatchObject({
    code: 78,
    stderr: expect.stringContaining('Log in with logout-relay login') as string,
  })
  // Their reset finds them logged in.
  await logIn()
})

test('an operator’s own reset ends their session at the console while they watch, and leaves none at the command line', async () => {
  await olivia.goto(world.consoleUrl)
  await nextSecond()
  await reset('olivia')
  await olivia.waitForURL(`${world.consoleUrl}/ended`, { timeout: 20_000 })
  await olivia.goto(world.consoleUrl)
  expect(olivia.url()).toContain(world.demo.issuer)
  const env = { ...process.env, LOGOUT_RELAY_URL: world.relay.url, LOGOUT_RELAY_TOKEN: world.operatorToken }
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [CLI, ...args], { env }).catch(
      (cause: unknown) => cause as { stdout: string },
    )
  const [id = ''] = (await run('containments', '--limit', '1')).stdout.split(' ')
  expect((await run('containments', id)).stdout).toMatch(
    /no_logout_uri {2}client_id=logout-relay-operator .*tokens_only=true/,
  )
  expect((await run('status')).stdout).not.toContain('logout-relay-operator')
})

test('who has no role of the relay gets out by the realm, and may come back as somebody else', async () => {
  await world.demo.admin.createUser('no-role', world.password)
  const page = await loggedIn('no-role')
  expect(await page.textContent('main')).toContain('It takes the role view')
  await page.goto(world.consoleUrl)
  expect(await page.textContent('main')).toContain('It takes the role view')
  expect(await findings(page)).toEqual([])
  await page.click('text=Log out at the realm')
  await page.click('#kc-logout')
  await page.waitForURL(`${world.consoleUrl}/bye`)
  await page.goto(world.consoleUrl)
  expect(await page.locator('#kc-login').count()).toBe(1)
  await page.context().close()
})

test('who logs out here is logged out at the realm', async () => {
  const victor = await loggedIn('victor')
  await victor.click('text=Log out')
  await victor.waitForURL(`${world.consoleUrl}/bye`)
  await victor.goto(world.consoleUrl)
  expect(await victor.locator('#kc-login').count()).toBe(1)
})

test('a page whose relay is gone says so, and of when it is, and is alive again when the relay is', async () => {
  const victor = await loggedIn('victor')
  await victor.waitForSelector('text=Now')
  await world.relay.stop()
  await victor.waitForSelector('.stale:not([hidden])')
  expect(await victor.textContent('.stale')).toMatch(/does not answer\. What you see is of 20\d\d-.* UTC/)
  expect(await findings(victor)).toEqual([])
  await shoot(victor, 'stale')
  const relay = await world.relay.restart()
  // Sessions went with the relay: the page comes back through the realm's login, which lets people in.
  await victor.waitForSelector('.stale', { state: 'hidden', timeout: 60_000 })
  expect(await victor.textContent('h1')).toBe('Now')
  await relay.stop()
})

/** A page that somebody has before them, in each form, against which axe has nothing. */
async function lookAt(name: string, at: Page): Promise<void> {
  const storageState = await at.context().storageState()
  for (const [form, colorScheme, width] of FORMS) {
    const context = await chrome.newContext({ storageState, colorScheme, viewport: { width, height: 800 } })
    const page = await context.newPage()
    await page.goto(at.url())
    expect(await findings(page)).toEqual([])
    await shoot(page, `${name}-${form}`)
    await context.close()
  }
}

async function list(page: Page): Promise<string[]> {
  await page.goto(`${world.consoleUrl}/containments`)
  return page.$$eval('.rows a', (links) => links.map((link) => (link as unknown as { href: string }).href))
}

async function shoot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(ARTEFACTS, `${name}.png`), fullPage: true })
}
