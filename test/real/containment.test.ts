import { createHmac } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Browser } from '../../scripts/stage/browser.ts'
import { call } from '../../scripts/stage/http.ts'
import { until } from '../../scripts/stage/process.ts'
import { TokenEndpoint } from '../../scripts/stage/tokens.ts'
import { type SharedDemoRealm, nextSecond, REDIRECT_URI, SECRET, type Told } from './demo-realm.ts'
import { EVERYBODY, NOBODY, type People, startPeople } from './people.ts'
import { shared } from './shared.ts'

let people: People
let realm: SharedDemoRealm

beforeAll(async () => {
  people = await startPeople('containment')
  ;({ realm } = people)
  await people.admin.createClient({
    clientId: 'consent-app',
    publicClient: true,
    consentRequired: true,
    redirectUris: [REDIRECT_URI],
  })
})

afterAll(() => people.stop())

describe('with the account, a reset ends', () => {
  test('the consents that were given', async () => {
    await realm.person('consenting')
    const browser = new Browser()
    const login = await browser.open(people.authorization('consent-app'), REDIRECT_URI)
    const consent = await browser.submit(login, { username: 'consenting', password: 'password' }, REDIRECT_URI)
    const back = await browser.submit(consent, { accept: 'Yes' }, REDIRECT_URI)
    expect((await people.exchange(back.url, 'consent-app')).status).toBe(200)
    const user = await people.admin.userId('consenting')
    const consents = async () => (await people.admin.must<unknown[]>('GET', `/users/${user}/consents`)).json().length
    expect(await consents()).toBe(1)
    await people.admin.resetPassword(user, 'another')
    expect(await consents()).toBe(0)
    expect((await realm.toldOnce(user)).containment).toMatchObject({ steps: { consents: 1 } })
  })

  test('the tokens of identity providers that are stored', async () => {
    const user = await realm.person('brokered')
    await people.admin.must('POST', `/users/${user}/federated-identity/partner`, {
      userId: 'at-partner',
      userName: 'x',
    })
    await realm.told(user)
    realm.postgres.psql(`update federated_identity set token = 'upstream' where user_id = '${user}'`)
    await people.admin.resetPassword(user, 'another')
    expect(realm.postgres.psql(`select count(token) from federated_identity where user_id = '${user}'`).trim()).toBe(
      '0',
    )
    expect((await realm.toldOnce(user)).containment).toMatchObject({ steps: { 'broker-tokens': 1 } })
  })

  test('the links to identity providers, where policy has the step; without it the event names them', async () => {
    const user = await realm.person('linked')
    const links = `/users/${user}/federated-identity`
    await people.admin.must('POST', `${links}/partner`, { userId: 'of-a-thief', userName: 'x' })
    const left = async () => (await people.admin.must<unknown[]>('GET', links)).json().length
    await people.admin.resetPassword(user, 'another')
    expect(await left()).toBe(1)
    expect((await realm.toldOnce(user)).containment).toMatchObject({ identity_providers: ['partner'] })
    await people.setPolicy({ 'logout-relay.policy.admin-reset-password': 'sessions, identity-providers' })
    await people.admin.resetPassword(user, 'a third')
    await people.setPolicy({ 'logout-relay.policy.admin-reset-password': '' })
    expect(await left()).toBe(0)
    const { containment } = await realm.toldOnce(user)
    expect(containment).toMatchObject({ steps: { 'identity-providers': 1 } })
    expect(containment).not.toHaveProperty('identity_providers')
  })

  test('a second factor of a privileged user that was added within the window, and none of another', async () => {
    for (const [name, privileged] of [
      ['chief', true],
      ['clerk', false],
    ] as const) {
      const person = await people.loggedIn(name)
      if (privileged) {
        await people.realmManagementRole(person.user, 'manage-users')
      }
      await people.addOtp(person.user)
      await realm.told(person.user)
      await people.admin.resetPassword(person.user, 'another')
      const left = await people.admin.must<{ type: string }[]>('GET', `/users/${person.user}/credentials`)
      expect(left.json().some(({ type }) => type === 'otp')).toBe(!privileged)
      const { containment } = await realm.toldOnce(person.user)
      expect(containment['privileged']).toBe(privileged ? true : undefined)
    }
  })

  test('the sessions that the person has opened as others', async () => {
    const boss = await people.loggedIn('boss')
    await people.realmManagementRole(boss.user, 'impersonation')
    await realm.told(boss.user)
    const victim = await realm.person('victim')
    // The role has just ended everything of the boss's, and a login within that second would count as from before.
    await nextSecond()
    const { access_token: again } = await realm.tokens.directGrant('flows-app', 'boss', 'password')
    const cookie = await cookiesOf(victim, again)
    const code = await call('GET', people.authorization(), { headers: { cookie, accept: 'text/html' } })
    const opened = (await people.exchange(String(code.headers['location']))).json()
    expect(await realm.tokens.lives('flows-app', opened)).toBe(true)
    await nextSecond()
    await people.admin.resetPassword(boss.user, 'another')
    expect(await realm.tokens.lives('flows-app', opened)).toBe(false)
    const { sid } = decodeJwt<{ sid: string }>(opened.access_token)
    const told = await realm.toldOnce(boss.user)
    expect(told.sessions.find((session) => session.sid === sid)).not.toHaveProperty('sub')
    expect(told.sessions.map((session) => session.sid)).toContain(sid)
  })

  test('the sessions that the person could still open as others, by cookies that no application has seen yet', async () => {
    const boss = await people.loggedIn('patient-boss')
    await people.realmManagementRole(boss.user, 'impersonation')
    const victim = await realm.person('patient-victim')
    await nextSecond()
    const { access_token } = await realm.tokens.directGrant('flows-app', 'patient-boss', 'password')
    const cookie = await cookiesOf(victim, access_token)
    await nextSecond()
    await people.admin.resetPassword(boss.user, 'another')
    await nextSecond()
    const login = await call('GET', people.authorization(), { headers: { cookie, accept: 'text/html' } })
    expect([login.status, login.headers['location']]).toEqual([200, undefined])
    expect(login.text).toContain('kc-form-login')
    expect(await people.admin.sessions(victim)).toEqual([])
  })

  test('the sessions that an administrator of another realm has opened as others', async () => {
    const { master } = await shared()
    await master.must('PUT', '', { eventsListeners: ['jboss-logging', 'logout-relay'] })
    const root = await master.createUser('root', 'password')
    const role = (await master.must('GET', '/roles/admin')).json()
    await master.must('POST', `/users/${root}/role-mappings/realm`, [role])
    const victim = await realm.person('victim-of-root')
    await nextSecond()
    const atMaster = new TokenEndpoint(realm.keycloak.issuer('master'))
    const { access_token } = await atMaster.directGrant('admin-cli', 'root', 'password')
    const cookie = await cookiesOf(victim, access_token)
    const code = await call('GET', people.authorization(), { headers: { cookie, accept: 'text/html' } })
    const opened = (await people.exchange(String(code.headers['location']))).json()
    expect(await realm.tokens.lives('flows-app', opened)).toBe(true)
    await nextSecond()
    await master.resetPassword(root, 'another')
    expect(await realm.tokens.lives('flows-app', opened)).toBe(false)
    await master.must('PUT', '', { eventsListeners: ['jboss-logging'] })
  })

  /** Those of a session opened as that user: they let a browser in. */
  async function cookiesOf(user: string, token: string): Promise<string> {
    const answer = await call(
      'POST',
      `${realm.keycloak.url}/admin/realms/${realm.admin.realm}/users/${user}/impersonation`,
      {
        headers: { authorization: `Bearer ${token}` },
      },
    )
    return [answer.headers['set-cookie'] ?? []]
      .flat()
      .map((line) => line.split(';')[0])
      .join('; ')
  }
})

