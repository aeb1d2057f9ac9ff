import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Admin, RealmAdmin } from '../../scripts/stage/admin.ts'
import { takeLogins } from '../../scripts/stage/broker.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { DEMO_REALM, demoRealm } from '../../scripts/stage/demo-realm.ts'
import { type ExpressApplication, startExpress } from '../../scripts/stage/express.ts'
import { call } from '../../scripts/stage/http.ts'
import { type KeycloakServer, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { type Postgres, startPostgres } from '../../scripts/stage/postgres.ts'
import { freePort, ROOT, until } from '../../scripts/stage/process.ts'
import { type RelayServer, startRelayProcess } from '../../scripts/stage/relay.ts'
import { TokenEndpoint } from '../../scripts/stage/tokens.ts'
import { nextSecond, SECRET } from './demo-realm.ts'
import { inCommon } from './in-common.ts'

const HERE = ['127.0.0.0/8']
const OKTA = 'https://example.okta.com'
const SCOPES = ['ssf.read', 'ssf.manage']

// A Keycloak of its own: its transmitter is an experiment, and is to send at once and to this machine.
let postgres: Postgres
let keycloak: KeycloakServer
let relay: RelayServer
let express: ExpressApplication
let oktaKeys: Server
let signedByOkta: (claims: object, typ?: string) => Promise<string>
/** Where people's passwords are. */
let staff: RealmAdmin
/** Where they work; it takes logins from `staff`. */
let demo: RealmAdmin
let tokens: TokenEndpoint

beforeAll(async () => {
  postgres = await startPostgres()
  const [relayPort, expressPort] = [await freePort(), await freePort()]
  keycloak = await startKeycloak({
    ...inCommon(),
    postgres,
    options: [
      '--features=scim-api,ssf',
      '--spi-ssf-transmitter--default--allow-insecure-push-targets=true',
      '--spi-ssf-transmitter--default--outbox-drainer-interval=1s',
      `--spi-events-listener--logout-relay--push-url=http://127.0.0.1:${relayPort}/events`,
    ],
    realms: [DEMO_REALM],
    env: demoRealm(SECRET, { express: `http://localhost:${expressPort}` }),
  })
  demo = new RealmAdmin(keycloak.admin, 'demo')
  tokens = new TokenEndpoint(keycloak.issuer('demo'))
  staff = await makeStaff(keycloak.admin, relayPort)
  await demo.letRelayHearUpstreams()
  await demo.createClient({
    clientId: 'flows-app',
    publicClient: true,
    directAccessGrantsEnabled: true,
    redirectUris: ['http://localhost:9/back'],
  })
  await takeLogins(keycloak, demo, { from: staff, secret: SECRET })
  await demo.must('POST', '/identity-provider/instances', {
    ...{ alias: 'okta', providerId: 'oidc' },
    config: { issuer: OKTA, clientId: 'x', clientSecret: 'x', authorizationUrl: OKTA, tokenUrl: OKTA },
  })
  const okta = await serveOkta()
  const ssf = { issuer: keycloak.issuer('staff'), realm: keycloak.issuer('demo'), allow_addresses: HERE }
  const client = { client_id: 'receiver', client_secret: SECRET, poll_interval_s: 0.5, verify_s: 3600 }
  const push_url = `http://127.0.0.1:${relayPort}/upstreams/by-push/events`
  relay = await startRelayProcess({
    port: relayPort,
    issuers: [{ issuer: keycloak.issuer('demo'), client_secret: SECRET }],
    upstreams: [
      { ...ssf, name: 'by-poll', audience: 'polled', stream: { delivery: 'poll', ...client } },
      { ...ssf, name: 'by-push', audience: 'polled', stream: { delivery: 'push', push_url, ...client } },
      {
        ...{ name: 'okta', issuer: OKTA, realm: keycloak.issuer('demo'), allow_addresses: HERE, jwks_uri: okta },
        ...{ audience: 'https://relay.example.org/global-token-revocation', global_token_revocation: true },
      },
    ],
  })
  const app = { issuer: keycloak.issuer('demo'), clientSecret: SECRET, clientId: 'express-app', port: expressPort }
  express = await startExpress(app)
})

afterAll(async () => {
  oktaKeys.close()
  await Promise.all([express.stop(), relay.stop()])
  await keycloak.stop()
  await postgres.stop()
})

/** A realm with Keycloak's own transmitter, and a client that may have a stream. */
async function makeStaff(server: Admin, relayPort: number): Promise<RealmAdmin> {
  await server.must('POST', '', {
    ...{ realm: 'staff', enabled: true, eventsEnabled: true, adminEventsEnabled: true },
    attributes: { 'ssf.transmitterEnabled': 'true', 'ssf.defaultSubjects': 'ALL' },
  })
  const admin = new RealmAdmin(server, 'staff')
  const known = (await admin.must<{ name: string }[]>('GET', '/client-scopes')).json().map(({ name }) => name)
  for (const name of SCOPES.filter((scope) => !known.includes(scope))) {
    const attributes = { 'include.in.token.scope': 'true' }
    await admin.must('POST', '/client-scopes', { name, protocol: 'openid-connect', attributes })
  }
  await admin.createClient({
    ...{ clientId: 'receiver', secret: SECRET, serviceAccountsEnabled: true, redirectUris: [] },
    optionalClientScopes: SCOPES,
    attributes: {
      'ssf.enabled': 'true',
      'ssf.defaultSubjects': 'ALL',
      'ssf.streamAudience': 'polled',
      'ssf.validPushUrls': `http://127.0.0.1:${relayPort}/*`,
      'ssf.minVerificationInterval': '1',
    },
  })
  return admin
}

/** Okta's part, as its documentation has it: keys, and a JWT for each request. */
async function serveOkta(): Promise<string> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'okta', alg: 'RS256', use: 'sig' }] }
  oktaKeys = createServer((_, response) => response.end(JSON.stringify(jwks))).listen(0, '127.0.0.1')
  await once(oktaKeys, 'listening')
  signedByOkta = (claims, typ = 'global-token-revocation+jwt') =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'okta', typ })
      .setIssuer(OKTA)
      .setAudience('https://relay.example.org/global-token-revocation')
      .setIssuedAt()
      .setExpirationTime('5m')
      .setJti(`jti-${Math.random()}`)
      .sign(privateKey)
  return `http://127.0.0.1:${(oktaKeys.address() as AddressInfo).port}/keys`
}

