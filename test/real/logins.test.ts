import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Browser } from '../../scripts/stage/browser.ts'
import { call } from '../../scripts/stage/http.ts'
import { until } from '../../scripts/stage/process.ts'
import type { Tokens } from '../../scripts/stage/tokens.ts'
import { type SharedDemoRealm, nextSecond, REDIRECT_URI, SECRET } from './demo-realm.ts'
import { NOBODY, type People, startPeople } from './people.ts'
import { route, shared } from './shared.ts'

let people: People
let realm: SharedDemoRealm

let authenticationDevice: AuthenticationDevice

beforeAll(async () => {
  authenticationDevice = await startAuthenticationDevice()
  people = await startPeople('logins')
  await route('ciba', 'logins', authenticationDevice.url)
  ;({ realm } = people)
  await people.admin.createClient({
    clientId: 'other-grants',
    secret: SECRET,
    attributes: {
      'oauth2.device.authorization.grant.enabled': 'true',
      'oidc.ciba.grant.enabled': 'true',
      'standard.token.exchange.enabled': 'true',
      'standard.token.exchange.enableRefreshRequestedTokenType': 'SAME_SESSION',
      'backchannel.logout.url': 'http://127.0.0.1:9/logout',
    },
  })
  await people.admin.createClient({
    clientId: 'flows-app-of-others',
    publicClient: true,
    directAccessGrantsEnabled: true,
    protocolMappers: [
      {
        name: 'audience',
        protocol: 'openid-connect',
        protocolMapper: 'oidc-audience-mapper',
        config: { 'included.client.audience': 'other-grants', 'access.token.claim': 'true' },
      },
    ],
  })
})

afterAll(async () => {
  await people.stop()
  await authenticationDevice.stop()
})

const client = { client_id: 'other-grants', client_secret: SECRET }
const endpoint = (path: string) => `${realm.issuer}/protocol/openid-connect/${path}`
const post = <T>(path: string, form: Record<string, string>) =>
  call<T>('POST', endpoint(path), { form: { ...client, ...form } })

/** A device whose code the person has approved, in a browser that may be logged in; answers how it asks for its tokens. */
async function approvedDevice(name: string, browser = new Browser()) {
  const started = await post<{ device_code: string; verification_uri_complete: string }>('auth/device', {
    scope: 'openid',
  })
  const { device_code, verification_uri_complete } = started.json()
  const login = await browser.open(verification_uri_complete)
  const consent = login.text.includes('kc-form-login')
    ? await browser.submit(login, { username: name, password: 'password' })
    : login
  await browser.submit(consent, { accept: 'Yes' })
  return () => post<Tokens>('token', { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code })
}

