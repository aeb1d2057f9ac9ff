import { type Browser as Chrome, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { applications, type World } from '../../scripts/demo/world.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import type { KeycloakAt } from '../../scripts/stage/keycloak.ts'
import { call } from '../../scripts/stage/http.ts'
import { type Directory, startDirectory } from '../../scripts/stage/ldap.ts'
import { type Mailbox, startMail } from '../../scripts/stage/mail.ts'
import { until } from '../../scripts/stage/process.ts'
import { nextSecond } from './demo-realm.ts'
import { startSharedWorld } from './shared.ts'

const NEW = 'another-password'
/** People of a directory, by how Keycloak takes them: into its database, or not; or it may not change them. */
const UNITS = {
  imported: ['ina', 'ivo', 'ida', 'igor'],
  direct: ['dana', 'dirk', 'dora', 'dan'],
  readonly: ['rosa'],
} as const

let world: World<KeycloakAt>
let mail: Mailbox
let chrome: Chrome
let directory: Directory

beforeAll(async () => {
  mail = await startMail()
  directory = await startDirectory(UNITS, 'password')
  world = await startSharedWorld('own-change')
  await world.demo.admin.must('PUT', '', {
    resetPasswordAllowed: true,
    smtpServer: { host: '127.0.0.1', port: String(mail.port), from: 'idp@example.org' },
  })
  chrome = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
})

afterAll(async () => {
  await chrome.close()
  await world.stop()
  await directory.stop()
  await mail.stop()
})

/** Somebody who is logged in on other devices: at every application in a browser, and with a refresh and an offline token. */
async function onOtherDevices(name: string, createUser = true) {
  const { demo } = world
  if (createUser) {
    await demo.admin.createUser(name, 'password')
  }
  const browser = new Browser()
  for (const { url } of applications(demo)) {
    await browser.login(url, name, 'password')
  }
  const mobile = await demo.tokens.directGrant('mobile-app', name, 'password')
  const offline = await demo.tokens.directGrant('mobile-app', name, 'password', 'openid offline_access')
  await nextSecond()
  const kinds = {
    ...Object.fromEntries(applications(demo).map(({ clientId, url }) => [clientId, () => browser.isAlive(url)])),
    refresh: () => demo.tokens.lives('mobile-app', mobile),
    offline: () => demo.tokens.lives('mobile-app', offline),
  }
  return {
    user: await demo.admin.userId(name),
    name,
    everything: Object.keys(kinds),
    /** What of it is alive, by name; an application that is down cannot be asked. */
    alive: async (down?: string) => {
      const living: string[] = []
      for (const [kind, lives] of Object.entries(kinds)) {
        if (kind !== down && (await lives())) {
          living.push(kind)
        }
      }
      return living
    },
  }
}

/** Every relying party of the newest containment has answered. Its trigger. */
async function answered(): Promise<string | undefined> {
  let trigger: string | undefined
  await until('every relying party has answered', async () => {
    const headers = { authorization: `Bearer ${world.operatorToken}` }
    const answer = await call<{ containments: { trigger: string; closed_at_ms?: number }[] }>(
      'GET',
      `${world.relay.url}/api/v1/containments?limit=1`,
      { headers },
    )
    const [newest] = answer.json().containments
    trigger = newest?.trigger
    return newest?.closed_at_ms !== undefined
  })
  return trigger
}

const newPage = async () => (await chrome.newContext()).newPage()

/** Whether the application itself still knows this browser, without single sign-on. */
const isIn = async (page: Page) =>
  (await page.request.get(world.demo.express.url, { maxRedirects: 0 })).status() === 200

async function logIn(page: Page, name: string, password: string): Promise<void> {
  await page.fill('#username', name)
  await page.fill('#password', password)
  await page.click('#kc-login')
}

async function atAccountConsole(name: string): Promise<Page> {
  const page = await newPage()
  await page.goto(`${world.demo.issuer}/account/account-security/signing-in`)
  await logIn(page, name, 'password')
  await page.waitForSelector('text=Signing in')
  return page
}

async function setNewPassword(page: Page): Promise<void> {
  await page.fill('#password-new', NEW)
  await page.fill('#password-confirm', NEW)
  await page.click('[type=submit]')
}

describe('who has forgotten the password and follows the mailed link', () => {
  test.each([
    ['in the browser that asked for it', true],
    ['in another browser', false],
  ])('%s sets a new one and logs in with it, and every old session is dead', async (_, same) => {
    const person = await onOtherDevices(`forgetful-${same ? 'there' : 'elsewhere'}`)
    expect(await person.alive()).toEqual(person.everything)
    const asking = await newPage()
    await asking.goto(world.demo.express.url)
    await asking.click('text=Forgot Password?')
    await asking.fill('#username', person.name)
    await asking.click('[type=submit]')
    await until('the mail has come', () => mail.linkFor(`${person.name}@example.org`))
    const opening = same ? asking : await newPage()
    await opening.goto(mail.linkFor(`${person.name}@example.org`) ?? '')
    await setNewPassword(opening)
    await opening.waitForSelector('text=Your account has been updated')
    await until('every old session is dead', async () => (await person.alive()).length === 0)
    // The link has changed the password and let nobody in: both browsers are asked for the new one.
    await nextSecond()
    for (const page of new Set([asking, opening])) {
      await page.goto(world.demo.express.url)
      await logIn(page, person.name, NEW)
      await page.waitForURL(world.demo.express.url)
    }
    await answered()
    for (const page of new Set([asking, opening])) {
      expect(await isIn(page)).toBe(true)
    }
  })
})

describe('who changes the password in the account console while an application is down', () => {
  test.each([
    ['signing out other devices', true],
    ['without signing out other devices', false],
  ])('%s goes on in that tab alone: the application is told when it is back', async (_, ticked) => {
    const person = await onOtherDevices(`changing-${ticked ? 'ticked' : 'unticked'}`)
    expect(await person.alive()).toEqual(person.everything)
    const page = await atAccountConsole(person.name)
    await nextSecond()
    const old = world.demo.express
    await old.stop()
    await page.click('button:has-text("Update")')
    await page.setChecked('#logout-sessions', ticked)
    await setNewPassword(page)
    await page.waitForSelector('text=Signing in')
    await until('what is up is dead', async () => (await person.alive(old.clientId)).length === 0)
    world.demo.express = await old.restart()
    await answered()
    expect(await person.alive()).toEqual([])
    await page.reload()
    await page.waitForSelector('text=Signing in')
  })
})

describe.each([
  ['imports', 'imported', /^[0-9a-f-]{36}$/],
  ['does not import', 'direct', /^f:[^:]+:dana$/],
] as const)('of a directory whose users Keycloak %s', (_, unit, id) => {
  const [reset, changing, updated, edited] = UNITS[unit]
  const grant = (username: string, password: string) =>
    world.demo.tokens.ask({ grant_type: 'password', client_id: 'mobile-app', username, password })

  beforeAll(async () => {
    const federation = directory.federation(unit, { importUsers: unit === 'imported' })
    await world.demo.admin.must('POST', '/components', federation)
  })

  test('an administrator resets the password there: everything of the user ends, and the old password is no good', async () => {
    const person = await onOtherDevices(reset, false)
    expect(person.user).toMatch(id)
    expect(await person.alive()).toEqual(person.everything)
    expect((await world.demo.admin.resetPassword(person.user, NEW)).status).toBe(204)
    await until('every old session is dead', async () => (await person.alive()).length === 0)
    await answered()
    await nextSecond()
    expect((await grant(reset, 'password')).status).not.toBe(200)
    expect((await grant(reset, NEW)).status).toBe(200)
  })

  test('a program sets a password there by updating the user: everything of the user ends as after a reset', async () => {
    const person = await onOtherDevices(updated, false)
    expect(await person.alive()).toEqual(person.everything)
    await world.demo.admin.must('PUT', `/users/${person.user}`, {
      credentials: [{ type: 'password', value: NEW }],
    })
    await until('every old session is dead', async () => (await person.alive()).length === 0)
    expect(await answered()).toBe('admin-set-password')
    await nextSecond()
    expect((await grant(updated, 'password')).status).not.toBe(200)
    expect((await grant(updated, NEW)).status).toBe(200)
  })

  test('an update without a password ends nothing', async () => {
    const person = await onOtherDevices(edited, false)
    await world.demo.admin.must('PUT', `/users/${person.user}`, { lastName: 'Other', enabled: true })
    expect(await person.alive()).toEqual(person.everything)
  })

  test('who changes the password in the account console goes on in that tab alone', async () => {
    const person = await onOtherDevices(changing, false)
    const page = await atAccountConsole(changing)
    await nextSecond()
    await page.click('button:has-text("Update")')
    await setNewPassword(page)
    await page.waitForSelector('text=Signing in')
    await until('every old session is dead', async () => (await person.alive()).length === 0)
    await answered()
    await page.reload()
    await page.waitForSelector('text=Signing in')
    expect((await grant(changing, NEW)).status).toBe(200)
  })
})

test('of a directory that Keycloak may not change a new password is refused, and nothing ends', async () => {
  const federation = directory.federation('readonly', { importUsers: true, editMode: 'READ_ONLY' })
  await world.demo.admin.must('POST', '/components', federation)
  const [name] = UNITS.readonly
  const person = await onOtherDevices(name, false)
  const answer = await world.demo.admin.call('PUT', `/users/${person.user}`, {
    credentials: [{ type: 'password', value: NEW }],
  })
  expect(answer.status).toBe(400)
  await world.demo.admin.must('PUT', `/users/${person.user}`, { emailVerified: true })
  expect(await person.alive()).toEqual(person.everything)
})
