import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createLocalJWKSet, createRemoteJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { keepLogin } from '../../relay/cli/kept-login.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { call } from '../../scripts/stage/http.ts'
import { freePort, ROOT, until } from '../../scripts/stage/process.ts'
import { type RelayServer, startRelayProcess } from '../../scripts/stage/relay.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { nextSecond, REDIRECT_URI, SECRET, type SharedDemoRealm, shareDemoRealm } from './demo-realm.ts'
import { type Recorder, startRecorder } from './recorder.ts'

const REALM = 'rotate-realm'
const CLI = join(ROOT, 'relay', 'cli.ts')

let realm: SharedDemoRealm
let relay: RelayServer
let keySet: URL
/** Looks for a key that it does not know. */
let eager: Recorder
/** Keeps the realm's keys until it is told to read them anew. */
let keeping: Recorder
let kept: JSONWebKeySet
const reread = async () => {
  kept = (await call<JSONWebKeySet>('GET', keySet.href)).json()
}

beforeAll(async () => {
  realm = await shareDemoRealm(REALM)
  keySet = new URL(`${realm.issuer}/protocol/openid-connect/certs`)
  await reread()
  const remote = createRemoteJWKSet(keySet, { cooldownDuration: 0 })
  const read = (keys: () => Parameters<typeof jwtVerify>[1], audience: string) => async (token: string) =>
    (await jwtVerify(token, keys() as typeof remote, { issuer: realm.issuer, audience })).payload
  eager = await startRecorder(
    0,
    read(() => remote, 'eager-app'),
  )
  keeping = await startRecorder(
    0,
    read(() => createLocalJWKSet(kept), 'keeping-app'),
  )
  for (const clientId of ['apache-app', 'express-app', 'logout-relay-console', 'flows-app']) {
    await realm.admin.setClientAttributes(clientId, { 'backchannel.logout.url': '' })
  }
  for (const [clientId, { logoutUri }] of [
    ['eager-app', eager],
    ['keeping-app', keeping],
  ] as const) {
    await realm.admin.createClient({
      ...{ clientId, secret: SECRET },
      attributes: { 'backchannel.logout.url': logoutUri, 'backchannel.logout.session.required': 'true' },
    })
  }
  await mayRotate('service-account-logout-relay-operator')
  relay = await startRelayProcess({ issuers: [{ issuer: realm.issuer, client_secret: SECRET }] })
})

afterAll(async () => {
  await relay.stop()
  eager.close()
  keeping.close()
})

async function mayRotate(username: string): Promise<string> {
  const user = await realm.admin.userId(username)
  await realm.admin.giveRole(user, 'realm-management', 'manage-realm')
  await realm.admin.giveRole(user, 'realm-management', 'view-clients')
  return user
}

interface Begun {
  readonly child: ChildProcess
  readonly out: () => string
  readonly ended: Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>
}

/** The command as a program of its own, by default as the operator's program. */
function begin(args: readonly string[], { env = {}, input = '' }: { env?: object; input?: string } = {}): Begun {
  const { LOGOUT_RELAY_TOKEN: _, ...others } = process.env
  const child = spawn(process.execPath, [CLI, 'keys', 'rotate-realm', ...args], {
    env: {
      ...{ ...others, LOGOUT_RELAY_URL: relay.url, LOGOUT_RELAY_ISSUER: realm.issuer },
      LOGOUT_RELAY_LOGIN_FILE: join(temporary('login'), 'none.json'),
      ...{ LOGOUT_RELAY_CLIENT_ID: 'logout-relay-operator', LOGOUT_RELAY_CLIENT_SECRET: SECRET, ...env },
    },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => (out += part))
  const err = text(child.stderr)
  child.stdin.end(input)
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve)).then(async (code) => ({
    ...{ code, out, err: await err },
  }))
  return { child, out: () => out, ended }
}

const run = (...given: Parameters<typeof begin>) => begin(...given).ended
/** Where no relay is: nothing is watched. */
const unwatched = async () => ({ LOGOUT_RELAY_URL: `http://127.0.0.1:${await freePort()}` })

