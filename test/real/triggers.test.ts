import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../scripts/stage/process.ts'
import { type SharedDemoRealm, nextSecond, SECRET } from './demo-realm.ts'
import { endMany } from './many-sessions.ts'
import { EVERYBODY, NOBODY, type People, type Person, startPeople } from './people.ts'
import { shared } from './shared.ts'

let people: People
let realm: SharedDemoRealm

beforeAll(async () => {
  people = await startPeople('triggers')
  ;({ realm } = people)
})

afterAll(() => people.stop())

describe('everything dies, and every session is told, when', () => {
  const acts: readonly [what: string, trigger: string, type: string, act: (person: Person) => Promise<unknown>][] = [
    [
      'an administrator resets the password',
      'admin-reset-password',
      'credential-change',
      ({ user }) => people.admin.resetPassword(user, 'another'),
    ],
    [
      'an administrator sets a password while updating the user',
      'admin-set-password',
      'credential-change',
      ({ user }) => people.put(user, { credentials: [{ type: 'password', value: 'another' }] }),
    ],
    [
      'a password is imported as a hash with a date of the caller',
      'admin-set-password',
      'credential-change',
      ({ user }) =>
        people.put(user, {
          credentials: [
            {
              type: 'password',
              createdDate: 1000,
              secretData: '{"value":"aGFzaA==","salt":"c2FsdA=="}',
              credentialData: '{"hashIterations":27500,"algorithm":"pbkdf2-sha256"}',
            },
          ],
        }),
    ],
    [
      'the account is disabled',
      'account-disabled',
      'account-disabled',
      ({ user }) => people.put(user, { enabled: false }),
    ],
    [
      'the email address changes',
      'email-changed',
      'identifier-changed',
      ({ user, name }) => people.put(user, { email: `new-${name}@example.org` }),
    ],
    [
      'an administrator adds a second factor',
      'admin-credential-changed',
      'credential-change',
      ({ user }) => people.addOtp(user),
    ],
    [
      'the account is deleted',
      'account-deleted',
      'account-purged',
      ({ user }) => people.admin.must('DELETE', `/users/${user}`),
    ],
    [
      'an administrator signs the user out',
      'admin-logout',
      'session-revoked',
      ({ user }) => people.admin.must('POST', `/users/${user}/logout`),
    ],
    [
      'a privileged role is given',
      'privileged-role-added',
      'session-revoked',
      ({ user }) => people.realmManagementRole(user, 'manage-users'),
    ],
    [
      'an administrator removes the link to an identity provider',
      'admin-identity-provider-removed',
      'session-revoked',
      async ({ user }) => {
        const link = `/users/${user}/federated-identity/partner`
        await people.admin.must('POST', link, { userId: `at-partner-${user}`, userName: 'x' })
        await people.admin.must('DELETE', link)
      },
    ],
  ]

  test.each(acts)('%s', async (_, trigger, type, act) => {
    const person = await people.loggedIn(`acts-${trigger}-${Math.random().toString(36).slice(2)}`)
    expect(await person.alive()).toEqual(EVERYBODY)
    await act(person)
    expect(await person.alive()).toEqual(NOBODY)
    expect(await person.signedOn()).toBe(false)
    const told = await realm.toldOnce(person.user)
    expect(told).toMatchObject({ trigger })
    expect(told.type.endsWith(`/${type}`)).toBe(true)
    expect(told.sessions.map(({ sid }) => sid).sort()).toEqual(person.sids)
  })

  const password = { type: 'password', value: 'another', temporary: false }
  const spelled: readonly [path: string, trigger: string, act: (person: Person) => Promise<unknown>][] = [
    [
      'users/{id}/reset-password/',
      'admin-reset-password',
      ({ user }) => people.admin.must('PUT', `/users/${user}/reset-password/`, password),
    ],
    [
      'users/{id}/ with enabled=false',
      'account-disabled',
      ({ user }) => people.admin.must('PUT', `/users/${user}/`, { enabled: false }),
    ],
    [
      'users/{id}/ with another email address',
      'email-changed',
      ({ user, name }) => people.admin.must('PUT', `/users/${user}/`, { email: `slash-${name}@example.org` }),
    ],
    ['users/{id}/logout/', 'admin-logout', ({ user }) => people.admin.must('POST', `/users/${user}/logout/`)],
    [
      'users/{id}/role-mappings/clients/{id}/',
      'privileged-role-added',
      ({ user }) => people.realmManagementRole(user, 'manage-users', '/'),
    ],
  ]

  test.each(spelled)('the request is spelled %s', async (path, trigger, act) => {
    const person = await people.loggedIn(`spelled-${path.replaceAll(/[^a-z]+/gi, '-')}`)
    await act(person)
    expect(await person.alive()).toEqual(NOBODY)
    expect((await realm.toldOnce(person.user)).trigger).toBe(trigger)
  })

  test('an administrator removes a second factor', async () => {
    const person = await people.loggedIn('factor-removed')
    await people.setPolicy({ 'logout-relay.policy.admin-credential-changed': 'off' })
    const id = await people.addOtp(person.user)
    await people.setPolicy({ 'logout-relay.policy.admin-credential-changed': '' })
    expect(await person.alive()).toEqual(EVERYBODY)
    await people.admin.must('DELETE', `/users/${person.user}/credentials/${id}`)
    expect(await person.alive()).toEqual(NOBODY)
    const told = await realm.toldOnce(person.user)
    expect(told.trigger).toBe('admin-credential-removed')
    expect(told.event).toMatchObject({ credential_type: 'app', change_type: 'delete', initiating_entity: 'admin' })
  })
})