describe('after an event the second factor is owed', () => {
  const owed = (user: string) =>
    Number(realm.postgres.psql(`select count(*) from logout_relay_step_up where user_id = '${user}'`))

  test('by a privileged person until a login has proven it', async () => {
    const user = await realm.person('stepping')
    await people.realmManagementRole(user, 'manage-users')
    await realm.told(user)
    await people.admin.resetPassword(user, 'another')
    expect((await realm.toldOnce(user)).containment).toMatchObject({ steps: { 'step-up': 1 } })
    await nextSecond()
    const password = { username: 'stepping', password: 'another' }
    const form = { grant_type: 'password', client_id: 'flows-app', ...password }
    expect((await realm.tokens.ask(form)).status).not.toBe(200)
    // Nothing is set up yet: the password alone leads to the page that sets it up, and to nothing else.
    const browser = new Browser()
    const setUp = await browser.submit(await browser.open(people.authorization(), REDIRECT_URI), password, REDIRECT_URI)
    const secret = /name="totpSecret" value="([^"]+)"/.exec(setUp.text)?.[1] ?? ''
    expect(secret).not.toBe('')
    const first = await browser.submit(setUp, { totp: oneTimePassword(secret), userLabel: 'phone' }, REDIRECT_URI)
    expect((await people.exchange(first.url)).status).toBe(200)
    expect(owed(user)).toBe(1)
    await nextSecond()
    const other = new Browser()
    const asked = await other.submit(await other.open(people.authorization(), REDIRECT_URI), password, REDIRECT_URI)
    expect(asked.url.startsWith(REDIRECT_URI)).toBe(false)
    expect(owed(user)).toBe(1)
    // The one that set it up counts once; Keycloak takes that of the next half minute already.
    const back = await other.submit(asked, { otp: oneTimePassword(secret, 1) }, REDIRECT_URI)
    expect(back.url.startsWith(REDIRECT_URI), back.text.slice(-4000)).toBe(true)
    expect((await people.exchange(back.url)).status).toBe(200)
    expect(owed(user)).toBe(0)
  })

  test('by nobody else, unless the realm says so', async () => {
    const user = await realm.person('not-stepping')
    const login = () =>
      realm.tokens.ask({
        grant_type: 'password',
        client_id: 'flows-app',
        username: 'not-stepping',
        password: 'another',
      })
    await people.admin.resetPassword(user, 'another')
    await nextSecond()
    expect((await login()).status).toBe(200)
    await people.setPolicy({ 'logout-relay.step-up.users': 'all' })
    await people.admin.resetPassword(user, 'another')
    await people.setPolicy({ 'logout-relay.step-up.users': '' })
    await nextSecond()
    expect((await login()).status).not.toBe(200)
  })
})