/** Somebody with the same name in both realms, linked, with a session at `demo`. */
async function linkedPerson(name: string, alias = 'staff') {
  const user = await demo.createUser(name, 'password')
  const there = alias === 'staff' ? await staff.createUser(name, 'password') : `sub-${name}`
  await demo.must('POST', `/users/${user}/federated-identity/${alias}`, { userId: there, userName: name })
  const given = await tokens.directGrant('flows-app', name, 'password')
  const lives = () => tokens.lives('flows-app', given)
  return { name, user, there, lives }
}

interface Containment {
  readonly id: string
  readonly trigger: string
}
interface Line {
  readonly kind: string
  readonly data: Record<string, unknown>
}

/** What the relay has as evidence of the newest containment of a trigger. */
async function evidenceOf(trigger: string): Promise<readonly Line[]> {
  const headers = { authorization: `Bearer ${await tokens.serviceAccount('logout-relay-operator', SECRET)}` }
  const url = `${relay.url}/api/v1/containments`
  const { containments } = (await call<{ containments: Containment[] }>('GET', url, { headers })).json()
  const { id } = containments.find((one) => one.trigger === trigger) ?? { id: '' }
  return id === '' ? [] : (await call<{ evidence: Line[] }>('GET', `${url}/${id}`, { headers })).json().evidence
}
const toldBy = async (trigger: string) => (await evidenceOf(trigger)).find(({ kind }) => kind === 'told_by')?.data

/** The command line, on the relay's own config. */
const streams = (...words: string[]) => command(['streams', ...words, '--config', join(relay.dir, 'relay.yaml')])

