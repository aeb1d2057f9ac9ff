import { writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { generate } from 'selfsigned'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ApplicationItem, applicationOf } from '../../relay/idp/keycloak/audit/application.ts'
import { check } from '../../relay/check/check.ts'
import { checkSecurityFeed } from '../../relay/check/own.ts'
import { checkRealm, judgeRealm } from '../../relay/idp/keycloak/check/realm.ts'
import { judgeRoles } from '../../relay/idp/keycloak/check/roles.ts'
import { checkRunning, checkSqlite } from '../../relay/check/store.ts'
import { parseConfig } from '../../relay/config/config.ts'
import { makeRelyingParties } from '../../relay/run/configured.ts'
import type { Finding } from '../../relay/domain/finding.ts'
import { providerName } from '../../relay/domain/provider.ts'
import { judgeUntold } from '../../relay/idp/keycloak/check/untold.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { ISSUER, temporaryFolder } from './given.ts'
import { edwards448Realm, type OddRealm, realm, shortRealm } from './signed.ts'

type Reply = readonly [status: number, body: unknown]

async function server(answer: (request: IncomingMessage) => Reply): Promise<string> {
  const listening = createServer((request, response) => {
    const [status, body] = answer(request)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    listening.closeAllConnections()
    listening.close()
  })
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`
}

const ROLES = ['outbox', 'logout-tokens', 'answers', 'relying-parties']
const tokenWith = (claims: object) =>
  `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`
const rightClaims = () => ({
  iat: Math.floor(Date.now() / 1000),
  resource_access: { 'logout-relay': { roles: ROLES } },
})
const RIGHT = {
  listener: true,
  push: true,
  audience: 'logout-relay',
  keycloak: '26.7.3',
  outbox: { waiting: 0, refused: 0 },
  policy: { clients: 'logout-relay-operator' },
  issuer_fixed: true,
  clock_ahead_ms: 3,
  directories: [],
}
const HERE = ['logout-relay-operator']

/** A client without a logout URL, as the extension tells of it. */
const untold = (clientId: string, more: object = {}) => ({
  ...{ clientId, enabled: true, publicClient: false, bearerOnly: false, standardFlowEnabled: true },
  ...{ implicitFlowEnabled: false, directAccessGrantsEnabled: false, attributes: {} },
  ...more,
})

/** A realm that is well, but for what is given by the end of the path. */
async function realmWith(broken: Readonly<Record<string, (issuer: string) => Reply>>) {
  const keys = await realm()
  const access_token = await keys.sign(rightClaims(), { typ: 'JWT' })
  const url: string = await server((request) => {
    const issuer = `${url}/realms/demo`
    const path = (request.url ?? '').split('?')[0] ?? ''
    const well: Record<string, Reply> = {
      'openid-configuration': [200, { issuer, jwks_uri: `${issuer}/certs`, token_endpoint: `${issuer}/token` }],
      certs: [200, keys.jwks],
      token: [200, { access_token }],
      'logout-tokens': [200, { tokens: {}, refused: { '00000000-0000-4000-8000-000000000000.0': 'unknown' } }],
      'relying-parties': [200, { relying_parties: [], realm: RIGHT }],
    }
    const name = path.split('/').at(-1) ?? ''
    return broken[name]?.(issuer) ?? well[name] ?? [404, {}]
  })
  const issuer = `${url}/realms/demo`
  return { issuer, clientId: 'logout-relay', clientSecret: 's', identifier: 'logout-relay', clients: HERE }
}

test('a realm that is well is ok in every line, and its relying parties are read to the last page', async () => {
  const party = (client_id: string) => ({ client_id, backchannel_logout_uri: 'https://a.example.org', enabled: true })
  let page = 0
  const realm = await realmWith({
    'relying-parties': () => [
      200,
      page++ === 0
        ? { relying_parties: [party('a')], untold: [untold('c')], next: 500, realm: RIGHT }
        : { relying_parties: [party('b')], untold: [untold('d')], realm: RIGHT },
    ],
  })
  const checked = await checkRealm(realm, Date.now)
  const { findings, relyingParties } = checked
  expect(findings.filter(({ ok }) => !ok)).toEqual([])
  expect(findings.map(({ check }) => check)).toEqual([
    ...['keycloak', 'issuer', 'keys', 'client', 'signature', 'clocks', 'roles', 'roles it must not have'],
    ...['extension', 'keycloak version', 'logout tokens', 'listener', 'policy', 'audience', 'host name'],
    ...['node clock', 'push', 'outbox', 'directory', 'clients'],
  ])
  expect(relyingParties?.map(({ clientId }) => clientId)).toEqual(['a', 'b'])
  expect(checked.untold?.map(({ clientId }) => clientId)).toEqual(['c', 'd'])
})

test('an identity provider that is told is looked at, and no client that has taken its name, which may not go where it may', async () => {
  const asked: string[] = []
  const provider = await server(({ url = '' }) => {
    asked.push(url)
    return [401, {}]
  })
  const taken = { client_id: providerName('https://login.example.com'), enabled: true }
  const { issuer } = await realmWith({
    'relying-parties': () => [
      200,
      { relying_parties: [{ ...taken, backchannel_logout_uri: `${provider}/inside` }], realm: RIGHT },
    ],
  })
  const upstream = {
    ...{ name: 'staff', issuer: 'https://login.example.com', realm: issuer, jwks_uri: `${provider}/keys` },
    ...{ tell: { url: `${provider}/told` }, allow_http: true, allow_addresses: ['127.0.0.0/8'] },
  }
  const config = parseConfig(
    JSON.stringify({
      ...{ issuers: [{ issuer, client_secret: 'secret-of-a-test' }], upstreams: [upstream] },
      ...{ store: { sqlite: join(temporaryFolder(), 'relay.db') } },
    }),
    'relay.yaml',
    {},
  )
  const found: Finding[] = []
  for await (const finding of check(config, 'relay.yaml', makeRelyingParties(config), Date.now)) {
    found.push(finding)
  }
  expect(asked.filter((path) => path !== '/keys')).toEqual(['/told'])
  expect(found.filter(({ about }) => about === taken.client_id)).toMatchObject([{ ok: true }])
})

test.each<[string, Reply, unknown]>([
  ['are asked of it by client', [200, { tokens: { sid: 'a.b.c' } }], { tokens: new Map([['sid', 'a.b.c']]) }],
  ['may be refused', [200, { tokens: {}, refused: 'no_key' }], { tokens: new Map(), refusal: 'no_key' }],
  ['are none where it makes none', [404, {}], { tokens: new Map() }],
])('genuine tokens of a realm %s', async (_, reply, made) => {
  const { genuine } = await checkRealm(await realmWith({ probe: () => reply }), Date.now)
  expect(await genuine?.('orders')).toEqual(made)
})

test('that genuine tokens of a realm cannot be had is no word on a relying party', async () => {
  const { genuine } = await checkRealm(await realmWith({ probe: () => [503, {}] }), Date.now)
  await expect(genuine?.('orders')).rejects.toMatchObject({ code: 'idp_unavailable' })
})

test('of a realm that makes no logout tokens that line alone tells, and none is asked for', async () => {
  const { findings, genuine } = await checkRealm(await realmWith({ 'logout-tokens': () => [403, {}] }), Date.now)
  expect(findings.filter(({ ok }) => !ok)).toMatchObject([{ check: 'logout tokens' }])
  expect(genuine).toBeUndefined()
})

describe('where a client has just been changed, so that it is told to come again,', () => {
  const COME_AGAIN: Reply = [503, { error: 'temporarily_unavailable' }]
  const checked = async (reply: (asked: number) => Reply, endpoint = 'token') => {
    let asked = 0
    const waited: number[] = []
    const sleep = (ms: number) => Promise.resolve(waited.push(ms))
    const { findings } = await checkRealm(await realmWith({ [endpoint]: () => reply(asked++) }), Date.now, sleep)
    return { todo: findings.filter(({ ok }) => !ok), asked, waited }
  }

  test('its token is asked for again when the second of the change is over', async () => {
    const opaque: Reply = [200, { access_token: 'opaque' }]
    const { asked, waited } = await checked((before) => (before === 0 ? COME_AGAIN : opaque))
    expect([asked, waited]).toEqual([2, [1000]])
  })

  test('and always is, it gets no token, and the line says so', async () => {
    const { todo, asked, waited } = await checked(() => COME_AGAIN)
    expect(todo).toMatchObject([
      { check: 'client', says: expect.stringContaining('503, temporarily_unavailable') as string },
    ])
    expect([asked, waited]).toEqual([3, [1000, 1000]])
  })

  test('nothing but its token is asked for twice', async () => {
    const { asked, waited, todo } = await checked(() => COME_AGAIN, 'relying-parties')
    expect([asked, waited, todo.map(({ check }) => check)]).toEqual([1, [], ['extension']])
  })
})

test('of a realm with opaque access tokens nothing is said of the signature', async () => {
  const reply = { token: (): Reply => [200, { access_token: 'opaque' }] }
  const { findings } = await checkRealm(await realmWith(reply), Date.now)
  expect(findings.find(({ check }) => check === 'signature')).toMatchObject({ ok: true })
})

test('a realm that signs with Ed448 is well', async () => {
  const { sign, jwks } = await edwards448Realm()
  const access_token = await sign(rightClaims(), { typ: 'JWT' })
  const reply = { token: (): Reply => [200, { access_token }], certs: (): Reply => [200, jwks] }
  const { findings } = await checkRealm(await realmWith(reply), Date.now)
  expect(findings.filter(({ ok }) => !ok)).toEqual([])
  expect(findings.find(({ check }) => check === 'signature')?.says).toMatch(/EdDSA/)
})

test('whether applications are told is not judged by an extension that does not say', async () => {
  expect((await checkRealm(await realmWith({}), Date.now)).untold).toBeUndefined()
})

describe('with one thing broken, that line alone says what to do:', () => {
  test.each<[string, string, string, (issuer: string) => Reply, RegExp]>([
    ['no such realm', 'keycloak', 'openid-configuration', () => [404, {}], /is the realm there/],
    [
      'another issuer',
      'issuer',
      'openid-configuration',
      () => [200, { issuer: 'https://other.example.org', jwks_uri: 'x', token_endpoint: 'x' }],
      /calls itself https:\/\/other\.example\.org.*--hostname/,
    ],
    ['no keys', 'keys', 'certs', () => [200, { keys: [{ kty: 'oct' }, { kty: 'RSA', use: 'enc' }] }], /active key/],
    ['a wrong secret', 'client', 'token', () => [401, { error: 'unauthorized_client' }], /is this its secret/],
    ['no extension', 'extension', 'relying-parties', () => [404, {}], /copy its jar/],
    ['a role taken away', 'extension', 'relying-parties', () => [403, {}], /refuses the relay \(403\)/],
    ['an extension of another time', 'extension', 'relying-parties', () => [200, { parties: [] }], /same version/],
    ['no minting', 'logout tokens', 'logout-tokens', () => [403, {}], /cannot be had \(403\)/],
    [
      'a mint that signs for anything',
      'logout tokens',
      'logout-tokens',
      () => [200, { tokens: { '00000000-0000-4000-8000-000000000000.0': 'x' }, refused: {} }],
      /cannot be had/,
    ],
    [
      'the listener off',
      'listener',
      'relying-parties',
      () => [200, { relying_parties: [], realm: { ...RIGHT, listener: false } }],
      /is OFF.*Event listeners/,
    ],
    [
      'a jar that takes tokens of every client',
      'clients',
      'relying-parties',
      () => [200, { relying_parties: [], realm: { ...RIGHT, policy: undefined } }],
      /whoever runs an application that an operator logs in to.*bring its jar/,
    ],
    [
      'a Keycloak with published holes',
      'keycloak version',
      'relying-parties',
      () => [200, { relying_parties: [], realm: { ...RIGHT, keycloak: '26.7.1' } }],
      /^26\.7\.1 has published holes.*: upgrade to 26\.7\.3 or newer\. CVE-2026-18963, mended in 26\.7\.2 \(anybody sets a new password/,
    ],
    [
      'a Keycloak of tonight',
      'keycloak version',
      'relying-parties',
      () => [200, { relying_parties: [], realm: { ...RIGHT, keycloak: '999.0.0-SNAPSHOT' } }],
      /^999\.0\.0-SNAPSHOT is no release.*: run a release/,
    ],
    ['an old jar', 'listener', 'relying-parties', () => [200, { relying_parties: [] }], /cannot be seen/],
  ])('%s', async (_, check, endpoint, reply, says) => {
    const { findings } = await checkRealm(await realmWith({ [endpoint]: reply }), Date.now)
    const todo = findings.filter(({ ok }) => !ok)
    expect(todo.map((finding) => finding.check)).toEqual([check])
    expect(todo[0]?.says).toMatch(says)
  })

  test.each<[string, () => Promise<string>, () => Promise<OddRealm>, RegExp]>([
    [
      'a realm that signs with a secret of its own',
      () => new SignJWT(rightClaims()).setProtectedHeader({ alg: 'HS512', kid: 'secret' }).sign(new Uint8Array(64)),
      realm,
      /every event would be refused\. The realm signs with a secret.*choose another.*RS256/,
    ],
    [
      'a realm that signs with an algorithm that nobody here knows',
      () => Promise.resolve(tokenWith(rightClaims())),
      realm,
      /cannot verify: choose another.*Realm settings, Tokens/,
    ],
    [
      'a realm whose key is too short',
      async () => (await shortRealm()).sign(rightClaims(), { typ: 'JWT' }),
      shortRealm,
      /less than 2048 bits: give it a longer one/,
    ],
    [
      'a realm that does not publish the key that it signs with',
      async () => (await realm()).sign(rightClaims(), { kid: 'another' }),
      realm,
      /does not publish the key that it signs with/,
    ],
  ])('%s', async (_, token, keys, says) => {
    const [access_token, { jwks }] = [await token(), await keys()]
    const broken = { token: (): Reply => [200, { access_token }], certs: (): Reply => [200, jwks] }
    const { findings } = await checkRealm(await realmWith(broken), Date.now)
    expect(findings.filter(({ ok }) => !ok)).toMatchObject([
      { check: 'signature', says: expect.stringMatching(says) as string },
    ])
  })

  test('clocks that differ', async () => {
    const { findings } = await checkRealm(await realmWith({}), () => Date.now() + 45_000)
    expect(findings.filter(({ ok }) => !ok)).toMatchObject([
      { check: 'clocks', says: expect.stringMatching(/4[3-6] s/) as string },
    ])
  })

  const HELD = { id: '9b1c', issuer: 'https://login.example.com', held: 7 }

  test('what to ask so that words of an identity provider go on', () => {
    const realm = { issuer: ISSUER, identifier: 'logout-relay' }
    const told = (held: number) =>
      judgeRealm(realm, { ...RIGHT, upstreams: [{ ...HELD, held }] }, 0).find(({ check }) => check === 'upstream words')
    expect(told(0)).toMatchObject({ ok: true })
    expect(told(7)?.says).toMatch(
      `7 of https://login.example.com end nothing, and nothing that it says from now on, until somebody with the role confirm says so: logout-relay held confirm 9b1c --reason …, or dismiss if it has gone wild`,
    )
  })

  test('nobody at the address', async () => {
    const where = { issuer: 'http://127.0.0.1:9/realms/demo', clients: HERE }
    const realm = { ...where, clientId: 'a', clientSecret: 'b', identifier: 'c' }
    expect((await checkRealm(realm, Date.now)).findings).toMatchObject([
      { check: 'keycloak', ok: false, says: expect.stringContaining('ECONNREFUSED') as string },
    ])
  })

  test.each<[string, object, number, string]>([
    ['events for another audience', { audience: 'elsewhere' }, 0, 'audience'],
    ['a host name that follows each request', { issuer_fixed: false }, 0, 'host name'],
    ['a node whose clock is a minute ahead', { clock_ahead_ms: 60_000 }, 0, 'node clock'],
    ['a node whose clock is behind', { clock_ahead_ms: -3000 }, 0, 'node clock'],
    ['events that were refused', { outbox: { waiting: 2, refused: 1, oldest_ms: 5 } }, 6, 'outbox'],
    ['events that nobody takes', { outbox: { waiting: 1, refused: 0, oldest_ms: 5 } }, 61_006, 'outbox'],
    ['words of an identity provider that wait', { upstreams: [HELD] }, 0, 'upstream words'],
    ['everybody’s logout that waits', { realm_logouts: [{ id: '5f0c', atMs: 0, isHeld: true }] }, 0, 'realm logout'],
    [
      'a policy for an identity provider that the realm does not have',
      { policy_of_nobody: [{ attribute: 'logout-relay.policy.upstream-logout.okte', alias: 'okte' }] },
      0,
      'policy',
    ],
  ])('%s', (_, more, nowMs, check) => {
    const realm = { issuer: ISSUER, clientId: 'a', clientSecret: 'b', identifier: 'logout-relay' }
    const todo = judgeRealm(realm, { ...RIGHT, ...more }, nowMs).filter(({ ok }) => !ok)
    expect(todo.map((finding) => finding.check)).toEqual([check])
  })

  test('each policy for an identity provider that the realm does not have, by attribute and alias', () => {
    const realm = { issuer: ISSUER, clientId: 'a', clientSecret: 'b', identifier: 'logout-relay' }
    const policy_of_nobody = [
      { attribute: 'logout-relay.policy.upstream-logout.okte', alias: 'okte' },
      { attribute: 'logout-relay.upstreams.told', alias: 'staf' },
    ]
    const [todo] = judgeRealm(realm, { ...RIGHT, policy_of_nobody }, 0).filter(({ ok }) => !ok)
    expect(todo?.says).toMatch(
      /policy\.upstream-logout\.okte.* alias okte: .*likewise logout-relay\.upstreams\.told \(staf\)/,
    )
  })
})