test('a privileged person is watched after an event, and what is seen comes with the same txn', async () => {
  const person = await people.loggedIn('watched')
  await people.realmManagementRole(person.user, 'manage-users')
  await realm.told(person.user)
  await nextSecond()
  await people.setPolicy({ 'logout-relay.policy.admin-reset-password': 'sessions' })
  await people.admin.resetPassword(person.user, 'another')
  await people.setPolicy({ 'logout-relay.policy.admin-reset-password': '' })
  const { txn } = await realm.toldOnce(person.user)
  await nextSecond()
  // The thief: the old refresh tokens, one after another, and the old password.
  expect(await person.alive()).toEqual(NOBODY)
  const grant = (password: string) =>
    realm.tokens.ask({ grant_type: 'password', client_id: 'flows-app', username: 'watched', password })
  expect((await grant('password')).status).not.toBe(200)
  expect((await grant('another')).status).toBe(200)
  const seen = { logins: 0, failed_logins: 0, refused_refreshes: 0 }
  await until('all of it is told', async () => {
    for (const told of await realm.allTold(person.user)) {
      expect(told.txn).toBe(txn)
      expect(told.sessions).toEqual([])
      const more = told.containment['watched'] as typeof seen | undefined
      seen.logins += more?.logins ?? 0
      seen.failed_logins += more?.failed_logins ?? 0
      seen.refused_refreshes += more?.refused_refreshes ?? 0
    }
    return seen.logins + seen.failed_logins + seen.refused_refreshes >= 5
  })
  expect(seen).toEqual({ logins: 1, failed_logins: 1, refused_refreshes: 3 })
})

