import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { secretsOf } from '../../relay/idp/keycloak/secrets.ts'
import { call } from '../../scripts/stage/http.ts'
import { until } from '../../scripts/stage/process.ts'
import { type DemoRealm, nextSecond, SECRET, startDemoRealm } from './demo-realm.ts'
import { type Job, type Place, startJob, startPlace } from './jobs.ts'

interface Rotation {
  readonly id: string
  readonly new_seen_ms?: number
  readonly reaches_ms?: number
  readonly old_last_ms?: number
  readonly callers: readonly { secret: string; user_agent: string; uses: number }[]
}

const OPERATOR = 'logout-relay-operator'
const UMA = 'urn:ietf:params:oauth:grant-type:uma-ticket'
let realm: DemoRealm
let place: Place

beforeAll(async () => {
  realm = await startDemoRealm({ features: ['client-secret-rotation'] })
  place = await startPlace(realm.admin, realm.issuer)
  await realm.admin.giveRole(
    await realm.admin.userId(`service-account-${OPERATOR}`),
    'realm-management',
    'manage-clients',
  )
  const checker = await realm.admin.clientUuid('checker')
  await realm.admin.must('PUT', `/clients/${checker}`, { attributes: { 'standard.token.exchange.enabled': 'true' } })
  await realm.admin.must('POST', `/clients/${checker}/protocol-mappers/models`, {
    ...{ name: 'exports', protocol: 'openid-connect', protocolMapper: 'oidc-audience-mapper' },
    config: { 'included.custom.audience': 'exports', 'access.token.claim': 'true' },
  })
  await realm.admin.createClient({
    ...{ clientId: 'exports', secret: SECRET, serviceAccountsEnabled: true, authorizationServicesEnabled: true },
  })
  const server = `/clients/${await realm.admin.clientUuid('exports')}/authz/resource-server`
  const settings = (await realm.admin.must<Record<string, unknown>>('GET', server)).json()
  await realm.admin.must('PUT', server, { ...settings, policyEnforcementMode: 'PERMISSIVE' })
  await realm.admin.must('POST', `${server}/resource`, { name: 'exports' })
  await place.rotate()
  await nextSecond()
})

afterAll(() => realm.stop())

async function report(job: Job) {
  const token = await realm.tokens.serviceAccount(OPERATOR, SECRET)
  const answer = await realm.call<{ now_ms: number; rotation?: Rotation }>(
    `client-rotations?client=${job.clientId}`,
    undefined,
    token,
  )
  expect(answer.status, answer.text).toBe(200)
  const { now_ms, rotation } = answer.json()
  if (rotation === undefined) {
    throw new Error('No rotation is known')
  }
  return { now_ms, ...rotation }
}

/** A job whose rotation is open, and was seen with its new secret. */
async function startRotation(sessions: boolean) {
  const job = await startJob(place)
  await job.put({ attributes: { 'client_credentials.use_refresh_token': String(sessions) } })
  const old = job.secret
  await nextSecond()
  const had = (await job.ask()).json()
  await job.newSecret()
  expect((await job.ask()).status).toBe(200)
  return { job, old, had }
}

/** The nodes have heard of the rotation, and nobody has come with the old secret since. */
const untilQuiet = (job: Job) =>
  until(
    'the old secret is quiet',
    async () => {
      const { now_ms, reaches_ms = Infinity } = await report(job)
      return now_ms > reaches_ms + 1000
    },
    { seconds: 30 },
  )

/** As the command does it. */
async function withdraw(job: Job): Promise<void> {
  const token = await realm.tokens.serviceAccount(OPERATOR, SECRET)
  const url = `${realm.issuer.replace('/realms/', '/admin/realms/')}${job.path}/client-secret/rotated`
  const headers = { authorization: `Bearer ${token}`, 'logout-relay-rotation': (await report(job)).id }
  const answer = await call('DELETE', url, { headers })
  expect([200, 204], answer.text).toContain(answer.status)
}

/** What Keycloak itself takes it for, whomever it is for. */
async function isKnown(token: string): Promise<boolean> {
  const url = `${realm.issuer}/protocol/openid-connect/token/introspect`
  const answers = await Promise.all(
    [
      { client_id: 'exports', client_secret: SECRET },
      { client_id: 'checker', client_secret: 'of-the-checker' },
    ].map((form) => call<{ active: boolean }>('POST', url, { form: { token, ...form } })),
  )
  return answers.some((answer) => answer.status === 200 && answer.json().active)
}

const permission = (bearer: string) =>
  call<{ access_token: string }>('POST', `${realm.issuer}/protocol/openid-connect/token`, {
    headers: { authorization: `Bearer ${bearer}` },
    form: { grant_type: UMA, audience: 'exports', permission: 'exports' },
  })

test('the old secret does not buy the new one', async () => {
  const { job, old } = await startRotation(false)
  const url = `${realm.issuer}/clients-registrations/install/${job.clientId}`
  const install = (secret: string) =>
    call('GET', url, {
      headers: { authorization: `Basic ${Buffer.from(`${job.clientId}:${secret}`).toString('base64')}` },
    })
  const bought = await install(old)
  expect([bought.status < 400, bought.text.includes(job.secret)]).toEqual([false, false])
  expect((await install(job.secret)).text, 'who has the new one may read it').toContain(job.secret)
})

