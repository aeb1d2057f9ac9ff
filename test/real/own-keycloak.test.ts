import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { packRelay } from '../../scripts/release/packages.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { commandsIn } from '../../scripts/stage/documented.ts'
import { startExpress } from '../../scripts/stage/express.ts'
import { freePort, ROOT, start, until } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { route, shared } from './shared.ts'

const SECRET = 'secret-of-a-test'
const PASSWORD = 'password'

/** What differs here: names and ports, answers at the keyboard, and relying parties on this machine over http. */
function scriptOf(values: { keycloak: string; realm: string; relay: string }): string {
  const port = new URL(values.relay).port
  const ofTest = `listen: { port: ${port} }\ndelivery: { allow_http_on_loopback: true }\n`
  return commandsIn('docs/own-keycloak.md')
    .filter(({ heading }) => heading !== '1. The jar')
    .map(({ text }) => {
      if (text === 'logout-relay start') {
        return `logout-relay start & until curl -sf "$RELAY/readyz"; do sleep 0.2; done`
      }
      if (text === 'logout-relay check') {
        return `${text} >checked || echo $? >check-status`
      }
      const waits = text.includes('set-password')
        ? 'touch logged-in-please; until [ -e logged-in ]; do sleep 0.1; done\n'
        : ''
      const config = text.includes('--console') ? `\ncat >>relay.yaml <<'END'\n${ofTest}END` : ''
      return `${waits}${text}${config}`
        .replace('https://idp.example.org', values.keycloak)
        .replace('https://logout-relay.example.org', values.relay)
        .replace('REALM=main', `REALM=${values.realm}`)
        .replace('logout-relay setup', 'logout-relay setup --yes')
        .replace('logout-relay status', 'for n in 1 2 3 4 5; do logout-relay status >status && break; sleep 1; done')
        .replace('containments --limit 1', 'containments --limit 1 --json >containments')
    })
    .concat('touch done; wait')
    .join('\n')
}

/** The packed relay, installed as docs/install.md has it; nothing is asked of a registry. */
function install(): string {
  const folder = temporary('installed')
  const packed = join(folder, packRelay(ROOT, folder))
  const args = ['install', '--global', '--offline', '--no-audit', '--prefix', folder, packed]
  execFileSync('npm', args, { cwd: folder, stdio: 'pipe' })
  return join(folder, 'bin')
}

test('the steps of docs/own-keycloak.md, typed as they stand in an empty folder, lead a realm that knows nothing of this to a dead session', async () => {
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
  const bin = install()

  const folder = temporary('own-keycloak')
  const file = (name: string) => join(folder, name)
  const script = join(temporary('steps'), 'steps')
  writeFileSync(script, scriptOf({ keycloak: keycloak.url, realm, relay }))
  const began = performance.now()
  const steps = start('/bin/bash', ['-eu', script], {
    cwd: folder,
    env: {
      PATH: [bin, join(ROOT, '.cache', 'keycloak-26.7.3', 'bin'), process.env['PATH'] ?? ''].join(':'),
      LOGOUT_RELAY_ADMIN_PASSWORD: administrator.password,
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
  expect(todo.map((line) => line.split('  ')[1]?.trim())).toEqual(['policy', 'relying party'])
  const browser = new Browser()
  await browser.login(app.url, 'alice', PASSWORD)
  expect(await browser.isAlive(app.url)).toBe(true)
  await until('the second of the login is over', () => Date.now() % 1000 < 100)
  writeFileSync(file('logged-in'), '')
  await reached('done')
  await until('the session is dead', async () => !(await browser.isAlive(app.url)))
  console.log(`from the first command to the dead session: ${Math.round((performance.now() - began) / 1000)} s`)
  expect(readFileSync(file('status'), 'utf8')).toBe('Nothing is open: every relying party has answered\n')
  expect(JSON.parse(readFileSync(file('containments'), 'utf8'))).toMatchObject({
    trigger: 'admin-reset-password',
    deliveries: 1,
  })
}, 360_000)
