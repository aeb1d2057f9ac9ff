import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { CATALOGUE, type FindingId } from '../../relay/idp/keycloak/audit/catalogue.ts'
import { type Level, levelOf } from '../../relay/idp/keycloak/audit/danger.ts'
import { findings } from '../../relay/idp/keycloak/audit/findings.ts'
import type { Client, Federation, RealmDescription, Use } from '../../relay/idp/keycloak/audit/realm.ts'
import { survivals } from '../../relay/idp/keycloak/audit/survive.ts'
import { client, contained, DAY, federation, stock } from './audit-given.ts'

const HOUR = 3600
const MONTH = 30 * DAY
const URL_OF = { 'backchannel.logout.url': 'https://shop.example.org/logout' }
const DEVICE = { 'oauth2.device.authorization.grant.enabled': 'true' }
const TOLD = { ...URL_OF, 'backchannel.logout.session.required': 'true' }

const ids = (realm: RealmDescription) => findings(realm).map(({ id }) => id)
const withClient = (more: Partial<Client>) => contained({ clients: [client(more)] })
const stockClient = (more: Partial<Client>) => stock({ clients: [client(more)] })
const { lifespans } = contained()
const extension = (installed: boolean, info: Record<string, string>) => ({
  installed,
  info: { ...contained().extension?.info, ...info },
})

/** A realm with one directory, that the extension looks at. */
const looking = (directory: Partial<Federation>, policy: Record<string, string> = {}) => {
  const triggers = 'admin-reset-password,user-update-password,directory-password-changed'
  return contained({ federations: [federation(directory)], policy, extension: extension(true, { triggers }) })
}

const NOW_MS = Date.parse('2026-11-25T00:00:00Z')
const DAY_MS = DAY * 1000
const ALL_DAY = [...Array(24).keys()]

function use(more: Partial<Use> = {}): Use {
  return {
    ...{ clientId: 'export', kind: 'client_credentials', account: 'account-1', isService: true, address: '192.0.2.7' },
    ...{ count: 40, firstMs: NOW_MS - 40 * DAY_MS, lastMs: NOW_MS, hours: [2], days: 40, refresh: 'none' },
    ...more,
  }
}

/** A realm with one service account, which is used, unless `uses` says otherwise. */
function working(attributes: Client['attributes'] = {}, uses: readonly Use[] = [use()], more: Partial<Client> = {}) {
  const workloads = { readAtMs: NOW_MS, sinceMs: NOW_MS - 40 * DAY_MS, uses }
  const service = client({ clientId: 'export', serviceAccount: true, standardFlow: false, attributes, ...more })
  return contained({ clients: [service], workloads })
}
const madeBefore = (days: number) => ({ 'client.secret.creation.time': `${NOW_MS / 1000 - days * DAY}` })
const person = (more: Partial<Use>) =>
  use({ kind: 'password', account: 'user-1', isService: false, firstMs: NOW_MS - 13 * DAY_MS, days: 14, ...more })
const from = (count: number) => Array.from({ length: count }, (_, n) => use({ address: `192.0.2.${n}` }))

const OF_OKTE = {
  'logout-relay.policy.upstream-logout.okte': 'sessions',
  'logout-relay.policy.upstream-claims-changed.staff.eu': 'sessions',
  'logout-relay.policy.upstream-claims-changed': 'sessions',
  'logout-relay.upstreams.email': 'okta, okte',
  'logout-relay.upstreams.told': '',
}

