import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ActiveDirectory, startActiveDirectory } from '../../scripts/stage/active-directory.ts'
import { type Directory, startDirectory } from '../../scripts/stage/ldap.ts'
import { until } from '../../scripts/stage/process.ts'
import { nextSecond, type SharedDemoRealm, shareDemoRealm } from './demo-realm.ts'

const OLD = 'password'
const NEW = 'another-password'
const NAMES = ['reset', 'self', 'disabled', 'deleted', 'renamed', 'quiet', 'through', 'must', 'early']

let realm: SharedDemoRealm
beforeAll(async () => {
  realm = await shareDemoRealm('directories')
})

/** Somebody who has logged in with the password of the directory, and has a refresh and an offline token. */
async function loggedIn(name: string, password = OLD, at: Pick<SharedDemoRealm, 'tokens' | 'admin'> = realm) {
  const tokens = await at.tokens.directGrant('flows-app', name, password)
  const offline = await at.tokens.directGrant('flows-app', name, password, 'openid offline_access')
  const alive = async () =>
    (await Promise.all([at.tokens.lives('flows-app', tokens), at.tokens.lives('flows-app', offline)])).filter(Boolean)
      .length
  return {
    alive,
    dead: () => until(`what ${name} had is dead`, async () => (await alive()) === 0),
    user: await at.admin.userId(name),
  }
}

const takes = async (name: string, password: string) => {
  const form = { grant_type: 'password', client_id: 'flows-app', username: name, password }
  return (await realm.tokens.ask(form)).status === 200
}

interface Kind {
  readonly start: (importUsers: boolean) => Promise<{
    readonly federation: object
    readonly stop: () => Promise<void>
    readonly reset: (name: string) => unknown
    readonly self: (name: string) => unknown
    readonly disable: (name: string) => unknown
    readonly remove: (name: string) => unknown
    readonly rename: (name: string) => unknown
    readonly touch: (name: string) => unknown
  }>
}

const ldif = (dn: string, ...lines: string[]) => [`dn: ${dn}`, ...lines].join('\n')

const KINDS: Record<string, Kind> = {
  OpenLDAP: {
    start: async (importUsers) => {
      const unit = importUsers ? 'imported' : 'direct'
      const names = NAMES.map((name) => `${unit}-${name}`)
      const directory: Directory = await startDirectory({ [unit]: names }, OLD)
      const at = (name: string) => directory.dn(unit, name)
      return {
        federation: directory.federation(unit, { importUsers }),
        stop: () => directory.stop(),
        reset: (name) => directory.setPassword(unit, name, NEW),
        self: (name) => directory.setPassword(unit, name, NEW, OLD),
        disable: (name) =>
          directory.modify(
            ldif(
              at(name),
              'changetype: modify',
              'replace: pwdAccountLockedTime',
              'pwdAccountLockedTime: 000001010000Z',
            ),
          ),
        remove: (name) => directory.modify(ldif(at(name), 'changetype: delete')),
        rename: (name) =>
          directory.modify(ldif(at(name), 'changetype: modrdn', `newrdn: uid=${name}-new`, 'deleteoldrdn: 1')),
        touch: (name) =>
          directory.modify(ldif(at(name), 'changetype: modify', 'replace: description', 'description: other')),
      }
    },
  },
  'Active Directory': {
    start: async (importUsers) => {
      const unit = importUsers ? 'ad' : 'ad-direct'
      const directory: ActiveDirectory = await startActiveDirectory(
        NAMES.map((name) => `${unit}-${name}`),
        OLD,
      )
      const at = (name: string) => directory.dn(name)
      return {
        federation: directory.federation({ importUsers, name: unit }),
        stop: () => directory.stop(),
        reset: (name) => directory.setPassword(name, NEW),
        self: (name) => directory.changePassword(name, OLD, NEW),
        disable: (name) => directory.tool('disable', name),
        remove: (name) => directory.tool('delete', name),
        rename: (name) =>
          directory.modify(
            ldif(at(name), 'changetype: modify', 'replace: sAMAccountName', `sAMAccountName: ${name}-new`),
          ),
        touch: (name) =>
          directory.modify(ldif(at(name), 'changetype: modify', 'replace: description', 'description: other')),
      }
    },
  },
}

