import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Browser } from '../../scripts/stage/browser.ts'
import { commandsIn, repositoryFolder } from '../../scripts/stage/documented.ts'
import { startExpress } from '../../scripts/stage/express.ts'
import { freePort, ROOT, start, until } from '../../scripts/stage/process.ts'
import { route, shared } from './shared.ts'

const SECRET = 'secret-of-a-test'
const PASSWORD = 'password'

/** What differs here: names and ports, the password on the keyboard, and relying parties on this machine over http. */
function scriptOf(values: { keycloak: string; realm: string; relay: string }): string {
  const port = new URL(values.relay).port
  const test = `listen: { port: ${port} }\ndelivery: { allow_http_on_loopback: true }\n`
  const steps = commandsIn('docs/own-keycloak.md').filter(({ heading }) => heading !== '1. The extension')
  return steps
    .map(({ heading, text }, n) => {
      const waits =
        heading === '6. A reset' && steps[n - 1]?.heading !== heading
          ? 'touch logged-in-please; until [ -e logged-in ]; do sleep 0.1; done\n'
          : ''
      if (text === 'npm start') {
        return `npm start & until curl -sf "$RELAY/readyz"; do sleep 0.2; done`
      }
      if (text.includes('logout-relay check')) {
        return `${text} >checked || echo $? >check-status`
      }
      return (waits + text)
        .replace('https://idp.example.org', values.keycloak)
        .replace('https://logout-relay.example.org', values.relay)
        .replace('REALM=main', `REALM=${values.realm}`)
        .replace('\nissuers:', `\n${test}issuers:`)
        .replace(
          'npx logout-relay status',
          'for n in 1 2 3 4 5; do npx logout-relay status >status && break; sleep 1; done',
        )
        .replace(
          'npx logout-relay containments --limit 1',
          'npx logout-relay containments --limit 1 --json >containments',
        )
    })
    .concat('touch done; wait')
    .join('\n')
}

test('the steps of docs/own-keycloak.md, typed as they stand, lead a realm that knows nothing of this to a dead session', async () => {
  const relay = `http://127.0.0.1:${await freePort()}`
  const expressPort = await freePort()
  const { keycloak, administrator, ...server } = await shared()
  const { realm } = await server.bring('stock', 'own-keycloak', {
    LOGOUT_RELAY_STOCK_APACHE_URL: 'http://localhost:9',
    LOGOUT_RELAY_STOCK_EXPRESS_URL: `http://localhost:${expressPort}`,
    LOGOUT_RELAY_APP_SECRET: SECRET,
    LOGOUT_RELAY_USER_PASSWORD: PASSWORD,
  })
  await route('events', realm, `${relay}/events`)
  const app = await startExpress({
    issuer: keycloak.issuer(realm),
    clientId: 'express-app',
    clientSecret: SECRET,
    port: expressPort,
  })
  onTestFinished(() => app.stop())

  const folder = repositoryFolder()
  const file = (name: string) => join(folder, name)
  writeFileSync(file('steps'), scriptOf({ keycloak: keycloak.url, realm, relay }))
  const steps = start('/bin/bash', ['-eu', file('steps')], {
    cwd: folder,
    env: {
      PATH: `${join(ROOT, '.cache', 'keycloak-26.7.3', 'bin')}:${process.env['PATH'] ?? ''}`,
      KC_CLI_PASSWORD: administrator.password,
      // Each kcadm.sh is a JVM that lives for a second.
      KC_OPTS: `-Duser.home=${folder} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC`,
    },
    logFile: file('log'),
  })
  onTestFinished(() => steps.stop())
  const reached = (name: string) =>
    until(`the steps reach ${name}`, () => existsSync(file(name)) || steps.exited(), { seconds: 180 }).then(() =>
      expect(existsSync(file(name)) ? '' : readFileSync(file('log'), 'utf8')).toBe(''),
    )

  await reached('logged-in-please')
  expect(readFileSync(file('check-status'), 'utf8')).toBe('1\n')
  const todo = readFileSync(file('checked'), 'utf8').match(/^TO DO .*$/gm) ?? []
  expect(todo.map((line) => line.split('  ')[1]?.trim())).toEqual(['listener', 'relying party'])
  const browser = new Browser()
  await browser.login(app.url, 'alice', PASSWORD)
  expect(await browser.isAlive(app.url)).toBe(true)
  await until('the second of the login is over', () => Date.now() % 1000 < 100)
  writeFileSync(file('logged-in'), '')
  await reached('done')
  await until('the session is dead', async () => !(await browser.isAlive(app.url)))
  expect(readFileSync(file('status'), 'utf8')).toBe('Nothing is open: every relying party has answered\n')
  expect(JSON.parse(readFileSync(file('containments'), 'utf8'))).toMatchObject({
    trigger: 'admin-reset-password',
    deliveries: 1,
  })
}, 300_000)
