import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { call } from '../../scripts/stage/http.ts'
import { startMail } from '../../scripts/stage/mail.ts'
import { until } from '../../scripts/stage/process.ts'
import { nextSecond, shareDemoRealm, type SharedDemoRealm, startDemoRealm, type Told } from './demo-realm.ts'
import { EVERYBODY, NOBODY, People, type Person } from './people.ts'

/** Workflows are a preview in the older one. */
const REALM = {
  '26.5.0': () => startDemoRealm({ version: '26.5.0', options: ['--features=workflows'] }),
  '26.7.3': () => shareDemoRealm('doors'),
}

/** How many users with sessions one change may concern. */
const MOST = 500

describe.each(['26.5.0', '26.7.3'] as const)('through the doors of Keycloak %s', (version) => {
  let realm: SharedDemoRealm
  let people: People

  beforeAll(async () => {
    const mail = await startMail()
    realm = await REALM[version]()
    people = new People(realm, mail)
  })

  afterAll(async () => {
    await people.stop()
    await realm.stop()
  })

  const made = async (path: string, what: object) => {
    const answer = await people.admin.must('POST', path, what)
    return String(answer.headers['location']).split('/').at(-1) ?? ''
  }
  const group = (name: string) => made('/groups', { name: `${name}-${randomUUID()}` })
  const join = (user: string, id: string) => people.admin.must('PUT', `/users/${user}/groups/${id}`)
  const role = async (): Promise<{ id: string; name: string }> => {
    const name = `role-${randomUUID()}`
    await people.admin.must('POST', '/roles', { name })
    return (await people.admin.must<{ id: string; name: string }>('GET', `/roles/${name}`)).json()
  }
  const privileged = async () => {
    const client = await people.admin.clientUuid('realm-management')
    return { client, roles: [(await people.admin.must<object>('GET', `/clients/${client}/roles/manage-users`)).json()] }
  }
  const makePrivileged = async (id: string) => {
    const { client, roles } = await privileged()
    await people.admin.must('POST', `/groups/${id}/role-mappings/clients/${client}`, roles)
  }
  const directory = async () => {
    const { id } = (await people.admin.must<{ id: string }>('GET', '')).json()
    return made('/components', {
      name: `directory-${randomUUID()}`,
      providerId: 'ldap',
      providerType: 'org.keycloak.storage.UserStorageProvider',
      parentId: id,
      config: {
        ...{ vendor: ['other'], connectionUrl: ['ldap://127.0.0.1:9'], usersDn: ['ou=people'], bindDn: ['cn=x'] },
        ...{ bindCredential: ['x'], authType: ['simple'], usernameLDAPAttribute: ['uid'], rdnLDAPAttribute: ['uid'] },
        ...{ uuidLDAPAttribute: ['entryUUID'], userObjectClasses: ['person'], editMode: ['READ_ONLY'] },
        ...{ importEnabled: ['true'], enabled: ['true'], connectionTimeout: ['500'] },
      },
    })
  }
  /** As if that directory had been where the user came from. */
  const importedFrom = (id: string, user: string) =>
    realm.postgres.psql(`update user_entity set federation_link = '${id}' where id = '${user}'`)
  const identityProvider = async () => {
    const alias = `partner-${randomUUID()}`
    await people.admin.must('POST', '/identity-provider/instances', {
      ...{ alias, providerId: 'oidc' },
      config: {
        clientId: 'x',
        clientSecret: 'x',
        authorizationUrl: 'https://p.example',
        tokenUrl: 'https://p.example',
      },
    })
    return alias
  }
  const workflow = async (user: string, step: object) => {
    const id = await made('/workflows', { name: `workflow-${randomUUID()}`, steps: [step] })
    await people.admin.must('POST', `/workflows/${id}/activate/USERS/${user}`)
  }
  const isEnabled = async (user: string) =>
    (await people.admin.must<{ enabled: boolean }>('GET', `/users/${user}`)).json().enabled

  const groupsOf = async (user: string) =>
    (await people.admin.must<{ id: string }[]>('GET', `/users/${user}/groups`)).json().map(({ id }) => id)

  let scimToken: Promise<string> | undefined
  const startScim = async () => {
    await people.admin.must('PUT', '', { scimApiEnabled: true })
    const audience = {
      ...{ name: 'scim', protocol: 'openid-connect', protocolMapper: 'oidc-audience-mapper' },
      config: { 'included.custom.audience': `${realm.issuer}/scim/v2`, 'access.token.claim': 'true' },
    }
    await people.admin.createClient({
      ...{ clientId: 'scim', secret: 'of-scim', serviceAccountsEnabled: true, protocolMappers: [audience] },
    })
    const account = await people.admin.must<{ id: string }>(
      'GET',
      `/clients/${await people.admin.clientUuid('scim')}/service-account-user`,
    )
    const roles = `clients/${await people.admin.clientUuid('realm-management')}`
    const all = await people.admin.must<object[]>('GET', `/${roles}/roles`)
    await people.admin.must('POST', `/users/${account.json().id}/role-mappings/${roles}`, all.json())
    // Its own role is a privileged one.
    await nextSecond()
    return realm.tokens.serviceAccount('scim', 'of-scim')
  }
  const patch = async (path: string, operation: object) => {
    scimToken ??= startScim()
    return fetch(`${realm.issuer}/scim/v2/${path}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${await scimToken}`, 'content-type': 'application/scim+json' },
      body: JSON.stringify({
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [operation],
      }),
    })
  }
  const scim = async (path: string, operation: object) => {
    const patched = await patch(path, operation)
    expect(patched.ok, await patched.text()).toBe(true)
  }
  /** SCIM leaves groups alone that have a role of an administrator's; which roles are privileged is the realm's to say. */
  const withGroupCalledPrivileged = async (act: (id: string) => Promise<unknown>) => {
    const [{ id: roleId, name }, id] = [await role(), await group('called')]
    await people.admin.must('POST', `/groups/${id}/role-mappings/realm`, [{ id: roleId, name }])
    const called = (roles: string) => {
      const attributes = { 'logout-relay.privileged.roles': roles }
      return people.admin.must('PUT', '', { scimApiEnabled: true, attributes })
    }
    await called(name)
    try {
      await act(id)
    } finally {
      await called('')
    }
  }

  interface Door {
    readonly what: string
    readonly trigger: string
    /** Before the person logs in. */
    readonly prepare?: (user: string) => Promise<string>
    readonly act: (person: Person, prepared: string) => Promise<unknown>
    readonly only?: '26.7.3'
  }

  const doors: readonly Door[] = [
    {
      what: 'a group that the person is in is given a privileged role',
      trigger: 'privileged-role-added',
      prepare: async (user) => {
        const id = await group('clerks')
        await join(user, id)
        return id
      },
      act: (_, id) => makePrivileged(id),
    },
    {
      what: 'a group above that of the person is given a privileged role',
      trigger: 'privileged-role-added',
      prepare: async (user) => {
        const above = await group('above')
        await join(user, await made(`/groups/${above}/children`, { name: 'below' }))
        return above
      },
      act: (_, id) => makePrivileged(id),
    },
    {
      what: 'a group of the person is moved below one with a privileged role',
      trigger: 'privileged-role-added',
      prepare: async (user) => {
        const id = await group('moved')
        await join(user, id)
        return id
      },
      act: async (_, id) => {
        const above = await group('admins')
        await makePrivileged(above)
        const { name } = (await people.admin.must<{ name: string }>('GET', `/groups/${id}`)).json()
        await people.admin.must('POST', `/groups/${above}/children`, { id, name })
      },
    },
    {
      what: 'the person is moved into a group with a privileged role',
      trigger: 'privileged-role-added',
      act: async ({ user }) => {
        const id = await group('privileged')
        await makePrivileged(id)
        await join(user, id)
      },
    },
    {
      what: 'a role that the person has becomes a composite of a privileged one',
      trigger: 'privileged-role-added',
      prepare: async (user) => {
        const clerk = await role()
        await people.admin.must('POST', `/users/${user}/role-mappings/realm`, [clerk])
        return clerk.name
      },
      act: async (_, name) => people.admin.must('POST', `/roles/${name}/composites`, (await privileged()).roles),
    },
    {
      what: 'a role inside a role of a group of the person becomes a composite of a privileged one',
      trigger: 'privileged-role-added',
      prepare: async (user) => {
        const [outer, inner, id] = [await role(), await role(), await group('composite')]
        await people.admin.must('POST', `/roles/${outer.name}/composites`, [inner])
        await people.admin.must('POST', `/groups/${id}/role-mappings/realm`, [outer])
        await join(user, id)
        return inner.id
      },
      act: async (_, id) => people.admin.must('POST', `/roles-by-id/${id}/composites/`, (await privileged()).roles),
    },
    {
      what: 'an identity provider that the person is linked to is deleted',
      trigger: 'admin-identity-provider-removed',
      prepare: async (user) => {
        const alias = await identityProvider()
        await people.admin.must('POST', `/users/${user}/federated-identity/${alias}`, {
          userId: `at-${user}`,
          userName: 'x',
        })
        return alias
      },
      act: (_, alias) => people.admin.must('DELETE', `/identity-provider/instances/${alias}`),
    },
    {
      what: 'the imported users of a directory are removed',
      trigger: 'account-deleted',
      act: async ({ user }) => {
        const id = await directory()
        importedFrom(id, user)
        await people.admin.must('POST', `/user-storage/${id}/remove-imported-users`)
        await people.admin.must('DELETE', `/components/${id}`)
      },
    },
    {
      what: 'a directory is deleted from Keycloak',
      trigger: 'account-deleted',
      act: async ({ user }) => {
        const id = await directory()
        importedFrom(id, user)
        await people.admin.must('DELETE', `/components/${id}`)
      },
    },
    {
      what: 'Keycloak drops a user whose directory is gone when it next looks for them',
      trigger: 'account-deleted',
      act: async ({ user, name }) => {
        importedFrom(randomUUID(), user)
        await people.admin.must('POST', '/clear-user-cache')
        await people.admin.must('GET', `/users?username=${name}&exact=true`)
      },
    },
    {
      what: 'a partial import overwrites the user',
      trigger: 'account-deleted',
      act: ({ name }) =>
        people.admin.must('POST', '/partialImport', {
          ifResourceExists: 'OVERWRITE',
          users: [{ username: name, enabled: true, email: `${name}@example.org` }],
        }),
    },
    {
      what: 'a workflow disables the user',
      trigger: 'account-disabled',
      act: async ({ user }) => {
        await workflow(user, { uses: 'disable-user' })
        await until('the user is disabled', async () => !(await isEnabled(user)))
      },
    },
    {
      what: 'a workflow deletes the user',
      trigger: 'account-deleted',
      act: async ({ user }) => {
        await workflow(user, { uses: 'delete-user' })
        await until(
          'the user is deleted',
          async () => (await people.admin.call('GET', `/users/${user}`)).status === 404,
        )
      },
    },
    {
      what: 'a workflow gives a privileged role',
      trigger: 'privileged-role-added',
      act: async ({ user }) => {
        await workflow(user, { uses: 'grant-role', with: { role: 'realm-management/manage-users' } })
        const { client } = await privileged()
        const mapped = `/users/${user}/role-mappings/clients/${client}`
        await until('it is given', async () => (await people.admin.must<object[]>('GET', mapped)).json().length > 0)
      },
    },
    {
      what: 'SCIM disables the user',
      only: '26.7.3',
      trigger: 'account-disabled',
      act: ({ user }) => scim(`Users/${user}`, { op: 'replace', path: 'active', value: false }),
    },
    {
      what: 'SCIM changes the email address',
      only: '26.7.3',
      trigger: 'email-changed',
      act: ({ user, name }) =>
        scim(`Users/${user}`, {
          op: 'replace',
          path: 'emails',
          value: [{ value: `scim-${name}@example.org`, primary: true }],
        }),
    },
    {
      what: 'SCIM adds the person to the members of a group with a role that the realm calls privileged',
      only: '26.7.3',
      trigger: 'privileged-role-added',
      act: ({ user }) =>
        withGroupCalledPrivileged(async (id) => {
          await scim(`Groups/${id}`, { op: 'add', path: 'members', value: [{ value: user }] })
          expect(await groupsOf(user)).toEqual([id])
        }),
    },
    {
      what: 'SCIM adds a group with a role that the realm calls privileged to those of the person',
      only: '26.7.3',
      trigger: 'privileged-role-added',
      act: ({ user }) =>
        withGroupCalledPrivileged(async (id) => {
          await scim(`Users/${user}`, { op: 'add', path: 'groups', value: [{ value: id }] })
          expect(await groupsOf(user)).toEqual([id])
        }),
    },
    {
      what: 'the person removes a link in the account console',
      trigger: 'user-identity-provider-removed',
      prepare: async (user) => {
        const alias = await identityProvider()
        await people.admin.must('POST', `/users/${user}/federated-identity/${alias}`, {
          userId: `own-${user}`,
          userName: 'x',
        })
        return alias
      },
      act: async ({ accessToken }, alias) => {
        const answer = await call('DELETE', `${realm.issuer}/account/linked-accounts/${alias}`, {
          headers: { authorization: `Bearer ${accessToken}`, accept: 'application/json' },
        })
        expect(answer.status, answer.text).toBe(204)
      },
    },
    {
      what: 'the person changes the email address in the account console',
      trigger: 'email-changed',
      act: async ({ accessToken, name }) => {
        const headers = { authorization: `Bearer ${accessToken}`, accept: 'application/json' }
        const profile = (await call<object>('GET', `${realm.issuer}/account/`, { headers })).json()
        const answer = await call('POST', `${realm.issuer}/account/`, {
          headers,
          json: { ...profile, email: `own-${name}@example.org` },
        })
        expect(answer.status, answer.text).toBe(204)
      },
    },
    {
      what: 'an administrator resets the password at a path with a slash at its end',
      trigger: 'admin-reset-password',
      act: ({ user }) =>
        people.admin.must('PUT', `/users/${user}/reset-password/`, { type: 'password', value: 'another' }),
    },
  ]

  test.each(doors.filter(({ only }) => only === undefined || only === version))(
    'everything dies and is told once when $what',
    async ({ trigger, prepare, act }) => {
      const name = `door-${randomUUID()}`
      let prepared = ''
      const person = await people.loggedIn(name, async (user) => {
        prepared = (await prepare?.(user)) ?? ''
      })
      expect(await realm.told(person.user)).toEqual([])
      expect(await person.alive()).toEqual(EVERYBODY)
      await act(person, prepared)
      expect(await person.alive()).toEqual(NOBODY)
      const told: Told[] = []
      await until('it is told', async () => {
        told.push(...(await realm.told(person.user)))
        return told.length > 0
      })
      expect(told.map((one) => one.trigger)).toEqual([trigger])
      expect(told.flatMap(({ sessions }) => sessions.map(({ sid }) => sid)).sort()).toEqual(person.sids)
    },
  )

  test.runIf(version === '26.7.3')('SCIM puts nobody into a group with an administrator’s role', async () => {
    const person = await people.loggedIn(`scim-${randomUUID()}`)
    const id = await group('admins')
    await makePrivileged(id)
    const member = { op: 'add', path: 'members', value: [{ value: person.user }] }
    expect((await patch(`Groups/${id}`, member)).status).toBe(403)
    expect((await patch(`Users/${person.user}`, { op: 'add', path: 'groups', value: [{ value: id }] })).status).toBe(
      403,
    )
    expect(await groupsOf(person.user)).toEqual([])
    expect(await person.alive()).toEqual(EVERYBODY)
  })

  test('nothing ends when a login has the password hashed anew', async () => {
    const person = await people.loggedIn(`rehash-${randomUUID()}`)
    const hash = () =>
      realm.postgres.psql(
        `select credential_data from credential where user_id = '${person.user}' and type = 'password'`,
      )
    const before = hash()
    await people.admin.must('PUT', '', { passwordPolicy: 'hashIterations(4) and hashAlgorithm(pbkdf2-sha512)' })
    const later = await realm.tokens.directGrant('flows-app', person.name, 'password')
    await until('the password is hashed anew', () => Promise.resolve(hash() !== before))
    await people.admin.must('PUT', '', { passwordPolicy: '' })
    expect(await realm.told(person.user)).toEqual([])
    expect(await person.alive()).toEqual(EVERYBODY)
    expect(await realm.tokens.lives('flows-app', later)).toBe(true)
  })

  test('nothing ends when somebody locks the account for good by wrong passwords', async () => {
    const person = await people.loggedIn(`locked-${randomUUID()}`)
    await people.admin.must('PUT', '', {
      bruteForceProtected: true,
      permanentLockout: true,
      failureFactor: 1,
      maxTemporaryLockouts: 0,
    })
    const wrong = { grant_type: 'password', client_id: 'flows-app', username: person.name, password: 'wrong' }
    await realm.tokens.ask(wrong)
    await until('the account is locked', async () => !(await isEnabled(person.user)))
    await people.admin.must('PUT', '', { bruteForceProtected: false, permanentLockout: false })
    expect(await realm.told(person.user)).toEqual([])
  })

  test('nothing ends when a policy says so, whatever the door', async () => {
    await people.setPolicy({ 'logout-relay.policy.privileged-role-added': 'off' })
    const id = await group('off')
    const person = await people.loggedIn(`off-${randomUUID()}`, (user) => join(user, id))
    await makePrivileged(id)
    await people.setPolicy({ 'logout-relay.policy.privileged-role-added': '' })
    expect(await realm.told(person.user)).toEqual([])
    expect(await person.alive()).toEqual(EVERYBODY)
  })

  test('a change whose trigger is off hides no other change of the same request', async () => {
    await people.setPolicy({ 'logout-relay.policy.admin-set-password': 'off' })
    const person = await people.loggedIn(`two-changes-${randomUUID()}`)
    const credentials = [{ type: 'password', value: 'another', temporary: false }]
    await people.put(person.user, { credentials })
    expect(await realm.told(person.user)).toEqual([])
    await people.put(person.user, { credentials, enabled: false })
    await people.setPolicy({ 'logout-relay.policy.admin-set-password': '' })
    expect(await person.alive()).toEqual(NOBODY)
    expect((await realm.toldOnce(person.user)).trigger).toBe('account-disabled')
  })

  test(`a change that concerns more than ${MOST} users with sessions is refused with words, and changes nothing`, async () => {
    const id = await group('many')
    const { id: realmId } = (await people.admin.must<{ id: string }>('GET', '')).json()
    realm.postgres.psql(
      `insert into user_entity (id, username, realm_id, enabled, email_verified, email_constraint, not_before)
       select 'many-${id.slice(0, 8)}-' || n, 'many-${id.slice(0, 8)}-' || n, '${realmId}', true, true, 'c-${id}-' || n, 0
       from generate_series(1, ${MOST + 1}) n;
       insert into user_group_membership (user_id, group_id, membership_type)
       select 'many-${id.slice(0, 8)}-' || n, '${id}', 'UNMANAGED' from generate_series(1, ${MOST + 1}) n;
       insert into offline_user_session (user_session_id, user_id, realm_id, created_on, offline_flag, data, last_session_refresh)
       select 's-${id.slice(0, 8)}-' || n, 'many-${id.slice(0, 8)}-' || n, '${realmId}', extract(epoch from now())::int, '1', '{}',
       extract(epoch from now())::int from generate_series(1, ${MOST + 1}) n`,
    )
    const { client, roles } = await privileged()
    const path = `/groups/${id}/role-mappings/clients/${client}`
    const refused = await people.admin.call('POST', path, roles)
    expect(refused.status).toBe(400)
    expect(refused.text).toContain(`More than ${MOST} users`)
    expect((await people.admin.must('GET', path)).json()).toEqual([])
    realm.postgres.psql(`delete from offline_user_session where user_id = 'many-${id.slice(0, 8)}-1'`)
    await people.admin.must('POST', path, roles)
    await until(
      'the last of them is told',
      () =>
        Promise.resolve(
          realm.postgres.psql('select count(*) from logout_relay_outbox where listed_ms is null') === '0',
        ),
      { seconds: 150 },
    )
  })
})