describe.each([
  ['OpenLDAP', 'imports', true, 'imported'],
  ['OpenLDAP', 'does not import', false, 'direct'],
  ['Active Directory', 'imports', true, 'ad'],
  ['Active Directory', 'does not import', false, 'ad-direct'],
] as const)('of an %s whose users Keycloak %s', (kind, _, importUsers, unit) => {
  let directory: Awaited<ReturnType<Kind['start']>>
  let id: string
  beforeAll(async () => {
    directory = await (KINDS[kind] as Kind).start(importUsers)
    id = await add(realm, directory.federation)
  })
  afterAll(async () => {
    await realm.admin.must('DELETE', `/components/${id}`)
    await directory.stop()
  })

  test.each([
    ['an administrator', 'reset'],
    ['the person', 'self'],
  ] as const)(
    'a password that %s changes there ends what is from before, and not the login with the new one',
    async (_who, how) => {
      const name = `${unit}-${how}`
      const before = await loggedIn(name)
      await nextSecond()
      directory[how](name)
      await nextSecond()
      await nextSecond()
      const after = await loggedIn(name, NEW)
      await before.dead()
      expect((await realm.toldOnce(before.user)).trigger).toBe('directory-password-changed')
      expect(await after.alive()).toBe(2)
    },
  )

  test('an account that is disabled there ends', async () => {
    const name = `${unit}-disabled`
    const before = await loggedIn(name)
    directory.disable(name)
    await before.dead()
    await until('it is told', async () => (await told(before.user)) > 0)
    expect((await realm.toldOnce(before.user)).trigger).toBe('directory-account-disabled')
    expect(await takes(name, OLD)).toBe(false)
  })

  test('an account that is deleted there ends, and the applications are told', async () => {
    const name = `${unit}-deleted`
    const before = await loggedIn(name)
    directory.remove(name)
    await until('it is told', async () => (await told(before.user)) > 0)
    await before.dead()
    const event = await realm.toldOnce(before.user)
    expect(event.trigger).toBe('directory-account-deleted')
    expect(event.sessions).toHaveLength(2)
  })

  test('an entry that is changed in something else ends nothing', async () => {
    const name = `${unit}-quiet`
    const before = await loggedIn(name)
    directory.touch(name)
    await looked(realm, id)
    expect(await told(before.user)).toBe(0)
    expect(await before.alive()).toBe(2)
  })

  test(importUsers ? 'a new name there ends nothing' : 'a new name there is a new user: the old one ends', async () => {
    const name = `${unit}-renamed`
    const before = await loggedIn(name)
    await looked(realm, id)
    directory.rename(name)
    if (importUsers) {
      await looked(realm, id)
      expect(await told(before.user)).toBe(0)
      expect(await before.alive()).toBe(2)
    } else {
      await until('it is told', async () => (await told(before.user)) > 0)
      await before.dead()
    }
  })
})

async function add({ admin }: Pick<SharedDemoRealm, 'admin'>, federation: object): Promise<string> {
  await admin.must('POST', '/components', federation)
  const { name } = federation as { name: string }
  const found = await admin.must<{ id: string }[]>(
    'GET',
    `/components?type=org.keycloak.storage.UserStorageProvider&name=${name}`,
  )
  return found.json()[0]?.id ?? ''
}

/** Events about this user in the outbox. */
function told(user: string): Promise<number> {
  return Promise.resolve(
    Number(realm.postgres.psql(`select count(distinct txn) from logout_relay_outbox where user_id = '${user}'`)),
  )
}

/** All users of the directory have been looked at twice, from beginning to end. */
async function looked({ postgres }: Pick<SharedDemoRealm, 'postgres'>, id: string): Promise<void> {
  const last = () =>
    Number(postgres.psql(`select coalesce(looked_ms, 0) from logout_relay_directory where provider_id = '${id}'`))
  for (let times = 0; times < 2; times++) {
    const from = last()
    await until('the directory has been looked at', () => last() > from)
  }
}