describe('a login that was under way at the reset', () => {
  /** Up to the page of a required action, with the password already accepted. */
  async function halfWay(name: string) {
    const user = await realm.person(name)
    await people.put(user, { requiredActions: ['UPDATE_PROFILE'] })
    const browser = new Browser()
    const login = await browser.open(people.authorization(), REDIRECT_URI)
    const page = await browser.submit(login, { username: name, password: 'password' }, REDIRECT_URI)
    await nextSecond()
    return { user, name, browser, page }
  }
  const profile = (name: string) => ({ email: `${name}@example.org`, firstName: 'A', lastName: 'B', username: name })

  test('goes through if there is no reset', async () => {
    const { name, browser, page } = await halfWay('undisturbed')
    const back = await browser.submit(page, profile(name), REDIRECT_URI)
    expect((await people.exchange(back.url)).status).toBe(200)
  })

  test('gets a code that is worth nothing', async () => {
    const { user, name, browser, page } = await halfWay('half-way')
    await people.admin.resetPassword(user, 'another')
    const back = await browser.submit(page, profile(name), REDIRECT_URI)
    expect((await people.exchange(back.url)).status).toBe(400)
    expect(await people.admin.sessions(user)).toEqual([])
  })

  test('does not become younger by reloading its page or opening another tab', async () => {
    const { user, name, browser, page } = await halfWay('reloading')
    await people.admin.resetPassword(user, 'another')
    await nextSecond()
    const reloaded = await browser.open(page.url, REDIRECT_URI)
    await browser.open(people.authorization(), REDIRECT_URI)
    const back = await browser.submit(reloaded, profile(name), REDIRECT_URI)
    expect((await people.exchange(back.url)).status).toBe(400)
    expect(await people.admin.sessions(user)).toEqual([])
  })

  test('cannot set the password itself', async () => {
    const user = await realm.person('setting')
    await people.put(user, { requiredActions: ['UPDATE_PASSWORD'] })
    const browser = new Browser()
    const login = await browser.open(people.authorization(), REDIRECT_URI)
    const page = await browser.submit(login, { username: 'setting', password: 'password' }, REDIRECT_URI)
    await nextSecond()
    await people.admin.resetPassword(user, 'another')
    const answer = await browser.submit(page, { 'password-new': 'mine', 'password-confirm': 'mine' }, REDIRECT_URI)
    expect(answer.text).toContain('kc-form-login')
    const grant = (password: string) =>
      realm.tokens.ask({ grant_type: 'password', client_id: 'flows-app', username: 'setting', password })
    expect((await grant('mine')).status).not.toBe(200)
  })

  test('does not make one look old that begins after it with another tab open', async () => {
    const user = await realm.person('two-tabs')
    await people.admin.resetPassword(user, 'another')
    await nextSecond()
    const browser = new Browser()
    await browser.open(people.authorization(), REDIRECT_URI)
    const login = await browser.open(people.authorization(), REDIRECT_URI)
    const back = await browser.submit(login, { username: 'two-tabs', password: 'another' }, REDIRECT_URI)
    expect((await people.exchange(back.url)).status).toBe(200)
  })

  test('does not become part of the login by which its browser comes back after the reset', async () => {
    const person = await people.loggedIn('coming-back')
    const thief = person.browser.copy()
    const waiting = await thief.open(people.authorization('flows-app', { kc_action: 'UPDATE_PROFILE' }), REDIRECT_URI)
    await nextSecond()
    await people.admin.resetPassword(person.user, 'another')
    await nextSecond()
    const login = await person.browser.open(people.authorization(), REDIRECT_URI)
    const back = await person.browser.submit(login, { username: 'coming-back', password: 'another' }, REDIRECT_URI)
    const fresh = await people.exchange(back.url)
    expect(fresh.status).toBe(200)
    const stolen = await thief.submit(waiting, profile('coming-back'), REDIRECT_URI)
    expect((await people.exchange(stolen.url)).status).toBe(400)
    expect(await realm.tokens.lives('flows-app', fresh.json())).toBe(true)
  })

  test('gives no client a consent that would outlive it', async () => {
    await people.admin.createClient({
      clientId: 'asks-consent',
      publicClient: true,
      consentRequired: true,
      redirectUris: [REDIRECT_URI],
    })
    const user = await realm.person('consenting')
    const browser = new Browser()
    const login = await browser.open(people.authorization('asks-consent'), REDIRECT_URI)
    const page = await browser.submit(login, { username: 'consenting', password: 'password' }, REDIRECT_URI)
    await nextSecond()
    await people.admin.resetPassword(user, 'another')
    const answer = await browser.submit(page, { accept: 'Yes' }, REDIRECT_URI)
    expect(answer.text).toContain('kc-form-login')
    expect((await people.admin.must('GET', `/users/${user}/consents`)).json()).toEqual([])
  })

  test('links no identity provider to the account, by which its holder would come back', async () => {
    const { admin } = people
    const provider = await (await shared()).make('logins-upstream')
    const broker = `${realm.issuer}/broker`
    await provider.createClient({
      clientId: 'demo-realm',
      secret: SECRET,
      redirectUris: [`${broker}/upstream/endpoint`],
    })
    const upstream = `${realm.keycloak.issuer(provider.realm)}/protocol/openid-connect`
    await admin.must('POST', '/identity-provider/instances', {
      alias: 'upstream',
      providerId: 'oidc',
      config: {
        clientId: 'demo-realm',
        clientSecret: SECRET,
        clientAuthMethod: 'client_secret_post',
        authorizationUrl: `${upstream}/auth`,
        tokenUrl: `${upstream}/token`,
        defaultScope: 'openid email profile',
      },
    })
    // The account is proven by its password alone.
    const executions = '/authentication/flows/first%20broker%20login/executions'
    const byMail = (await admin.must<{ providerId?: string; requirement: string }[]>('GET', executions))
      .json()
      .find(({ providerId }) => providerId === 'idp-email-verification')
    await admin.must('PUT', executions, { ...byMail, requirement: 'DISABLED' })
    const linked = async (user: string) =>
      (await admin.must<object[]>('GET', `/users/${user}/federated-identity`)).json().length
    /** Up to the last redirect of a first login by the identity provider, to an account whose password is known. */
    const upToTheEnd = async (name: string) => {
      const user = await realm.person(name)
      await provider.createUser(name, 'password')
      const browser = new Browser()
      const login = await browser.open(people.authorization('flows-app', { kc_idp_hint: 'upstream' }), REDIRECT_URI)
      const known = await browser.submit(login, { username: name, password: 'password' }, REDIRECT_URI)
      const confirm = /<button[^>]*value="linkAccount"/.test(known.text)
        ? await browser.submit(known, { submitAction: 'linkAccount' })
        : known
      const end = `${broker}/after-first-broker-login`
      const stopped = await browser.submit(confirm, { username: name, password: 'password' }, end)
      expect(stopped.url.slice(0, end.length), stopped.text).toBe(end)
      return { user, goOn: () => browser.open(stopped.url, REDIRECT_URI) }
    }
    const friend = await upToTheEnd('linking')
    expect((await people.exchange((await friend.goOn()).url)).status).toBe(200)
    expect(await linked(friend.user)).toBe(1)
    const thief = await upToTheEnd('linking-late')
    await nextSecond()
    await admin.resetPassword(thief.user, 'another')
    await nextSecond()
    expect((await thief.goOn()).status).toBeGreaterThanOrEqual(400)
    expect(await linked(thief.user)).toBe(0)
  })

  test('and whose code was issued before cannot exchange it after', async () => {
    const user = await realm.person('code-before')
    const browser = new Browser()
    const login = await browser.open(people.authorization(), REDIRECT_URI)
    const back = await browser.submit(login, { username: 'code-before', password: 'password' }, REDIRECT_URI)
    await people.admin.resetPassword(user, 'another')
    expect((await people.exchange(back.url)).status).toBe(400)
  })
})

