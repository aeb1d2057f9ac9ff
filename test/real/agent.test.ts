import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { call } from '../../scripts/stage/http.ts'
import { freePort, ROOT, until } from '../../scripts/stage/process.ts'
import { type DemoRealm, nextSecond, SECRET, startDemoRealm } from './demo-realm.ts'
import { type Job, type Place, startJob, startPlace } from './jobs.ts'

const OPERATOR = 'logout-relay-operator'
const AGENT = 'agent-of-the-jobs'

let realm: DemoRealm
let place: Place
let folder: string
let agentSecret: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'logout-relay-agent-'))
  agentSecret = join(folder, 'agent-secret')
  realm = await startDemoRealm({ features: ['client-secret-rotation'] })
  place = await startPlace(realm.admin, realm.issuer)
  await place.rotate()
  await realm.admin.must('PUT', '', { adminPermissionsEnabled: true })
  await realm.admin.createClient({
    ...{ clientId: AGENT, secret: SECRET, serviceAccountsEnabled: true },
    ...{ standardFlowEnabled: false, fullScopeAllowed: false },
  })
  writeFileSync(agentSecret, `${SECRET}\n`)
  await realm.admin.giveRole(
    await realm.admin.userId(`service-account-${OPERATOR}`),
    'realm-management',
    'manage-clients',
  )
  await nextSecond()
})

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await realm.stop()
})

/** Lets the agent's client view this one client, as docs/workloads.md has it; @returns what takes that back. */
async function letView(job: Job): Promise<() => Promise<void>> {
  const server = `/clients/${await realm.admin.clientUuid('admin-permissions')}/authz/resource-server`
  const clients = [await realm.admin.clientUuid(AGENT)]
  const policy = await realm.admin.must<{ id: string }>('POST', `${server}/policy/client`, {
    ...{ name: `the agent of ${randomUUID()}`, logic: 'POSITIVE', clients },
  })
  const permission = await realm.admin.must<{ id: string }>('POST', `${server}/permission/scope`, {
    ...{ name: `the secret of ${randomUUID()}`, resourceType: 'Clients', resources: [job.uuid] },
    ...{ scopes: ['view'], policies: [policy.json().id] },
  })
  return async () => {
    await realm.admin.must('DELETE', `${server}/permission/scope/${permission.json().id}`)
  }
}

/** A command at a shell; the operator's by default, else as the agent. */
function command(args: readonly string[], as: 'operator' | 'agent', issuer = realm.issuer) {
  const { LOGOUT_RELAY_TOKEN: _, ...inherited } = process.env
  const env = {
    ...{ ...inherited, LOGOUT_RELAY_ISSUER: issuer, LOGOUT_RELAY_LOGIN_FILE: join(folder, 'no-login.json') },
    ...(as === 'operator'
      ? { LOGOUT_RELAY_CLIENT_ID: OPERATOR, LOGOUT_RELAY_CLIENT_SECRET: SECRET }
      : { LOGOUT_RELAY_CLIENT_ID: AGENT, LOGOUT_RELAY_CLIENT_SECRET_FILE: agentSecret }),
  }
  const child = spawn(process.execPath, [join(ROOT, 'relay', 'cli.ts'), ...args], { env })
  const said = { out: '', errors: '' }
  child.stdout.on('data', (text: Buffer) => (said.out += text.toString()))
  child.stderr.on('data', (text: Buffer) => (said.errors += text.toString()))
  const code = new Promise<number | null>((resolve) => child.on('close', resolve))
  onTestFinished(() => void child.kill('SIGKILL'))
  const says = (what: RegExp) =>
    until(`it says ${String(what)}`, () => what.test(said.out + said.errors), { seconds: 120 }).catch(
      (cause: unknown) => {
        throw new Error(`It has said: ${said.out}${said.errors}`, { cause })
      },
    )
  return { said, code, says, end: (signal: NodeJS.Signals) => (child.kill(signal), code) }
}

const agent = (job: Pick<Job, 'clientId'>, file: string, ...more: string[]) =>
  command(['agent', '--client', job.clientId, '--to', `file:${file}`, '--every', '1s', ...more], 'agent')

const holds = (file: string, secret: () => string) =>
  until('the file has the secret', () => readFileSync(file, 'utf8') === secret(), { seconds: 120 })

