import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call } from '../../scripts/stage/http.ts'
import { until } from '../../scripts/stage/process.ts'
import { nextSecond, shareDemoRealm, type SharedDemoRealm, startDemoRealm } from './demo-realm.ts'
import { type Job, type Place, startJob, startPlace, Thief } from './jobs.ts'

const UMA = 'urn:ietf:params:oauth:grant-type:uma-ticket'

interface Change {
  readonly what: string
  readonly act: (job: Job) => Promise<unknown>
}

/** A commit that comes in another second than the change began in. */
const onTheEdge = () => until('a second is nearly over', () => Promise.resolve(Date.now() % 1000 > 985), { everyMs: 1 })

const CHANGES: readonly Change[] = [
  { what: 'a new secret', act: (job) => job.newSecret() },
  { what: 'two new secrets at once', act: (job) => Promise.allSettled([job.newSecret(), job.newSecret()]) },
  { what: 'a new secret on the edge of a second', act: (job) => onTheEdge().then(() => job.newSecret()) },
]

/** A client that comes back under its name; with what it had before, since its tokens name no more than that. */
const COMEBACKS: readonly Change[] = [
  {
    what: 'deleted and made anew',
    act: async (job) => {
      await job.admin.must('DELETE', job.path)
      await job.admin.createClient(job.again())
    },
  },
  {
    what: 'replaced by an import',
    act: (job) =>
      job.admin.must('POST', '/partialImport', {
        ifResourceExists: 'OVERWRITE',
        clients: [job.again()],
        users: [job.accountAgain()],
      }),
  },
  {
    what: 'disabled and enabled',
    act: async (job) => {
      await job.put({ enabled: false })
      await job.put({ enabled: true })
    },
  },
  {
    what: 'without its service account and with it',
    act: async (job) => {
      await job.put({ serviceAccountsEnabled: false })
      await job.put({ serviceAccountsEnabled: true })
    },
  },
]

