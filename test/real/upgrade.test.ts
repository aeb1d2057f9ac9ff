import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { commandsIn } from '../../scripts/stage/documented.ts'
import { call } from '../../scripts/stage/http.ts'
import { freePort, ROOT, type Running, start, until, untilUp } from '../../scripts/stage/process.ts'
import { type RedisServer, startRedis } from '../../scripts/stage/redis.ts'
import { StandInIdp } from '../../scripts/stage/stand-in-idp.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

/**
 * This relay as a release and the ones after it, on stores that hold open deliveries, by the commands of docs/upgrade.md. The
 * packages themselves are installed in install.test.ts and test/nightly/release.test.ts.
 */
const OLD = install('0.1.0')
const NEXT = install('0.2.0')
/** Whose stores have another form. */
const RAISED = install('0.3.0', [
  ['store/sqlite/schema.ts', /(?<=export const FORM = )\d+/, (form) => String(Number(form) + 1)],
  ['store/redis/scripts.ts', /(?<=export const LAYOUT = )\d+/, (layout) => String(Number(layout) + 1)],
])

/** A folder as an installation of that version has it. */
function install(
  version: string,
  changes: readonly (readonly [string, RegExp, (was: string) => string])[] = [],
): string {
  const folder = temporary(`installed-${version}`)
  for (const part of ['relay', 'guard']) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as object
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...manifest, version }))
  for (const [file, place, change] of changes) {
    const path = join(folder, 'relay', file)
    const text = readFileSync(path, 'utf8')
    expect([file, text.match(place)?.length]).toEqual([file, 1])
    writeFileSync(path, text.replace(place, change))
  }
  return folder
}

let applications: Server
let logoutUri: (clientId: string) => string
/** Whoever is down answers 503. */
const down = new Set<string>()
let told: string[] = []

beforeAll(async () => {
  applications = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (part: string) => (body += part))
    request.on('end', () => {
      const clientId = request.url?.slice(1) ?? ''
      const isUp = !down.has(clientId)
      if (isUp) {
        told.push(`${clientId} ${String(decodeJwt(new URLSearchParams(body).get('logout_token') ?? '')['sid'])}`)
      }
      response.writeHead(isUp ? 204 : 503).end()
    })
  })
  await new Promise<void>((resolve) => applications.listen(0, '127.0.0.1', resolve))
  logoutUri = (clientId) => `http://127.0.0.1:${(applications.address() as AddressInfo).port}/${clientId}`
})

afterAll(() => {
  applications.closeAllConnections()
  applications.close()
})

interface Relay {
  readonly url: string
  readonly running: Running
}

/** A realm with two applications, of which one is down, and what it takes to run relays beside it. */
async function world() {
  down.clear()
  down.add('wiki')
  told = []
  const idp = await StandInIdp.start(['wiki', 'shop'].map((clientId) => ({ clientId, logoutUri: logoutUri(clientId) })))
  onTestFinished(() => idp.stop())
  const token = await idp.operatorToken(['view', 'operate'])
  const folder = temporary('upgraded')
  const configOf = async (name: string, store: object) => {
    const path = join(folder, `${name}.yaml`)
    const port = await freePort()
    const issuers = [{ issuer: idp.issuer, client_secret: idp.clientSecret, poll_interval_s: 0.2 }]
    const delivery = { allow_http_on_loopback: true }
    writeFileSync(path, stringify({ listen: { port }, store, issuers, delivery }), { mode: 0o600 })
    return { path, url: `http://127.0.0.1:${port}` }
  }
  const up = async (installed: string, { path, url }: { path: string; url: string }): Promise<Relay> => {
    const args = [join(installed, 'relay', 'cli.ts'), 'start', '--config', path]
    const running = start(process.execPath, args, { cwd: folder, logFile: `${path}.log` })
    onTestFinished(() => running.stop())
    const ready = async () => (await call('GET', `${url}/readyz`)).status === 200
    await untilUp('The relay is not ready', running, ready, 60)
    return { url, running }
  }
  const ask = async <T>(relay: Relay, path: string) =>
    (await call<T>('GET', `${relay.url}/api/v1/${path}`, { headers: { authorization: `Bearer ${token}` } })).json()
  const containments = async (relay: Relay) =>
    (await ask<{ containments: { id: string; open: number }[] }>(relay, 'containments')).containments
  const open = async (relay: Relay) =>
    (await ask<{ deliveries: { sid: string; attempts: number }[] }>(relay, 'deliveries?state=open')).deliveries
  const isOver = async (relay: Relay, count: number) => {
    const all = await containments(relay)
    return all.length === count && all.every((one) => one.open === 0)
  }
  /** Two sessions, of which the application that is down has one. */
  const owed = async (relay: Relay) => {
    const row = await idp.reset(['wiki', 'shop'])
    const isTried = async () =>
      (await open(relay)).some(({ sid, attempts }) => sid === sidOf(row, 'wiki') && attempts > 0)
    await until('what can be told is told, and the other tried', async () => toldOnce(row, 'shop') && (await isTried()))
    return row
  }
  /** Keycloak knows it: what it does not know is told again by a relay whose store lacks it. */
  const recorded = (row: Row, ...clientIds: string[]) =>
    until('the realm knows what has ended', () =>
      row.sessions.every(({ id, clientId }) => !clientIds.includes(clientId) || idp.answers.has(id)),
    )
  /** The application that was down is up, and is told at once. */
  const mended = async (relay: Relay) => {
    down.clear()
    const headers = { authorization: `Bearer ${token}` }
    await call('POST', `${relay.url}/api/v1/deliveries/retry`, { headers, json: { deliveries: { client_id: 'wiki' } } })
  }
  return { idp, token, folder, configOf, up, ask, containments, open, isOver, owed, recorded, mended }
}