type Row = [FindingId, string, RealmDescription, RealmDescription, Level, number | undefined]
/** Each finding: where it is, the nearest realm where it is not, its danger, and the seconds at worst. */
const TABLE: Row[] = [
  ['extension-missing', 'no jar', stock(), contained(), 'high', 10 * HOUR],
  [
    'extension-missing',
    'no jar, though the listener is listed',
    contained({ extension: extension(false, {}) }),
    contained(),
    'high',
    10 * HOUR,
  ],
  [
    'listener-off',
    'offline tokens without end',
    contained({ eventsListeners: ['jboss-logging'], clients: [client({ scopes: ['offline_access'] })] }),
    contained({ clients: [client({ scopes: ['offline_access'] })] }),
    'critical',
    Infinity,
  ],
  [
    'shadow-mode',
    'the extension only reports',
    contained({ policy: { 'logout-relay.mode': 'shadow' } }),
    contained({ policy: { 'logout-relay.mode': 'enforce' } }),
    'high',
    10 * HOUR,
  ],
  [
    'trigger-off',
    'a reset ends nothing',
    contained({ policy: { 'logout-relay.policy.admin-reset-password': 'off' } }),
    contained({ policy: { 'logout-relay.policy.username-changed': 'off' } }),
    'medium',
    10 * HOUR,
  ],
  [
    'door-off',
    'a deleted account ends nothing',
    contained({ policy: { 'logout-relay.policy.account-deleted': ' off ' } }),
    contained({
      policy: {
        'logout-relay.policy.account-deleted': 'sessions',
        'logout-relay.policy.operator': 'off',
        'logout-relay.policy.client-contained': 'off',
      },
    }),
    'medium',
    10 * HOUR,
  ],
  [
    'door-off',
    'an account that a directory disables',
    looking({}, { 'logout-relay.policy.directory-account-disabled': 'off' }),
    contained({ policy: { 'logout-relay.policy.directory-account-disabled': 'off' } }),
    'medium',
    10 * HOUR,
  ],
  [
    'door-off',
    'an identity provider whose word ends nothing',
    contained({ policy: { 'logout-relay.policy.upstream-logout.okta': 'off' } }),
    contained({ policy: { 'logout-relay.policy.upstream-claims-changed.okta': 'off' } }),
    'medium',
    10 * HOUR,
  ],
  ['version-unknown', 'not told', contained({ keycloak: undefined }), contained(), 'low', undefined],
  ['version-unknown', 'a build of tonight', contained({ keycloak: '999.0.0-SNAPSHOT' }), contained(), 'low', undefined],
  ['unread', 'a role is missing', contained({ unread: [{ what: 'x', why: 'y' }] }), contained(), 'high', undefined],
  [
    'own-change',
    'an older extension',
    contained({ extension: extension(true, { triggers: 'admin-reset-password' }) }),
    contained(),
    'medium',
    10 * HOUR,
  ],
  ['login-under-way', 'stock', stock(), contained(), 'medium', 10 * HOUR + 1800],
  [
    'login-under-way',
    'a device code that lives longer than a login page',
    stock({
      clients: [client({ attributes: { ...TOLD, ...DEVICE } })],
      lifespans: { ...lifespans, deviceCode: DAY },
    }),
    contained(),
    'high',
    10 * HOUR + DAY,
  ],
  [
    'mailed-link',
    'one that logs in',
    contained({ mailedLink: { logsIn: true, resetsOtp: false } }),
    contained({ mailedLink: { logsIn: false, resetsOtp: false } }),
    'medium',
    undefined,
  ],
  [
    'mailed-link',
    'one that gives a new one-time password',
    contained({ mailedLink: { logsIn: false, resetsOtp: true } }),
    contained(),
    'medium',
    undefined,
  ],
  [
    'user-federation',
    'a directory, with an extension that does not look at it',
    contained({ federations: [federation()] }),
    looking({}),
    'medium',
    10 * HOUR,
  ],
  [
    'user-federation',
    'a directory that is not LDAP, even with the extension',
    looking({ provider: 'own' }),
    looking({}),
    'medium',
    10 * HOUR,
  ],
  [
    'directory-clock',
    'a directory that may be without',
    looking({ vendor: 'other' }),
    looking({ vendor: 'other' }, { 'logout-relay.directories.clock': 'krbLastPwdChange' }),
    'low',
    undefined,
  ],
  [
    'directory-clock',
    'one whose passwords Keycloak cannot set either',
    looking({ vendor: 'rhds', editMode: 'READ_ONLY' }),
    looking({ editMode: 'READ_ONLY' }),
    'medium',
    undefined,
  ],
  [
    'directory-unsynced',
    'also without the extension',
    stock({ federations: [federation({ editMode: 'UNSYNCED' })] }),
    stock({ federations: [federation({ editMode: 'READ_ONLY' })] }),
    'medium',
    undefined,
  ],
  ['directory-not-imported', 'names alone', looking({ imports: false }), looking({}), 'low', undefined],
  [
    'directory-not-imported',
    'not beside the word that it is not looked at',
    looking({ imports: false }),
    looking({ imports: false, provider: 'own' }),
    'low',
    undefined,
  ],
  [
    'roles-from-elsewhere',
    'a directory’s groups',
    looking({ mappers: ['group-ldap-mapper', 'user-attribute-ldap-mapper'] }),
    looking({ mappers: ['hardcoded-ldap-role-mapper', 'user-attribute-ldap-mapper'] }),
    'low',
    undefined,
  ],
  [
    'policy-of-nobody',
    'a misspelt alias, of a trigger and in the lists',
    contained({ policy: OF_OKTE, aliases: ['okta', 'staff'] }),
    contained({ policy: OF_OKTE, aliases: ['okta', 'okte', 'staff.eu'] }),
    'medium',
    undefined,
  ],
  [
    'roles-from-elsewhere',
    'a broker’s claims',
    contained({ identityProviders: [{ name: 'google', provider: 'google', mappers: ['oidc-role-idp-mapper'] }] }),
    stock({ identityProviders: [{ name: 'google', provider: 'google', mappers: ['oidc-role-idp-mapper'] }] }),
    'low',
    undefined,
  ],
  [
    'identity-provider',
    'a broker, even with the extension',
    contained({ identityProviders: [{ name: 'google', provider: 'google', mappers: [] }] }),
    contained(),
    'medium',
    10 * HOUR,
  ],
  [
    'offline-unlimited',
    'no greatest age',
    stockClient({ scopes: ['offline_access'] }),
    stock({
      clients: [client({ scopes: ['offline_access'] })],
      lifespans: { ...lifespans, offlineSession: 60 * DAY },
    }),
    'critical',
    Infinity,
  ],
  [
    'offline-access',
    'a scope that everybody may use',
    stockClient({ scopes: ['offline_access'] }),
    stockClient({}),
    'critical',
    Infinity,
  ],
  [
    'offline-access',
    'limited in the client',
    stockClient({
      scopes: ['offline_access'],
      attributes: { ...TOLD, 'client.offline.session.max.lifespan': `${HOUR}` },
    }),
    stock({ clients: [client({ scopes: ['offline_access'] })], offlineRole: 'nobody' }),
    'medium',
    HOUR,
  ],
  ['sso-session', 'stock', stock(), contained(), 'medium', 10 * HOUR],
  [
    'remember-me',
    'longer than the session',
    stock({ lifespans: { ...lifespans, ssoSessionRememberMe: MONTH } }),
    contained({ lifespans: { ...lifespans, ssoSessionRememberMe: MONTH } }),
    'high',
    MONTH,
  ],
  ['no-logout-url', 'nothing is said', withClient({ attributes: {} }), contained(), 'high', MONTH],
  [
    'no-logout-url',
    'an hour is said',
    withClient({ attributes: { 'logout-relay.session.max-life': '3600' } }),
    contained(),
    'medium',
    HOUR,
  ],
  [
    'no-logout-url',
    'a public client has its tokens alone',
    withClient({ publicClient: true, attributes: {} }),
    withClient({ clientId: 'account-console', publicClient: true, attributes: {} }),
    'low',
    300,
  ],
  [
    'no-logout-url',
    'the command line of operators has its tokens alone',
    withClient({ clientId: 'logout-relay-operator', standardFlow: false, attributes: DEVICE }),
    contained(),
    'low',
    300,
  ],
  [
    'no-logout-url',
    'a device with a secret may keep sessions',
    withClient({ standardFlow: false, attributes: DEVICE }),
    contained(),
    'high',
    MONTH,
  ],
  [
    'no-logout-url',
    'a page of operators may keep sessions',
    withClient({ clientId: 'logout-relay-operator', attributes: DEVICE }),
    contained(),
    'high',
    MONTH,
  ],
  [
    'front-channel-only',
    'a front channel',
    withClient({ frontchannelLogout: true, attributes: {} }),
    withClient({ frontchannelLogout: true }),
    'high',
    MONTH,
  ],
  [
    'logout-url-not-https',
    'http',
    withClient({ attributes: { ...TOLD, 'backchannel.logout.url': 'http://shop.example.org/logout' } }),
    withClient({ attributes: { ...TOLD, 'backchannel.logout.url': 'HTTPS://shop.example.org/logout' } }),
    'high',
    MONTH,
  ],
  [
    'logout-url-not-https',
    'relative to a root URL on http',
    withClient({ rootUrl: 'http://shop.example.org', attributes: { ...TOLD, 'backchannel.logout.url': '/logout' } }),
    withClient({ rootUrl: 'https://shop.example.org', attributes: { ...TOLD, 'backchannel.logout.url': '/logout' } }),
    'high',
    MONTH,
  ],
  [
    'logout-url-not-https',
    'http on the relay’s own machine',
    withClient({ attributes: { ...TOLD, 'backchannel.logout.url': 'http://localhost:3000/logout' } }),
    withClient({ attributes: { ...TOLD, 'backchannel.logout.url': 'https://localhost:3000/logout' } }),
    'low',
    undefined,
  ],
  [
    'logout-url-not-https',
    'no URL at all',
    withClient({ attributes: { ...TOLD, 'backchannel.logout.url': 'logout' } }),
    contained(),
    'high',
    MONTH,
  ],
  [
    'hmac-id-tokens',
    'HS256',
    withClient({ attributes: { ...TOLD, 'id.token.signed.response.alg': 'HS256' } }),
    withClient({ attributes: { ...TOLD, 'id.token.signed.response.alg': 'ES256' } }),
    'high',
    MONTH,
  ],
  [
    'hmac-id-tokens',
    'HS512 in the realm',
    contained({ defaultSignatureAlgorithm: 'HS512' }),
    contained({ defaultSignatureAlgorithm: '' }),
    'high',
    MONTH,
  ],
  ['saml-client', 'SAML', withClient({ protocol: 'saml', attributes: {} }), contained(), 'high', MONTH],
  [
    'session-outlives-keycloak',
    '30 d against 10 h',
    stockClient({ attributes: { ...TOLD, 'logout-relay.session.max-life': `${MONTH}` } }),
    withClient({ attributes: { ...TOLD, 'logout-relay.session.max-life': `${MONTH}` } }),
    'high',
    MONTH,
  ],
  ['session-not-required', 'with the extension', withClient({ attributes: URL_OF }), contained(), 'low', undefined],
  ['session-not-required', 'without it', stockClient({ attributes: URL_OF }), stock(), 'medium', undefined],
  [
    'access-token-lifespan',
    'in the realm',
    contained({ lifespans: { ...lifespans, accessToken: HOUR } }),
    contained(),
    'medium',
    HOUR,
  ],
  [
    'access-token-lifespan',
    'in the client',
    withClient({ attributes: { ...TOLD, 'access.token.lifespan': '600' } }),
    withClient({ attributes: { ...TOLD, 'access.token.lifespan': '300' } }),
    'low',
    600,
  ],
  [
    'access-token-lifespan',
    'no longer than the session',
    withClient({ attributes: { ...TOLD, 'access.token.lifespan': `${MONTH}` } }),
    contained(),
    'medium',
    10 * HOUR,
  ],
  [
    'access-token-lifespan',
    'as long as the session',
    withClient({ attributes: { ...TOLD, 'access.token.lifespan': '-1' } }),
    contained(),
    'medium',
    10 * HOUR,
  ],
  ['implicit-flow', 'on', withClient({ implicitFlow: true }), contained(), 'medium', 900],
  ['direct-grants', 'on', withClient({ directGrants: true }), contained(), 'low', undefined],
  ['consent', 'asked for', withClient({ consentRequired: true }), contained(), 'low', undefined],
  [
    'access-token-lifespan',
    'of a service account',
    working({ 'access.token.lifespan': '3600' }),
    working({ 'access.token.lifespan': '300' }),
    'medium',
    HOUR,
  ],
  ['secret-old', 'for a quarter of a year', working(madeBefore(91)), working(madeBefore(90)), 'low', undefined],
  ['secret-old', 'for more than a year', working(madeBefore(366)), working(), 'medium', undefined],
  [
    'secret-old',
    'of no secret',
    working(madeBefore(91)),
    working(madeBefore(91), [use()], { authenticator: 'client-jwt' }),
    'low',
    undefined,
  ],
  ['workload-idle', 'never seen', working({}, []), working(), 'low', undefined],
  [
    'workload-idle',
    'not for long',
    working({}, [use({ lastMs: NOW_MS - 36 * DAY_MS })]),
    working({}, [use({ lastMs: NOW_MS - 35 * DAY_MS })]),
    'low',
    undefined,
  ],
  ['workload-addresses', 'eleven', working({}, from(11)), working({}, from(10)), 'low', undefined],
  ['workload-addresses', 'more than are kept', working({}, [use(), use({ address: '' })]), working(), 'low', undefined],
  [
    'workload-refresh',
    'switched on',
    working({ 'client_credentials.use_refresh_token': 'true' }),
    working({ 'client_credentials.use_refresh_token': 'false' }),
    'low',
    undefined,
  ],
  ['workload-refresh', 'an offline token', working({}, [use({ refresh: 'offline' })]), working(), 'medium', undefined],
  [
    'looks-like-a-job',
    'each night',
    working({}, [use(), person({ hours: [2, 3] })]),
    working({}, [use(), person({ hours: [2, 3, 9] })]),
    'low',
    undefined,
  ],
  [
    'looks-like-a-job',
    'round the clock',
    working({}, [use(), person({ hours: ALL_DAY, days: 7 })]),
    working({}, [use(), person({ hours: ALL_DAY, days: 6 })]),
    'low',
    undefined,
  ],
  [
    'looks-like-a-job',
    'an offline token in one place',
    working({}, [use(), person({ kind: 'refresh_token', hours: ALL_DAY })]),
    working({}, [
      ...[use(), person({ kind: 'refresh_token', hours: ALL_DAY })],
      person({ kind: 'refresh_token', hours: [9], address: '198.51.100.1' }),
    ]),
    'low',
    undefined,
  ],
  [
    'push-off',
    'the extension says so',
    contained({ extension: extension(true, { push: 'off' }) }),
    contained(),
    'low',
    5,
  ],
]