async function command(
  words: readonly string[],
  env: Record<string, string> = {},
): Promise<{ status: number; said: Record<string, unknown>[] }> {
  const args = [join(ROOT, 'relay', 'cli.ts'), ...words, '--json']
  const { stdout, code } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } }).then(
    ({ stdout }) => ({ stdout, code: 0 }),
    (cause: unknown) => {
      const failed = cause as { stdout: string; stderr: string; code: number }
      expect(failed.stderr).toBe('')
      return { stdout: failed.stdout, code: failed.code }
    },
  )
  const said = stdout.split('\n').filter(Boolean)
  return { status: code, said: said.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

describe('Global Token Revocation, signed as Okta’s documentation has it', () => {
  const revoke = async (sub_id: object, token?: string) =>
    call('POST', `${relay.url}/global-token-revocation`, {
      json: { sub_id },
      headers: { authorization: `Bearer ${token ?? (await signedByOkta({}))}` },
    })

  test('ends what the linked user has, and answers alike for one whom nobody knows', async () => {
    const person = await linkedPerson('revoked', 'okta')
    await nextSecond()
    const known = await revoke({ format: 'iss_sub', iss: OKTA, sub: person.there })
    const unknown = await revoke({ format: 'iss_sub', iss: OKTA, sub: 'nobody' })
    expect([known.status, known.text]).toEqual([204, ''])
    expect([unknown.status, unknown.text]).toEqual([204, ''])
    const names = ({ headers }: typeof known) => Object.keys(headers).sort()
    expect(names(known)).toEqual(names(unknown))
    expect(await person.lives()).toBe(false)
    await until('it is told', async () => (await toldBy('upstream-sessions-revoked')) !== undefined)
    expect(await toldBy('upstream-sessions-revoked')).toMatchObject({ issuer: OKTA })
    expect(await relay.metrics()).toMatch(/logout_relay_upstream_words_total\{upstream="okta",outcome="nobody"\} 1/)
  })

  test('of a token of another kind by the same key ends nothing', async () => {
    const person = await linkedPerson('kept', 'okta')
    const answer = await revoke({ format: 'iss_sub', iss: OKTA, sub: person.there }, await signedByOkta({}, 'JWT'))
    expect(answer.status).toBe(401)
    expect(await person.lives()).toBe(true)
  })
})

describe.each(['by-poll', 'by-push'])('Keycloak’s own transmitter, %s', (how) => {
  test('is given a stream, which is verified, ends what a reset there must end, and is taken away', async () => {
    const heard = async () =>
      Number(
        new RegExp(`logout_relay_upstream_heard_timestamp_seconds\\{upstream="${how}"\\} ([\\d.]+)`).exec(
          await relay.metrics(),
        )?.[1] ?? 0,
      )
    const before = await heard()
    const { said: made } = await streams('add', how)
    expect(made).toMatchObject([{ upstream: how, delivery: how.slice(3), status: 'enabled', audiences: ['polled'] }])
    expect((await streams('list')).said.map(({ id }) => id)).toContain(made[0]?.['id'])
    const checked = await streams('check', how)
    expect(checked).toEqual({ status: 0, said: [{ upstream: how, todo: [] }] })
    await until('it has shown that it arrives', async () => (await heard()) > before)

    const person = await linkedPerson(`reset-${how}`)
    await nextSecond()
    expect((await staff.resetPassword(person.there, 'another')).status).toBe(204)
    await until('what the person had is dead', async () => !(await person.lives()))
    await until('it is told', async () => (await toldBy('upstream-password-changed')) !== undefined)
    expect(await toldBy('upstream-password-changed')).toMatchObject({ issuer: keycloak.issuer('staff') })

    expect((await streams('remove', how)).said).toMatchObject([{ upstream: how, status: 'removed' }])
    expect((await streams('check', how)).status).toBe(1)
  })
})

describe('the chain of two realms', () => {
  /** In a browser, at the application, by the identity provider. */
  async function loggedIn(name: string): Promise<Browser> {
    const browser = new Browser()
    await browser.loginBy('staff', express.url, name, 'password')
    expect(await browser.isAlive(express.url)).toBe(true)
    return browser
  }

  test('a reset at the first kills the session at the last application, and no event goes round in a circle', async () => {
    await staff.createUser('chained', 'password')
    const browser = await loggedIn('chained')
    await streams('add', 'by-poll')
    await nextSecond()
    await staff.resetPassword(await staff.userId('chained'), 'another')
    await until('the application has ended it', async () => !(await browser.isAlive(express.url)))
    const user = await demo.userId('chained')
    const count = `select count(*) from logout_relay_outbox where user_id = '${user}' and part = 1`
    await until('all of it is told', async () =>
      (await evidenceOf('upstream-password-changed')).some(({ kind }) => kind === 'closed'),
    )
    expect(
      postgres.psql(`select string_agg(distinct trigger_id, ',') from logout_relay_outbox where user_id = '${user}'`),
    ).toBe('upstream-password-changed')
    // What the containment itself has done at `demo` comes back from nowhere: no further event, and none at `staff`.
    const events = postgres.psql(count)
    await streams('check', 'by-poll')
    await nextSecond()
    await nextSecond()
    expect(postgres.psql(count)).toBe(events)
    await streams('remove', 'by-poll')
  })

  test('a sign-out at the first is told to the last application until it answers, by a containment of that session', async () => {
    // With a session of the same user that did not begin there.
    const other = await linkedPerson('leaving')
    const browser = await loggedIn('leaving')
    await staff.must('POST', `/users/${other.there}/logout`)
    await until('the application has ended it', async () => !(await browser.isAlive(express.url)))
    await until('it is told', async () => (await toldBy('upstream-logout')) !== undefined)
    expect(await toldBy('upstream-logout')).toMatchObject({ issuer: keycloak.issuer('staff') })
    const evidence = await evidenceOf('upstream-logout')
    expect(evidence.find(({ kind }) => kind === 'received')?.data).toMatchObject({ sessions: 1 })
    expect(await other.lives()).toBe(true)
  })
})

describe('the command held', () => {
  const revoke = async (sub: string) =>
    call('POST', `${relay.url}/global-token-revocation`, {
      json: { sub_id: { format: 'iss_sub', iss: OKTA, sub } },
      headers: { authorization: `Bearer ${await signedByOkta({})}` },
    })

  test('shows what waits and lets it go, which is a change with who, when and why; or has it end', async () => {
    const operator = await demo.clientUuid('logout-relay-operator')
    await demo.must('PUT', `/clients/${operator}`, { directAccessGrantsEnabled: true })
    const decider = await demo.createUser('decider', 'password')
    await demo.giveRole(decider, 'logout-relay', 'confirm')
    const token = async () =>
      (await tokens.directGrant('logout-relay-operator', 'decider', 'password', 'openid', SECRET)).access_token
    const held = async (...words: string[]) =>
      (await command(['held', ...words], { LOGOUT_RELAY_TOKEN: await token() })).said
    const person = await linkedPerson('waiting', 'okta')
    await demo.must('PUT', '', { attributes: { 'logout-relay.upstreams.limit': '0' } })
    expect((await revoke(person.there)).status).toBe(204)
    const waits = { kind: 'upstream', about: OKTA, held: 1 }
    const [waiting] = await held('list')
    expect(waiting).toMatchObject(waits)
    const id = String(waiting?.['id'])
    expect(await held('dismiss', id, '--reason', 'gone wild, INC-1')).toEqual([{ ...waits, id, decision: 'dismiss' }])
    expect(await held('list')).toEqual([])
    expect(await person.lives()).toBe(true)
    // At its start it looks at the realm, and has seen it before.
    await relay.stop()
    relay = await relay.restart()
    const headers = { authorization: `Bearer ${await tokens.serviceAccount('logout-relay-operator', SECRET)}` }
    const { changes } = (
      await call<{ changes: object[] }>('GET', `${relay.url}/api/v1/changes?limit=50`, { headers })
    ).json()
    expect(changes).toContainEqual(
      expect.objectContaining({
        ...{ kind: 'upstream_dismissed', by: decider, reason: 'gone wild, INC-1', weakening: true },
        data: { upstream: OKTA, decided_at: expect.stringMatching(/^\d{4}-.*Z$/) as string },
      }),
    )

    await nextSecond()
    expect((await revoke(person.there)).status).toBe(204)
    expect(await held('confirm', id, '--reason', 'meant, INC-2')).toEqual([{ ...waits, id, decision: 'confirm' }])
    await until('what waited has ended', async () => !(await person.lives()))
    await demo.must('PUT', '', { attributes: { 'logout-relay.upstreams.limit': '' } })
  })
})
