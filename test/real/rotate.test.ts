import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { call } from '../../scripts/stage/http.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { type DemoRealm, nextSecond, SECRET, startDemoRealm } from './demo-realm.ts'
import { type Job, type Place, startJob, startPlace } from './jobs.ts'

type Line = Record<string, unknown>
interface Report {
  readonly rotation?: { readonly id: string; readonly callers: readonly { secret: string; uses: number }[] } & Line
}

const OPERATOR = 'logout-relay-operator'
let realm: DemoRealm
let place: Place
let folder: string

/** A Keycloak of this version takes the place of the one before. */
async function begin(version?: string): Promise<void> {
  await (realm as DemoRealm | undefined)?.stop()
  realm = await startDemoRealm({ features: ['client-secret-rotation'], ...(version === undefined ? {} : { version }) })
  place = await startPlace(realm.admin, realm.issuer)
  await realm.admin.giveRole(await accountOf(OPERATOR), 'realm-management', 'manage-clients')
  await nextSecond()
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'logout-relay-rotate-'))
  await begin()
}, 600_000)

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await realm.stop()
})

const accountOf = (clientId: string) => realm.admin.userId(`service-account-${clientId}`)

/** The command, as an operator's program runs it. */
function command(
  clientId: string,
  args: readonly string[],
  as: { id: string; secret: string } = { id: OPERATOR, secret: SECRET },
) {
  const { LOGOUT_RELAY_TOKEN: _, ...inherited } = process.env
  const env = {
    ...inherited,
    ...{ LOGOUT_RELAY_ISSUER: realm.issuer, LOGOUT_RELAY_CLIENT_ID: as.id, LOGOUT_RELAY_CLIENT_SECRET: as.secret },
    LOGOUT_RELAY_LOGIN_FILE: join(folder, 'no-login.json'),
  }
  const child = spawn(process.execPath, [join(ROOT, 'relay', 'cli.ts'), 'rotate', '--client', clientId, ...args], {
    env,
  })
  const lines: string[] = []
  let errors = ''
  createInterface(child.stdout).on('line', (line) => lines.push(line))
  child.stderr.on('data', (text: Buffer) => (errors += text.toString()))
  const code = new Promise<number | null>((resolve) => child.on('close', resolve))
  const said = () => lines.map((line) => JSON.parse(line) as Line)
  const has = (line: Line) => said().some((one) => Object.entries(line).every(([name, value]) => one[name] === value))
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    lines,
    said,
    code,
    errors: () => errors,
    says: (line: Line) =>
      until(`the command says ${JSON.stringify(line)}`, () => Promise.resolve(has(line)), { seconds: 60 }),
    kill9: async () => {
      child.kill('SIGKILL')
      await code
    },
  }
}

/** What holds of an older Keycloak too: it is tried here, and below once more. */
const claims: (readonly [title: string, run: () => Promise<void>])[] = []
const claim = (title: string, run: () => Promise<void>) => {
  claims.push([title, run])
  test(title, run)
}

/** What the operator may see. */
async function report(clientId: string): Promise<Report> {
  const token = await realm.tokens.serviceAccount(OPERATOR, SECRET)
  const answer = await realm.call<Report>(`client-rotations?client=${clientId}`, undefined, token)
  expect(answer.status, answer.text).toBe(200)
  return answer.json()
}

/** One of the extension's conditions on a change of the secret, which the command sends. */
async function change(method: 'POST' | 'DELETE', job: Job, path: string, meant: string): Promise<number> {
  const token = await realm.tokens.serviceAccount(OPERATOR, SECRET)
  const url = `${realm.issuer.replace('/realms/', '/admin/realms/')}${job.path}/${path}`
  const headers = { authorization: `Bearer ${token}`, 'logout-relay-rotation': meant }
  return (await call(method, url, { headers, ...(method === 'POST' ? { json: {} } : {}) })).status
}

/** Asks for a token, as a program that has a name. */
function askAs(userAgent: string, form: Record<string, string>, headers: Record<string, string> = {}) {
  const url = `${realm.issuer}/protocol/openid-connect/token`
  return call<{ access_token: string; refresh_token?: string }>('POST', url, {
    headers: { 'user-agent': userAgent, ...headers },
    form: { grant_type: 'client_credentials', ...form },
  })
}

/** A well-behaved workload: it keeps a token until shortly before its end, and reads its secret anew for each. */
class Workload {
  readonly failures: string[] = []
  requests = 0
  refreshToken = ''
  readonly #job: Job
  readonly #secret: () => string
  #token: { readonly value: string; readonly renewAtMs: number } | undefined
  #stopped = false
  readonly #done: Promise<void>