describe('nothing ends when', () => {
  test('an update of the user changes nothing that matters', async () => {
    const person = await people.loggedIn('unchanged')
    await people.put(person.user, { firstName: 'Other', enabled: true, email: 'unchanged@example.org' })
    expect(await person.alive()).toEqual(EVERYBODY)
    expect(await realm.told(person.user)).toEqual([])
  })

  test('a role is given that is not privileged', async () => {
    const person = await people.loggedIn('ordinary')
    await people.realmManagementRole(person.user, 'view-events')
    expect(await person.alive()).toEqual(EVERYBODY)
  })

  test('somebody locks the account by wrong passwords, unless the realm says so', async () => {
    const person = await people.loggedIn('locked')
    await people.admin.must('PUT', '', { bruteForceProtected: true, failureFactor: 1, waitIncrementSeconds: 60 })
    const wrong = () =>
      realm.tokens.ask({ grant_type: 'password', client_id: 'flows-app', username: 'locked', password: 'wrong' })
    await wrong()
    await wrong()
    expect(await realm.told(person.user)).toEqual([])
    await people.admin.must('PUT', '', { bruteForceProtected: false })
    expect(await person.alive()).toEqual(EVERYBODY)
  })
})

test('disabling, resetting and enabling again revives nothing', async () => {
  const person = await people.loggedIn('revived')
  await people.put(person.user, { enabled: false })
  await people.admin.resetPassword(person.user, 'another')
  await people.put(person.user, { enabled: true })
  expect(await person.alive()).toEqual(NOBODY)
  expect(await person.signedOn()).toBe(false)
  expect((await realm.told(person.user)).map(({ trigger }) => trigger).sort()).toEqual([
    'account-disabled',
    'admin-reset-password',
  ])
})

test('the end of one session leaves the others of its user alone, and names no subject', async () => {
  const person = await people.loggedIn('one-session')
  const { sid } = decodeJwt<{ sid: string }>(person.mobile.access_token)
  await people.admin.must('DELETE', `/sessions/${sid}`)
  expect(await person.alive()).toEqual([true, false, true])
  const told = await realm.toldOnce(person.user)
  expect(told).toMatchObject({ trigger: 'session-removed', containment: { scope: 'session' } })
  expect(told.sessions.map((session) => session.sid)).toEqual([sid])
  await until('its logout token is minted', async () => {
    const minted = await realm.ask<{ tokens: Record<string, string> }>('logout-tokens', {
      ids: told.sessions.map(({ id }) => id),
    })
    const [token] = Object.values(minted.tokens).map((jwt) => decodeJwt(jwt))
    expect(token).toMatchObject({ sid })
    expect(token).not.toHaveProperty('sub')
    return true
  })
})

