import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { AdminApi } from '../../relay/idp/keycloak/audit/admin-api.ts'
import { readRealm } from '../../relay/idp/keycloak/audit/read.ts'
import { withWorkloads } from '../../relay/idp/keycloak/audit/read-workloads.ts'
import { asJson, asText } from '../../relay/idp/keycloak/audit/show.ts'

const TOKEN = { LOGOUT_RELAY_TOKEN: 'token' }
const GRANT = { LOGOUT_RELAY_AUDIT_CLIENT_ID: 'auditor', LOGOUT_RELAY_AUDIT_CLIENT_SECRET: 'secret-of-the-auditor' }
const SECRET = 'secret-of-a-client'

const app = (n: number) => ({
  id: `id-${n}`,
  clientId: `app-${n}`,
  enabled: true,
  standardFlowEnabled: true,
  secret: SECRET,
  attributes: { 'saml.signing.private.key': SECRET, 'access.token.lifespan': '600' },
  optionalClientScopes: ['offline_access'],
})

/** What a Keycloak without the extension answers; the real one is in test/real. */
const ANSWERS: Readonly<Record<string, unknown>> = {
  '': {
    realm: 'main',
    accessTokenLifespan: 300,
    eventsListeners: ['jboss-logging'],
    defaultRole: { name: 'defaults' },
  },
  '/clients': [app(1)],
  '/default-default-client-scopes': [],
  '/client-session-stats': [{ id: 'x', clientId: 'app-1', active: '2', offline: '1' }],
  '/roles': [{ id: 'r', name: 'offline_access' }],
  '/roles/defaults/composites': [{ id: 'r', name: 'offline_access' }],
  '/components': [
    {
      ...{ id: 'c1', name: 'ldap', providerId: 'ldap' },
      config: { enabled: ['true'], bindCredential: [SECRET], editMode: ['READ_ONLY'], vendor: ['ad'] },
    },
    { id: 'c2', name: 'old', providerId: 'ldap', config: { enabled: ['false'] } },
    { id: 'c3', name: 'own', providerId: 'own', config: { importEnabled: ['false'] } },
  ],
  '/components?parent=c1': [
    { id: 'm1', providerId: 'role-ldap-mapper', config: { 'roles.dn': [SECRET] } },
    { id: 'm2', providerId: 'group-ldap-mapper' },
    { id: 'm3', providerId: 'role-ldap-mapper' },
  ],
  '/components?parent=c3': [],
  '/identity-provider/instances': [
    { alias: 'google', providerId: 'google', enabled: true, config: { clientSecret: SECRET } },
    { alias: 'old', enabled: false },
  ],
  '/identity-provider/instances/google/mappers': [
    { name: 'x', identityProviderMapper: 'oidc-role-idp-mapper', config: { role: SECRET } },
  ],
  serverinfo: { providers: { eventsListener: { providers: { 'jboss-logging': { order: 0 } } } } },
}

type Answer = { readonly status: number; readonly body?: unknown } | undefined

/** A stand-in for Keycloak; `special` answers first, by path below the realm and query. */
async function keycloak(special: (path: string, url: URL, token: string) => Answer = () => undefined) {
  const seen: string[] = []
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost')
    const token = request.headers.authorization ?? ''
    const below = url.searchParams.has('parent') ? `?parent=${url.searchParams.get('parent') ?? ''}` : ''
    const path = url.pathname.replace('/admin/realms/main', '').replace('/admin/', '') + below
    seen.push(`${request.method ?? ''} ${url.pathname}${url.search}`)
    const isPage2 = url.searchParams.has('first') && url.searchParams.get('first') !== '0'
    const known = path in ANSWERS ? { status: 200, body: isPage2 ? [] : ANSWERS[path] } : { status: 404 }
    const { status, body } = special(path, url, token) ?? known
    response.writeHead(status).end(JSON.stringify(body ?? {}))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, seen, read: (env = TOKEN as object) => readRealm(new AdminApi(url, 'main', { ...env }), 'main') }
}