describe('the policy in the realm', () => {
  test('can spare the offline token of a named client, and of that session nothing else', async () => {
    await people.admin.createClient({ clientId: 'backup', publicClient: true, directAccessGrantsEnabled: true })
    const person = await people.loggedIn('with-a-job')
    const job = await realm.tokens.directGrant('backup', 'with-a-job', 'password', 'openid offline_access')
    await nextSecond()
    await people.setPolicy({
      'logout-relay.policy.admin-reset-password': 'sessions, spare-offline',
      'logout-relay.policy.operator': 'sessions, spare-offline',
      'logout-relay.spare-offline.clients': 'backup, of-nobody',
    })
    const program = await realm.tokens.serviceAccount('logout-relay-operator', SECRET)
    const asked = { user: 'with-a-job', reason: 'a test', dry_run: true }
    expect(await realm.ask('containments', asked, program)).toMatchObject({ sessions: person.sids.length })
    await people.admin.resetPassword(person.user, 'another')
    const told = await realm.toldOnce(person.user)
    // Told after a look at what is left, and looked at again: the later looks spare it too.
    await until('a later look is over', () =>
      realm.postgres
        .psql(`select next_look_ms - watermark_ms from logout_relay_outbox where user_id = '${person.user}'`)
        .includes('60000'),
    )
    expect(await realm.tokens.lives('backup', job)).toBe(true)
    expect(await person.alive()).toEqual(NOBODY)
    expect(told.containment).toMatchObject({ spared_offline: ['backup'] })
    expect(told.sessions.map(({ sid }) => sid).sort()).toEqual(person.sids)
    await people.setPolicy({
      'logout-relay.policy.admin-reset-password': '',
      'logout-relay.policy.operator': '',
      'logout-relay.spare-offline.clients': '',
    })
    await people.admin.resetPassword(person.user, 'a third')
    expect(await realm.tokens.lives('backup', job)).toBe(false)
    expect((await realm.toldOnce(person.user)).containment).not.toHaveProperty('spared_offline')
  })

  test('can switch a trigger off', async () => {
    const person = await people.loggedIn('spared')
    await people.setPolicy({ 'logout-relay.policy.admin-logout': 'off' })
    await people.admin.must('POST', `/users/${person.user}/logout`)
    await people.setPolicy({ 'logout-relay.policy.admin-logout': '' })
    expect(await realm.told(person.user)).toEqual([])
  })

  test.each([
    ['logout-relay.policy.admin-logut', 'sessions', 'names no trigger'],
    ['logout-relay.policy.admin-logout', 'sesions', "unknown step 'sesions'"],
    ['logout-relay.mode', 'dry', 'give enforce or shadow'],
  ])('is not saved with %s = %s', async (name, value, complaint) => {
    const answer = await people.admin.call('PUT', '', { attributes: { [name]: value } })
    expect(answer.status).toBe(400)
    expect(answer.text).toContain(complaint)
    const { attributes } = (await people.admin.must<{ attributes: object }>('GET', '')).json()
    expect(attributes).not.toHaveProperty([name], value)
  })

  test('in shadow mode everything is found and reported, and nothing ended', async () => {
    const person = await people.loggedIn('shadowed')
    await people.setPolicy({ 'logout-relay.mode': 'shadow' })
    await people.admin.resetPassword(person.user, 'another')
    await people.setPolicy({ 'logout-relay.mode': 'enforce' })
    expect(await person.alive()).toEqual(EVERYBODY)
    const told = await realm.toldOnce(person.user)
    expect(told.containment).toMatchObject({ shadow: true })
    expect(told.sessions.map(({ sid }) => sid).sort()).toEqual(person.sids)
    const ids = told.sessions.map(({ id }) => id)
    const minted = await realm.ask<{ refused: Record<string, string> }>('logout-tokens', { ids })
    expect(Object.values(minted.refused)).toEqual(ids.map(() => 'shadow'))
  })
})

describe('a session that appears after the reset from a login before it', () => {
  /** Such a session cannot be had on demand: the reset is made younger instead, where Keycloak keeps it. */
  async function late(name: string) {
    const person = await people.loggedIn(name)
    await people.admin.resetPassword(person.user, 'another')
    await realm.told(person.user)
    // Else what is found is a part of the first removal, and no survivor.
    await until('nothing is left of the reset', () =>
      Promise.resolve(
        realm.postgres.psql(`select min(removed_ms) from logout_relay_outbox where user_id = '${person.user}'`) !== '',
      ),
    )
    await nextSecond()
    const tokens = await realm.tokens.directGrant('flows-app', name, 'another')
    const { sid } = decodeJwt<{ sid: string }>(tokens.access_token)
    const stored = () =>
      Number(realm.postgres.psql(`select count(*) from offline_user_session where user_session_id = '${sid}'`))
    expect(stored()).toBe(1)
    return { user: person.user, sid, stored, lives: () => realm.tokens.lives('flows-app', tokens), at: Date.now() }
  }

  test('is found, ended and reported by a look', async () => {
    const { user, sid, stored, lives, at } = await late('survivor')
    await until('the look has ended it', () => {
      // Again, since a look that is under way puts the next one where it was.
      realm.postgres.psql(
        `update logout_relay_outbox set watermark_ms = ${at}, next_look_ms = ${at} where user_id = '${user}' and next_look_ms > ${at}`,
      )
      return Promise.resolve(stored() === 0)
    })
    // It is removed first, and reported in a transaction of its own.
    const reports: Told[] = []
    await until('it is reported', async () => {
      reports.push(...(await realm.told(user)))
      return reports.length > 0
    })
    expect(reports.map(({ containment }) => containment)).toMatchObject([{ survivors: 1 }])
    expect(reports[0]?.sessions.map((session) => session.sid)).toEqual([sid])
    expect(await lives()).toBe(false)
  })

  test('is told of as soon as somebody is refused with it, and not at the next look', async () => {
    const { user, sid, stored, lives, at } = await late('used-late')
    for (const table of ['outbox', 'watermark']) {
      realm.postgres.psql(`update logout_relay_${table} set watermark_ms = ${at} where user_id = '${user}'`)
    }
    realm.postgres.psql(`update logout_relay_outbox set next_look_ms = null where user_id = '${user}'`)
    expect(stored()).toBe(1)
    expect(await lives()).toBe(false)
    const told: string[] = []
    await until('it is told', async () => {
      told.push(...(await realm.told(user)).flatMap(({ sessions }) => sessions.map((session) => session.sid)))
      return told.length > 0
    })
    expect(told).toEqual([sid])
    expect(stored()).toBe(0)
  })
})

