import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CATALOGUE } from '../../relay/idp/keycloak/audit/catalogue.ts'
import { Admin, RealmAdmin } from '../../scripts/stage/admin.ts'
import { type KeycloakAt, type KeycloakServer, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { TokenEndpoint } from '../../scripts/stage/tokens.ts'
import { type Audit, audit } from './audit-command.ts'
import { DEMO_ENV, SECRET } from './demo-realm.ts'
import { type Shared, shared } from './shared.ts'

/** Clients of every realm that people log in to; Keycloak's other own ones are not to be changed. */
const OF_EVERYBODY = ['account', 'account-console', 'admin-cli', 'security-admin-console']
const LEAST = ['view-realm', 'view-clients', 'view-identity-providers']

/** A service account of the realm that may do nothing but what these roles let it. */
async function auditor(admin: RealmAdmin, clientId: string, roles: readonly string[]) {
  await admin.createClient({
    clientId,
    secret: SECRET,
    serviceAccountsEnabled: true,
    standardFlowEnabled: false,
  })
  const uuid = await admin.clientUuid(clientId)
  const user = (await admin.must<{ id: string }>('GET', `/clients/${uuid}/service-account-user`)).json()
  const management = await admin.clientUuid('realm-management')
  const all = (await admin.must<{ name: string }[]>('GET', `/clients/${management}/roles`)).json()
  const given = all.filter(({ name }) => roles.includes(name))
  expect(given).toHaveLength(roles.length)
  await admin.must('POST', `/users/${user.id}/role-mappings/clients/${management}`, given)
  return { LOGOUT_RELAY_AUDIT_CLIENT_ID: clientId, LOGOUT_RELAY_AUDIT_CLIENT_SECRET: SECRET }
}

let keycloak: KeycloakAt

const run = (realm: string, env: Record<string, string>, ...more: string[]) =>
  audit(['--url', keycloak.url, '--realm', realm, ...more], env)
const found = async (realm: string, env: Record<string, string>, ...more: string[]) => {
  const { out, err } = await run(realm, env, '--json', ...more)
  expect(err).toBe('')
  return JSON.parse(out) as Audit
}
const idsOf = ({ findings }: Audit) => findings.map(({ id }) => id).toSorted()

describe('with the extension', () => {
  let server: Shared
  let admin: RealmAdmin
  let env: Record<string, string>
  beforeAll(async () => {
    server = await shared()
    ;({ keycloak } = server)
    admin = await server.bring('demo', 'audit', DEMO_ENV)
    env = await auditor(admin, 'auditor', LEAST)
  })

  test('the demo realm’s applications keep access tokens and nothing else', async () => {
    const { survives, answered_by_the_extension } = await found('audit', env)
    expect(answered_by_the_extension).toBe(true)
    expect(survives.map(({ client_id }) => client_id)).toEqual(
      expect.arrayContaining(['apache-app', 'express-app', 'mobile-app']),
    )
    expect(new Set(survives.map(({ worst }) => JSON.stringify(worst)))).toEqual(new Set(['{"seconds":300}']))
  })

  test('the demo realm’s findings are these', async () => {
    const { findings } = await found('audit', env)
    expect(findings.map(({ id, level, where }) => `${level} ${id} ${where.name}`)).toEqual([
      // So that the token which the demo prints is good for as long as the demo is.
      'high access-token-lifespan logout-relay-operator',
      'low no-logout-url browser-app',
      'low no-logout-url mobile-app',
      'low direct-grants admin-cli',
      'low direct-grants mobile-app',
      'low logout-url-not-https apache-app',
      'low logout-url-not-https express-app',
      'low logout-url-not-https logout-relay-console',
    ])
  })

  test('the demo realm’s mailed link gives a new password alone; one that logs in is found', async () => {
    await admin.must('PUT', '', { resetPasswordAllowed: true })
    const idsWith = async (forceLogin: string) => {
      await admin.setForceLogin(forceLogin)
      return idsOf(await found('audit', env))
    }
    expect(await idsWith('only-federated')).toContain('mailed-link')
    expect(await idsWith('true')).not.toContain('mailed-link')
    await admin.must('PUT', '', { resetPasswordAllowed: false })
  })

  test('a policy that ends nothing looks like protection and is found', async () => {
    const foundWith = async (attributes: Record<string, string>) => {
      await admin.must('PUT', '', { attributes })
      return idsOf(await found('audit', env))
    }
    const sound = idsOf(await found('audit', env))
    expect(await foundWith({ 'logout-relay.mode': 'shadow' })).toContain('shadow-mode')
    expect(await foundWith({ 'logout-relay.policy.admin-reset-password': 'off' })).toContain('trigger-off')
    expect(sound).not.toContain('shadow-mode')
    expect(sound).not.toContain('trigger-off')
    expect(await foundWith({})).toEqual(sound)
  })

  test('a realm of which too little is heard has each finding about doors and directories once', async () => {
    const sound = idsOf(await found('audit', env))
    const readOnly = await addDirectory(admin, 'read-only', { importEnabled: ['false'] })
    const unsynced = await addDirectory(admin, 'unsynced', { vendor: ['ad'], editMode: ['UNSYNCED'] })
    await admin.must('POST', '/components', {
      ...{ name: 'roles', parentId: readOnly, providerId: 'role-ldap-mapper' },
      providerType: 'org.keycloak.storage.ldap.mappers.LDAPStorageMapper',
      config: {
        ...{ 'roles.dn': ['ou=roles,dc=example,dc=org'], 'role.name.ldap.attribute': ['cn'] },
        ...{ 'role.object.classes': ['groupOfNames'], 'membership.ldap.attribute': ['member'] },
        ...{ 'membership.attribute.type': ['DN'], 'membership.user.ldap.attribute': ['uid'], mode: ['READ_ONLY'] },
        ...{ 'use.realm.roles.mapping': ['true'] },
        'user.roles.retrieve.strategy': ['LOAD_ROLES_BY_MEMBER_ATTRIBUTE'],
      },
    })
    await admin.must('PUT', '', { attributes: { 'logout-relay.policy.account-deleted': 'off' } })
    try {
      const { findings } = await found('audit', env)
      const added = [
        'directory-clock',
        'directory-not-imported',
        'directory-unsynced',
        'door-off',
        'roles-from-elsewhere',
      ]
      expect(findings.map(({ id }) => id).toSorted()).toEqual([...sound, ...added].toSorted())
      const of = (id: string) => findings.find((one) => one.id === id)
      expect(of('directory-clock')).toMatchObject({ level: 'medium', where: { name: 'read-only' } })
      expect(of('directory-unsynced')).toMatchObject({ level: 'medium', where: { name: 'unsynced' } })
      expect(of('roles-from-elsewhere')?.detail).toBe('By: role-ldap-mapper.')
      expect(of('door-off')?.detail).toBe('Nothing is ended on: account-deleted.')
    } finally {
      await admin.must('PUT', '', { attributes: {} })
      await Promise.all([readOnly, unsynced].map((id) => admin.must('DELETE', `/components/${id}`)))
    }
    expect(idsOf(await found('audit', env))).toEqual(sound)
  })

  test('an administrator of another realm, a token and the table do as well', async () => {
    const { username, password } = server.administrator
    // One finding less: an administrator of the server is told its version.
    const administrator = { LOGOUT_RELAY_AUDIT_USERNAME: username, LOGOUT_RELAY_AUDIT_PASSWORD: password }
    expect(idsOf(await found('audit', administrator, '--login-realm', 'master'))).toHaveLength(8)
    const { status, out } = await run('audit', { LOGOUT_RELAY_TOKEN: await server.token() })
    expect(status).toBe(0)
    expect(out).toMatch(/^mobile-app +– +ended +ended +5 min +0 sessions$/m)
  })

  test('the exit status is 1 at or above the limit, 2 for wrong use and what cannot be read, 78 for the environment', async () => {
    const status = async (given: Record<string, string>, ...more: string[]) =>
      (await run('audit', given, ...more)).status
    expect(await status(env)).toBe(0)
    expect(await status(env, '--fail-on', 'low')).toBe(1)
    expect(await status(env, '--fail-on', 'critical')).toBe(0)
    expect(await status(env, '--fail-on', 'much')).toBe(2)
    expect(await status({ ...env, LOGOUT_RELAY_AUDIT_CLIENT_SECRET: 'wrong' })).toBe(2)
    expect(await status({})).toBe(78)
    expect((await audit(['--realm', 'audit'], env)).status).toBe(2)
    expect((await run('nowhere', { LOGOUT_RELAY_TOKEN: await server.token() })).status).toBe(2)
  })

  test('without one of the roles that are needed there is no audit, and the role is named', async () => {
    for (const role of ['view-realm', 'view-clients']) {
      // query-clients makes Keycloak answer an empty list of clients instead of 403.
      const roles = [...LEAST.filter((one) => one !== role), 'query-clients']
      const { status, out, err } = await run('audit', await auditor(admin, `without-${role}`, roles))
      expect({ status, out }).toEqual({ status: 2, out: '' })
      expect(err).toContain(`Give it the role ${role} `)
    }
  })
})

describe('without the extension', () => {
  let own: KeycloakServer
  let server: Admin
  let admin: RealmAdmin
  let env: Record<string, string>
  beforeAll(async () => {
    keycloak = own = await startKeycloak()
    await own.admin.must('POST', '', { realm: 'fresh', enabled: true })
    await own.admin.must('POST', '', { realm: 'all', enabled: true })
    // A token from before the realms has no rights in them.
    const { username, password } = own.adminUser
    server = new Admin(own.url, username, password)
    admin = new RealmAdmin(server, 'all')
    await realmOfAllFindings(admin)
    env = await auditor(admin, 'auditor', LEAST)
  })
  afterAll(() => own.stop())

  test('every finding that such a realm can have is found in it, each once', async () => {
    const all = idsOf(await found('all', env))
    // The version is one without such a hole.
    const withExtension = [
      ...['keycloak-hole', 'own-change', 'push-off', 'shadow-mode', 'trigger-off', 'door-off'],
      ...['directory-clock', 'directory-not-imported', 'roles-from-elsewhere', 'policy-of-nobody'],
      ...['workload-addresses', 'workload-idle', 'workload-refresh', 'looks-like-a-job'],
    ]
    const takesTime = ['secret-old']
    const expected = Object.keys(CATALOGUE).filter((id) => ![...withExtension, ...takesTime, 'unread'].includes(id))
    expect(all).toEqual(expected.toSorted())
  })

  test('each is found at the client that has it', async () => {
    const { findings } = await found('all', env)
    const atClients = findings.filter(({ where }) => where.kind === 'client').map(({ id, where }) => [where.name, id])
    expect(atClients.filter(([name, id]) => name !== id)).toEqual([])
    expect(atClients).toHaveLength(12)
  })

  test('identity providers that may not be read are a finding and not a pass', async () => {
    const roles = ['view-realm', 'view-clients']
    const less = await auditor(admin, 'less', roles)
    const { findings } = await found('all', less)
    expect(findings.filter(({ id }) => id === 'unread').map(({ detail }) => detail)).toEqual([
      'identity providers: the account lacks the role view-identity-providers of the client realm-management.',
    ])
    expect((await run('all', less, '--fail-on', 'high')).status).toBe(1)
  })

  test('a listener without its jar looks like protection and is found', async () => {
    await admin.must('PUT', '', { eventsListeners: ['jboss-logging', 'logout-relay'] })
    const { findings, answered_by_the_extension } = await found('all', env)
    expect(answered_by_the_extension).toBe(false)
    expect(findings.map(({ id }) => id)).not.toContain('listener-off')
    expect(findings.find(({ id }) => id === 'extension-missing')?.detail).toContain('looks protected and is not')
  })

  test('what it says of the client that everybody has is so: with the password alone, admin-cli gives what a reset leaves alive', async () => {
    const user = await server.createUser('fresh', 'alice', 'password')
    const tokens = new TokenEndpoint(keycloak.issuer('fresh'))
    const offline = await tokens.directGrant('admin-cli', 'alice', 'password', 'openid offline_access')
    const { survives, findings } = await found('fresh', { LOGOUT_RELAY_TOKEN: await server.token() })
    expect(survives.find(({ client_id }) => client_id === 'admin-cli')).toMatchObject({
      offline_token: { unlimited: true },
      alive_now: { offline: 1 },
    })
    expect(findings.find(({ id, where }) => id === 'offline-access' && where.name === 'admin-cli')?.detail).toBe(
      'Every user can get one here, with the password alone. Alive now: 1 offline session.',
    )
    expect((await server.resetPassword('fresh', user, 'another')).status).toBe(204)
    expect(await tokens.lives('admin-cli', offline)).toBe(true)
  })
})

/** Each client is named like the one finding that it has. */
async function realmOfAllFindings(admin: RealmAdmin): Promise<void> {
  await admin.must('PUT', '', {
    rememberMe: true,
    resetPasswordAllowed: true,
    ssoSessionMaxLifespanRememberMe: 2_592_000,
  })
  const scopes = (await admin.must<{ id: string; name: string }[]>('GET', `/client-scopes`)).json()
  const offline = scopes.find(({ name }) => name === 'offline_access')?.id ?? ''
  // Clients that come with Keycloak have offline access too, and admin-cli direct grants.
  const clients = (await admin.must<{ id: string; clientId: string }[]>('GET', `/clients`)).json()
  for (const { id } of clients.filter(({ clientId }) => OF_EVERYBODY.includes(clientId))) {
    await admin.must('DELETE', `/clients/${id}/optional-client-scopes/${offline}`)
  }
  await admin.must('DELETE', `/default-optional-client-scopes/${offline}`)
  const adminCli = await admin.clientUuid('admin-cli')
  await admin.must('PUT', `/clients/${adminCli}`, { clientId: 'admin-cli', directAccessGrantsEnabled: false })

  const url = { 'backchannel.logout.url': 'https://app.example.org/logout' }
  const told = { ...url, 'backchannel.logout.session.required': 'true' }
  const findingsOf: Record<string, Record<string, unknown>> = {
    'no-logout-url': {},
    'front-channel-only': { frontchannelLogout: true },
    'logout-url-not-https': { attributes: { ...told, 'backchannel.logout.url': 'http://app.example.org/logout' } },
    'hmac-id-tokens': { attributes: { ...told, 'id.token.signed.response.alg': 'HS256' } },
    'saml-client': { protocol: 'saml' },
    'session-outlives-keycloak': { attributes: { ...told, 'logout-relay.session.max-life': '5184000' } },
    'session-not-required': { attributes: url },
    'access-token-lifespan': { attributes: { ...told, 'access.token.lifespan': '3600' } },
    'implicit-flow': { attributes: told, implicitFlowEnabled: true },
    'direct-grants': { attributes: told, directAccessGrantsEnabled: true },
    consent: { attributes: told, consentRequired: true },
    'offline-access': { attributes: told },
  }
  for (const [clientId, more] of Object.entries(findingsOf)) {
    await admin.createClient({ clientId, redirectUris: ['https://app.example.org/*'], ...more })
  }
  const withOffline = await admin.clientUuid('offline-access')
  await admin.must('PUT', `/clients/${withOffline}/optional-client-scopes/${offline}`)

  await addDirectory(admin, 'directory', { editMode: ['UNSYNCED'] })
  await admin.must('POST', `/identity-provider/instances`, {
    alias: 'elsewhere',
    providerId: 'google',
    enabled: true,
    config: { clientId: 'x', clientSecret: 'x' },
  })
}

/** A directory that nobody asks. @returns its id */
async function addDirectory(admin: RealmAdmin, name: string, more: Record<string, string[]>): Promise<string> {
  const type = 'org.keycloak.storage.UserStorageProvider'
  await admin.must('POST', `/components`, {
    ...{ name, providerId: 'ldap', providerType: type },
    config: {
      enabled: ['true'],
      vendor: ['other'],
      connectionUrl: ['ldap://localhost:9'],
      usersDn: ['ou=people,dc=example,dc=org'],
      authType: ['none'],
      editMode: ['READ_ONLY'],
      usernameLDAPAttribute: ['uid'],
      rdnLDAPAttribute: ['uid'],
      uuidLDAPAttribute: ['entryUUID'],
      userObjectClasses: ['inetOrgPerson'],
      ...more,
    },
  })
  const [made] = (await admin.must<{ id: string }[]>('GET', `/components?type=${type}&name=${name}`)).json()
  return made?.id ?? ''
}