test('a realm in which a reset ends everything has no finding', () => {
  expect(findings(contained())).toEqual([])
})

test.each(TABLE)('%s: %s', (id, _why, present, absent, level, worst) => {
  expect(findings(present).filter((one) => one.id === id)).toMatchObject([{ id, level, worst }])
  expect(ids(absent)).not.toContain(id)
})

test('a person’s account that looks like a job is named with why, and nobody else', () => {
  const others = [
    use({ account: '', isService: false, kind: 'password', hours: ALL_DAY }),
    person({ hours: [9, 12, 17] }),
  ]
  const found = findings(working({}, [use(), ...others, person({ account: 'user-2', hours: [2] })]))
  expect(found.map(({ kind, name, detail }) => [kind, name, detail])).toEqual([
    [
      ...['account', 'user-2'],
      'At export: looks like a job because it has logged in with its password on 14 of 14 days, always at the same time (02:00 UTC), from 192.0.2.7.',
    ],
  ])
})

test('where nobody counts, no service account is called unused', () => {
  const workloads = { readAtMs: NOW_MS, uses: [], unread: 'the extension is older than that' }
  expect(findings({ ...working(), workloads })).toEqual([])
})

test('each published hole of Keycloak is a finding of its own, with its danger, what it lets live and what mends it', () => {
  const found = findings(contained({ keycloak: '26.7.1' })).filter(({ id }) => id === 'keycloak-hole')
  expect(found.map(({ level, detail }) => `${level} ${detail}`)).toEqual([
    expect.stringMatching(
      /^critical CVE-2026-18963: anybody sets a new password .*\. Mended in 26\.7\.2, and all of them in 26\.7\.3 \(https:\/\/github\.com\/keycloak\/keycloak\/issues\/51833\)\.$/,
    ),
    expect.stringMatching(/^high CVE-2026-15571: .*Mended in 26\.7\.2/),
    expect.stringMatching(/^high CVE-2026-16089: .*Mended in 26\.7\.3/),
    expect.stringMatching(/^high CVE-2026-18218: .*Mended in 26\.7\.3/),
  ])
  expect(ids(contained({ keycloak: '26.7.4.redhat-00001' }))).not.toContain('keycloak-hole')
})