test('events that have only just come are not a backlog', () => {
  const realm = { issuer: ISSUER, clientId: 'a', clientSecret: 'b', identifier: 'logout-relay' }
  const busy = { ...RIGHT, outbox: { waiting: 3, refused: 0, oldest_ms: 1000 } }
  expect(judgeRealm(realm, busy, 2000).every(({ ok }) => ok)).toBe(true)
})

describe('of clients without a logout URL', () => {
  const judged = (clients: readonly object[], registered: readonly string[] = []) => {
    const items = clients.map((client) => applicationOf(ApplicationItem.parse(client)))
    return judgeUntold(ISSUER, items, new Set(registered), ['cli'])
  }

  test('those whose applications keep sessions are named, with what to do', () => {
    const device = { 'oauth2.device.authorization.grant.enabled': 'true' }
    const clients = [untold('wiki'), untold('tv', { standardFlowEnabled: false, attributes: device })]
    expect(judged(clients)).toMatchObject({
      check: 'logout URLs',
      ok: false,
      says: expect.stringMatching(/: tv, wiki\. Set .*logout-relay\.session\.max-life.*`logout-relay audit`/) as string,
    })
  })

  test.each<[string, object, readonly string[]]>([
    ['one that is disabled', untold('a', { enabled: false }), []],
    ['a bearer-only one', untold('a', { bearerOnly: true }), []],
    ['a service account', untold('a', { standardFlowEnabled: false }), []],
    ['an application on a device, which has its tokens alone', untold('a', { publicClient: true }), []],
    [
      'the command line of operators',
      untold('cli', {
        standardFlowEnabled: false,
        attributes: { 'oauth2.device.authorization.grant.enabled': 'true' },
      }),
      [],
    ],
    ['one of Keycloak’s own', untold('security-admin-console'), []],
    ['one that relay.yaml has an address of', untold('a'), ['a']],
    [
      'one of which somebody has said how long its sessions live',
      untold('a', { attributes: { 'logout-relay.session.max-life': '3600' } }),
      [],
    ],
  ])('%s is not named', (_, client, registered) => {
    expect(judged([client], registered)).toMatchObject({ check: 'logout URLs', ok: true })
  })

  test('of many some are named, and how many there are', () => {
    const { says } = judged(Array.from({ length: 12 }, (_, n) => untold(`app-${10 + n}`)))
    expect(says).toMatch(/: app-10, .*app-19 and 2 more\. Set /)
  })
})