/** What the agent's token is answered. */
async function asAgent(method: 'GET' | 'PUT' | 'POST', url: string, json?: object) {
  const authorization = `Bearer ${await realm.tokens.serviceAccount(AGENT, readFileSync(agentSecret, 'utf8').trim())}`
  return call<Record<string, unknown>>(method, url, { headers: { authorization }, ...(json ? { json } : {}) })
}
const adminOf = (path: string) => `${realm.issuer.replace('/realms/', '/admin/realms/')}${path}`
const stateOf = (clientId: string) => `${realm.issuer}/logout-relay/client-rotations/state?client=${clientId}`

test('a rotation from a shell ends by itself: the agent places the secret, and the job fails at nothing', async () => {
  const job = await startJob(place, { attributes: { 'access.token.lifespan': '8' } })
  await letView(job)
  const [file, log] = [join(folder, 'nightly'), join(folder, 'nightly.log')]
  const running = agent(job, file, '--mode', '0640', '--group', 'daemon', '--then', `echo reloaded >>'${log}'`)
  await running.says(/its secret is now in/)
  expect([readFileSync(file, 'utf8') === job.secret, statSync(file).mode & 0o777]).toEqual([true, 0o640])

  const failures: string[] = []
  let [tokens, stopped] = [0, false]
  const work = (async () => {
    while (!stopped) {
      const answer = await job.askWith(readFileSync(file, 'utf8'))
      const token = answer.status === 200 ? answer.json().access_token : ''
      if (token === '' || !(await place.isActive(token))) {
        failures.push(`${answer.status} ${answer.text}`)
      }
      tokens += 1
    }
  })()
  const rotated = command(['rotate', '--client', job.clientId, '--json'], 'operator')
  expect(await rotated.code, rotated.said.errors).toBe(0)
  stopped = true
  await work

  const old = job.secret
  await job.readSecret()
  expect([failures, readFileSync(file, 'utf8') === job.secret, job.secret === old]).toEqual([[], true, false])
  expect(tokens).toBeGreaterThan(10)
  expect((await job.askWith(old)).status).toBe(401)
  expect(readFileSync(log, 'utf8')).toBe('reloaded\nreloaded\n')
  expect(await running.end('SIGTERM')).toBe(0)
  const shown = running.said.out + running.said.errors + rotated.said.out + rotated.said.errors
  expect([old, job.secret, SECRET].filter((secret) => shown.includes(secret))).toEqual([])
})

test('an agent that is killed with SIGKILL over and over ends with the new secret in place, and nothing beside it', async () => {
  const job = await startJob(place)
  await letView(job)
  const [file, old] = [join(folder, 'killed'), job.secret]
  expect(await agent(job, file, '--once').code).toBe(0)
  await job.newSecret()
  for (let n = 0; n < 4; n++) {
    const killed = agent(job, file)
    if (n > 1) {
      await killed.says(/its secret is/)
    }
    await killed.end('SIGKILL')
    expect([old, job.secret].includes(readFileSync(file, 'utf8'))).toBe(true)
  }
  const once = agent(job, file, '--once')
  expect([await once.code, readFileSync(file, 'utf8')]).toEqual([0, job.secret])
  const { ino } = statSync(file)
  const again = agent(job, file, '--once')
  expect([await again.code, again.said.out, statSync(file).ino]).toEqual([
    0,
    expect.stringMatching(/its secret is in/),
    ino,
  ])
})