test('every finding has a line in the table, or a test of its own', () => {
  expect(new Set([...TABLE.map(([id]) => id), 'keycloak-hole'])).toEqual(new Set(Object.keys(CATALOGUE)))
})

test('docs/audit.md explains exactly the findings that there are, with their titles', () => {
  const docs = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'audit.md'), 'utf8')
  const explained = [...docs.matchAll(/^### `([^`]+)`\n\n(.+)$/gm)].map(([, id, title]) => [id, title?.split('.')[0]])
  expect(explained).toEqual(Object.entries(CATALOGUE).map(([id, { title }]) => [id, title]))
})

test.each<[number, Level]>([
  [Infinity, 'critical'],
  [DAY + 1, 'high'],
  [DAY, 'medium'],
  [901, 'medium'],
  [900, 'low'],
])('what lives %s seconds is %s', (seconds, level) => {
  expect(levelOf(seconds)).toBe(level)
})

test('findings come in order of danger, and of one danger the longest-lived first', () => {
  const clients = [
    client({ clientId: 'short', attributes: { 'logout-relay.session.max-life': `${2 * DAY}` } }),
    client({ clientId: 'long', attributes: {}, directGrants: true, scopes: ['offline_access'] }),
  ]
  const found = findings(stock({ clients })).map(({ level, worst = 0 }) => ({ level, worst }))
  const order = ['critical', 'high', 'medium', 'low']
  const sorted = found.toSorted((a, b) => {
    const byLevel = order.indexOf(a.level) - order.indexOf(b.level)
    return byLevel !== 0 || a.worst === b.worst ? byLevel : b.worst - a.worst
  })
  expect(found).toEqual(sorted)
  expect(new Set(found.map(({ level }) => level))).toEqual(new Set(order))
})