describe('of the relay’s own roles', () => {
  const todos = (claims: object) => judgeRoles(ISSUER, tokenWith(claims)).filter(({ ok }) => !ok)

  test('each that is missing is named', () => {
    expect(todos({ resource_access: { 'logout-relay': { roles: ['outbox', 'answers'] } } })).toMatchObject([
      { check: 'roles', says: expect.stringContaining('logout-tokens, relying-parties') as string },
    ])
  })

  test.each<[string, object, string]>([
    [
      'of realm-management',
      { resource_access: { 'realm-management': { roles: ['manage-users'] } } },
      'realm-management/manage-users',
    ],
    ['of another client', { resource_access: { orders: { roles: ['admin'] } } }, 'orders/admin'],
    [
      'that people have',
      { resource_access: { 'logout-relay': { roles: [...ROLES, 'dismiss'] } } },
      'logout-relay/dismiss',
    ],
    ['that guards have', { resource_access: { 'logout-relay': { roles: [...ROLES, 'guard'] } } }, 'logout-relay/guard'],
    ['of an administrator', { realm_access: { roles: ['admin'] } }, 'admin'],
  ])('one too many, %s, is named', (_, more, name) => {
    const held = {
      'logout-relay': { roles: ROLES },
      ...('resource_access' in more ? (more.resource_access as object) : {}),
    }
    const merged = { ...more, resource_access: held }
    expect(todos(merged)).toMatchObject([
      { check: 'roles it must not have', says: expect.stringContaining(name) as string },
    ])
  })

  test('what Keycloak gives to everybody is no alarm', () => {
    const everybody = { account: { roles: ['manage-account'] }, 'logout-relay': { roles: ROLES } }
    expect(todos({ realm_access: { roles: ['default-roles-demo'] }, resource_access: everybody })).toEqual([])
  })
})