const refuse =
  (...paths: string[]) =>
  (path: string): Answer =>
    paths.includes(path) ? { status: 403 } : undefined

test('a realm is read with its defaults, and what is switched off is left out', async () => {
  const realm = await (await keycloak()).read()
  expect(realm).toMatchObject({
    realm: 'main',
    offlineRole: 'everybody',
    extension: { installed: false },
    federations: [
      {
        ...{ name: 'ldap', provider: 'ldap', mappers: ['group-ldap-mapper', 'role-ldap-mapper'] },
        ...{ editMode: 'READ_ONLY', imports: true, vendor: 'ad' },
      },
      { name: 'own', provider: 'own', mappers: [], editMode: '', imports: false, vendor: '' },
    ],
    identityProviders: [{ name: 'google', mappers: ['oidc-role-idp-mapper'] }],
    unread: [],
    lifespans: { ssoSession: 36_000, offlineSession: undefined, login: 1800 },
  })
  expect(realm.federations).toHaveLength(2)
  expect(realm.identityProviders).toHaveLength(1)
  // One that is switched off may have a policy all the same.
  expect(realm.aliases).toHaveLength(2)
  expect(realm.clients).toMatchObject([
    { clientId: 'app-1', attributes: { 'access.token.lifespan': '600' }, alive: { online: 2, offline: 1 } },
  ])
})

test('what a mailed link gives is read from its flow: what is disabled, and what is in it, does not count', async () => {
  const email = { level: 0, requirement: 'REQUIRED', providerId: 'reset-credential-email' }
  const otp = (requirement: string) => [
    { level: 0, requirement },
    { level: 1, requirement: 'REQUIRED', providerId: 'reset-otp' },
    { level: 0, requirement: 'REQUIRED', providerId: 'reset-password' },
  ]
  const mailedLink = async (executions: object[], config: object = {}, allowed = true) => {
    const realm = { ...(ANSWERS[''] as object), resetPasswordAllowed: allowed, resetCredentialsFlow: 'a flow' }
    const answers: Record<string, unknown> = {
      '': realm,
      '/authentication/flows/a%20flow/executions': executions,
      '/authentication/config/c1': { alias: 'x', config },
    }
    const { read } = await keycloak((path) => (path in answers ? { status: 200, body: answers[path] } : undefined))
    return (await read()).mailedLink
  }
  expect(await mailedLink([email, ...otp('CONDITIONAL')])).toEqual({ logsIn: true, resetsOtp: true })
  expect(await mailedLink([email, ...otp('DISABLED')])).toEqual({ logsIn: true, resetsOtp: false })
  const configured = { ...email, authenticationConfig: 'c1' }
  expect(await mailedLink([configured], { 'force-login': 'only-federated' })).toMatchObject({ logsIn: true })
  expect(await mailedLink([configured], { 'force-login': 'true' })).toEqual({ logsIn: false, resetsOtp: false })
  expect(await mailedLink([email], {}, false)).toBeUndefined()
})

test.each([
  ['is told', { version: '26.7.3', javaVersion: '21' }, '26.7.3'],
  ['is told what the administrators of a realm are', { version: '26.7.3', javaVersion: null }, '26.7.3'],
  ['is told nothing of the system', undefined, undefined],
])('the version of the server is known to an account that %s', async (_, systemInfo, version) => {
  const body = { ...(ANSWERS['serverinfo'] as object), systemInfo }
  const { read } = await keycloak((path) => (path === 'serverinfo' ? { status: 200, body } : undefined))
  expect((await read()).keycloak).toBe(version)
})

test('no secret that Keycloak sends along is kept or shown', async () => {
  const realm = await (await keycloak()).read()
  expect(JSON.stringify(realm)).not.toContain(SECRET)
  expect(asText(realm, 'x') + asJson(realm, 'x', 'y')).not.toContain(SECRET)
})