describe('what is odd has a clear end', () => {
  test('a user of another realm, or one who is deleted, is none of this one', async () => {
    const deleted = await realm.person('deleted')
    await people.admin.must('DELETE', `/users/${deleted}`)
    const program = await realm.tokens.serviceAccount('logout-relay-operator', SECRET)
    for (const user of [await (await shared()).master.userId('admin'), deleted]) {
      const answer = await realm.call('containments', { user, reason: 'a test' }, program)
      expect(answer.status).toBe(404)
      expect(answer.text).toContain('not one of this realm')
    }
  })

  test('a caller without the role is refused, and nobody is signed out', async () => {
    const person = await people.loggedIn('not-yours')
    const answer = await realm.call('containments', { user: 'not-yours', reason: 'a test' })
    expect(answer.status).toBe(403)
    expect(await person.alive()).toEqual(EVERYBODY)
  })

  test('two resets at once are two events, and undo nothing of each other', async () => {
    const person = await people.loggedIn('twice')
    const answers = await Promise.all(['b', 'c'].map((word) => people.admin.resetPassword(person.user, word)))
    // Keycloak may refuse one of two that change the same row; what it took is answered.
    const taken = answers.filter(({ status }) => status === 204).length
    expect(taken).toBeGreaterThan(0)
    expect(await person.alive()).toEqual(NOBODY)
    const told = await realm.told(person.user)
    expect(told).toHaveLength(taken)
    for (const { sessions } of told) {
      expect(sessions.map(({ sid }) => sid).sort()).toEqual(person.sids)
    }
  })

  test('the end of a session that is gone already is told to nobody', async () => {
    const person = await people.loggedIn('ended-twice')
    const { sid } = decodeJwt<{ sid: string }>(person.mobile.access_token)
    await people.admin.must('DELETE', `/sessions/${sid}`)
    await realm.toldOnce(person.user)
    expect((await people.admin.call('DELETE', `/sessions/${sid}`)).status).toBe(404)
    expect(await realm.told(person.user)).toEqual([])
  })

  // With ten times as many: test/nightly/many-sessions.test.ts.
  test('1,003 live sessions of one user end in the reset, and are told in parts of 500, each once', async () => {
    await endMany(people, 1000)
  })
})

describe('when an administrator signs everybody out of the realm', () => {
  /** Of a person with the role `confirm`. Her earlier ones end with everybody's. */
  const token = () => realm.wordOf('olivia')
  const decide = async (body: object) => realm.ask('realm-logouts', { ...body, reason: 'of a test' }, await token())
  const newest = async () => {
    const { realm_logouts } = await realm.ask<{
      realm_logouts: { id: string; state: string; left: number; contained: number }[]
    }>('realm-logouts', undefined, await token())
    return realm_logouts[0]
  }
  const signEverybodyOut = () => people.admin.must('POST', '/logout-all')

  test('nothing more happens where the policy is off', async () => {
    await people.setPolicy({ 'logout-relay.policy.realm-logout': 'off' })
    await signEverybodyOut()
    await people.setPolicy({ 'logout-relay.policy.realm-logout': '' })
    expect(await newest()).toBeUndefined()
  })

  test('it waits for a person’s word, and then ends what began before, subject by subject', async () => {
    const [one, other] = [await people.loggedIn('everybody-one'), await people.loggedIn('everybody-other')]
    await signEverybodyOut()
    await nextSecond()
    const later = await people.loggedIn('everybody-later')
    const held = await newest()
    expect(held).toMatchObject({ state: 'held', contained: 0 })
    expect(held?.left).toBeGreaterThanOrEqual(2)
    // Keycloak itself has ended what it knows, and told nobody.
    expect(await one.alive()).toEqual(NOBODY)
    expect(await realm.told(one.user)).toEqual([])
    await decide({ id: held?.id, decision: 'confirm' })
    await until('everybody is contained', async () => (await newest())?.state === 'done', { seconds: 60 })
    expect(await newest()).toMatchObject({ left: 0 })
    for (const person of [one, other]) {
      expect(await person.alive()).toEqual(NOBODY)
      const told = await realm.toldOnce(person.user)
      expect(told.trigger).toBe('realm-logout')
      expect(told.sessions.map(({ sid }) => sid).sort()).toEqual(person.sids)
    }
    expect(await later.alive()).toEqual(EVERYBODY)
    expect(await realm.told(later.user)).toEqual([])
  })

  test('it is dismissed by a word as well, and decided once', async () => {
    const person = await people.loggedIn('everybody-dismissed')
    await signEverybodyOut()
    const held = await newest()
    expect(await decide({ id: held?.id, decision: 'dismiss' })).toMatchObject({
      ...{ state: 'dismissed', decided_reason: 'of a test', decided_by: await people.admin.userId('olivia') },
    })
    expect(await realm.told(person.user)).toEqual([])
    const again = await realm.call(
      'realm-logouts',
      { id: held?.id, decision: 'confirm', reason: 'of a test' },
      await token(),
    )
    expect(again.status).toBe(400)
    expect(again.text).toContain('waits for a decision')
  })

  test('the relay’s own account has no say', async () => {
    expect((await realm.call('realm-logouts')).status).toBe(403)
  })
})
