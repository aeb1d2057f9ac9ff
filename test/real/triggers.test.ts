import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../scripts/stage/process.ts'
import { type DemoRealm } from './demo-realm.ts'
import { EVERYBODY, NOBODY, type People, type Person, startPeople } from './people.ts'

let people: People
let realm: DemoRealm

beforeAll(async () => {
  people = await startPeople()
  ;({ realm } = people)
})

afterAll(() => people.stop())

describe('everything dies, and every session is told, when', () => {
  const acts: readonly [what: string, trigger: string, type: string, act: (person: Person) => Promise<unknown>][] = [
    [
      'an administrator resets the password',
      'admin-reset-password',
      'credential-change',
      ({ user }) => people.admin.resetPassword('demo', user, 'another'),
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
      ({ user }) => people.admin.must('DELETE', `/demo/users/${user}`),
    ],
    [
      'an administrator signs the user out',
      'admin-logout',
      'session-revoked',
      ({ user }) => people.admin.must('POST', `/demo/users/${user}/logout`),
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
        const link = `/demo/users/${user}/federated-identity/partner`
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

  test('an administrator removes a second factor', async () => {
    const person = await people.loggedIn('factor-removed')
    await people.setPolicy({ 'logout-relay.policy.admin-credential-changed': 'off' })
    const id = await people.addOtp(person.user)
    await people.setPolicy({ 'logout-relay.policy.admin-credential-changed': '' })
    expect(await person.alive()).toEqual(EVERYBODY)
    await people.admin.must('DELETE', `/demo/users/${person.user}/credentials/${id}`)
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
    await people.admin.must('PUT', '/demo', { bruteForceProtected: true, failureFactor: 1, waitIncrementSeconds: 60 })
    const wrong = () =>
      realm.tokens.ask({ grant_type: 'password', client_id: 'flows-app', username: 'locked', password: 'wrong' })
    await wrong()
    await wrong()
    expect(await realm.told(person.user)).toEqual([])
    await people.admin.must('PUT', '/demo', { bruteForceProtected: false })
    expect(await person.alive()).toEqual(EVERYBODY)
  })
})

test('disabling, resetting and enabling again revives nothing', async () => {
  const person = await people.loggedIn('revived')
  await people.put(person.user, { enabled: false })
  await people.admin.resetPassword('demo', person.user, 'another')
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
  await people.admin.must('DELETE', `/demo/sessions/${sid}`)
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
