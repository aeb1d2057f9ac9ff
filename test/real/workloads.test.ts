import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALIVE, DEAD, LAST_WORKLOAD_ACTS, WORKLOAD_ACTS, type WorkloadAct } from '../../scripts/matrix/workload-acts.ts'
import { type Places, playWorkload, startPlaces } from '../../scripts/matrix/workloads.ts'
import { call } from '../../scripts/stage/http.ts'
import { until } from '../../scripts/stage/process.ts'
import { type DemoRealm, nextSecond, SECRET, startDemoRealm, type Told } from './demo-realm.ts'
import { type Job, type Place, startJob } from './jobs.ts'

describe.each(['26.5.0', '26.7.3'] as const)('of a workload at Keycloak %s', (version) => {
  let realm: DemoRealm
  let places: Places
  let demo: Place

  beforeAll(async () => {
    realm = await startDemoRealm({ version, features: ['client-secret-rotation'] })
    places = await startPlaces(realm.keycloak)
    demo = places.demo
  })

  afterAll(() => realm.stop())

  const toldOf = async (job: Job): Promise<Told[]> => [
    ...(await realm.told(job.account)),
    ...(await realm.told(job.uuid)),
  ]

  async function shows(one: WorkloadAct): Promise<void> {
    const { trigger, back, stock: expected, livesBecause } = one
    const meanwhile = back && DEAD
    const { job: _job, ...control } = await playWorkload(one, places.stock, true)
    expect(control, 'without the listener').toEqual({ meanwhile, lives: expected })
    const { job, ...seen } = await playWorkload(one, places.demo, false)
    expect(seen, 'with the listener').toEqual({ meanwhile, lives: livesBecause === undefined ? DEAD : expected })
    const told = await toldOf(job)
    expect([...new Set(told.map((event) => event.trigger))]).toEqual(trigger === undefined ? [] : [trigger])
    for (const { containment } of told) {
      expect(containment).toMatchObject({ client: { client_id: job.clientId } })
    }
  }

  test.each(WORKLOAD_ACTS)('$what', shows)

  test('what comes with the new secret is at worst asked to wait for the second to end, and lives', async () => {
    const job = await startJob(demo)
    await job.newSecret()
    const answers: number[] = []
    let token: string | undefined
    while (token === undefined) {
      const answer = await job.ask()
      answers.push(answer.status)
      if (answer.status === 200) {
        token = answer.json().access_token
      } else {
        expect(answer.headers['retry-after'], answer.text).toBe('1')
      }
    }
    expect(answers.slice(0, -1).filter((status) => status !== 503)).toEqual([])
    expect(await job.place.isActive(token)).toBe(true)
    expect((await job.askWith('the old one')).status).toBe(401)
  })

  test('userinfo and token exchange take no token from before', async () => {
    await realm.admin.must('PUT', `/clients/${await realm.admin.clientUuid('checker')}`, {
      attributes: { 'standard.token.exchange.enabled': 'true' },
    })
    const job = await startJob(demo)
    expect(await job.uses()).toEqual([200, 200])
    await job.newSecret()
    expect((await job.uses()).map((status) => status < 400)).toEqual([false, false])
  })

  test('a node that has an older picture of the client in its cache issues nothing for the old secret', async () => {
    const job = await startJob(demo)
    await job.newSecret()
    await nextSecond()
    expect((await job.ask()).status).toBe(200)
    const old: number[] = []
    const known = [job.secret]
    await until('it is asked for what it has an older picture of', async () => {
      // As another node would write it, which this one cannot hear.
      const [before = '', newer] = [known.at(-1), `newer-${known.length}`]
      realm.postgres.psql(`update client set secret = '${newer}' where id = '${job.uuid}'`)
      old.push((await job.askWith(before)).status)
      known.push(newer)
      // Else the event before has just made it forget the client, and it gets the newer picture.
      return old.at(-1) === 503 || (await job.askWith(newer)).status !== 200
    })
    expect(old).not.toContain(200)
    expect(old.at(-1)).toBe(503)
    expect((await job.askWith(known.at(-2) ?? '')).status).toBe(401)
    expect((await job.askWith(known.at(-1) ?? '')).status).toBe(200)
  })

  test('a rotation that keeps the old secret ends nothing; withdrawing that does', async () => {
    await demo.rotate()
    const job = await startJob(demo)
    const old = job.secret
    await job.newSecret()
    expect((await job.askWith(old)).status, 'the old secret is still good').toBe(200)
    expect(await job.alive()).toEqual(ALIVE)
    await job.admin.must('DELETE', `${job.path}/client-secret/rotated`)
    expect((await job.askWith(old)).status).not.toBe(200)
    expect(await job.alive()).toEqual(DEAD)
    expect((await toldOf(job)).map(({ trigger }) => trigger)).toEqual(['client-secret-changed'])
    await demo.rotateNoMore()
  })

  test('an old secret whose time is over ends with what it got, though nobody does anything', async () => {
    await demo.rotate(4)
    const job = await startJob(demo)
    const old = job.secret
    await job.newSecret()
    expect(await job.alive()).toEqual(ALIVE)
    await until('the old secret has gone', async () => !(await job.alive()).some(Boolean), { seconds: 60 })
    expect((await job.askWith(old)).status).not.toBe(200)
    expect((await toldOf(job)).map(({ trigger }) => trigger)).toEqual(['client-secret-changed'])
    await demo.rotateNoMore()
  })

  test('people at the client go on after a new secret, and do not where policy says so', async () => {
    const job = await startJob(demo, { directAccessGrantsEnabled: true })
    await realm.person(`of-${job.clientId}`)
    const login = () => realm.tokens.directGrant(job.clientId, `of-${job.clientId}`, 'password', 'openid', job.secret)
    const lives = async ({ refresh_token }: { refresh_token: string }) =>
      (await job.askFor({ grant_type: 'refresh_token', refresh_token })).status === 200
    const first = await login()
    await job.newSecret()
    expect(await lives(first)).toBe(true)
    await realm.admin.must('PUT', '', {
      attributes: { 'logout-relay.policy.client-secret-changed': 'sessions, people' },
    })
    await job.newSecret()
    await realm.admin.must('PUT', '', { attributes: { 'logout-relay.policy.client-secret-changed': '' } })
    expect(await lives(first)).toBe(false)
    const told = (await toldOf(job)).map(({ containment }) => [containment['client'], containment['steps']])
    expect(told).toContainEqual([{ client_id: job.clientId, all_tokens: false }, undefined])
    expect(told).toContainEqual([{ client_id: job.clientId, all_tokens: true }, { people: 1 }])
    await nextSecond()
    expect(await lives(await login())).toBe(true)
  })

  test('service accounts that are switched off, and on again, give nothing back at a client with people either', async () => {
    const job = await startJob(demo, { directAccessGrantsEnabled: true })
    await job.put({ serviceAccountsEnabled: false })
    await nextSecond()
    await job.put({ serviceAccountsEnabled: true })
    expect(await job.alive()).toEqual(DEAD)
  })

  test('a client without a service account ends for its people when it is disabled, for good', async () => {
    const job = await startJob(demo, { directAccessGrantsEnabled: true, serviceAccountsEnabled: false })
    await realm.person(`of-${job.clientId}`)
    const tokens = await realm.tokens.directGrant(job.clientId, `of-${job.clientId}`, 'password', 'openid', job.secret)
    await job.newSecret()
    expect(await toldOf(job)).toEqual([])
    await job.put({ enabled: false })
    await job.put({ enabled: true, notBefore: 0 })
    const again = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }
    expect((await job.askFor(again)).status).toBe(400)
    expect((await toldOf(job)).map(({ trigger }) => trigger)).toEqual(['client-disabled'])
  })

  test('the registration access token goes where policy says so', async () => {
    await realm.admin.must('PUT', '', {
      attributes: { 'logout-relay.policy.client-secret-changed': 'sessions, registration-token' },
    })
    const job = await startJob(demo)
    const token = await job.registrationToken()
    const read = (bearer: string) =>
      call('GET', `${realm.issuer}/clients-registrations/default/${job.clientId}`, {
        headers: { authorization: `Bearer ${bearer}` },
      })
    await job.newSecret()
    await realm.admin.must('PUT', '', { attributes: { 'logout-relay.policy.client-secret-changed': '' } })
    expect([401, 403]).toContain((await read(token)).status)
    expect((await toldOf(job)).at(-1)?.containment).toMatchObject({ steps: { 'registration-token': 1 } })
    const kept = await startJob(demo)
    const other = await kept.registrationToken()
    await kept.newSecret()
    const answer = await call('GET', `${realm.issuer}/clients-registrations/default/${kept.clientId}`, {
      headers: { authorization: `Bearer ${other}` },
    })
    expect(answer.status, 'without the step it reads the new secret').toBe(200)
  })

  test('somebody’s word ends all of a client, names it and leaves its secret as it is', async () => {
    const job = await startJob(demo)
    const token = await job.registrationToken()
    const contain = async (word: object) => {
      const program = await realm.tokens.serviceAccount('logout-relay-operator', SECRET)
      return realm.call<Record<string, unknown>>('containments', { reason: 'leaked', ...word }, program)
    }
    const dry = await contain({ client: job.clientId, dry_run: true })
    expect(dry.json()).toMatchObject({ subject: job.account, client_id: job.clientId, dry_run: true })
    expect(await job.alive()).toEqual(ALIVE)
    expect((await contain({ client: job.uuid })).status).toBe(200)
    expect(await job.alive()).toEqual(DEAD)
    const [event, ...more] = await toldOf(job)
    expect([event?.trigger, more]).toEqual(['client-contained', []])
    expect(event?.containment).toMatchObject({
      client: { client_id: job.clientId, all_tokens: true },
      asked: { client_id: 'logout-relay-operator', reason: 'leaked' },
      steps: { people: 1, 'registration-token': 1 },
    })
    const read = await call('GET', `${realm.issuer}/clients-registrations/default/${job.clientId}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect([401, 403]).toContain(read.status)
    await nextSecond()
    expect((await job.ask()).status).toBe(200)
    expect((await contain({ client: 'nobody' })).status).toBe(404)
    expect((await contain({ client: job.clientId, user: 'alice' })).status).toBe(400)
  })

  test('shadow mode ends nothing and says what it would', async () => {
    await realm.admin.must('PUT', '', { attributes: { 'logout-relay.mode': 'shadow' } })
    const job = await startJob(demo)
    await job.newSecret()
    await realm.admin.must('PUT', '', { attributes: { 'logout-relay.mode': '' } })
    expect(await job.alive()).toEqual(ALIVE)
    const [event] = await toldOf(job)
    expect(event?.containment).toMatchObject({ shadow: true, client: { client_id: job.clientId, all_tokens: false } })
  })

  test.each(LAST_WORKLOAD_ACTS)('$what', shows)
})