interface Key {
  readonly kid: string
  readonly algorithm: string
  readonly status: string
  readonly use: string
}

const keys = async () => (await realm.admin.must<{ keys: Key[] }>('GET', '/keys')).json().keys
/** What can still sign or verify: the algorithm and the status. */
const states = async () =>
  (await keys())
    .flatMap(({ algorithm, status, use }) => (use === 'SIG' && status !== 'DISABLED' ? [`${algorithm} ${status}`] : []))
    .sort()
const ONE_EACH = ['HS512 ACTIVE', 'RS256 ACTIVE']
const kidOf = (token: string) => decodeProtectedHeader(token).kid

/** With which keys the realm signs an access token and a refresh token at this moment. */
async function signs(): Promise<readonly (string | undefined)[]> {
  const { access_token, refresh_token } = await realm.tokens.directGrant('flows-app', 'alice', 'password')
  return [kidOf(access_token), kidOf(refresh_token)]
}

function loginPage(): string {
  const query = { response_type: 'code', client_id: 'flows-app', redirect_uri: REDIRECT_URI, scope: 'openid' }
  return `${realm.issuer}/protocol/openid-connect/auth?${new URLSearchParams(query).toString()}`
}

/** What a person and a job have. */
async function access(name: string) {
  await realm.person(name)
  const online = await realm.tokens.directGrant('flows-app', name, 'password')
  const offline = await realm.tokens.directGrant('flows-app', name, 'password', 'openid offline_access')
  const client = { client_id: 'orders-api', client_secret: SECRET }
  const job = (await realm.tokens.ask({ grant_type: 'client_credentials', ...client, scope: 'openid' })).json()
  const browser = new Browser()
  const page = loginPage()
  await browser.authorize(page, REDIRECT_URI, name, 'password')
  const userinfo = async (token: string) =>
    (
      await call('GET', `${realm.issuer}/protocol/openid-connect/userinfo`, {
        headers: { authorization: `Bearer ${token}` },
      })
    ).status === 200
  return async () => ({
    accessToken: await userinfo(online.access_token),
    job: await userinfo(job.access_token),
    refresh: await realm.tokens.lives('flows-app', online),
    offline: await realm.tokens.lives('flows-app', offline),
    browser: (await browser.open(page, REDIRECT_URI)).url.startsWith(REDIRECT_URI),
  })
}
const all = (lives: boolean) => ({ accessToken: lives, job: lives, refresh: lives, offline: lives, browser: lives })