test('an agent sees its one client and the secret of that, no caller, no other client, and changes nothing', async () => {
  const [job, other] = [await startJob(place), await startJob(place)]
  await letView(job)
  await job.newSecret()
  const state = await asAgent('GET', stateOf(job.clientId))
  expect(state.json()).toMatchObject({
    client_id: job.clientId,
    id: job.uuid,
    rotation: { id: expect.any(String) as string },
  })
  expect(state.text).not.toMatch(/callers|address/)
  const secret = await asAgent('GET', adminOf(`${job.path}/client-secret`))
  expect(secret.json()['value']).toBe(job.secret)
  const refused = [
    await asAgent('GET', stateOf(other.clientId)),
    await asAgent('GET', stateOf('no-such-client')),
    await asAgent('GET', stateOf(job.clientId).replace('/state', '')),
    await asAgent('GET', adminOf(`${other.path}/client-secret`)),
    await asAgent('GET', adminOf('/users')),
    await asAgent('POST', adminOf(`${job.path}/client-secret`), {}),
    await asAgent('PUT', adminOf(job.path), { clientId: job.clientId, description: 'changed' }),
    await asAgent('POST', `${realm.issuer}/logout-relay/containments`, {
      client: other.clientId,
      reason: 'by an agent',
    }),
  ]
  expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 403))
  // Whether a secret is the one of now, only whoever is shown it is told.
  const isNow = async (client: string, text: string) => {
    const answer = await asAgent('POST', stateOf('').replace(/\?.*/, ''), { client, secret: text })
    return [answer.status, answer.json()['current']]
  }
  expect([await isNow(job.clientId, job.secret), await isNow(job.clientId, `${job.secret}x`)]).toEqual([
    [200, true],
    [200, false],
  ])
  expect(await isNow(other.clientId, other.secret)).toEqual([403, undefined])
  // Who may not view all clients is not told which there are.
  const words = ({ text }: { text: string }) => (JSON.parse(text) as { error_description: string }).error_description
  expect(words(refused[0] ?? { text: '' })).toBe(words(refused[1] ?? { text: '' }))
  const nobody = await call('GET', stateOf(job.clientId))
  const job2 = await realm.call(
    'client-rotations/state?client=' + job.clientId,
    undefined,
    (await job.ask()).json().access_token,
  )
  expect([nobody.status, job2.status]).toEqual([401, 403])
})

test('an agent without rights says what it lacks and goes on trying; once it has them it places the secret', async () => {
  const job = await startJob(place)
  const file = join(folder, 'late')
  const once = agent(job, file, '--once')
  expect([await once.code, once.said.errors]).toEqual([
    1,
    expect.stringMatching(/may not view it in Keycloak.*docs\/workloads.md/),
  ])
  const running = agent(job, file)
  await running.says(/may not view it in Keycloak.*trying again in/)
  expect(existsSync(file)).toBe(false)
  const takeBack = await letView(job)
  await running.says(/its secret is now in/)
  expect(readFileSync(file, 'utf8')).toBe(job.secret)
  const refusals = () => running.said.errors.match(/may not view/g)?.length ?? 0
  const before = refusals()
  await takeBack()
  await until('it has lost them', () => refusals() > before, { seconds: 120 })
  await job.newSecret()
  expect(readFileSync(file, 'utf8')).not.toBe(job.secret)
  await letView(job)
  await holds(file, () => job.secret)
})

test('an agent whose own secret is changed goes on with what its file has then', async () => {
  const job = await startJob(place)
  await letView(job)
  const file = join(folder, 'own')
  const running = agent(job, file)
  await running.says(/its secret is now in/)
  const own = `/clients/${await realm.admin.clientUuid(AGENT)}`
  await realm.admin.must('PUT', own, { clientId: AGENT, secret: 'another-of-the-agent' })
  writeFileSync(agentSecret, 'another-of-the-agent')
  await job.newSecret()
  await holds(file, () => job.secret)
})

test('a client that is not there, that has no secret, or by which the agent itself logs in, and no Keycloak, have words', async () => {
  const file = join(folder, 'wrong')
  const errorOf = async (client: string, issuer?: string) => {
    const args = ['agent', '--client', client, '--to', `file:${file}`, '--once']
    const { code, said } = command(args, 'agent', issuer)
    return [await code, said.errors]
  }
  expect(await errorOf(AGENT)).toEqual([78, expect.stringMatching(/is the client by which the agent itself logs in/)])
  const nowhere = `http://127.0.0.1:${await freePort()}/realms/demo`
  expect(await errorOf('nightly', nowhere)).toEqual([1, expect.stringMatching(/No realm answers at .*ECONNREFUSED/)])
  expect(await errorOf('no-such-client')).toEqual([
    1,
    expect.stringMatching(/There is no such client in this realm, or/),
  ])
  await realm.admin.createClient({ clientId: 'without', publicClient: true })
  const account = await realm.admin.userId(`service-account-${AGENT}`)
  await realm.admin.giveRole(account, 'realm-management', 'view-clients')
  await realm.admin.must('PUT', `/clients/${await realm.admin.clientUuid(AGENT)}`, {
    clientId: AGENT,
    fullScopeAllowed: true,
  })
  await nextSecond()
  expect(await errorOf('no-such-client')).toEqual([1, expect.stringMatching(/not one of this realm/)])
  expect(await errorOf('without')).toEqual([1, expect.stringMatching(/without has no secret/)])
  expect(existsSync(file)).toBe(false)
})
