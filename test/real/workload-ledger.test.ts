import { randomUUID } from 'node:crypto'
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RealmAdmin } from '../../scripts/stage/admin.ts'
import { DEMO_REALM } from '../../scripts/stage/demo-realm.ts'
import { call } from '../../scripts/stage/http.ts'
import { type KeycloakServer, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { type Postgres, startPostgres } from '../../scripts/stage/postgres.ts'
import { until } from '../../scripts/stage/process.ts'
import { type Audit, audit } from './audit-command.ts'
import { DEMO_ENV, nextSecond, SECRET } from './demo-realm.ts'
import { inCommon } from './in-common.ts'
import { type Place, startJob, startPlace } from './jobs.ts'

/** As docs/protocol.md has it. */
interface Row {
  readonly client_id?: string
  readonly kind: string
  readonly account: string
  readonly service_account: boolean
  readonly address: string
  readonly auth_method: string
  readonly key: string
  readonly uses: number
  readonly first_ms: number
  readonly last_ms: number
  readonly longest_s?: number
  readonly latest_end?: number
  readonly offline_token_ms?: number
}

/** Keycloak wants TLS from public ones. */
const FROM_AFAR = '10.0.3.7'

describe.each([
  ['26.5.0', 'H2'],
  ['26.7.3', 'PostgreSQL'],
] as const)('at Keycloak %s on %s', (version, database) => {
  let postgres: Postgres | undefined
  let keycloak: KeycloakServer
  let admin: RealmAdmin
  let place: Place
  let auditor: () => Promise<string>

  beforeAll(async () => {
    postgres = database === 'H2' ? undefined : await startPostgres()
    const common = inCommon(version)
    keycloak = await startKeycloak({
      ...{ ...common, options: [...common.options, '--proxy-headers=xforwarded'], realms: [DEMO_REALM], env: DEMO_ENV },
      ...(postgres === undefined ? {} : { postgres }),
    })
    admin = new RealmAdmin(keycloak.admin, 'demo')
    place = await startPlace(admin, keycloak.issuer('demo'))
    await admin.createClient({ clientId: 'auditor', secret: SECRET, serviceAccountsEnabled: true })
    await admin.giveRole(await admin.userId('service-account-auditor'), 'realm-management', 'view-clients')
    auditor = () => place.tokens.serviceAccount('auditor', SECRET)
  })

  afterAll(async () => {
    await keycloak.stop()
    await postgres?.stop()
  })

  async function ask(path: string, token: string) {
    return call<{ workloads: Row[] }>('GET', `${place.issuer}/logout-relay/workloads${path}`, {
      headers: { authorization: `Bearer ${token}` },
    })
  }

  /** What is written of the client once it is as much as that. */
  async function given(clientId: string, uses: number): Promise<Row[]> {
    let rows: Row[] = []
    await until(`${uses} uses of ${clientId} are written`, async () => {
      const answer = await ask(`?client=${clientId}`, await auditor())
      expect(answer.status, answer.text).toBe(200)
      rows = answer.json().workloads
      return rows.reduce((sum, row) => sum + row.uses, 0) >= uses
    })
    return rows
  }

  const shown = (rows: Row[]) =>
    rows.map((row) => [row.kind, row.address, row.auth_method, row.key, row.uses].join(' ')).toSorted()

  function askFrom(address: string, form: Record<string, string>) {
    return call<{ access_token: string; refresh_token: string }>(
      'POST',
      `${place.issuer}/protocol/openid-connect/token`,
      { headers: { 'x-forwarded-for': address }, form },
    )
  }

  test('each way in which a workload was given tokens is kept once, with how often, and nothing of what was refused', async () => {
    const before = Date.now()
    const job = await startJob(place)
    const secret = { client_id: job.clientId, client_secret: job.secret }
    for (const form of [secret, secret, { ...secret, client_secret: 'wrong' }]) {
      await askFrom(FROM_AFAR, { grant_type: 'client_credentials', ...form })
    }
    await job.askFor({ grant_type: 'client_credentials', scope: 'offline_access' })
    const rows = await given(job.clientId, 6)
    expect(shown(rows)).toEqual([
      `client_credentials ${FROM_AFAR} client-secret  2`,
      'client_credentials 127.0.0.1 client-secret  3',
      'refresh_token 127.0.0.1 client-secret  1',
    ])
    for (const row of rows) {
      expect(row).toMatchObject({
        client_id: job.clientId,
        account: job.account,
        service_account: true,
        longest_s: 300,
      })
      expect(row.first_ms).toBeLessThanOrEqual(row.last_ms)
      expect(Number(row.latest_end) * 1000 - 300_000).toBeLessThanOrEqual(row.last_ms)
      expect(row.last_ms).toBeGreaterThan(before - 60_000)
    }
    expect(rows.map((row) => row.offline_token_ms !== undefined)).toEqual(
      rows.map((row) => row.kind === 'client_credentials' && row.address === '127.0.0.1'),
    )
  })

  test('a token that is exchanged for a service account’s is kept at whoever has got it, and a person’s is not', async () => {
    await admin.must('PUT', `/clients/${await admin.clientUuid('checker')}`, {
      attributes: { 'standard.token.exchange.enabled': 'true' },
    })
    const job = await startJob(place, { directAccessGrantsEnabled: true })
    await job.uses()
    await admin.createUser(`of-${job.clientId}`, 'password')
    const person = await place.tokens.directGrant(job.clientId, `of-${job.clientId}`, 'password', 'openid', job.secret)
    expect((await place.exchange(person.access_token)).status).toBe(200)
    // A later one of the same client: whatever was counted before it is written by then.
    await job.uses()
    const rows = (await given('checker', 2)).filter(({ kind }) => kind === 'token-exchange')
    expect(rows.map(({ account, service_account, uses }) => [account, service_account, uses])).toEqual([
      [job.account, true, 2],
    ])
  })

  test('private_key_jwt is kept with the key, and with the life of the client’s tokens', async () => {
    const clientId = `signer-${randomUUID()}`
    const { publicKey, privateKey } = await generateKeyPair('RS256')
    const keys = [{ ...(await exportJWK(publicKey)), kid: 'of-2026', use: 'sig', alg: 'RS256' }]
    await admin.createClient({
      ...{ clientId, serviceAccountsEnabled: true, clientAuthenticatorType: 'client-jwt' },
      attributes: {
        ...{ 'use.jwks.string': 'true', 'jwks.string': JSON.stringify({ keys }), 'access.token.lifespan': '60' },
      },
    })
    const client_assertion = await new SignJWT({ jti: randomUUID() })
      .setProtectedHeader({ alg: 'RS256', kid: 'of-2026' })
      .setIssuer(clientId)
      .setSubject(clientId)
      .setAudience(place.issuer)
      .setIssuedAt()
      .setExpirationTime('1m')
      .sign(privateKey)
    const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
    const answer = await askFrom(FROM_AFAR, {
      ...{ grant_type: 'client_credentials', client_id: clientId, client_assertion, client_assertion_type: type },
    })
    expect(answer.status, answer.text).toBe(200)
    const [row, ...more] = await given(clientId, 1)
    expect(more).toEqual([])
    expect(row).toMatchObject({ auth_method: 'client-jwt', key: 'of-2026', address: FROM_AFAR, longest_s: 60 })
    const { exp = 0 } = decodeJwt(answer.json().access_token)
    expect(Math.abs(Number(row?.latest_end) - exp)).toBeLessThanOrEqual(1)
  })

  test('a use of a secret is kept whatever else it brings, and names no key that Keycloak has not verified by', async () => {
    const job = await startJob(place)
    const made = (header: string) => `${Buffer.from(header).toString('base64url')}.e30.c2ln`
    const others = [
      { assertion: made('null') },
      { assertion: made('{"alg":"none","kid":"made-up"}') },
      { client_assertion: made('{"alg":"none","kid":"made-up"}') },
    ]
    const grant = { grant_type: 'client_credentials', client_id: job.clientId, client_secret: job.secret }
    for (const other of others) {
      const answer = await askFrom(FROM_AFAR, { ...grant, ...other })
      expect(answer.status, answer.text).toBe(200)
    }
    expect(shown(await given(job.clientId, 6))).toContain(`client_credentials ${FROM_AFAR} client-secret  3`)
  })

  test('whoever has filled the room of a secret hides nobody who uses it later', async () => {
    const job = await startJob(place)
    const grant = { grant_type: 'client_credentials', client_id: job.clientId, client_secret: job.secret }
    for (let n = 1; n <= 110; n++) {
      await askFrom(`10.0.4.${n}`, grant)
    }
    await given(job.clientId, 113)
    await askFrom(FROM_AFAR, grant)
    const rows = (await given(job.clientId, 114)).filter(({ kind }) => kind === 'client_credentials')
    expect(shown(rows)).toContain(`client_credentials ${FROM_AFAR} client-secret  1`)
    // One more where the row of the others came last.
    expect([100, 101]).toContain(rows.length)
  })

  test('tokens to register clients with are kept: who made them, and who came with them', async () => {
    const job = await startJob(place)
    const first = await job.registrationToken()
    const registered = (token: string, method: 'POST' | 'GET', path: string, json?: object) =>
      call<{ clientId: string }>(method, `${place.issuer}/clients-registrations/default${path}`, {
        headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': FROM_AFAR },
        json,
      })
    expect((await registered(first, 'GET', `/${job.clientId}`)).status).toBe(200)
    const rows = (await given(job.clientId, 5)).filter(({ kind }) => kind === 'registration-access-token')
    expect(shown(rows)).toEqual([
      `registration-access-token ${FROM_AFAR} registration-access-token  1`,
      'registration-access-token 127.0.0.1 admin  1',
    ])
    expect(
      rows.flatMap(({ longest_s, latest_end }) => [longest_s, latest_end]).filter((end) => end !== undefined),
    ).toEqual([])

    const initial = (
      await admin.must<{ token: string }>('POST', '/clients-initial-access', { expiration: 600, count: 1 })
    ).json()
    const clientId = `new-${randomUUID()}`
    expect((await registered(initial.token, 'POST', '', { clientId })).status).toBe(201)
    expect(shown(await given(clientId, 1))).toEqual([`registration-access-token ${FROM_AFAR} initial-access-token  1`])
    const all = (await ask('', await auditor())).json().workloads
    expect(all.filter(({ kind }) => kind === 'initial-access-token')).toMatchObject([
      { auth_method: 'admin', address: '127.0.0.1', longest_s: 600, uses: 1 },
    ])
  })

  test('of people a direct grant and the use of an offline token are kept, and no other login or refresh', async () => {
    const clientId = `cli-${randomUUID()}`
    await admin.createClient({ clientId, publicClient: true, directAccessGrantsEnabled: true })
    const user = await admin.createUser(`of-${clientId}`, 'password')
    const form = { client_id: clientId, username: `of-${clientId}`, password: 'password' }
    const refresh = async (scope: string) => {
      const { refresh_token } = (await askFrom(FROM_AFAR, { grant_type: 'password', scope, ...form })).json()
      const answer = await askFrom(FROM_AFAR, { grant_type: 'refresh_token', client_id: clientId, refresh_token })
      expect(answer.status, answer.text).toBe(200)
    }
    await refresh('openid')
    await refresh('openid offline_access')
    const rows = await given(clientId, 3)
    expect(shown(rows)).toEqual([`password ${FROM_AFAR} none  2`, `refresh_token ${FROM_AFAR} none  1`])
    expect(rows.map(({ account, service_account }) => [account, service_account])).toEqual([
      [user, false],
      [user, false],
    ])
  })

  test('the evidence of a workload says how it had got tokens, from where and when last', async () => {
    const job = await startJob(place)
    const rows = await given(job.clientId, 3)
    await job.newSecret()
    const authorization = `Bearer ${await place.tokens.serviceAccount('logout-relay', SECRET)}`
    let told: { client: { used?: { kinds: string[]; addresses: string[]; last_ms: number } } } | undefined
    await until('the event is told', async () => {
      const answer = await call<{ sets: Record<string, string> }>('POST', `${place.issuer}/logout-relay/outbox`, {
        headers: { authorization },
        json: { maxEvents: 50 },
      })
      const own = Object.values(answer.json().sets)
        .map((set) =>
          decodeJwt<{ sub_id: { sub: string }; events: Record<string, { 'logout-relay': typeof told }> }>(set),
        )
        .find(({ sub_id }) => sub_id.sub === job.account)
      told = Object.values(own?.events ?? {})[0]?.['logout-relay']
      return told !== undefined
    })
    expect(told?.client).toMatchObject({ client_id: job.clientId, used: { addresses: ['127.0.0.1'] } })
    expect(told?.client.used?.kinds.toSorted()).toEqual(['client_credentials', 'refresh_token'])
    expect(told?.client.used?.last_ms).toBe(Math.max(...rows.map(({ last_ms }) => last_ms)))
  })

  test('the audit lists a service account with its secret, its use and its tokens, and a person’s account that looks like a job', async () => {
    for (const role of ['view-realm', 'view-identity-providers']) {
      await admin.giveRole(await admin.userId('service-account-auditor'), 'realm-management', role)
    }
    const job = await startJob(place, { directAccessGrantsEnabled: true })
    const user = await admin.createUser(`of-${job.clientId}`, 'password')
    await place.tokens.directGrant(job.clientId, `of-${job.clientId}`, 'password', 'openid', job.secret)
    await askFrom(FROM_AFAR, {
      ...{ grant_type: 'client_credentials', client_id: job.clientId, client_secret: job.secret },
    })
    const rows = await given(job.clientId, 5)
    await job.put({
      attributes: { 'client.secret.creation.time': String(Math.floor(Date.now() / 1000) - 400 * 86_400) },
    })
    // As if it had gone on for three weeks, which the test has not.
    postgres?.psql(
      `update logout_relay_workload set first_ms = first_ms - 1728000000, days = 21, hours = 4 where account_id = '${user}'`,
    )
    const env = { LOGOUT_RELAY_AUDIT_CLIENT_ID: 'auditor', LOGOUT_RELAY_AUDIT_CLIENT_SECRET: SECRET }
    const { out, err } = await audit(['--url', keycloak.url, '--realm', 'demo', '--json'], env)
    expect(err).toBe('')
    const { workloads, findings } = JSON.parse(out) as Audit & { workloads: { client_id: string }[] }
    expect(workloads.find(({ client_id }) => client_id === job.clientId)).toMatchObject({
      ...{ has_secret: true, uses: 4, addresses: 2, more_addresses: false, refresh_token: 'refresh' },
      ...{ secret_age: { seconds: expect.closeTo(400 * 86_400, -3) as number }, access_token: { seconds: 300 } },
      last_used: new Date(
        Math.max(...rows.filter(({ service_account }) => service_account).map(({ last_ms }) => last_ms)),
      ).toISOString(),
    })
    const of = (name: string) => findings.filter(({ where }) => where.name === name).map(({ id }) => id)
    expect(of(job.clientId)).toEqual(expect.arrayContaining(['secret-old', 'workload-refresh']))
    expect(of(user)).toEqual(database === 'H2' ? [] : ['looks-like-a-job'])
  })

  test('whoever may not view clients is told nothing of it', async () => {
    expect((await ask('', 'nothing')).status).toBe(401)
    // It may act for operators, which is another right.
    expect((await ask('', await place.tokens.serviceAccount('logout-relay-operator', SECRET))).status).toBe(403)
    expect((await ask('?client=nobody', await auditor())).status).toBe(404)
    expect((await ask('?after=x', await auditor())).status).toBe(400)
  })

  test.runIf(database === 'PostgreSQL')(
    'a database from before is given the table, and what comes then is kept',
    async () => {
      await keycloak.stop()
      postgres?.psql('drop table logout_relay_workload; alter table logout_relay_outbox drop column client_used')
      postgres?.psql(`delete from databasechangelog_logoutrela where id = 'workloads'`)
      keycloak = await keycloak.restart()
      await nextSecond()
      const job = await startJob(place)
      expect(shown(await given(job.clientId, 3))).toContain('client_credentials 127.0.0.1 client-secret  2')
    },
  )
})