test('clients are read to the last page, also when pages are short', async () => {
  const { read, seen } = await keycloak((path, url) => {
    const first = Number(url.searchParams.get('first'))
    return path === '/clients' ? { status: 200, body: first < 250 ? [app(first), app(first + 1)] : [] } : undefined
  })
  expect((await read()).clients).toHaveLength(6)
  expect(seen.filter((line) => line.includes('/clients?'))).toHaveLength(4)
})

test('a server that answers every page alike is not asked for ever', async () => {
  const { read } = await keycloak((path) => (path === '/clients' ? { status: 200, body: [app(1)] } : undefined))
  expect((await read()).clients).toHaveLength(1)
})

test('a token that ends while reading is got anew, once, and the secret goes into the form alone', async () => {
  let issued = 0
  const { read, seen } = await keycloak((path, _, token) => {
    if (path.endsWith('/token')) {
      return { status: 200, body: { access_token: `token-${++issued}` } }
    }
    return path === '/clients' && token === 'Bearer token-1' ? { status: 401 } : undefined
  })
  expect((await read(GRANT)).clients).toHaveLength(1)
  expect(issued).toBe(2)
  expect(seen.join()).not.toContain('secret')
})

test.each([
  ['the realm', refuse('')],
  [
    'the realm’s settings',
    (path: string): Answer => (path === '' ? { status: 200, body: { realm: 'main' } } : undefined),
  ],
])('without view-realm, which shows as %s hidden, there is no audit, and the role is named', async (_, special) => {
  const { read } = await keycloak(special)
  await expect(read()).rejects.toThrow(/may not read the realm.* role view-realm /)
})

test('without view-clients there is no audit, though Keycloak answers an empty list', async () => {
  const special = (path: string): Answer =>
    path === '/default-default-client-scopes'
      ? { status: 403 }
      : path === '/clients'
        ? { status: 200, body: [] }
        : undefined
  await expect((await keycloak(special)).read()).rejects.toThrow(/may not read the clients.* role view-clients /)
})

test('what else may not be read is listed with the role, and the worst is assumed', async () => {
  const { read } = await keycloak(refuse('/identity-provider/instances', '/components', '/roles', 'serverinfo'))
  const realm = await read()
  expect(realm.unread.map(({ what }) => what)).toEqual([
    'who may have offline tokens',
    'user federations',
    'identity providers',
    'the server’s list of providers',
  ])
  expect(realm).toMatchObject({ offlineRole: 'everybody', extension: undefined })
  expect(asText(realm, 'x')).toContain('role view-identity-providers')
})

test('where the role offline_access is gone nobody has offline tokens', async () => {
  const { read } = await keycloak((path) => (path === '/roles' ? { status: 200, body: [] } : undefined))
  expect((await read()).offlineRole).toBe('nobody')
})

test.each([
  [401, 'access_denied', /refuses the token/],
  [404, 'invalid_request', /check --url and --realm/],
  [302, 'idp_unavailable', /is --url Keycloak/],
  [500, 'idp_unavailable', /answered 500/],
  [200, 'idp_unavailable', /does not \(realm\)/],
])('a %i for the realm is the error %s', async (status, code, words) => {
  const { read } = await keycloak((path) => (path === '' ? { status } : undefined))
  const failure: unknown = await read().catch((cause: unknown) => cause)
  expect(failure).toMatchObject({ code })
  expect(String(failure)).toMatch(words)
})

test('refused credentials are said without the credentials', async () => {
  const { read } = await keycloak((path) => (path.endsWith('/token') ? { status: 401 } : undefined))
  const failure = String(await read(GRANT).catch((cause: unknown) => cause))
  expect(failure).toMatch(/gave no token \(401\).*--login-realm/)
  expect(failure).not.toContain('secret')
})

test('nobody at the address is said with the address', async () => {
  const read = readRealm(new AdminApi('http://127.0.0.1:9', 'main', TOKEN), 'main')
  await expect(read).rejects.toThrow('No Keycloak answers at http://127.0.0.1:9 (ECONNREFUSED)')
})

