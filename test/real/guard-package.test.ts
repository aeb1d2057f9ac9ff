import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { freePort, ROOT, start, until, untilUp } from '../../scripts/stage/process.ts'
import { call } from '../../scripts/stage/http.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { guardWorld } from '../unit/guard-world.ts'

test('packed and installed in an empty folder, the guard works as its README says, with types', async () => {
  const dir = temporary('guard-package')
  const npm = (...args: string[]) => execFileSync('npm', args, { cwd: dir, encoding: 'utf8', stdio: 'pipe' })
  execFileSync('npm', ['pack', '--pack-destination', dir], { cwd: join(ROOT, 'guard'), stdio: 'pipe' })
  const packed = readdirSync(dir).find((file) => file.endsWith('.tgz')) ?? ''
  npm('install', '--no-audit', '--no-fund', '--no-package-lock', join(dir, packed))
  expect(
    readdirSync(join(dir, 'node_modules'))
      .filter((name) => !name.startsWith('.'))
      .sort(),
  ).toEqual(['@logout-relay', 'jose'])
  const readme = readFileSync(join(dir, 'node_modules', '@logout-relay', 'guard', 'README.md'), 'utf8')
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  writeFileSync(join(dir, 'server.mjs'), example)
  const serve = async (env: { ISSUER: string; RELAY_URL: string }) => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}/`
    const running = start(process.execPath, [join(dir, 'server.mjs')], {
      env: { ...env, CLIENT_ID: 'orders', CLIENT_SECRET: 'secret', PORT: String(port) },
      logFile: join(dir, 'log'),
    })
    onTestFinished(() => running.stop())
    await untilUp('The example does not come up', running, async () => (await call('GET', url)).status === 401, 30)
    expect((await call('GET', url)).headers['www-authenticate']).toBe('Bearer')
    return (token: string) => call('GET', url, { headers: { authorization: `Bearer ${token}` } })
  }
  const relay = await guardWorld()
  const ask = await serve({ ISSUER: relay.issuer, RELAY_URL: relay.url })
  const now = Math.floor(Date.now() / 1000)
  const tokenOf = (sub: string, iat = now - 10) =>
    relay.token('mobile-app', { sub, aud: 'orders', iat, exp: now + 3600 })
  const [stolen, others] = [await tokenOf('alice'), await tokenOf('bob')]
  await until('the feed is there', async () => (await ask(stolen)).status === 200)
  expect((await ask(stolen)).text).toBe('orders of alice')
  await relay.reset('alice')
  await until('it refuses what is from before the reset', async () => (await ask(stolen)).status === 401)
  expect((await ask(stolen)).headers['www-authenticate']).toContain('error="invalid_token"')
  expect((await ask(others)).text).toBe('orders of bob')
  expect((await ask(await tokenOf('alice', Math.floor(Date.now() / 1000) + 1))).text).toBe('orders of alice')

  // No relay and no realm: it says so, and lets nobody in.
  const nobody = `http://127.0.0.1:${await freePort()}`
  const answer = await (await serve({ ISSUER: `${nobody}/realms/demo`, RELAY_URL: nobody }))(stolen)
  expect([answer.status, answer.headers['retry-after']]).toEqual([503, '5'])

  writeFileSync(
    join(dir, 'typed.mts'),
    "import { Guard, honoGuard } from '@logout-relay/guard'\nconst guard: Guard | string = 7\nhonoGuard({ guard })\n",
  )
  const tsc = [
    join(ROOT, 'node_modules', '.bin', 'tsc'),
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--types',
    'node',
  ]
  const roots = ['--typeRoots', join(ROOT, 'node_modules', '@types')]
  const check = () =>
    execFileSync(process.execPath, [...tsc, ...roots, 'typed.mts'], { cwd: dir, encoding: 'utf8', stdio: 'pipe' })
  expect(check).toThrow()
  writeFileSync(
    join(dir, 'typed.mts'),
    "import { type Guard, honoGuard } from '@logout-relay/guard'\nexport const make = (guard: Guard) => honoGuard({ guard, audience: 'a' })\n",
  )
  expect(check()).toBe('')
})

test('the protocol and its vectors are enough for a guard in another language: the one in Python answers as they say', () => {
  const options = { encoding: 'utf8', env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } } as const
  const said = execFileSync(
    join(ROOT, '.cache', 'venv', 'bin', 'python'),
    [join(ROOT, 'examples', 'python-guard', 'vectors.py')],
    options,
  )
  const [, held, count] = /^(\d+) of (\d+) hold$/m.exec(said) ?? []
  expect(held).toBe(count)
  expect(Number(count)).toBeGreaterThan(90)
})