  constructor(job: Job, secret: () => string) {
    this.#job = job
    this.#secret = secret
    this.#done = this.#work()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  /** Until it has made that many more. */
  async makes(requests: number): Promise<void> {
    const from = this.requests
    await until('the workload has gone on', () => Promise.resolve(this.requests >= from + requests))
  }

  async #work(): Promise<void> {
    while (!this.#stopped) {
      await this.#turn().catch((cause: unknown) => this.failures.push(String(cause)))
      this.requests += 1
    }
  }

  async #turn(): Promise<void> {
    if (this.#token === undefined || this.#token.renewAtMs < Date.now()) {
      const answer = await askAs('nightly-job/1.0', {
        client_id: this.#job.clientId,
        client_secret: this.#secret(),
      })
      if (answer.status !== 200) {
        this.failures.push(`a token: ${answer.status} ${answer.text}`)
        return
      }
      const { access_token, refresh_token = '' } = answer.json()
      this.#token = { value: access_token, renewAtMs: Date.now() + 2000 }
      this.refreshToken = refresh_token
    }
    if (!(await place.isActive(this.#token.value))) {
      this.failures.push('a token that it had was dead')
    }
  }
}

claim(
  'a job that uses the old secret is named, moved, and fails at nothing, though the command is killed on its way',
  async () => {
    await place.rotate()
    const job = await startJob(place, { attributes: { 'access.token.lifespan': '8' } })
    const old = job.secret
    const out = join(folder, 'nightly-job')
    let moved = false
    const workload = new Workload(job, () => (moved ? readFileSync(out, 'utf8') : old))
    onTestFinished(() => workload.stop())

    const first = command(job.clientId, ['--out', out, '--json'])
    await first.says({ state: 'begun' })
    await first.kill9()
    const secret = readFileSync(out, 'utf8')
    expect([secret === old, statSync(out).mode & 0o777]).toEqual([false, 0o600])
    rmSync(out)

    const second = command(job.clientId, ['--out', out, '--json'])
    await second.says({ secret: 'old', user_agent: 'nightly-job/1.0', address: '127.0.0.1' })
    await second.kill9()
    expect((await job.askWith(old)).status, 'nothing ends before the new one was seen').toBe(200)

    const third = command(job.clientId, ['--out', out, '--json'])
    await third.says({ state: 'resumed' })
    moved = true
    expect(await third.code, third.errors()).toBe(0)
    expect(third.said().at(-1)).toMatchObject({ client_id: job.clientId, state: 'done' })
    expect(third.said()).toContainEqual(expect.objectContaining({ secret: 'new', user_agent: 'nightly-job/1.0' }))
    expect(readFileSync(out, 'utf8'), 'it is the same new secret throughout').toBe(secret)

    expect((await job.askWith(old)).status).toBe(401)
    job.secret = secret
    expect((await job.alive())[2], 'what was had by the old secret').toBe(false)
    const refreshed = await job.askFor({ grant_type: 'refresh_token', refresh_token: workload.refreshToken })
    expect(refreshed.status, 'what was had by the new one').toBe(200)
    await workload.makes(10)
    await workload.stop()
    expect(workload.failures).toEqual([])
    expect(workload.requests).toBeGreaterThan(30)
    expect((await realm.told(job.account)).map(({ trigger }) => trigger)).toEqual(['client-secret-changed'])
    const shown = command(job.clientId, ['--report', '--json'])
    expect([await shown.code, shown.said().at(-1)?.['state']]).toEqual([0, 'done'])
    const named = { secret: 'old', user_agent: 'nightly-job/1.0', address: '127.0.0.1' }
    expect(shown.said()).toContainEqual(expect.objectContaining({ ...named, uses: expect.any(Number) as number }))
    await place.rotateNoMore()
  },
)

test('two rotations at once are one, and a workload that never comes is said to be open', async () => {
  await place.rotate()
  const job = await startJob(place)
  const old = job.secret
  const files = ['a', 'b'].map((name) => join(folder, `twice-${name}`))
  const both = files.map((out) => command(job.clientId, ['--out', out, '--wait', '1s', '--json']))
  expect(await Promise.all(both.map(({ code }) => code)), both.map(({ errors }) => errors()).join()).toEqual([3, 3])
  await job.readSecret()
  expect(files.map((file) => readFileSync(file, 'utf8'))).toEqual([job.secret, job.secret])
  expect(both.map(({ said }) => said().at(-1)?.['state'])).toEqual(['new-unseen', 'new-unseen'])
  expect((await job.askWith(old)).status).toBe(200)
  await place.rotateNoMore()
})

test('however many begin in the same moment, one new secret is made, and the old one goes on', async () => {
  await place.rotate()
  const job = await startJob(place)
  const old = job.secret
  const answers = await Promise.all([1, 2, 3, 4].map(() => change('POST', job, 'client-secret', 'begin')))
  expect(answers.filter((status) => status === 200)).toHaveLength(1)
  expect(answers.filter((status) => status !== 200 && status !== 400 && status !== 409)).toEqual([])
  expect((await job.askWith(old)).status).toBe(200)
  expect(await change('POST', job, 'client-secret', 'begin')).toBe(400)
  await place.rotateNoMore()
})

claim('the old secret is not withdrawn before the new one was seen, nor in the name of another rotation', async () => {
  await place.rotate()
  const job = await startJob(place)
  const old = job.secret
  expect(await change('POST', job, 'client-secret', 'begin')).toBe(200)
  const id = (await report(job.clientId)).rotation?.id ?? ''
  expect(await change('DELETE', job, 'client-secret/rotated', id)).toBe(400)
  await job.readSecret()
  expect((await job.ask()).status).toBe(200)
  expect(await change('DELETE', job, 'client-secret/rotated', randomUUID())).toBe(400)
  expect((await job.askWith(old)).status).toBe(200)
  // At once, so what was had is still of the time in which a node may not have heard: all of it ends.
  expect([200, 204]).toContain(await change('DELETE', job, 'client-secret/rotated', id))
  expect((await job.askWith(old)).status).not.toBe(200)
  expect(await job.alive()).toEqual([false, false, false])
  await place.rotateNoMore()
})

claim('a realm that keeps no old secret loses none by it, and --now ends it and says who still comes', async () => {
  const job = await startJob(place)
  const old = job.secret
  const graceful = command(job.clientId, ['--json'])
  expect([await graceful.code, graceful.errors()]).toEqual([1, expect.stringMatching(/keeps no old secret of job-/)])
  expect([(await job.askWith(old)).status, await job.alive()]).toEqual([200, [true, true, true]])

  const out = join(folder, 'stolen')
  const now = command(job.clientId, ['--now', '--out', out, '--json'])
  await now.says({ state: 'begun' })
  const refused = { client_id: job.clientId, client_secret: old }
  await until('the thief is seen', async () => {
    expect((await askAs('thief/1.0', refused)).status).toBe(401)
    return now.said().some((line) => line['secret'] === 'refused' && line['user_agent'] === 'thief/1.0')
  })
  const open = command(job.clientId, ['--report', '--json'])
  expect([await open.code, open.said().at(-1)?.['state']]).toEqual([3, 'not-revalidated'])
  job.secret = readFileSync(out, 'utf8')
  expect(await job.alive()).toEqual([false, false, false])
  await until('the job has come', async () => (await job.ask()).status === 200)
  expect(await now.code).toBe(0)
  expect(now.said().at(-1)).toMatchObject({ state: 'done' })
})

claim('--now leaves no moment to a secret that a rotation policy would keep', async () => {
  await place.rotate()
  const job = await startJob(place)
  const old = job.secret
  const now = command(job.clientId, ['--now', '--wait', '1s', '--json'])
  expect([await now.code, now.said().at(-1)?.['state']]).toEqual([3, 'not-revalidated'])
  expect((await job.askWith(old)).status).toBe(401)
  await job.readSecret()
  expect(await job.alive()).toEqual([false, false, false])
  await place.rotateNoMore()
})

test('a node that has not heard of the end issues nothing for the old secret', async () => {
  await place.rotate()
  const job = await startJob(place)
  const old = job.secret
  await job.newSecret()
  expect((await job.askWith(old)).status).toBe(200)
  // As another node writes it, which this one cannot hear.
  realm.postgres
    .psql(`delete from client_attributes where client_id = '${job.uuid}' and name like 'client.secret.rotated%';
    update logout_relay_rotation set retired_ms = ${Date.now()} where client_uuid = '${job.uuid}'`)
  const answer = await job.askWith(old)
  expect([answer.status, answer.text]).toEqual([400, expect.not.stringContaining('access_token')])
  expect((await job.ask()).status).toBe(200)
  await place.rotateNoMore()
})

test('which secret was used is known of every way to prove it, and the callers that are kept are bounded', async () => {
  await place.rotate()
  const job = await startJob(place)
  const old = job.secret
  await job.newSecret()
  const basic = (secret: string) => ({
    authorization: `Basic ${Buffer.from(`${job.clientId}:${secret}`).toString('base64')}`,
  })
  expect((await askAs('basic', {}, basic(old))).status).toBe(200)
  await job.put({ clientAuthenticatorType: 'client-secret-jwt' })
  const signed = (secret: string) =>
    new SignJWT({ jti: randomUUID() })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(job.clientId)
      .setSubject(job.clientId)
      .setAudience(realm.issuer)
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(new TextEncoder().encode(secret))
  const assertion = async (secret: string) => ({
    client_assertion: await signed(secret),
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  })
  await until('the second is over', async () => (await askAs('jwt', await assertion(job.secret))).status === 200)
  await until('they are written down', async () => {
    const { callers = [] } = (await report(job.clientId)).rotation ?? {}
    const seen = callers.map((one) => `${one.secret} ${String((one as Line)['user_agent'])}`)
    return ['old basic', 'new jwt'].every((one) => seen.includes(one))
  })

  const many = 120
  for (let n = 0; n < many; n++) {
    expect((await askAs(`agent-${n}`, await assertion(job.secret))).status).toBe(200)
  }
  await until('all are counted', async () => {
    const { callers = [] } = (await report(job.clientId)).rotation ?? {}
    expect(callers.length).toBeLessThanOrEqual(103)
    return callers.reduce((sum, { uses }) => sum + uses, 0) >= many + 2
  })
  await place.rotateNoMore()
})

test('an operator without the rights changes nothing, and is told which are missing', async () => {
  await place.rotate()
  const job = await startJob(place)
  const old = job.secret
  const program = async (role: readonly [client: string, name: string]) => {
    const id = `program-${randomUUID()}`
    await realm.admin.createClient({
      clientId: id,
      secret: SECRET,
      serviceAccountsEnabled: true,
      standardFlowEnabled: false,
    })
    await realm.admin.giveRole(await accountOf(id), ...role)
    await realm.admin.must('PUT', '', { attributes: { 'logout-relay.clients': `${OPERATOR}, ${id}` } })
    await nextSecond()
    const refused = command(job.clientId, ['--json'], { id, secret: SECRET })
    return [await refused.code, refused.errors()]
  }
  expect(await program(['logout-relay', 'operate'])).toEqual([1, expect.stringMatching(/role manage-clients/)])
  expect(await program(['realm-management', 'manage-clients'])).toEqual([1, expect.stringMatching(/role operate/)])
  const nobody = command('nobody', ['--json'])
  expect([await nobody.code, nobody.errors()]).toEqual([1, expect.stringMatching(/not one of this realm/)])
  const own = command(OPERATOR, ['--json'])
  expect([await own.code, own.errors()]).toEqual([78, expect.stringMatching(/change under your feet/)])
  await job.readSecret()
  expect(job.secret).toBe(old)
  await realm.admin.createClient({ clientId: 'without', publicClient: true })
  const without = command('without', ['--now'])
  expect([await without.code, without.errors()]).toEqual([1, expect.stringMatching(/without has no secret/)])
  await place.rotateNoMore()
})

test('the relay’s own client is rotated too: it goes on with the old secret until it has the new one', async () => {
  await place.rotate()
  const out = join(folder, 'logout-relay')
  const own = command('logout-relay', ['--out', out, '--quiet', '1s'])
  await until('the new secret is there', () => Promise.resolve(existsSync(out) && own.lines.length > 0), {
    seconds: 60,
  })
  expect(own.lines[0]).toMatch(/client_secret_file of relay.yaml reads it, and start the relay anew/)
  expect(await realm.poll({ maxEvents: 0 })).toEqual({})
  const token = await realm.tokens.serviceAccount('logout-relay', readFileSync(out, 'utf8'))
  expect(await own.code, own.errors()).toBe(0)
  const poll = async (bearer: string) => (await realm.call('outbox', { maxEvents: 0 }, bearer)).status
  expect(
    (await realm.tokens.ask({ grant_type: 'client_credentials', client_id: 'logout-relay', client_secret: SECRET }))
      .status,
  ).toBe(401)
  const next = await realm.tokens.serviceAccount('logout-relay', readFileSync(out, 'utf8'))
  expect([await poll(token), await poll(next)]).toEqual([401, 200])
})

describe('at Keycloak 26.5.0', () => {
  // It is built for it first.
  beforeAll(() => begin('26.5.0'), 600_000)

  test.each(claims)('%s', (_, run) => run())
})
