import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { VERSION } from '../../relay/version.ts'
import { packRelay } from '../../scripts/release/packages.ts'
import { call } from '../../scripts/stage/http.ts'
import { freePort, ROOT, start, untilUp } from '../../scripts/stage/process.ts'
import { StandInIdp } from '../../scripts/stage/stand-in-idp.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

let folder: string
let installed: string

beforeAll(() => {
  folder = temporary('install')
  const packed = packRelay(ROOT, folder)
  execFileSync('npm', ['install', '--offline', '--no-audit', join(folder, packed)], { cwd: folder, stdio: 'pipe' })
  installed = join(folder, 'node_modules', 'logout-relay')
})

const npx = (...args: string[]) =>
  execFileSync('npx', ['logout-relay', ...args], { cwd: folder, encoding: 'utf8', stdio: 'pipe' })

const filesBelow = (dir: string) =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) => statSync(join(dir, file)).isFile())

test('what is installed is JavaScript and what it needs as it runs, in the versions that were tested, below 40 MB', () => {
  const all = filesBelow(installed)
  const own = all.filter((file) => !file.startsWith('node_modules/'))
  expect(own.filter((file) => file.endsWith('.ts') || /(^|\/)(test|bench|sim|chaos)\//.test(file))).toEqual([])

  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: object }
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; dev?: boolean }>
  }
  const there = all.flatMap(
    (file) => /^(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)\/package\.json$/.exec(file)?.[1] ?? [],
  )
  expect(there).toEqual(
    expect.arrayContaining(
      Object.keys(dependencies)
        .filter((name) => name !== 'node')
        .map((name) => `node_modules/${name}`),
    ),
  )
  const versionOf = (name: string) =>
    (JSON.parse(readFileSync(join(installed, name, 'package.json'), 'utf8')) as { version: string }).version
  expect(there.filter((name) => packages[name]?.dev ?? packages[name]?.version !== versionOf(name))).toEqual([])

  const megabytes = all.reduce((sum, file) => sum + statSync(join(installed, file)).size, 0) / 1e6
  console.log(`installed: ${megabytes.toFixed(1)} MB, ${there.length} packages`)
  expect(megabytes).toBeLessThan(40)
})

test('every file that the relay reads as it runs is in the package, as it is in the repository', () => {
  const read = filesBelow(join(ROOT, 'relay')).filter((file) => !/\.ts$|^tsconfig/.test(file))
  expect(read.filter((file) => file.endsWith('.lua')).length).toBeGreaterThan(10)
  expect(read).toContain('console/assets/console.css')
  const other = (file: string) =>
    !readFileSync(join(ROOT, 'relay', file)).equals(readFileSync(join(installed, 'relay', file)))
  expect(read.filter(other)).toEqual([])
})

test('npx runs it in the folder, without a registry', () => {
  expect(npx('--version')).toBe(`${VERSION}\n`)
  expect(npx('--help')).toContain('Usage: logout-relay')
})

test('a Node that is too old is told which one it takes, before anything else is loaded', () => {
  const older = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })"
  const args = ['--import', `data:text/javascript,${older}`, join(installed, 'relay', 'bin.js'), '--version']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  expect([status, stdout]).toEqual([78, ''])
  expect(stderr).toMatch(/^logout-relay: needs Node 22\.19 or newer, and this is 20\.20\.2; .*\n$/)
})

test('with the least of a config the installed relay is ready on SQLite, serves the console’s files and ends at SIGTERM', async () => {
  const realm = await StandInIdp.start([])
  onTestFinished(() => realm.stop())
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const dir = temporary('service')
  const secret = join(dir, 'keycloak.secret')
  writeFileSync(secret, realm.clientSecret, { mode: 0o600 })
  const issuer = { issuer: realm.issuer, client_secret_file: secret }
  const people = { issuer: realm.issuer, client_secret_file: secret, url: `${url}/console` }
  writeFileSync(join(dir, 'relay.yaml'), stringify({ listen: { port }, issuers: [issuer], console: people }))

  const began = performance.now()
  const running = start(join(folder, 'node_modules', '.bin', 'logout-relay'), ['start', '--config', 'relay.yaml'], {
    cwd: dir,
    logFile: join(dir, 'log'),
  })
  onTestFinished(() => running.stop())
  await untilUp(
    'The installed relay is not ready',
    running,
    async () => (await call('GET', `${url}/readyz`)).status === 200,
    60,
  )
  console.log(`start to ready on SQLite: ${Math.round(performance.now() - began)} ms`)

  expect((await call('GET', `${url}/healthz`)).json()).toEqual({ status: 'ok' })
  for (const file of readdirSync(join(ROOT, 'relay', 'console', 'assets'))) {
    const served = await call('GET', `${url}/console/assets/${file}`)
    expect([file, served.status, served.text]).toEqual([
      file,
      200,
      readFileSync(join(ROOT, 'relay', 'console', 'assets', file), 'utf8'),
    ])
  }
  await running.stop()
  expect(readFileSync(join(dir, 'log'), 'utf8')).toContain('Logout Relay has stopped')
})