type Row = Awaited<ReturnType<StandInIdp['reset']>>
const sidOf = ({ sessions }: Row, clientId: string) => sessions.find((one) => one.clientId === clientId)?.sid ?? ''
const toldOnce = (row: Row, clientId: string) =>
  told.filter((one) => one === `${clientId} ${sidOf(row, clientId)}`).length === 1

/** What is wrong with starting it there: it ends by itself. */
const refusal = (installed: string, config: string) => {
  const args = [join(installed, 'relay', 'cli.ts'), 'start', '--config', config]
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  return { status, stderr }
}

/** As a unit of systemd has it: one place for the program, one for the store, one relay that runs. */
async function service() {
  const it = await world()
  const store = join(it.folder, 'private', 'logout-relay')
  mkdirSync(store, { recursive: true })
  const config = await it.configOf('relay', { sqlite: join(store, 'relay.db') })
  let installed = OLD
  let relay = await it.up(installed, config)
  /** The commands under this heading of docs/upgrade.md; @param whileStopped what happens before the next start */
  const follow = async (
    block: number,
    packages: Readonly<Record<string, string>>,
    whileStopped?: () => Promise<void>,
  ) => {
    const commands = commandsIn('docs/upgrade.md').filter(({ heading }) => heading === 'Upgrade')[block]?.text ?? ''
    for (const line of commands.split('\n')) {
      const file = /^npm install --global --prefix \/opt\/logout-relay \.\/(\S+)$/.exec(line)?.[1]
      if (line === 'systemctl stop logout-relay') {
        await relay.running.stop()
        await whileStopped?.()
      } else if (file !== undefined) {
        installed = packages[file] ?? file
      } else if (/^(cp|mv) /.test(line)) {
        execFileSync('/bin/sh', ['-c', line.replaceAll('/var/lib/private/', join(it.folder, 'private/'))])
      } else {
        expect(line).toBe('systemctl start logout-relay')
        relay = await it.up(installed, config)
      }
    }
  }
  const version = () =>
    execFileSync(process.execPath, [join(installed, 'relay', 'cli.ts'), '--version'], { encoding: 'utf8' })
  return { ...it, store, config, follow, version, relay: () => relay }
}

const [UPGRADE, BACK] = [0, 2]
const PACKAGES = { 'logout-relay-0.1.0.tgz': OLD, 'logout-relay-0.2.0.tgz': NEXT }

test('on SQLite the next release takes over what is owed, by the written commands, and tells each session once', async () => {
  const { idp, relay, owed, follow, version, containments, ask, open, isOver, mended } = await service()
  const first = await owed(relay())
  const [before] = await containments(relay())
  const evidence = async () => (await ask<{ evidence: object[] }>(relay(), `containments/${before?.id ?? ''}`)).evidence
  const said = await evidence()
  let second: Row | undefined
  await follow(UPGRADE, PACKAGES, async () => {
    second = await idp.reset(['wiki'])
  })
  expect(version()).toBe('0.2.0\n')
  expect((await evidence()).slice(0, said.length)).toEqual(said)
  await until('what happened meanwhile is there', async () => (await open(relay())).length === 2)
  await mended(relay())
  await until('all is told', () => isOver(relay(), 2))
  expect([toldOnce(first, 'shop'), toldOnce(first, 'wiki'), second && toldOnce(second, 'wiki')]).toEqual([
    true,
    true,
    true,
  ])
})

