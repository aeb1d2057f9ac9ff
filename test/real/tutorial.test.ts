import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { Admin } from '../../scripts/stage/admin.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { commandsIn, repositoryFolder } from '../../scripts/stage/documented.ts'
import { start, until } from '../../scripts/stage/process.ts'
import { nextSecond } from './demo-realm.ts'

/** A command of the tutorial, typed as it stands in the folder; what it printed and its exit status. */
async function type(text: string, cwd: string, env: Record<string, string>) {
  return promisify(execFile)('/bin/bash', ['-eu', '-c', text], { cwd, env: { ...process.env, ...env } }).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (cause: unknown) => cause as { code: number; stdout: string },
  )
}

test('docs/tutorial.md, followed from an empty folder, shows what it says at every step', async () => {
  const [demo, ...commands] = commandsIn('docs/tutorial.md').map(({ text }) => text)
  const folder = repositoryFolder()
  const log = join(folder, 'demo.log')
  const printed = () => readFileSync(log, 'utf8')
  // What is typed in the first terminal after the demo is up, line by line.
  const keyboard = join(folder, 'keyboard')
  mkdirSync(keyboard)
  const press = (line: string, n: number) => writeFileSync(join(keyboard, String(n)), `${line}\n`)
  const typed = `for n in 1 2; do until [ -e keyboard/$n ]; do sleep 0.1; done; cat keyboard/$n; done; sleep 3600`
  const first = start('/bin/bash', ['-c', `(${typed}) | ${demo ?? ''}`], { cwd: folder, logFile: log })
  onTestFinished(() => first.stop())
  await until('the demo is up, its story told', () => first.exited() || printed().includes('Ctrl-C ends it all'), {
    seconds: 300,
  })
  expect(first.exited() ? printed() : '').toBe('')
  // The story of postgres.test.ts, here on the newest Keycloak.
  expect(printed()).toContain('\nAll of it is as it must be.\n')

  const said = (pattern: RegExp) => pattern.exec(printed())?.slice(1) ?? []
  const [password = ''] = said(/^ {2}bob +(\S+)$/m)
  const [app = ''] = said(/^ {2}express-app +(\S+)$/m)
  const [keycloak = '', admin = '', adminPassword = ''] = said(
    /^ {2}Keycloak +(http:\/\/[^/]+)\S* \((\S+) \/ (\S+)\)$/m,
  )
  const [consoleUrl = ''] = said(/^ {2}the console +(\S+)/m)
  const [url = '', token = ''] = said(/^ {2}the shell +export LOGOUT_RELAY_URL=(\S+) LOGOUT_RELAY_TOKEN=(\S+)$/m)
  const shell = { LOGOUT_RELAY_URL: url, LOGOUT_RELAY_TOKEN: token }
  const administrator = new Admin(keycloak, admin, adminPassword)
  const bob = await administrator.userId('demo', 'bob')
  const reset = async (to: string) => expect((await administrator.resetPassword('demo', bob, to)).status).toBe(204)
  const olivia = new Browser()
  await olivia.login(consoleUrl, 'olivia', password)
  const consoleSays = async (words: string) =>
    until(`the console says "${words}"`, async () => (await olivia.open(consoleUrl)).text.includes(words))
  await consoleSays('All answered')

  // 3. Kill a session
  const his = new Browser()
  await his.login(app, 'bob', password)
  await nextSecond()
  await reset('the-first')
  await until('his page asks for a login', async () => !(await his.isAlive(app)))

  // 4. An application that is down
  await nextSecond()
  const again = new Browser()
  await again.login(app, 'bob', 'the-first')
  await nextSecond()
  press('s', 1)
  await until('the application is stopped', () => printed().includes('express-app is stopped'))
  await reset('the-second')
  const [status = '', statusAgain = '', containments = '', contain = '', check = '', ...more] = commands
  expect([status, more]).toEqual([statusAgain, []])
  await until('an attempt was in vain', async () => {
    const { code, stdout } = await type(status, folder, shell)
    return code === 3 && /^express-app {2}1 open since \S+ {2}connection_refused$/m.test(stdout)
  })
  await consoleSays('1 session open')
  press('s', 2)
  await until('the application is up again', () => printed().includes('express-app is up again'))
  await until('all is answered', async () => (await type(statusAgain, folder, shell)).code === 0)
  expect((await type(statusAgain, folder, shell)).stdout).toBe('Nothing is open: every relying party has answered\n')
  await consoleSays('All answered')
  expect(await again.isAlive(app)).toBe(false)

  // 5. to 7.
  expect((await type(containments, folder, shell)).stdout).toMatch(/admin-reset-password .*closed\n$/)
  expect((await type(contain, folder, shell)).stdout).toMatch(/^bob {2}would end \d+ sessions/)
  const checked = await type(check, folder, shell)
  expect([checked.code, checked.stdout.match(/^ok .*$/gm)?.length ?? 0]).toEqual([
    0,
    checked.stdout.trim().split('\n').length,
  ])
}, 420_000)
