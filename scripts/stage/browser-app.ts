import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser as Chrome, chromium, type Page } from 'playwright-core'
import { call } from './http.ts'
import { freePort, ROOT, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

const CHROMIUM = '/usr/bin/chromium'

export interface BrowserApp extends Running {
  readonly clientId: string
  readonly url: string
}

/** The example of a single-page app, as a process of its own. It calls its API as often as that a refusal is seen at once. */
export async function startBrowserApp(options: {
  issuer: string
  clientId: string
  apiUrl: string
  port?: number
}): Promise<BrowserApp> {
  const port = options.port ?? (await freePort())
  const url = `http://localhost:${port}/`
  const running = start(process.execPath, [join(ROOT, 'examples', 'browser-app', 'server.ts')], {
    env: {
      ISSUER: options.issuer,
      CLIENT_ID: options.clientId,
      API_URL: options.apiUrl,
      PORT: String(port),
      EVERY_MS: '100',
    },
    logFile: join(temporary('browser-app'), 'log'),
  })
  await untilUp('The browser app does not come up', running, async () => (await call('GET', url)).status === 200, 30)
  return { ...running, clientId: options.clientId, url }
}

/** Debian's Chromium, or undefined where it is not installed. */
export async function openChromium(): Promise<Chrome | undefined> {
  return existsSync(CHROMIUM)
    ? chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
    : Promise.resolve(undefined)
}

/** A page of the app, in a browser profile of its own, in which somebody has logged in. */
export async function openBrowserApp(chrome: Chrome, url: string, username: string, password: string): Promise<Page> {
  const page = await (await chrome.newContext()).newPage()
  await page.goto(url)
  await page.click('#log-in')
  await logInAgain(page, username, password)
  return page
}

/** At Keycloak's login page, and back to the app with orders in it. */
export async function logInAgain(page: Page, username: string, password: string): Promise<void> {
  await page.waitForSelector('#password')
  // Not asked for when Keycloak knows who is to log in once more.
  if (await page.isVisible('#username')) {
    await page.fill('#username', username)
  }
  await page.fill('#password', password)
  await page.click('#kc-login')
  await page.waitForSelector('body[data-state=in]')
}

/** Whether the page shows orders still: it leaves for the login as soon as its API refuses it. */
export async function showsOrders(page: Page): Promise<boolean> {
  // While the page is left there is nothing to be found in it.
  return (await page.$('body[data-state=in]').catch(() => null)) !== null
}