/** Between the command and Keycloak. @param write what happens once the n-th change is made, before it is answered */
async function between(hooks: {
  before?: (n: number) => Promise<void>
  after?: (n: number) => boolean
}): Promise<string> {
  let writes = 0
  const server = createServer((request, response) => {
    const forward = async () => {
      const body = await text(request)
      const method = request.method as 'GET' | 'POST' | 'PUT'
      const n = method === 'GET' ? 0 : ++writes
      await hooks.before?.(n)
      const { authorization = '', 'content-type': type } = request.headers
      const answer = await call(method, `${realm.keycloak.url}${request.url ?? ''}`, {
        headers: { authorization, ...(type === undefined ? {} : { 'content-type': type }) },
        ...(body === '' ? {} : { text: body }),
      })
      if (hooks.after?.(n) !== true) {
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.text)
      }
    }
    forward().catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/${REALM}`
}

test('it says what would end, counted, and changes nothing without the realm’s name', async () => {
  const lives = await access('counted')
  const before = await keys()
  const { code, out, err } = await run(['--disable'], { input: 'another\n' })
  expect([code, err]).toEqual([1, expect.stringContaining('Nothing was changed') as string])
  const [, sessions = '0', offline = '0'] = /HS512\): (\d+) sessions? at \d+ clients? and (\d+) offline/.exec(out) ?? []
  expect([Number(sessions) >= 2, Number(offline) >= 1]).toEqual([true, true])
  expect(out).toMatch(/ENDS {2}access and ID tokens \(RS256\), those of \d+ service accounts among them/)
  expect(out).toMatch(/^(AES, RSA-OAEP|RSA-OAEP, AES) {2}encrypt, and stay as they are$/m)
  expect(await keys()).toEqual(before)
  expect(await lives()).toEqual(all(true))
})

test('who has no right is told which it takes, and a key that does not sign is refused; nothing is changed', async () => {
  const before = await keys()
  const victor = await realm.wordOf('victor')
  const refused = await run(['--yes'], { env: { LOGOUT_RELAY_TOKEN: victor } })
  expect([refused.code, refused.err]).toEqual([
    1,
    expect.stringContaining('manage-realm of realm-management') as string,
  ])
  const [encryption] = before.filter(({ use }) => use === 'ENC')
  const other = await run(['--yes', '--key', encryption?.kid ?? ''])
  expect([other.code, other.err]).toEqual([1, expect.stringContaining('signs or verifies in the realm') as string])
  expect(await keys()).toEqual(before)
})

test('with the old keys passive all but a login under way goes on, and the relying party that keeps keys is waited for', async () => {
  const lives = await access('passive')
  const underWay = new Browser()
  const form = await underWay.open(loginPage(), REDIRECT_URI)
  const [before, old] = [await keys(), await signs()]
  const { out, ended } = begin([], { input: `${REALM}\n` })
  await until('the one that keeps keys is waited for', () => /^waits {2}keeping-app/m.test(out()))
  await reread()
  const done = await ended
  expect([done.code, done.err]).toEqual([0, expect.stringContaining('Type the name of the realm') as string])
  expect(done.out).toMatch(/^ok {5}\S+ {2}the relay takes a token that a new key has signed$/m)
  expect(done.out).toMatch(/^ok {5}eager-app {2}.*takes what it has$/m)
  expect(done.out).toMatch(/^ok {5}keeping-app {2}.*takes what it has$/m)
  expect(await states()).toEqual(['HS512 ACTIVE', 'HS512 PASSIVE', 'RS256 ACTIVE', 'RS256 PASSIVE'])
  const now = await signs()
  expect(now.filter((kid) => kid === undefined || before.some((key) => key.kid === kid))).toEqual([])
  expect(now).not.toEqual(old)
  expect(await lives()).toEqual(all(true))
  const fields = { username: 'passive', password: 'password', credentialId: '' }
  const again = await underWay.submit(form, fields, REDIRECT_URI)
  expect(again.url.startsWith(REDIRECT_URI), 'a login under way begins again').toBe(false)
  expect((await underWay.submit(again, fields, REDIRECT_URI)).url.startsWith(REDIRECT_URI)).toBe(true)
  const encrypt = (some: Key[]) => some.filter(({ use }) => use === 'ENC')
  expect(encrypt(await keys())).toEqual(encrypt(before))
})

test('with the old keys disabled all that any of them signed is dead, and the person who did it stays logged in', async () => {
  await realm.person('rita')
  const rita = await mayRotate('rita')
  await realm.admin.giveRole(rita, 'logout-relay', 'view')
  await realm.admin.giveRole(rita, 'logout-relay', 'operate')
  // Who is given a privileged role is signed out.
  await nextSecond()
  const login = await realm.tokens.directGrant('logout-relay-operator', 'rita', 'password', 'openid', SECRET)
  const LOGOUT_RELAY_LOGIN_FILE = join(temporary('login'), 'login.json')
  keepLogin(
    { LOGOUT_RELAY_LOGIN_FILE },
    {
      ...{ ...login, issuer: realm.issuer, client_id: 'logout-relay-operator' },
      expires_at_ms: Date.now() + 3_600_000,
    },
  )
  const lives = await access('disabled')
  expect(await lives()).toEqual(all(true))
  const { out, ended } = begin(['--disable', '--yes'], { env: { LOGOUT_RELAY_LOGIN_FILE } })
  await until('the one that keeps keys is waited for', () => /^waits {2}keeping-app/m.test(out()))
  await reread()
  const { code, err } = await ended
  expect([code, err]).toEqual([0, ''])
  expect(await states()).toEqual(ONE_EACH)
  expect(await lives()).toEqual(all(false))
  expect(await (await access('afterwards'))()).toEqual(all(true))
})

test.each([1, 2, 3])(
  'killed after change %i of four, the realm signs with one key, and the same command ends it',
  async (last) => {
    const [before, count] = [await signs(), (await keys()).length]
    const env = await unwatched()
    const issuer = await between({
      after: (n) => n === last && begun.child.kill('SIGKILL'),
    })
    const begun = begin(['--disable', '--yes', '--issuer', issuer], { env })
    expect((await begun.ended).code).toBeNull()
    const meanwhile = await signs()
    const again = await run(['--disable', '--yes'], { env })
    expect([again.code, again.err, again.out]).toEqual([
      3,
      '',
      expect.stringContaining('Relying parties are not watched') as string,
    ])
    expect(await states()).toEqual(ONE_EACH)
    const now = await signs()
    expect(now.filter((kid) => before.includes(kid))).toEqual([])
    expect(meanwhile.filter((kid) => ![...before, ...now].includes(kid))).toEqual([])
    expect((await keys()).length).toBe(count + 2)
  },
)

test('of two at once one makes the new keys, and the other says so', async () => {
  const count = (await keys()).length
  const env = await unwatched()
  let open: () => void = () => undefined
  const both = new Promise<void>((resolve) => (open = resolve))
  let waiting = 0
  const issuer = await between({
    before: (n) => {
      // Both have seen the same keys, and begin to change them.
      waiting += n > 0 ? 1 : 0
      if (waiting === 2) {
        open()
      }
      return n > 0 ? both : Promise.resolve()
    },
  })
  const runs = await Promise.all([1, 2].map(() => run(['--yes', '--issuer', issuer], { env })))
  expect(runs.map(({ code }) => code).sort(), runs.map(({ err }) => err).join()).toEqual([1, 3])
  expect(runs.find(({ code }) => code === 1)?.err).toContain('Another run has just put a key in the place')
  expect((await keys()).length).toBe(count + 2)
  expect(await states()).toEqual(['HS512 ACTIVE', 'HS512 PASSIVE', 'RS256 ACTIVE', 'RS256 PASSIVE'])
})

test('a realm that signs with one more algorithm gets a new key for that alone, where it is named', async () => {
  const { id } = (await realm.admin.must<{ id: string }>('GET', '')).json()
  await realm.admin.must('POST', '/components', {
    ...{ name: 'curve', providerId: 'ecdsa-generated', providerType: 'org.keycloak.keys.KeyProvider', parentId: id },
    config: { priority: ['5'], enabled: ['true'], active: ['true'], ecdsaEllipticCurveKey: ['P-384'] },
  })
  const before = await signs()
  const { code, out, err } = await run(['--yes', '--disable', '--alg', 'ES384'], { env: await unwatched() })
  expect([code, err, out]).toEqual([3, '', expect.stringContaining('not refresh tokens and cookies') as string])
  expect(await signs()).toEqual(before)
  expect(
    (await keys())
      .filter(({ algorithm }) => algorithm === 'ES384')
      .map(({ status }) => status)
      .sort(),
  ).toEqual(['ACTIVE', 'DISABLED'])
  expect((await realm.admin.must<{ active: Record<string, string> }>('GET', '/keys')).json().active).toHaveProperty(
    'ES384',
  )
})

test('interrupted while it watches, it says who has not been seen to take the new keys', async () => {
  await nextSecond()
  const { child, out, ended } = begin(['--yes', '--alg', 'RS256'])
  await until('the one that keeps keys is waited for', () => /^waits {2}keeping-app/m.test(out()))
  child.kill('SIGINT')
  const { code, out: printed } = await ended
  expect([code, printed.match(/^LEFT .*/gm)]).toEqual([3, [expect.stringMatching(/^LEFT {2}keeping-app {2}/)]])
})