describe('the store', () => {
  test('that is not there yet is ok, and the check does not make it', () => {
    const path = join(temporaryFolder(), 'deep', 'relay.db')
    expect(checkSqlite(path)).toMatchObject({ held: false, finding: { ok: true } })
    expect(checkSqlite(path).finding.says).toContain('not there yet')
  })

  test('that a relay has open is known to be in use', async () => {
    const path = join(temporaryFolder(), 'relay.db')
    const store = openSqliteStore(path)
    expect(checkSqlite(path)).toMatchObject({ held: true, finding: { ok: true } })
    await store.close()
    expect(checkSqlite(path)).toMatchObject({ held: false, finding: { ok: true } })
  })

  test('that is no database is to be replaced', () => {
    const path = join(temporaryFolder(), 'relay.db')
    writeFileSync(path, 'not a database at all, but long enough to be read as one')
    expect(checkSqlite(path).finding).toMatchObject({ ok: false, says: expect.stringContaining('backup') as string })
  })

  test('that may not be written is to be given away', () => {
    // Root may write everything, so the answer of the system is given here.
    const refuse = () => {
      throw Object.assign(new Error('permission denied'), { code: 'EACCES' })
    }
    const { finding } = checkSqlite(join(temporaryFolder(), 'relay.db'), refuse)
    expect(finding).toMatchObject({
      ok: false,
      says: expect.stringContaining('the user that the relay runs as') as string,
    })
  })

  test('whose folder is a file cannot be created there', () => {
    const path = join(temporaryFolder(), 'taken')
    writeFileSync(path, '')
    expect(checkSqlite(join(path, 'relay.db')).finding).toMatchObject({
      ok: false,
      says: expect.stringContaining('is a file') as string,
    })
  })
})