test.each([
  ['plain http to another machine', 'http://idp.example.org', TOKEN, /must be https/],
  ['no URL', 'idp', TOKEN, /no URL/],
  ['a password in the URL', 'https://a:secret@idp.example.org', TOKEN, /others can see/],
  ['a realm in the URL', 'https://idp.example.org/realms/main', TOKEN, /goes into --realm/],
  ['no account', 'https://idp.example.org', {}, /Set LOGOUT_RELAY_TOKEN/],
  ['two accounts', 'https://idp.example.org', { ...TOKEN, ...GRANT }, /no more than one/],
  ['half an account', 'https://idp.example.org', { LOGOUT_RELAY_AUDIT_USERNAME: 'x' }, /Set LOGOUT_RELAY_TOKEN/],
  ['a token with a line break', 'https://idp.example.org', { LOGOUT_RELAY_TOKEN: 'a\nb' }, /no access token/],
])('with %s nothing is sent', (_, url, env, words) => {
  expect(() => new AdminApi(url, 'main', env)).toThrow(words)
})

const WORKLOADS = '/realms/main/logout-relay/workloads'
const listening: (path: string) => Answer = (path) =>
  path === ''
    ? { status: 200, body: { ...(ANSWERS[''] as object), eventsListeners: ['logout-relay'] } }
    : path === 'serverinfo'
      ? { status: 200, body: { providers: { eventsListener: { providers: { 'logout-relay': {} } } } } }
      : undefined
const row = (account: string) => ({
  ...{ client_id: 'app-1', kind: 'client_credentials', account, service_account: true, address: '192.0.2.7', uses: 3 },
  ...{ first_ms: 1, last_ms: 2, hours: (1 << 2) | (1 << 23), days: 4, auth_method: 'client-secret', key: '' },
})

/** The realm with its workloads, where the extension answers like this. */
async function workloadsOf(answer: (url: URL) => Answer, realm = listening) {
  const { url, seen } = await keycloak((path, asked) => (asked.pathname === WORKLOADS ? answer(asked) : realm(path)))
  const api = new AdminApi(url, 'main', TOKEN)
  return { seen, workloads: (await withWorkloads(api, await readRealm(api, 'main'), 7)).workloads }
}

test('what clients were given is read page by page', async () => {
  const { workloads } = await workloadsOf((url) =>
    url.searchParams.get('after') === 'n'
      ? { status: 200, body: { workloads: [{ ...row('b'), offline_token_ms: 2, refresh_token_ms: 1 }], since_ms: 1 } }
      : { status: 200, body: { workloads: [row('a')], since_ms: 1, next: 'n' } },
  )
  expect(workloads).toMatchObject({ readAtMs: 7, sinceMs: 1 })
  expect(workloads?.uses).toEqual([
    {
      ...{ clientId: 'app-1', kind: 'client_credentials', account: 'a', isService: true, address: '192.0.2.7' },
      ...{ count: 3, firstMs: 1, lastMs: 2, hours: [2, 23], days: 4, refresh: 'none' },
    },
    expect.objectContaining({ account: 'b', refresh: 'offline' }),
  ])
})

test.each([
  [401, 'the extension tells it to an account of this realm alone'],
  [403, 'the account lacks the role view-clients of the client realm-management'],
  [404, 'the extension is older than that'],
])('where the extension answers %i the audit goes on, and says so', async (status, unread) => {
  expect((await workloadsOf(() => ({ status }))).workloads).toEqual({ readAtMs: 7, uses: [], unread })
})

test('a Keycloak without the extension is not asked what clients were given', async () => {
  const { seen, workloads } = await workloadsOf(
    () => ({ status: 200 }),
    () => undefined,
  )
  expect(workloads?.unread).toBe('the extension is not on, which counts it')
  expect(seen.filter((request) => request.includes('logout-relay'))).toEqual([])
})
