import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkRealm } from '../../relay/idp/keycloak/check/realm.ts'
import { Keycloak } from '../../relay/idp/keycloak/keycloak.ts'
import { makeMetrics } from '../../relay/telemetry/metrics.ts'
import { RealmAdmin } from '../../scripts/stage/admin.ts'
import { type ActiveDirectory, startActiveDirectory } from '../../scripts/stage/active-directory.ts'
import { type Directory, startDirectory } from '../../scripts/stage/ldap.ts'
import { profileOf, Thief } from '../../scripts/attack/thief.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { EXTENSION_JAR } from '../../scripts/stage/keycloak.ts'
import { startNodes } from '../../scripts/stage/nodes.ts'
import { startPostgres } from '../../scripts/stage/postgres.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { makeClock } from '../../scripts/stage/skew.ts'
import {
  DEMO_ENV,
  nextSecond,
  REDIRECT_URI,
  SECRET,
  type SharedDemoRealm,
  shareDemoRealm,
  startDemoRealm,
} from './demo-realm.ts'

const OLD = 'password'
const OFTEN = '--spi-events-listener--logout-relay--directories-every-ms=1000'
const NEW = 'another-password'
const NAMES = ['reset', 'self', 'disabled', 'deleted', 'renamed', 'quiet', 'must', 'now']

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

/** What `logout-relay check` says of a directory. */
async function checkedLine(name: string, { issuer } = realm) {
  const relay = { issuer, clientId: 'logout-relay', clientSecret: SECRET, identifier: 'logout-relay', clients: [] }
  const { findings } = await checkRealm(relay, Date.now)
  return findings.find(({ check, says }) => check === 'directory' && says.startsWith(`${name} `))
}