test.each<[Reply, boolean, RegExp]>([
  [[200, { status: 'ready' }], true, /ready/],
  [[503, { status: 'not ready', waiting_for: ['the realm'] }], false, /waits for: the realm/],
  [
    [200, { status: 'ready', to_do: ['the realm: push does not arrive: is its URL right?'] }],
    false,
    /^runs, and says of the realm: push does not arrive/,
  ],
])('a running relay is asked whether it is ready', async ([status, body], ok, says) => {
  const { port } = new URL(await server(() => [status, body]))
  const finding = await checkRunning({ host: '127.0.0.1', port: Number(port), plain_http_behind_proxy: false })
  expect(finding).toMatchObject({ ok, says: expect.stringMatching(says) as string })
})

describe('at the relay’s address', () => {
  /** The line about it: the third, before anybody else is asked. */
  async function third(config: object) {
    const realm = { issuer: 'http://localhost:9/realms/main', client_secret: 'secret-of-a-test' }
    const parsed = parseConfig(JSON.stringify({ ...config, issuers: [realm] }), 'relay.yaml', {})
    const lines = check(parsed, 'relay.yaml', makeRelyingParties(parsed), Date.now)
    await lines.next()
    await lines.next()
    const line = await lines.next()
    await lines.return(undefined)
    return line.done === true ? undefined : line.value
  }
  const torn = () => {
    const file = join(temporaryFolder(), 'torn.db')
    writeFileSync(file, 'not a database at all, but long enough to be read as one')
    return { sqlite: file }
  }
  const fresh = () => ({ sqlite: join(temporaryFolder(), 'relay.db') })
  const redis = () => ({ redis: { nodes: ['127.0.0.1:9'] } })
  test.each<[string, () => object, Reply, string, boolean, RegExp]>([
    [
      'a relay that waits',
      redis,
      [503, { status: 'not ready', waiting_for: ['the store'] }],
      'relay',
      false,
      /^runs and/,
    ],
    ['a relay whose file cannot be read', torn, [200, { status: 'ready' }], 'relay', true, /^runs and/],
    ['a relay with another file', fresh, [200, { status: 'ready' }], 'listen', false, /^port \d+ of .* in use/],
    ['a program that is no relay', redis, [404, { error: 'not found' }], 'listen', false, /^port \d+ of .* in use/],
  ])('%s is told from others', async (_, store, reply, name, ok, says) => {
    const { port } = new URL(await server(() => reply))
    expect(await third({ listen: { port: Number(port) }, store: store() })).toMatchObject({
      ...{ check: name, ok },
      says: expect.stringMatching(says) as string,
    })
  })
})