describe('the person who changes the password', () => {
  const fields = { 'password-new': 'another', 'password-confirm': 'another' }
  const aged = new Map<string, Awaited<ReturnType<typeof people.loggedIn>>>()

  beforeAll(async () => {
    for (const how of ['without', 'with', 'tabs', 'codes', 'twice']) {
      aged.set(how, await people.loggedIn(`own-${how}`))
    }
  })

  async function changes(how: string, box: Record<string, string> = {}) {
    const person = aged.get(how)
    if (!person) {
      throw new Error('nobody is logged in')
    }
    const page = await person.browser.open(
      people.authorization('flows-app', { kc_action: 'UPDATE_PASSWORD' }),
      REDIRECT_URI,
    )
    const back = await person.browser.submit(page, { ...fields, ...box }, REDIRECT_URI)
    const fresh = await people.exchange(back.url)
    expect(fresh.status).toBe(200)
    return { person, fresh }
  }

  test.each([
    ['without', {}],
    ['with', { 'logout-sessions': 'on' }],
  ])('%s signing out other devices goes on in that tab alone', async (how, box) => {
    const { person, fresh } = await changes(how, box)
    expect(await person.alive()).toEqual(NOBODY)
    const told = await realm.toldOnce(person.user)
    expect(told.trigger).toBe('user-update-password')
    const { sid } = decodeJwt<{ sid: string }>(fresh.json().access_token)
    expect(told.containment).toMatchObject({ kept_sid: sid })
    expect(person.sids).not.toContain(sid)
    expect(told.sessions.map((session) => session.sid).sort()).toEqual(person.sids)
    // The looks that follow leave the new session alone, and single sign-on works in it.
    await until('a later look is over', () =>
      realm.postgres
        .psql(`select next_look_ms - watermark_ms from logout_relay_outbox where user_id = '${person.user}'`)
        .includes('60000'),
    )
    expect(await realm.tokens.lives('flows-app', fresh.json())).toBe(true)
    expect(await person.signedOn()).toBe(true)
  })

  test('leaves nothing to whoever waits in another tab with a copy of the cookies, though the browser is the same', async () => {
    const thief = aged.get('tabs')?.browser.copy() ?? new Browser()
    const waiting = await thief.open(people.authorization('flows-app', { kc_action: 'UPDATE_PROFILE' }), REDIRECT_URI)
    const { fresh } = await changes('tabs')
    await nextSecond()
    const profile = { email: 'own-tabs@example.org', firstName: 'A', lastName: 'B', username: 'own-tabs' }
    const back = await thief.submit(waiting, profile, REDIRECT_URI)
    expect((await people.exchange(back.url)).status).toBe(400)
    expect(await realm.tokens.lives('flows-app', fresh.json())).toBe(true)
  })

  test('leaves nothing to whoever has a code, or an approved device, from before', async () => {
    const thief = aged.get('codes')?.browser.copy() ?? new Browser()
    const { url: code } = await thief.open(people.authorization(), REDIRECT_URI)
    const device = await approvedDevice('own-codes', thief)
    await nextSecond()
    const { person, fresh } = await changes('codes')
    const { sid } = decodeJwt<{ sid: string }>(fresh.json().access_token)
    // Nothing is ever made again under the id that the code names.
    expect(new URL(code).searchParams.get('code')?.split('.')[1]).not.toBe(sid)
    // The person lets a device in as well, so that its client is in the session that goes on.
    const own = await (await approvedDevice('own-codes', person.browser))()
    expect([own.status, decodeJwt(own.json().access_token)['sid']]).toEqual([200, sid])
    expect((await people.exchange(code)).status).toBe(400)
    expect((await device()).status).toBe(400)
    expect(await realm.tokens.lives('flows-app', fresh.json())).toBe(true)
  })

  test('may change a credential again in the session that goes on', async () => {
    const { person } = await changes('twice')
    await nextSecond()
    const page = await person.browser.open(
      people.authorization('flows-app', { kc_action: 'UPDATE_PASSWORD' }),
      REDIRECT_URI,
    )
    const back = await person.browser.submit(page, fields, REDIRECT_URI)
    expect((await people.exchange(back.url)).status).toBe(200)
  })

  test('by the link of a forgotten password is logged in where the realm says so, and everybody else is out', async () => {
    await people.admin.setForceLogin('false')
    const person = await people.loggedIn('forgetful')
    const browser = new Browser()
    const login = await browser.open(people.authorization(), REDIRECT_URI)
    const forgot = /href="([^"]*reset-credentials[^"]*)"/.exec(login.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
    const ask = await browser.open(new URL(forgot, login.url).href)
    await browser.submit(ask, { username: 'forgetful' })
    await until('the mail has come', () => people.mail.linkFor('forgetful@example.org'))
    const page = await browser.open(people.mail.linkFor('forgetful@example.org') ?? '', REDIRECT_URI)
    const back = await browser.submit(page, fields, REDIRECT_URI)
    const fresh = await people.exchange(back.url)
    expect(fresh.status).toBe(200)
    expect(await person.alive()).toEqual(NOBODY)
    expect((await realm.toldOnce(person.user)).sessions.map(({ sid }) => sid).sort()).toEqual(person.sids)
    expect(await realm.tokens.lives('flows-app', fresh.json())).toBe(true)
    await people.admin.setForceLogin('true')
  })

  test('cannot do so by a link from before a reset', async () => {
    const person = await people.loggedIn('stale-link')
    await people.admin.must('PUT', `/users/${person.user}/execute-actions-email`, ['UPDATE_PASSWORD'])
    await until('the mail has come', () => people.mail.linkFor('stale-link@example.org'))
    await nextSecond()
    await people.admin.resetPassword(person.user, 'another')
    await nextSecond()
    const answer = await new Browser().open(people.mail.linkFor('stale-link@example.org') ?? '')
    expect(answer.status).toBe(400)
    expect(answer.text).not.toContain('action-token')
    const grant = await realm.tokens.ask({
      grant_type: 'password',
      client_id: 'flows-app',
      username: 'stale-link',
      password: 'another',
    })
    expect(grant.status).toBe(200)
  })
})

describe('a grant without a browser of the client’s own', () => {
  /** A CIBA request that the person has approved on the authentication device. */
  async function approvedBackchannel(name: string) {
    const started = await post<{ auth_req_id: string }>('ext/ciba/auth', { scope: 'openid', login_hint: name })
    const { auth_req_id } = started.json()
    const approved = await call('POST', endpoint('ext/ciba/auth/callback'), {
      json: { status: 'SUCCEED' },
      headers: { authorization: authenticationDevice.authorization() },
    })
    expect(approved.status).toBe(200)
    return () => post<Tokens>('token', { grant_type: 'urn:openid:params:grant-type:ciba', auth_req_id })
  }

  async function exchanged(name: string) {
    const { access_token } = await realm.tokens.directGrant('flows-app-of-others', name, 'password')
    return () =>
      post<Tokens>('token', {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: access_token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token',
      })
  }

  const grants = [
    ['device', approvedDevice],
    ['CIBA', approvedBackchannel],
    ['token exchange', exchanged],
  ] as const

  test.each(grants)('(%s) is in the ledger, and what it gave ends with everything else', async (how, approve) => {
    const name = `given-${how.replace(' ', '-')}`
    const user = await realm.person(name)
    const ask = await approve(name)
    const given = await ask()
    expect(given.status, given.text).toBe(200)
    const { refresh_token } = given.json()
    const refresh = async () => (await post('token', { grant_type: 'refresh_token', refresh_token })).status
    expect(await refresh()).toBe(200)
    await nextSecond()
    await people.admin.resetPassword(user, 'another')
    expect(await refresh()).toBe(400)
    const { sid } = decodeJwt<{ sid: string }>(refresh_token)
    const told = await realm.toldOnce(user)
    expect(told.sessions).toContainEqual(expect.objectContaining({ client_id: 'other-grants', sid }))
  })

  test.each(grants)('(%s) that was approved before a reset gives nothing after it', async (how, approve) => {
    const name = `approved-${how.replace(' ', '-')}`
    const user = await realm.person(name)
    const ask = await approve(name)
    await nextSecond()
    await people.admin.resetPassword(user, 'another')
    await nextSecond()
    expect((await ask()).status).toBe(400)
    expect(await people.admin.sessions(user)).toEqual([])
  })

  test('(pushed request) from before a reset asks for the new password', async () => {
    const person = await people.loggedIn('pushed')
    const form = { client_id: 'flows-app', response_type: 'code', redirect_uri: REDIRECT_URI, scope: 'openid' }
    const pushed = await call<{ request_uri: string }>('POST', endpoint('ext/par/request'), { form })
    await people.admin.resetPassword(person.user, 'another')
    await nextSecond()
    const query = new URLSearchParams({ client_id: 'flows-app', request_uri: pushed.json().request_uri }).toString()
    const login = await person.browser.open(endpoint(`auth?${query}`), REDIRECT_URI)
    const old = await person.browser.submit(login, { username: 'pushed', password: 'password' }, REDIRECT_URI)
    expect(old.url.startsWith(REDIRECT_URI)).toBe(false)
    const back = await person.browser.submit(old, { username: 'pushed', password: 'another' }, REDIRECT_URI)
    expect((await people.exchange(back.url)).status).toBe(200)
  })
})

describe('a request from before a reset that waits for its mail server until after it', () => {
  test('is refused with every link up to then, and ends no login by the new password', async () => {
    const { admin, mail } = people
    const person = await people.loggedIn('waiting')
    const browser = new Browser()
    const login = await browser.open(people.authorization(), REDIRECT_URI)
    const forgot = /href="([^"]*reset-credentials[^"]*)"/.exec(login.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
    const ask = await browser.open(new URL(forgot, login.url).href)
    const held = mail.holdNext()
    const waiting = browser.submit(ask, { username: 'waiting' })
    await until('the mail has come', () => held.hasCome())
    await admin.resetPassword(person.user, 'another')
    await nextSecond()
    await admin.must('PUT', `/users/${person.user}/execute-actions-email`, ['UPDATE_PASSWORD'])
    const fresh = await realm.tokens.directGrant('flows-app', 'waiting', 'another')
    await nextSecond()
    await nextSecond()
    held.release()
    expect((await waiting).status).toBeGreaterThanOrEqual(400)
    expect(await realm.tokens.lives('flows-app', fresh)).toBe(true)
    expect((await new Browser().open(mail.linkFor('waiting@example.org') ?? '')).status).toBe(400)
  })
})

describe('a link that was mailed before a reset', () => {
  test('does not give the account another email address', async () => {
    const { admin } = people
    await admin.must('PUT', '', { verifyEmail: true })
    await admin.must('PUT', '/authentication/required-actions/UPDATE_EMAIL', {
      alias: 'UPDATE_EMAIL',
      name: 'Update Email',
      providerId: 'UPDATE_EMAIL',
      enabled: true,
    })
    const person = await people.loggedIn('moving')
    const page = await person.browser.open(
      people.authorization('flows-app', { kc_action: 'UPDATE_EMAIL' }),
      REDIRECT_URI,
    )
    await person.browser.submit(page, { email: 'thief@example.org' }, REDIRECT_URI)
    await until('the mail has come', () => people.mail.linkFor('thief@example.org'))
    await nextSecond()
    await admin.resetPassword(person.user, 'another')
    const opened = await new Browser().open(people.mail.linkFor('thief@example.org') ?? '')
    expect(opened.status).toBe(400)
    const user = (await admin.must<{ email: string }>('GET', `/users/${person.user}`)).json()
    expect(user.email).toBe('moving@example.org')
    await admin.must('PUT', '', { verifyEmail: false })
  })
})

interface AuthenticationDevice {
  readonly url: string
  /** What the newest request to it came with; it answers with the same. */
  authorization(): string
  stop(): Promise<void>
}

/** Where Keycloak asks a person to approve (CIBA): it takes every request, and the test approves. */
async function startAuthenticationDevice(): Promise<AuthenticationDevice> {
  let authorization = ''
  const server = createServer((request, response) => {
    authorization = request.headers.authorization ?? ''
    response.writeHead(201).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    authorization: () => authorization,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