/** The metrics of a directory as a relay has them after a look at the realm. */
async function metricsOf(id: string): Promise<string> {
  const { issuer } = realm
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: SECRET, allowHttp: true })
  try {
    const { directories } = await keycloak.look()
    const metrics = makeMetrics()
    metrics.directories.set(issuer, directories?.filter((one) => one.id === id) ?? [])
    return await metrics.registry.metrics()
  } finally {
    await keycloak.close()
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
    /** Sets `pwdLastSet`. */
    readonly demand: (name: string, value: string) => unknown
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
        demand: () => expect.fail('it has no such attribute'),
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
        demand: (name, value) =>
          directory.modify(ldif(at(name), 'changetype: modify', 'replace: pwdLastSet', `pwdLastSet: ${value}`)),
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

  if (kind === 'Active Directory') {
    test.each([
      ['that the password be changed at the next logon', 'must', ['0']],
      ['this, and then that it count as changed', 'now', ['0', '-1']],
    ])('an administrator who demands %s ends all there is', async (_what, who, values) => {
      const name = `${unit}-${who}`
      const before = await loggedIn(name)
      await looked(realm, id)
      await nextSecond()
      values.forEach((value) => directory.demand(name, value))
      await before.dead()
      expect((await realm.toldOnce(before.user)).trigger).toBe('directory-password-changed')
    })
  }

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

describe('of an OpenLDAP', () => {
  const [writable, unit] = ['writable', 'many']
  const lets = ['locked', 'let', 'also-let']
  const many = ['one', 'two', 'three', 'four', 'five', 'six', 'seven']
  let directory: Directory
  let ids: Record<string, string>
  beforeAll(async () => {
    directory = await startDirectory(
      { [writable]: ['through', 'both', 'temporary', 'off'], [unit]: many, quick: ['hidden'], lets },
      OLD,
    )
    ids = {}
    for (const one of [writable, unit, 'quick', 'lets']) {
      ids[one] = await add(realm, directory.federation(one, { importUsers: true }))
    }
  })
  afterAll(async () => {
    await Promise.all(Object.values(ids).map((id) => realm.admin.must('DELETE', `/components/${id}`)))
    await directory.stop()
  })

  test('a reset through Keycloak is told once, as that, and the login with the new password lives', async () => {
    const before = await loggedIn('through')
    await looked(realm, ids[writable] ?? '')
    const own = noted(before.user)
    expect((await realm.admin.resetPassword(before.user, NEW)).status).toBe(204)
    await before.dead()
    await nextSecond()
    const after = await loggedIn('through', NEW)
    await own
    await looked(realm, ids[writable] ?? '')
    expect((await realm.toldOnce(before.user)).trigger).toBe('admin-reset-password')
    expect(await after.alive()).toBe(2)
  })

  test('where the policy has a reset through Keycloak end nothing, the look at the directory ends nothing either', async () => {
    const before = await loggedIn('off')
    await looked(realm, ids[writable] ?? '')
    await realm.admin.must('PUT', '', { attributes: { 'logout-relay.policy.admin-reset-password': 'off' } })
    try {
      const own = noted(before.user)
      expect((await realm.admin.resetPassword(before.user, NEW)).status).toBe(204)
      await own
      await looked(realm, ids[writable] ?? '')
      expect(await told(before.user)).toBe(0)
    } finally {
      await realm.admin.must('PUT', '', { attributes: { 'logout-relay.policy.admin-reset-password': '' } })
    }
  })

  test('whoever registers there through Keycloak stays logged in', async () => {
    await realm.admin.must('PUT', '', { registrationAllowed: true })
    const path = `/components/${ids[writable] ?? ''}`
    const component = (await realm.admin.must<{ config: object }>('GET', path)).json()
    await realm.admin.must('PUT', path, { ...component, config: { ...component.config, syncRegistrations: ['true'] } })
    const thief = new Thief()
    const form = await thief.follow(await thief.open(authorization()), '/registration')
    const passwords = { password: OLD, 'password-confirm': OLD }
    const back = await thief.submit(form, { ...profileOf('newcomer'), ...passwords })
    await realm.admin.must('PUT', '', { registrationAllowed: false })
    await realm.admin.must('PUT', path, component)
    const tokens = (await redeem(back.url)).json()
    const user = await realm.admin.userId('newcomer')
    await noted(user)
    await looked(realm, ids[writable] ?? '')
    expect(await told(user)).toBe(0)
    expect(await realm.tokens.lives('flows-app', tokens)).toBe(true)
  })

  test('a change there after one through Keycloak is one of its own', async () => {
    const before = await loggedIn('both')
    await looked(realm, ids[writable] ?? '')
    const own = noted(before.user)
    expect((await realm.admin.resetPassword(before.user, 'between')).status).toBe(204)
    await before.dead()
    await own
    const between = await loggedIn('both', 'between')
    await nextSecond()
    directory.setPassword(writable, 'both', NEW)
    await between.dead()
    expect([...new Set((await realm.told(before.user)).map(({ trigger }) => trigger))].sort()).toEqual([
      'admin-reset-password',
      'directory-password-changed',
    ])
  })

  test('a login from before that no application had seen ends when it is used', async () => {
    const browser = new Browser()
    const url = authorization()
    await browser.authorize(url, REDIRECT_URI, 'hidden', OLD)
    await nextSecond()
    directory.setPassword('quick', 'hidden', NEW)
    await nextSecond()
    await nextSecond()
    const after = await loggedIn('hidden', NEW)
    await looked(realm, ids['quick'] ?? '')
    expect(await told(after.user)).toBe(0)
    const back = await browser.open(url, REDIRECT_URI)
    const answer = await redeem(back.url)
    expect(answer.status, answer.text).toBe(200)
    await until('what it was given is dead', async () => !(await realm.tokens.lives('flows-app', answer.json())))
    expect((await realm.toldOnce(after.user)).trigger).toBe('directory-password-changed')
    expect(await after.alive()).toBe(2)
  })

  test('changes that policy has end nothing make nobody wait: of as many as the limit the others end', async () => {
    const [off, on] = ['logout-relay.policy.directory-password-changed', 'logout-relay.directories.limit']
    const people = await Promise.all(lets.map((name) => loggedIn(name)))
    await looked(realm, ids['lets'] ?? '')
    await realm.admin.must('PUT', '', { attributes: { [off]: 'off', [on]: '1' } })
    try {
      await nextSecond()
      const [disabled = '', ...changed] = lets.map((name) => directory.dn('lets', name))
      directory.modify(
        changed
          .map((dn) => ldif(dn, 'changetype: modify', 'replace: userPassword', `userPassword: ${NEW}`))
          .join('\n\n'),
      )
      // What is younger than two seconds is not judged yet.
      await nextSecond()
      await nextSecond()
      await nextSecond()
      await looked(realm, ids['lets'] ?? '')
      directory.modify(
        ldif(disabled, 'changetype: modify', 'replace: pwdAccountLockedTime', 'pwdAccountLockedTime: 000001010000Z'),
      )
      await people[0]?.dead()
      await looked(realm, ids['lets'] ?? '')
      expect(await Promise.all(people.map((one) => one.alive()))).toEqual([0, 2, 2])
      expect((await realm.toldOnce(people[0]?.user ?? '')).trigger).toBe('directory-account-disabled')
    } finally {
      await realm.admin.must('PUT', '', { attributes: { [off]: '', [on]: '' } })
    }
  })

  test('more changes at once than the limit wait for a word, which ends them or leaves them', async () => {
    const id = ids[unit] ?? ''
    await realm.admin.must('PUT', '', { attributes: { 'logout-relay.directories.limit': '2' } })
    await realm.admin.createUser('decider', 'password')
    await giveRole('decider', 'confirm')
    const change = async (...names: string[]) => {
      const people = await Promise.all(names.map((name) => loggedIn(name)))
      await looked(realm, id)
      await nextSecond()
      // At one moment, as a backup that is put back.
      directory.modify(
        names
          .map((name) =>
            ldif(directory.dn(unit, name), 'changetype: modify', 'replace: userPassword', `userPassword: ${NEW}`),
          )
          .join('\n\n'),
      )
      return people
    }
    const state = async () => {
      const word = await realm.wordOf('decider')
      const { directories } = await realm.ask<{ directories: { id: string; state: string; held: number }[] }>(
        'directories',
        undefined,
        word,
      )
      return directories.find((one) => one.id === id)
    }
    const decide = async (decision: string) =>
      realm.call('directories', { id, decision, reason: 'of a test' }, await realm.wordOf('decider'))
    try {
      const dismissed = await change('one', 'two', 'three')
      await until('they are held', async () => (await state())?.held === 3)
      expect(await Promise.all(dismissed.map((one) => one.alive()))).toEqual([2, 2, 2])
      expect((await realm.call('directories', { id, decision: 'confirm' })).status).toBe(403)
      expect((await decide('dismiss')).status).toBe(200)
      await until('it goes on', async () => (await state())?.state === 'watched')
      const decider = await realm.admin.userId('decider')
      expect(await state()).toMatchObject({
        ...{ decision: 'dismissed', decided_by: decider, decided_reason: 'of a test', provider: 'ldap' },
      })
      await looked(realm, id)
      expect(await Promise.all(dismissed.map((one) => one.alive()))).toEqual([2, 2, 2])
      expect((await decide('confirm')).status).toBe(400)
      const confirmed = await change('four', 'five', 'six')
      await until('they are held', async () => (await state())?.held === 3)
      expect((await decide('confirm')).status).toBe(200)
      await Promise.all(confirmed.map((one) => one.dead()))
      await until('it goes on', async () => (await state())?.state === 'watched')
      const [alone] = await change('seven')
      await alone?.dead()
    } finally {
      await realm.admin.must('PUT', '', { attributes: { 'logout-relay.directories.limit': '' } })
    }
  })
})

describe('a login with the new password', () => {
  test.each([
    ['is right', 0],
    ['is two minutes ahead', 120],
    ['is two minutes behind', -120],
  ])(
    'has the directory looked at at once: where its clock %s, what is from before ends, and not this login',
    async (_, seconds) => {
      const unit = `clock${seconds}`
      const clock = makeClock()
      clock.shift(seconds)
      const directory = await startDirectory({ [unit]: [unit] }, OLD, { env: clock.env, tellsTime: true })
      const id = await add(realm, directory.federation(unit, { importUsers: true }))
      try {
        const before = await loggedIn(unit)
        await looked(realm, id)
        await stopSweeps(id)
        await nextSecond()
        directory.setPassword(unit, unit, NEW)
        await nextSecond()
        await nextSecond()
        await nextSecond()
        const after = await loggedIn(unit, NEW)
        await before.dead()
        expect((await realm.toldOnce(before.user)).trigger).toBe('directory-password-changed')
        expect(await after.alive()).toBe(2)
      } finally {
        await realm.admin.must('DELETE', `/components/${id}`)
        await directory.stop()
      }
    },
  )
})

describe('of a directory that is down', () => {
  test('it shows, everybody else logs in, and what changed meanwhile ends when it is back', async () => {
    const unit = 'down'
    const directory = await startDirectory({ [unit]: ['away'] }, OLD)
    const id = await add(realm, directory.federation(unit, { importUsers: true }))
    try {
      await realm.person('local')
      const before = await loggedIn('away')
      await looked(realm, id)
      await directory.stop()
      const failing = () =>
        realm.postgres.psql(
          `select failing_since_ms is not null from logout_relay_directory where provider_id = '${id}'`,
        )
      await until('it shows', () => failing() === 't')
      await loggedIn('local')
      expect(await checkedLine(unit)).toMatchObject({ ok: false })
      expect((await checkedLine(unit))?.says).toMatch(/cannot be looked at since .*CommunicationException.*is it up/)
      expect(await metricsOf(id)).toMatch(/logout_relay_directory_state{.*state="failing"} 1/)
      const back = await directory.restart()
      back.setPassword(unit, 'away', NEW)
      await before.dead()
      await until('it shows no more', () => failing() === 'f')
      expect(await checkedLine(unit)).toMatchObject({ ok: true })
      expect(await metricsOf(id)).toMatch(/logout_relay_directory_state{.*state="watched"} 1/)
      await back.stop()
    } finally {
      await realm.admin.must('DELETE', `/components/${id}`)
    }
  })
})

test('of a user storage provider that is no LDAP directory it is said that it is not watched', async () => {
  const other = await shareDemoRealm('directories-kerberos')
  await add(other, {
    ...{ name: 'kdc', providerId: 'kerberos', providerType: 'org.keycloak.storage.UserStorageProvider' },
    config: {
      ...{ enabled: ['true'], kerberosRealm: ['EXAMPLE.ORG'], serverPrincipal: ['HTTP/idp.example.org@EXAMPLE.ORG'] },
      ...{ keyTab: ['/etc/http.keytab'], allowPasswordAuthentication: ['false'], editMode: ['READ_ONLY'] },
    },
  })
  expect(await checkedLine('kdc', other)).toMatchObject({ ok: false })
  expect((await checkedLine('kdc', other))?.says).toMatch(/not watched: it is no LDAP directory .*\(kerberos\)/)
})

describe('on Keycloak 26.5.0', { timeout: 600_000 }, () => {
  test('a password that is changed while Keycloak is killed ends what is from before when it is back', async () => {
    const own = await startDemoRealm({ version: '26.5.0', options: [OFTEN] })
    const directory = await startDirectory({ people: ['killed'] }, OLD)
    try {
      const id = await add(own, directory.federation('people', { importUsers: true }))
      const before = await loggedIn('killed', OLD, own)
      await looked(own, id)
      await own.keycloak.kill9()
      directory.setPassword('people', 'killed', NEW)
      const back = await own.keycloak.restart()
      try {
        const after = await loggedIn('killed', NEW, own)
        await before.dead()
        await looked(own, id)
        expect((await own.toldOnce(before.user)).trigger).toBe('directory-password-changed')
        expect(await after.alive()).toBe(2)
      } finally {
        await back.stop()
      }
    } finally {
      await directory.stop()
      await own.stop()
    }
  })
})

describe('two nodes', { timeout: 600_000 }, () => {
  test('that see the same changes at once end each once, and one goes on where the other is killed', async () => {
    const postgres = await startPostgres()
    const directory = await startDirectory({ people: ['ann', 'ben', 'cleo', 'dora', 'last'] }, OLD)
    const nodes = await startNodes({
      postgres,
      jars: [EXTENSION_JAR],
      realms: [join(ROOT, 'realm-export', 'demo-realm.json')],
      env: DEMO_ENV,
      options: [OFTEN],
    })
    try {
      const admin = new RealmAdmin(nodes.a.keycloak.admin, 'demo')
      await admin.createClient({ clientId: 'flows-app', publicClient: true, directAccessGrantsEnabled: true })
      const id = await add({ admin }, directory.federation('people', { importUsers: true }))
      const [a, b] = [nodes.a.tokens('demo'), nodes.b.tokens('demo')]
      const names = ['ann', 'ben', 'cleo', 'dora']
      const people = await Promise.all(names.map((name) => loggedIn(name, OLD, { tokens: b, admin })))
      await looked({ postgres }, id)
      await nextSecond()
      names.forEach((name) => {
        directory.setPassword('people', name, NEW)
      })
      await nextSecond()
      await nextSecond()
      // Each login has its node look at once, beside the sweep of one of them.
      await Promise.all(names.flatMap((name) => [a, b].map((tokens) => tokens.directGrant('flows-app', name, NEW))))
      await Promise.all(people.map((person) => person.dead()))
      await looked({ postgres }, id)
      const times = `select user_id, count(distinct txn) from logout_relay_outbox where trigger_id like 'directory%' group by user_id having count(distinct txn) <> 1`
      expect(postgres.psql(times)).toBe('')
      const last = await loggedIn('last', OLD, { tokens: b, admin })
      await looked({ postgres }, id)
      await nodes.a.keycloak.kill9()
      directory.setPassword('people', 'last', NEW)
      await last.dead()
    } finally {
      await nodes.stop()
      await directory.stop()
      await postgres.stop()
    }
  })
})

async function giveRole(name: string, role: string): Promise<void> {
  const client = await realm.admin.clientUuid('logout-relay')
  const found = (await realm.admin.must<{ id: string }>('GET', `/clients/${client}/roles/${role}`)).json()
  await realm.admin.must('POST', `/users/${await realm.admin.userId(name)}/role-mappings/clients/${client}`, [found])
}

function authorization(): string {
  const query = { response_type: 'code', client_id: 'flows-app', redirect_uri: REDIRECT_URI, scope: 'openid' }
  return `${realm.issuer}/protocol/openid-connect/auth?${new URLSearchParams(query).toString()}`
}

/** The token endpoint's answer to the code in the address that the browser came back to. */
function redeem(url: string) {
  const code = new URL(url).searchParams.get('code') ?? ''
  return realm.tokens.ask({
    ...{ grant_type: 'authorization_code', client_id: 'flows-app', redirect_uri: REDIRECT_URI },
    code,
  })
}

/** Another time of the user's password has been noted than is noted now. */
function noted(user: string): Promise<void> {
  const clock = () =>
    realm.postgres.psql(`select password_clock from logout_relay_directory_user where user_id = '${user}'`)
  const before = clock()
  return until('the new time is noted', () => clock() !== before)
}

/** No sweep looks at the directory any more: only a login does. */
async function stopSweeps(id: string): Promise<void> {
  const stop = `update logout_relay_directory set due_ms = due_ms + 600000 where provider_id = '${id}' and lease_ms = 0 returning 1`
  await until('no sweep is under way', () => realm.postgres.psql(stop) === '1')
}

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