describe.each(['26.5.0', '26.7.3'] as const)('who has stolen the secret of a workload at Keycloak %s', (version) => {
  let realm: SharedDemoRealm
  let place: Place

  beforeAll(async () => {
    realm = version === '26.5.0' ? await startDemoRealm({ version }) : await shareDemoRealm('workload-attacks')
    place = await startPlace(realm.admin, realm.issuer)
  })

  afterAll(() => realm.stop())

  /** What the workload itself gets, which is at worst asked to wait. */
  async function goesOn(job: Job): Promise<string[]> {
    const got: string[] = []
    while (got.length < 5) {
      const answer = await job.ask()
      if (answer.status === 200) {
        got.push(answer.json().access_token)
      } else {
        expect(answer.status, answer.text).toBe(503)
      }
    }
    return got
  }

  const locks = (granted: boolean) =>
    Number(
      realm.postgres.psql(
        `select count(*) from pg_locks where relation = 'user_role_mapping'::regclass and granted = ${granted} and (mode = 'AccessExclusiveLock' or not granted)`,
      ),
    )
  const isLocked = () => locks(true) > 0
  const isWaitedFor = () => locks(false) > 0

  const areActive = (tokens: readonly string[]) => Promise.all(tokens.map((token) => place.isActive(token)))

  test.each(CHANGES.flatMap((change) => [true, false].map((sessions) => ({ ...change, sessions }))))(
    '$what: what is got in a loop meanwhile is dead, and what comes with the new one lives (sessions: $sessions)',
    async ({ act, sessions }) => {
      const job = await startJob(place)
      await job.put({ attributes: { 'client_credentials.use_refresh_token': String(sessions) } })
      const thief = new Thief(job)
      await until('the thief is at work', () => Promise.resolve(thief.tokens.length > 10))
      await act(job)
      await job.readSecret()
      await goesOn(job)
      await thief.refused
      await until('nothing of the thief’s lives', async () => !(await areActive(thief.tokens)).includes(true))
      const refreshes = thief.refreshTokens.map((refresh_token) =>
        job.askFor({ grant_type: 'refresh_token', refresh_token }),
      )
      expect((await Promise.all(refreshes)).map(({ status }) => status).filter((status) => status < 400)).toEqual([])
      expect(thief.refreshTokens.length > 0).toBe(sessions)
      // What was got between the commit and the end of its second ends with that second, and is asked for again.
      let own: string[] = []
      await until('what comes with the new secret lives', async () => {
        own = await goesOn(job)
        return !(await areActive(own)).includes(false)
      })
      expect(await areActive(own)).toEqual(own.map(() => true))
    },
  )

  test('a request that is under way at the change gets nothing, and is asked to come again', async () => {
    const job = await startJob(place)
    await job.put({ attributes: { 'client_credentials.use_refresh_token': 'false' } })
    await job.newSecret()
    await nextSecond()
    await goesOn(job)
    // It waits for what its service account may do: by then the gate has let it pass.
    await realm.admin.must('PUT', `/users/${job.account}`, { firstName: 'Nightly' })
    const held = realm.postgres
      .psqlMeanwhile('begin; lock table user_role_mapping in access exclusive mode; select pg_sleep(120)')
      .catch(() => 'cancelled')
    await until('what it waits for is locked', () => Promise.resolve(isLocked()))
    const underWay = job.ask()
    await until('it waits', () => Promise.resolve(isWaitedFor()))
    // A change would wait for the same: what it writes for the gate is written here.
    realm.postgres.psql(`insert into logout_relay_watermark select new.* from logout_relay_watermark one,
      jsonb_populate_record(one, jsonb_build_object('id', '${randomUUID()}', 'watermark_ms', ${Date.now() + 1000})) new
      where one.user_id = '${job.account}' limit 1`)
    realm.postgres.psql(`select pg_cancel_backend(pid) from pg_locks
      where relation = 'user_role_mapping'::regclass and granted and mode = 'AccessExclusiveLock'`)
    expect(await held).toBe('cancelled')
    const answer = await underWay
    expect(answer.status).toBe(503)
    expect(answer.text).toContain('ask again')
  })

  test.each(COMEBACKS)('of a client that is $what nothing from before comes back', async ({ act }) => {
    const job = await startJob(place)
    // In the very second as well.
    await nextSecond()
    const last = (await job.ask()).json().access_token
    await act(job)
    expect([...(await job.alive()), await place.isActive(last)]).toEqual([false, false, false, false])
    await nextSecond()
    expect([...(await job.alive()), await place.isActive(last)]).toEqual([false, false, false, false])
    const own = await goesOn(job)
    expect(await areActive(own)).toEqual(own.map(() => true))
  })

  test('a client that was disabled where nobody saw it, after an event, gives nothing back when it is enabled', async () => {
    const job = await startJob(place)
    await job.newSecret()
    await nextSecond()
    const between = await goesOn(job)
    expect(await areActive(between)).not.toContain(false)
    realm.postgres.psql(`update client set enabled = false where id = '${job.uuid}'`)
    await job.put({ enabled: true })
    expect(await areActive(between)).not.toContain(true)
  })

  test('a token without a session from before reads no client by registration, and makes none', async () => {
    const job = await startJob(place)
    await job.put({ attributes: { 'client_credentials.use_refresh_token': 'false' } })
    const management = await realm.admin.clientUuid('realm-management')
    const role = (await realm.admin.must('GET', `/clients/${management}/roles/manage-clients`)).json()
    await realm.admin.must('POST', `/users/${job.account}/role-mappings/clients/${management}`, [role])
    await nextSecond()
    const headers = { authorization: `Bearer ${(await job.ask()).json().access_token}` }
    const registrations = `${realm.issuer}/clients-registrations/default`
    const read = () => call('GET', `${registrations}/${job.clientId}`, { headers })
    expect((await read()).text).toContain(job.secret)
    await job.newSecret()
    await nextSecond()
    const after = await read()
    expect([after.status < 400, after.text.includes(job.secret)]).toEqual([false, false])
    const clientId = `of-a-thief-${randomUUID()}`
    await call('POST', registrations, { headers, json: { clientId } })
    expect((await realm.admin.must('GET', `/clients?clientId=${clientId}`)).json()).toEqual([])
    const anew = await goesOn(job)
    const answer = await call('GET', `${registrations}/${job.clientId}`, {
      headers: { authorization: `Bearer ${anew[0]}` },
    })
    expect(answer.text, 'who comes with the new secret goes on').toContain(job.secret)
  })

  test('a token without a session from before is exchanged for none', async () => {
    const checker = await realm.admin.clientUuid('checker')
    await realm.admin.must('PUT', `/clients/${checker}`, { attributes: { 'standard.token.exchange.enabled': 'true' } })
    const job = await startJob(place)
    await job.put({ attributes: { 'client_credentials.use_refresh_token': 'false' } })
    const token = (await job.ask()).json().access_token
    expect((await place.exchange(token)).status).toBe(200)
    await job.newSecret()
    expect((await place.exchange(token)).status).toBeGreaterThanOrEqual(400)
    await nextSecond()
    expect((await place.exchange(token)).status).toBeGreaterThanOrEqual(400)
  })

  test('a node with an older picture of the client gives no permissions for the old secret either', async () => {
    const job = await startJob(place)
    await job.put({ authorizationServicesEnabled: true })
    const server = `${job.path}/authz/resource-server`
    const settings = (await job.admin.must<Record<string, unknown>>('GET', server)).json()
    await job.admin.must('PUT', server, { ...settings, policyEnforcementMode: 'PERMISSIVE' })
    await job.admin.must('POST', `${server}/resource`, { name: 'exports' })
    const permission = () => job.askFor({ grant_type: UMA, audience: job.clientId, permission: 'exports' })
    const before = await permission()
    expect(before.status, before.text).toBe(200)
    await job.newSecret()
    await nextSecond()
    expect((await permission()).status, 'with the new secret').toBe(200)
    realm.postgres.psql(`update client set secret = 'newer' where id = '${job.uuid}'`)
    // It is found out at the first request, unless the node has read the client anew by itself.
    expect([401, 503]).toContain((await permission()).status)
    expect((await permission()).status).toBe(401)
  })

  // Last of those that end something: a not-before of a realm does not go back.
  test('a not-before of the realm counts at a client that has had an event as well', async () => {
    const job = await startJob(place)
    await job.newSecret()
    await nextSecond()
    const tokens = await goesOn(job)
    expect(await areActive(tokens)).not.toContain(false)
    await nextSecond()
    await realm.admin.must('PUT', '', { notBefore: Math.floor(Date.now() / 1000) })
    expect(await areActive(tokens)).not.toContain(true)
    const { notBefore } = (await job.admin.must<{ notBefore: number }>('GET', job.path)).json()
    expect(notBefore).toBe((await realm.admin.must<{ notBefore: number }>('GET', '')).json().notBefore)
  })

  test('a client that is saved as it is, a person of its name and what else does not concern it end nothing', async () => {
    const job = await startJob(place)
    const all = (await job.admin.must<Record<string, unknown>>('GET', job.path)).json()
    await job.admin.must('PUT', job.path, all)
    await job.put({ name: 'another', redirectUris: ['https://another.example.org/*'], secret: job.secret })
    const person = await realm.person(job.clientId)
    await realm.admin.resetPassword(person, 'another')
    await realm.admin.must('DELETE', `/users/${person}`)
    await realm.admin.createClient({ clientId: `${job.clientId}-2`, serviceAccountsEnabled: true })
    await realm.admin.must('PUT', `/users/${job.account}`, { firstName: 'Nightly' })
    expect(await job.alive()).toEqual([true, true, true])
    expect([await realm.told(job.account), await realm.told(job.uuid)]).toEqual([[], []])
  })
})