test('back on SQLite, by the written commands, the older one has its evidence and what has not ended', async () => {
  const { token, relay, owed, follow, version, containments, isOver, open, recorded, mended } = await service()
  await owed(relay())
  await follow(UPGRADE, PACKAGES)
  const since = await owed(relay())
  const [newest] = await containments(relay())
  await mended(relay())
  await until('all is told', () => isOver(relay(), 2))
  down.add('wiki')
  const last = await owed(relay())
  await recorded(since, 'wiki', 'shop')
  await recorded(last, 'shop')
  await follow(BACK, PACKAGES)
  expect(version()).toBe('0.1.0\n')
  await until('what was owed is known', async () =>
    (await open(relay())).some(({ sid }) => sid === sidOf(last, 'wiki')),
  )
  expect((await containments(relay())).map(({ id }) => id)).not.toContain(newest?.id)
  await mended(relay())
  await until('nothing is open', () => isOver(relay(), 2))
  expect([toldOnce(last, 'wiki'), toldOnce(last, 'shop')]).toEqual([true, true])
  // What had ended meanwhile is there again when it is asked for.
  const env = { ...process.env, LOGOUT_RELAY_URL: relay().url, LOGOUT_RELAY_TOKEN: token }
  const again = ['outbox', 'reread', '--since', '2026-01-01T00:00:00Z']
  await promisify(execFile)(process.execPath, [join(OLD, 'relay', 'cli.ts'), ...again], { env })
  await until('all are known, and nothing is told again', () => isOver(relay(), 3))
  expect([toldOnce(last, 'wiki'), toldOnce(since, 'wiki'), toldOnce(since, 'shop')]).toEqual([true, true, true])
})

test('a file that a newer release has brought into its form is refused by an older one in words, and left as it is', async () => {
  const { config, store, relay, owed, follow, isOver, mended } = await service()
  const row = await owed(relay())
  await follow(UPGRADE, { ...PACKAGES, 'logout-relay-0.2.0.tgz': RAISED })
  await relay().running.stop()
  const file = join(store, 'relay.db')
  const before = readFileSync(file)
  const { status, stderr } = refusal(OLD, config.path)
  expect([status, stderr]).toEqual([
    1,
    expect.stringMatching(
      /relay\.db is in the form of Logout Relay 0\.3\.0 \(\d+\), which this one, 0\.1\.0 \(\d+\), does not know: start 0\.3\.0 or a newer one here; docs\/upgrade\.md has the way back\n$/,
    ),
  ])
  expect(readFileSync(file).equals(before)).toBe(true)
  await follow(BACK, PACKAGES)
  await mended(relay())
  await until('it is told', () => isOver(relay(), 1))
  expect(toldOnce(row, 'wiki')).toBe(true)
})

async function onRedis() {
  const it = await world()
  const redis: RedisServer = await startRedis()
  onTestFinished(() => redis.stop())
  const configs = await Promise.all(
    ['one', 'other'].map((name) => it.configOf(name, { redis: { nodes: [`127.0.0.1:${redis.port}`] } })),
  )
  const [one, other] = configs
  if (!one || !other) {
    throw new Error('There are two')
  }
  return { ...it, redis, one, other }
}

test('on Redis two releases work side by side, each takes over from the other, and each session is told once', async () => {
  const { up, one, other, owed, isOver, mended } = await onRedis()
  const old = await up(OLD, one)
  const first = await owed(old)
  const next = await up(NEXT, other)
  await old.running.stop()
  const second = await owed(next)
  const oldAgain = await up(OLD, one)
  await next.running.stop()
  await mended(oldAgain)
  await until('all is told', () => isOver(oldAgain, 2))
  for (const row of [first, second]) {
    expect([toldOnce(row, 'wiki'), toldOnce(row, 'shop')]).toEqual([true, true])
  }
})

test('on Redis a release that raises the layout stops the older ones with words, and the way back is as it is written', async () => {
  const { redis, up, one, other, owed, isOver, containments, recorded, mended } = await onRedis()
  const words =
    /The store on Redis is in the form of Logout Relay 0\.3\.0 \(layout \d+\), which this one, 0\.1\.0 \(layout \d+\), does not know: start 0\.3\.0 or a newer one here/
  const old = await up(OLD, one)
  const first = await owed(old)
  const raised = await up(RAISED, other)
  await until('the older one says why it writes nothing', async () => {
    const ready = await call('GET', `${old.url}/readyz`)
    return ready.status === 503 && words.test(ready.text)
  })
  expect(old.running.exited()).toBe(false)
  await old.running.stop()
  await mended(raised)
  await until('all is told by the newer one', () => isOver(raised, 1))
  expect([toldOnce(first, 'wiki'), toldOnce(first, 'shop')]).toEqual([true, true])
  down.add('wiki')
  const last = await owed(raised)
  await recorded(first, 'wiki', 'shop')
  await recorded(last, 'shop')
  await raised.running.stop()
  expect(refusal(OLD, one.path)).toEqual({ status: 78, stderr: expect.stringMatching(words) as string })
  await redis.ask('FLUSHALL')
  const back = await up(OLD, one)
  down.clear()
  await until('what had not ended is told', () => toldOnce(last, 'wiki'))
  const isCalm = async () => (await containments(back)).every((one) => one.open === 0)
  await until('nothing is open', isCalm)
  for (const row of [first, last]) {
    expect([toldOnce(row, 'wiki'), toldOnce(row, 'shop')]).toEqual([true, true])
  }
})