test('a permission that was got for a permission for a token of the old secret is dead', async () => {
  const { job, had } = await startRotation(false)
  const first = await permission(had.access_token)
  expect(first.status, first.text).toBe(200)
  await untilQuiet(job)
  const before = (await report(job)).reaches_ms ?? 0
  const chained = await permission(first.json().access_token)
  expect(chained.status, chained.text).toBe(200)
  expect((await report(job)).reaches_ms).toBeGreaterThan(before)
  await nextSecond()
  const own = (await job.ask()).json().access_token
  const ownPermission = (await permission(own)).json().access_token
  const areActive = () => Promise.all([had.access_token, chained.json().access_token, own, ownPermission].map(isKnown))
  expect(await areActive()).toEqual([true, true, true, true])
  await withdraw(job)
  await nextSecond()
  expect(await areActive()).toEqual([false, false, true, true])
})

test('what another client got for a token of the old secret is dead', async () => {
  const { job, had } = await startRotation(false)
  const first = await place.exchange(had.access_token)
  expect(first.status, first.text).toBe(200)
  await untilQuiet(job)
  const chained = await place.exchange(had.access_token)
  const again = await place.exchange(first.json().access_token)
  expect(chained.status, chained.text).toBe(200)
  await nextSecond()
  const own = (await job.ask()).json().access_token
  const ofOwn = (await place.exchange(own)).json().access_token
  const got = [had.access_token, chained.json().access_token, again.json().access_token, own, ofOwn]
  const areActive = () => Promise.all(got.map(isKnown))
  expect(await areActive()).toEqual(got.map(() => true))
  await withdraw(job)
  await nextSecond()
  expect(await areActive()).toEqual([false, false, false, true, true])
})

test('the last use of the old secret never moves back, whatever the order of commits', async () => {
  const { job, old } = await startRotation(false)
  const later = Date.now() + 60_000
  await nextSecond()
  // Another node's use, a little later by the database's clock. It is committed once the use at this node waits for it.
  const sql = `begin;
    update logout_relay_rotation set old_last_ms = ${later} where client_uuid = '${job.uuid}';
    do $$ begin for turn in 1..600 loop
      exit when exists (select from pg_locks where not granted);
      perform pg_sleep(0.05);
    end loop; end $$;
    commit`
  const psql = `exec $(ls -d /usr/lib/postgresql/*/bin | tail -1)/psql -h 127.0.0.1 -p "$1" -U keycloak -d postgres -qc "$2"`
  const other = promisify(execFile)('sh', ['-c', psql, 'sh', String(realm.postgres.port), sql])
  await until('the other use is written and not committed', () =>
    Promise.resolve(
      realm.postgres.psql(
        "select count(*) from pg_stat_activity where query like 'begin;%' and pid <> pg_backend_pid()",
      ) !== '0',
    ),
  )
  const answer = await job.askWith(old)
  await other
  expect(answer.status, answer.text).toBe(200)
  expect((await report(job)).old_last_ms).toBe(later)
})

test('whoever has no secret at all cannot make a caller with the old one nameless', async () => {
  const { job, old } = await startRotation(false)
  const ask = (userAgent: string, client_secret: string) =>
    call('POST', `${realm.issuer}/protocol/openid-connect/token`, {
      headers: { 'user-agent': userAgent },
      form: { grant_type: 'client_credentials', client_id: job.clientId, client_secret },
    })
  let noise = 0
  await until('there is room for no more of them', async () => {
    for (let n = 0; n < 30; n++) {
      expect((await ask(`noise-${noise++}`, 'wrong')).status).toBe(401)
    }
    const { callers } = await report(job)
    return callers.some(({ secret, user_agent }) => secret === 'refused' && user_agent === '')
  })
  expect((await ask('forgotten-job', old)).status).toBe(200)
  await until('the forgotten job is named', async () => {
    const { callers } = await report(job)
    return callers.some(({ secret, user_agent }) => secret === 'old' && user_agent === 'forgotten-job')
  })
})

test('keys that are changed in the same request as the old secret is withdrawn are refused, since what they got would live on', async () => {
  const { job, old } = await startRotation(false)
  const token = await realm.tokens.serviceAccount(OPERATOR, SECRET)
  const withdrawing = async (attributes: Record<string, string>) => {
    const gone = ['', '.creation.time', '.expiration.time'].map((end) => [`client.secret.rotated${end}`, ''])
    const url = `${realm.issuer.replace('/realms/', '/admin/realms/')}${job.path}`
    const headers = { authorization: `Bearer ${token}`, 'logout-relay-rotation': (await report(job)).id }
    return call('PUT', url, {
      headers,
      json: { clientId: job.clientId, attributes: { ...(Object.fromEntries(gone) as object), ...attributes } },
    })
  }
  const keys = { 'use.jwks.url': 'true', 'jwks.url': 'https://keys.example.org' }
  const both = await withdrawing(keys)
  expect([both.status, both.text]).toEqual([400, expect.stringContaining('and nothing else that it proves itself by')])
  expect((await job.askWith(old)).status, 'nothing was withdrawn').toBe(200)
  const alone = await withdrawing({})
  expect([200, 204], alone.text).toContain(alone.status)
  expect((await job.askWith(old)).status).not.toBe(200)
})