describe('what survives at a client', () => {
  const of = (realm: RealmDescription) => survivals(realm)[0]

  test('is nothing but its access token where the extension is on and the application is told', () => {
    const realm = withClient({ scopes: ['offline_access'] })
    expect(of(realm)).toMatchObject({ application: 0, refreshToken: 0, offlineToken: 0, accessToken: 300, worst: 300 })
  })

  test('is everything where it is off', () => {
    const realm = stockClient({ scopes: ['offline_access'] })
    const all = { application: MONTH, refreshToken: 10 * HOUR, offlineToken: Infinity, worst: Infinity }
    expect(of(realm)).toMatchObject({ ...all, assumed: true })
  })

  test.each<[string, Partial<Client>]>([
    ['disabled', { enabled: false }],
    ['bearer-only', { bearerOnly: true }],
    ['a service account alone', { standardFlow: false }],
  ])('is not asked for one that is %s', (_, more) => {
    expect(survivals(stockClient(more))).toEqual([])
  })

  test('counts the shorter of Keycloak’s limits for a refresh token and for an offline one', () => {
    const attributes = { ...TOLD, 'client.session.max.lifespan': `${DAY}`, 'client.offline.session.max.lifespan': '60' }
    const realm = stockClient({ attributes, scopes: ['offline_access'] })
    expect(of(realm)).toMatchObject({ refreshToken: 10 * HOUR, offlineToken: 60 })
    const limited = { ...lifespans, clientSession: HOUR, offlineSession: 60 * DAY, clientOfflineSession: 2 * DAY }
    expect(of(stock({ clients: [client({ scopes: ['offline_access'] })], lifespans: limited }))).toMatchObject({
      refreshToken: HOUR,
      offlineToken: 2 * DAY,
    })
  })

  test('is ended nowhere when nobody could see whether the extension is installed', () => {
    expect(of(contained({ extension: undefined }))).toMatchObject({ application: MONTH, refreshToken: 10 * HOUR })
  })
})

test('a policy of nobody is named with each attribute and alias, and where aliases cannot be read with none', () => {
  const found = (aliases: string[] | undefined) =>
    findings(contained({ policy: OF_OKTE, aliases })).find(({ id }) => id === 'policy-of-nobody')?.detail
  expect(found(['okta'])).toBe(
    'In force for nobody: logout-relay.policy.upstream-claims-changed.staff.eu (staff.eu), ' +
      'logout-relay.policy.upstream-logout.okte (okte), logout-relay.upstreams.email (okte).',
  )
  expect(found(undefined)).toBeUndefined()
})