test('a look that fails holds up no other: it is made again later', async () => {
  const unreadable = await realm.person('unreadable')
  await people.admin.resetPassword(unreadable, 'another')
  await realm.told(unreadable)
  const rows = `logout_relay_outbox where user_id = '${unreadable}'`
  realm.postgres.psql(`update logout_relay_outbox set sessions = '{', next_look_ms = 1 where user_id = '${unreadable}'`)
  const behind = await realm.person('behind-it')
  await people.admin.resetPassword(behind, 'another')
  await until('the look behind it is made', () =>
    realm.postgres
      .psql(`select next_look_ms - watermark_ms from logout_relay_outbox where user_id = '${behind}'`)
      .includes('60000'),
  )
  const again = () => Number(realm.postgres.psql(`select next_look_ms from ${rows}`).trim())
  await until('it has been put off', () => again() > Date.now())
  realm.postgres.psql(`delete from ${rows}`)
})

test('a look does not undo what came to its event meanwhile: each writes only what it changes', async () => {
  const person = await people.loggedIn('meanwhile')
  await people.admin.resetPassword(person.user, 'another')
  await realm.told(person.user)
  const which = `where user_id = '${person.user}'`
  // For longer than two sweeps: a look reads the row as it was, and can write only after this has changed it.
  realm.postgres.psql(`update logout_relay_outbox set next_look_ms = 1 ${which}`)
  realm.postgres.psql(`begin; update logout_relay_outbox set open_sessions = 41 ${which}; select pg_sleep(12); commit`)
  const row = () =>
    realm.postgres.psql(`select open_sessions, next_look_ms > 1 from logout_relay_outbox ${which}`).trim()
  await until('the look has been', () => Promise.resolve(row().endsWith('t')))
  expect(row()).toBe('41|t')
})

test('a client’s attributes fix what its logout tokens name, unless that would end more than is meant', async () => {
  await people.admin.setClientAttributes('flows-app', {
    'logout-relay.token.shape': 'sub',
    'logout-relay.token.typ': 'none',
  })
  const person = await people.loggedIn('shaped')
  await people.admin.resetPassword(person.user, 'another')
  const [session] = (await realm.toldOnce(person.user)).sessions
  const mint = async () =>
    realm.ask<{ tokens: Record<string, string>; refused: Record<string, string> }>('logout-tokens', {
      ids: [session?.id],
    })
  const [token = ''] = Object.values((await mint()).tokens)
  expect(decodeProtectedHeader(token)).not.toHaveProperty('typ')
  expect(decodeJwt(token)).toMatchObject({ sub: person.user })
  expect(decodeJwt(token)).not.toHaveProperty('sid')
  await nextSecond()
  await realm.tokens.directGrant('flows-app', 'shaped', 'another')
  expect(Object.values((await mint()).refused)).toEqual(['sub_in_use'])
  await people.admin.setClientAttributes('flows-app', {
    'logout-relay.token.shape': 'sid+sub',
    'logout-relay.token.typ': 'JWT',
  })
  const [both = ''] = Object.values((await mint()).tokens)
  expect(decodeProtectedHeader(both)).toMatchObject({ typ: 'JWT' })
  expect(decodeJwt(both)).toMatchObject({ sub: person.user, sid: session?.sid })
  await people.admin.setClientAttributes('flows-app', {
    'logout-relay.token.shape': '',
    'logout-relay.token.typ': '',
  })
})

/** RFC 6238, as an authenticator app has it after Keycloak's set-up page. */
function oneTimePassword(secret: string, ahead = 0): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead))
  const hash = createHmac('sha1', secret).update(counter).digest()
  const at = (hash.at(-1) ?? 0) & 15
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}