test('from a node that has not heard of a new secret none is taken but that one', async () => {
  const job = await startJob(place)
  const old = job.secret
  const operator = () => realm.tokens.serviceAccount(OPERATOR, SECRET)
  const shown = async () => {
    await job.readSecret()
    return job.secret
  }
  expect(await shown()).toBe(old)
  // As another node writes it, which this one cannot hear.
  realm.postgres.psql(`update client set secret = 'made-elsewhere' where id = '${job.uuid}'`)
  expect(await shown(), 'Keycloak itself shows the one of before').toBe(old)
  expect(await secretsOf(realm.issuer, job.clientId, operator).current(job.uuid)).toBe('made-elsewhere')
  const judge = (body: object) => operator().then((token) => realm.call('client-rotations', body, token))
  const answers = await Promise.all(
    [{ secret: 'made-elsewhere' }, { secret: old }, {}].map((more) => judge({ client: job.clientId, ...more })),
  )
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 400])
  expect(answers.slice(0, 2).map((answer) => answer.json())).toEqual([{ current: true }, { current: false }])
  const relay = await realm.call('client-rotations', { client: job.clientId, secret: old })
  expect(relay.status, 'the relay itself may not ask').toBe(403)
})

test('a rotation whose new secret nobody ever came with is forgotten 90 days after its end', async () => {
  const unseen = await startJob(place)
  await unseen.newSecret()
  const rows = () => realm.postgres.psql(`select id from logout_relay_rotation where client_uuid = '${unseen.uuid}'`)
  const retired = (days: number) =>
    realm.postgres.psql(
      `update logout_relay_rotation set retired_ms = ${Date.now() - days * 86_400_000} where client_uuid = '${unseen.uuid}'`,
    )
  retired(89)
  expect(rows()).not.toBe('')
  retired(91)
  await until('it is forgotten', () => Promise.resolve(rows() === ''), { seconds: 60 })
})

const TOKEN = { grant_type: 'client_credentials' }
const base64 = (text: string) => Buffer.from(text).toString('base64')
const percent = (text: string) => Buffer.from(text).toString('hex').replaceAll(/../g, '%$&')

/** Each way in which the secret can be brought. */
const WAYS: readonly ((id: string, secret: string) => readonly [headers: Record<string, string>, form: object])[] = [
  (client_id, client_secret) => [{}, { client_id, client_secret }],
  (id, secret) => [{ authorization: `Basic ${base64(`${id}:${secret}`)}` }, {}],
  (id, secret) => [{ authorization: `basic ${base64(`${id}:${percent(secret)}`)}` }, {}],
  (client_id, client_secret) => [{ authorization: `Basic ${base64('other:other')}` }, { client_id, client_secret }],
  (client_id, client_secret) => [{}, { client_id, client_secret, grant_type: UMA, audience: 'exports' }],
]

/** Uses the old secret over and over, in all ways at once. */
function startThief(job: Job, old: string) {
  const got: string[] = []
  let stopped = false
  const work = async (way: (typeof WAYS)[number], path: string) => {
    while (!stopped) {
      const [headers, form] = way(job.clientId, old)
      const url = `${realm.issuer}/protocol/openid-connect/${path}`
      const answer = await call<{ access_token: string }>('POST', url, { headers, form: { ...TOKEN, ...form } })
      if (answer.status === 200) {
        got.push(answer.json().access_token)
      }
    }
  }
  const all = Promise.all(WAYS.map((way, index) => work(way, index % 2 === 0 ? 'token' : 'token/')))
  const stop = async () => {
    stopped = true
    await all
  }
  onTestFinished(stop)
  return { got, stop }
}

const onTheEdge = () => until('a second is nearly over', () => Promise.resolve(Date.now() % 1000 > 960), { everyMs: 1 })

test.each([
  { sessions: false, edge: false },
  { sessions: false, edge: true },
  { sessions: true, edge: true },
])(
  'nothing lives that a thief got who goes on across the end, in every way (sessions: $sessions, on the edge of a second: $edge)',
  async ({ sessions, edge }) => {
    const { job, old } = await startRotation(sessions)
    const thief = startThief(job, old)
    await until(
      'the five seconds are over',
      async () => {
        const { now_ms, new_seen_ms = Infinity } = await report(job)
        return now_ms > new_seen_ms + 6000 && thief.got.length > 40
      },
      { seconds: 60 },
    )
    await (edge ? onTheEdge() : Promise.resolve())
    await withdraw(job)
    await nextSecond()
    await thief.stop()
    expect((await job.askWith(old)).status).toBe(401)
    expect((await Promise.all(thief.got.map(isKnown))).filter(Boolean)).toEqual([])
    expect(await isKnown((await job.ask()).json().access_token)).toBe(true)
  },
)