test('over TLS a running relay is believed by its own certificate alone', async () => {
  const folder = temporaryFolder()
  const certificate = async (name: string) => {
    const { cert, private: key } = await generate([{ name: 'commonName', value: 'relay.example.org' }], {
      keyType: 'ec',
    })
    const cert_file = join(folder, `${name}.pem`)
    writeFileSync(cert_file, cert)
    return { cert, key, files: { cert_file, key_file: 'not read here' } }
  }
  const [own, other] = [await certificate('own'), await certificate('other')]
  const listening = createHttpsServer({ cert: own.cert, key: own.key }, (_, response) =>
    response.end('{"status":"ready"}'),
  )
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    listening.closeAllConnections()
    listening.close()
  })
  const at = {
    host: '127.0.0.1',
    port: (listening.address() as AddressInfo).port,
    plain_http_behind_proxy: false,
  }
  expect(await checkRunning({ ...at, tls: own.files })).toMatchObject({ ok: true })
  expect(await checkRunning({ ...at, tls: other.files })).toBeUndefined()
})

test('a security feed that may not be written is to be given away', async () => {
  // Root may write everything, so the answer of the system is given here.
  const refuse = () => {
    throw Object.assign(new Error('permission denied'), { code: 'EACCES' })
  }
  const finding = await checkSecurityFeed({ file: join(temporaryFolder(), 'feed.jsonl'), subject: false }, refuse)
  expect(finding).toMatchObject({ ok: false, says: expect.stringContaining('(EACCES)') as string })
})
