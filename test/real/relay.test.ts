import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createLocalJWKSet, decodeJwt, importPKCS8, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { World } from '../../scripts/demo/world.ts'
import type { KeycloakAt } from '../../scripts/stage/keycloak.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { type ExpressApplication, startExpress } from '../../scripts/stage/express.ts'
import { call } from '../../scripts/stage/http.ts'
import { freePort, until } from '../../scripts/stage/process.ts'
import { type RelayServer, startRelayProcess } from '../../scripts/stage/relay.ts'
import { nextSecond } from './demo-realm.ts'
import { startSharedWorld } from './shared.ts'
import { giveKeys, keys, publishedKeys } from './keys.ts'
import { type Recorder, startRecorder } from './recorder.ts'

/** Login times are whole seconds; a login in the reset's own second is from before it. */

let world: World<KeycloakAt>
let relay: RelayServer
let express: ExpressApplication

beforeAll(async () => {
  world = await startSharedWorld('relay')
  relay = world.relay
  express = world.demo.express
  // It stays down while the tests run.
  const longDown = await expressFor('long-down-app')
  const user = await person('dora')
  await loggedIn('dora', longDown)
  await nextSecond()
  await longDown.stop()
  expect((await world.demo.admin.resetPassword(user, 'another')).status).toBe(204)
})

afterAll(async () => {
  await relay.stop()
  await world.stop()
})

const person = (name: string) => world.demo.admin.createUser(name, 'password')
const reset = (userId: string, password = 'another') => world.demo.admin.resetPassword(userId, password)

async function loggedIn(user: string, app = express): Promise<Browser> {
  const browser = new Browser()
  await browser.login(app.url, user, 'password')
  expect(await browser.isAlive(app.url)).toBe(true)
  return browser
}

async function createClient(clientId: string, client: Record<string, unknown>): Promise<void> {
  await world.demo.admin.must('POST', '/clients', { clientId, ...client })
}

async function expressFor(clientId: string): Promise<ExpressApplication> {
  const app = await startExpress({ issuer: world.demo.issuer, clientId, clientSecret: 'secret-of-a-test' })
  await createClient(clientId, {
    secret: 'secret-of-a-test',
    redirectUris: [`${new URL(app.url).origin}/callback`],
    attributes: { 'backchannel.logout.url': app.logoutUri, 'backchannel.logout.session.required': 'true' },
  })
  // It looked for its issuer before it was a client there; nothing to wait for.
  return app
}

async function deliveries(
  query: string,
): Promise<{ id: string; state: string; attempts: number; last_reason?: string }[]> {
  const headers = { authorization: `Bearer ${world.operatorToken}` }
  const answer = await call<{ deliveries: { id: string; state: string; attempts: number }[] }>(
    'GET',
    `${relay.url}/api/v1/deliveries?${query}`,
    { headers },
  )
  expect(answer.status).toBe(200)
  return answer.json().deliveries
}

const dies = (browser: Browser, app = express, seconds = 60) =>
  until('the session is dead', async () => !(await browser.isAlive(app.url)), { seconds })

describe('an event is not lost', () => {
  test('that happens while the relay is down: the user notices nothing, and the relay polls it', async () => {
    const user = await person('erin')
    const browser = await loggedIn('erin')
    await nextSecond()
    await relay.stop()
    const began = performance.now()
    expect((await reset(user)).status).toBe(204)
    // A push that waited for the relay would take its whole deadline; a busy machine takes less.
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(await browser.isAlive(express.url)).toBe(true)
    relay = await relay.restart()
    await dies(browser)
    expect(await relay.metrics()).toContain('logout_relay_events_total{source="poll",outcome="accepted"} 1')
  })

  test('when the relay is killed after the 202 and before the deliveries', async () => {
    const user = await person('frank')
    const browser = await loggedIn('frank')
    await nextSecond()
    express.signal('SIGSTOP')
    try {
      expect((await reset(user)).status).toBe(204)
      await until('the relay has taken the event', async () =>
        (await relay.metrics()).includes('events_total{source="push",outcome="accepted"} 1'),
      )
      await relay.kill9()
    } finally {
      express.signal('SIGCONT')
    }
    relay = await relay.restart()
    await dies(browser)
  })
})

test('a relay that loses its whole store takes up again what is not complete, and tells nobody twice', async () => {
  const user = await person('nina')
  const browser = await loggedIn('nina')
  await nextSecond()
  express.signal('SIGSTOP')
  try {
    expect((await reset(user)).status).toBe(204)
    await until('the relay owes it', async () => (await deliveries('client_id=express-app&state=open')).length === 1)
    await relay.kill9()
    for (const file of ['relay.db', 'relay.db-wal', 'relay.db-shm']) {
      rmSync(join(relay.dir, file), { force: true })
    }
  } finally {
    express.signal('SIGCONT')
  }
  relay = await relay.restart()
  await dies(browser)
  await until(
    'what is owed to the application that is down is known again',
    async () => (await deliveries('client_id=long-down-app')).length > 0,
  )
  expect((await deliveries('client_id=long-down-app')).map(({ state }) => state)).toEqual(['open'])
  expect(await deliveries('client_id=express-app')).toHaveLength(1)
  const again = async () => {
    const answer = await call<{ read: number; taken: number }>('POST', `${relay.url}/api/v1/outbox/reread`, {
      json: { since_ms: 0 },
      headers: { authorization: `Bearer ${world.operatorToken}` },
    })
    expect(answer.status).toBe(200)
    return answer.json()
  }
  // Events whose sessions all have their end: they are known again, and nothing is owed for them.
  const first = await again()
  expect(first.taken).toBeGreaterThanOrEqual(2)
  expect(first.taken).toBeLessThan(first.read)
  expect(await again()).toEqual({ read: first.read, taken: 0 })
  expect(await deliveries('client_id=express-app')).toHaveLength(1)
})

describe('a containment reaches', () => {
  test('all of 30 sessions of one user, each by its own sid', async () => {
    const user = await person('grace')
    const browsers: Browser[] = []
    for (let n = 0; n < 30; n++) {
      browsers.push(await loggedIn('grace'))
    }
    await nextSecond()
    expect((await reset(user)).status).toBe(204)
    for (const browser of browsers) {
      await dies(browser)
    }
  })

  test('a pairwise client under the sub that it knows', async () => {
    const recorder = await startRecorder()
    try {
      await createClient('pairwise-app', {
        publicClient: true,
        directAccessGrantsEnabled: true,
        redirectUris: ['http://localhost:9/*'],
        attributes: { 'backchannel.logout.url': recorder.logoutUri },
        protocolMappers: [
          {
            name: 'pairwise',
            protocol: 'openid-connect',
            protocolMapper: 'oidc-sha256-pairwise-sub-mapper',
            config: { pairwiseSubAlgorithmSalt: 'salt' },
          },
        ],
      })
      const user = await person('heidi')
      const tokens = await world.demo.tokens.directGrant('pairwise-app', 'heidi', 'password')
      const { sub, sid } = decodeJwt(tokens.id_token ?? '')
      expect(sub).not.toBe(user)
      await nextSecond()
      expect((await reset(user)).status).toBe(204)
      await until('it is told', () => recorder.tokens.length > 0)
      expect(recorder.tokens.map(({ header, claims }) => [header.typ, claims.sub, claims['sid'], claims.aud])).toEqual([
        ['logout+jwt', sub, sid, 'pairwise-app'],
      ])
    } finally {
      recorder.close()
    }
  })

  test('the sessions of a user whose password is reset twice at once, and each reset is done or refused as a whole', async () => {
    const user = await person('ivan')
    const browser = await loggedIn('ivan')
    await nextSecond()
    const passwords = ['one', 'two']
    const answers = await Promise.all(passwords.map((password) => reset(user, password)))
    const done = passwords.filter((_, n) => answers[n]?.status === 204)
    // The database may let only one of two transactions on the same rows through; the other is to be tried again.
    expect(answers.map(({ status }) => status).filter((status) => status !== 204 && status !== 409)).toEqual([])
    expect(done).not.toEqual([])
    await dies(browser)
    await nextSecond()
    const works = await Promise.all(
      passwords.map(async (password) => {
        const form = { grant_type: 'password', client_id: 'mobile-app', username: 'ivan', password }
        return (await world.demo.tokens.ask(form)).status === 200 ? [password] : []
      }),
    )
    expect(works.flat()).toHaveLength(1)
    expect(done).toEqual(expect.arrayContaining(works.flat()))
  })
})

test('the newest login stays, and the token for the old one then names no subject', async () => {
  const recorder = await startRecorder()
  try {
    await createClient('newer-login-app', {
      publicClient: true,
      directAccessGrantsEnabled: true,
      attributes: { 'backchannel.logout.url': 'http://127.0.0.1:9/nobody' },
    })
    const user = await person('judy')
    const old = decodeJwt((await world.demo.tokens.directGrant('newer-login-app', 'judy', 'password')).id_token ?? '')
    await nextSecond()
    expect((await reset(user)).status).toBe(204)
    await nextSecond()
    const anew = await world.demo.tokens.directGrant('newer-login-app', 'judy', 'another')
    const uuid = await world.demo.admin.clientUuid('newer-login-app')
    const client = (await world.demo.admin.must<{ attributes: object }>('GET', `/clients/${uuid}`)).json()
    await world.demo.admin.must('PUT', `/clients/${uuid}`, {
      ...client,
      attributes: { ...client.attributes, 'backchannel.logout.url': recorder.logoutUri },
    })
    // A look at the realm counts more than the event if it began five seconds after the relay was given that, or later.
    await delay(6000)
    // A restart looks at the realm at once: a retry goes to the URL of today.
    await relay.stop()
    relay = await relay.restart()
    await until('it is told at its new address', () => recorder.tokens.length > 0, { seconds: 60 })
    expect(recorder.tokens.map(({ claims }) => [claims.sub, claims['sid']])).toEqual([[undefined, old['sid']]])
    expect(await world.demo.tokens.lives('newer-login-app', anew)).toBe(true)
  } finally {
    recorder.close()
  }
})

test('a delivery that a person dismisses ends so, with their reason, and Keycloak records it', async () => {
  await createClient('gone-app', {
    publicClient: true,
    directAccessGrantsEnabled: true,
    attributes: { 'backchannel.logout.url': 'http://127.0.0.1:9/nobody' },
  })
  const user = await person('kate')
  await world.demo.tokens.directGrant('gone-app', 'kate', 'password')
  await nextSecond()
  expect((await reset(user)).status).toBe(204)
  await until('it has been attempted', async () => (await deliveries('client_id=gone-app&state=open'))[0]?.attempts)
  const answer = await call<{ changed: number }>('POST', `${relay.url}/api/v1/deliveries/dismiss`, {
    json: { deliveries: { client_id: 'gone-app' }, reason: 'switched off' },
    headers: { authorization: `Bearer ${world.operatorToken}` },
  })
  expect([answer.status, answer.json()]).toEqual([200, { changed: 1 }])
  const [ended] = await deliveries('client_id=gone-app')
  expect(ended?.state).toBe('dismissed')
  // Keycloak makes no token for what it knows to be ended.
  const uuid = await world.demo.admin.clientUuid('logout-relay')
  const secret = await world.demo.admin.must<{ value: string }>('GET', `/clients/${uuid}/client-secret`)
  const token = await world.demo.tokens.serviceAccount('logout-relay', secret.json().value)
  await until('Keycloak has recorded it', async () => {
    const minted = await call<{ refused: Record<string, string> }>(
      'POST',
      `${world.demo.issuer}/logout-relay/logout-tokens`,
      { json: { ids: [ended?.id] }, headers: { authorization: `Bearer ${token}` } },
    )
    return minted.json().refused[ended?.id ?? ''] === 'dismissed'
  })
})

test('what is owed to a client that was deleted since, from when the realm had another host name, is delivered as it was', async () => {
  const { admin } = world.demo
  const recorder = await startRecorder()
  await createClient('deleted-app', {
    publicClient: true,
    directAccessGrantsEnabled: true,
    attributes: { 'backchannel.logout.url': recorder.logoutUri },
  })
  const user = await person('otto')
  const { sid } = decodeJwt((await world.demo.tokens.directGrant('deleted-app', 'otto', 'password')).id_token ?? '')
  const relayUuid = await admin.clientUuid('logout-relay')
  const secret = (await admin.must<{ value: string }>('GET', `/clients/${relayUuid}/client-secret`)).json().value
  const realm = (await admin.must<{ attributes: object }>('GET', '')).json()
  const formerly = world.demo.issuer
  const today = formerly.replace('localhost', '127.0.0.1')
  await nextSecond()
  await relay.stop()
  let renamed: RelayServer | undefined
  try {
    expect((await reset(user)).status).toBe(204)
    await admin.must('DELETE', `/clients/${await admin.clientUuid('deleted-app')}`)
    const attributes = { ...realm.attributes, frontendUrl: new URL(today).origin }
    await admin.must('PUT', '', { ...realm, attributes })
    renamed = await startRelayProcess({
      issuers: [{ issuer: today, client_secret: secret, poll_interval_s: 0.5, former_issuers: [formerly] }],
    })
    await until('it is told', () => recorder.tokens.length > 0)
    expect(recorder.tokens.map(({ claims }) => [claims.iss, claims.aud, claims['sid']])).toEqual([
      [formerly, 'deleted-app', sid],
    ])
  } finally {
    await renamed?.stop()
    await admin.must('PUT', '', realm)
    recorder.close()
    relay = await relay.restart()
  }
})

describe('nobody gets further than they should', () => {
  test('the relay’s own token is good for nothing in the Admin API', async () => {
    const clients = await world.demo.admin.clientUuid('logout-relay')
    const { value } = (
      await world.demo.admin.must<{ value: string }>('GET', `/clients/${clients}/client-secret`)
    ).json()
    const token = await world.demo.tokens.serviceAccount('logout-relay', value)
    for (const path of ['users', 'clients', 'roles', 'events', 'admin-events']) {
      const answer = await call('GET', `${world.keycloak.url}/admin/realms/${world.demo.admin.realm}/${path}`, {
        headers: { authorization: `Bearer ${token}` },
      })
      expect([path, answer.status]).toEqual([path, 403])
    }
  })

  test('an endpoint of the extension answers 401 without a token and 403 without its role', async () => {
    const endpoint = `${world.demo.issuer}/logout-relay/outbox`
    expect((await call('POST', endpoint, { json: {} })).status).toBe(401)
    const foreign = await call('POST', endpoint, {
      json: {},
      headers: { authorization: `Bearer ${world.operatorToken}` },
    })
    expect(foreign.status).toBe(403)
    const user = (await world.demo.tokens.directGrant('mobile-app', 'bob', world.password)).access_token
    expect((await call('POST', endpoint, { json: {}, headers: { authorization: `Bearer ${user}` } })).status).toBe(403)
  })

  test('a made-up SET starts nothing, and an access token is not one', async () => {
    const before = await deliveries('limit=500')
    const post = (text: string, type = 'application/secevent+jwt') =>
      call<{ err: string }>('POST', `${relay.url}/events`, { text, headers: { 'content-type': type } })
    expect((await post('garbage')).json().err).toBe('invalid_request')
    expect((await post(world.operatorToken)).json().err).toBe('invalid_request')
    const [, payload] = world.operatorToken.split('.')
    const unsigned = `${Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')}.${payload ?? ''}.`
    expect((await post(unsigned)).status).toBe(400)
    expect((await post('x'.repeat(1_100_000))).status).toBe(413)
    expect(await deliveries('limit=500')).toHaveLength(before.length)
  })

  test('the lists are closed without a token', async () => {
    for (const list of ['relying-parties', 'containments', 'deliveries']) {
      expect((await call('GET', `${relay.url}/api/v1/${list}`)).status).toBe(401)
    }
  })
})

/** One session at a relying party that only writes down what it is told, as the person's client of this description. */
async function recorded(clientId: string, attributes: Record<string, string>, user: string): Promise<Recorder> {
  const recorder = await startRecorder()
  await createClient(clientId, {
    publicClient: true,
    directAccessGrantsEnabled: true,
    attributes: { 'backchannel.logout.url': recorder.logoutUri, ...attributes },
  })
  await world.demo.tokens.directGrant(clientId, user, 'password')
  return recorder
}

const SID = { 'backchannel.logout.session.required': 'true' }

test('a relay with keys that the realm publishes as passive keys signs for relying parties that go by sid, and they take it', async () => {
  relay = await giveKeys(relay, world.demo.admin)

  const user = await person('mallory')
  const browser = await loggedIn('mallory')
  const recorders = [
    await recorded('es256-app', { ...SID, 'id.token.signed.response.alg': 'ES256' }, 'mallory'),
    await recorded('ps256-app', { ...SID, 'id.token.signed.response.alg': 'PS256' }, 'mallory'),
    await recorded('sub-app', { 'backchannel.logout.session.required': 'false' }, 'mallory'),
  ]
  await nextSecond()
  expect((await reset(user)).status).toBe(204)
  await dies(browser)
  await until('all are told', () => recorders.every(({ tokens }) => tokens.length > 0))
  recorders.forEach((recorder) => recorder.close())
  const published = await publishedKeys(world.demo.issuer)
  const ours = (await keys(relay, 'status', '--json')).out
  const made = []
  for (const recorder of recorders) {
    const { token, header, claims } = recorder.tokens[0] ?? { token: '', header: {}, claims: {} }
    await jwtVerify(token, createLocalJWKSet(published), { issuer: world.demo.issuer })
    made.push([claims.aud, header.alg, ours.includes(String(header.kid)) ? 'relay' : 'realm', claims.sub ?? 'no sub'])
  }
  expect(made).toEqual([
    ['es256-app', 'ES256', 'relay', 'no sub'],
    // It holds no key for this one.
    ['ps256-app', 'PS256', 'realm', user],
    // This one has not said that it goes by sid.
    ['sub-app', 'RS256', 'realm', user],
  ])
  expect(await relay.metrics()).toMatch(/logout_relay_signed_by_relay_total\{issuer="[^"]*"\} 2/)
})

test('what the relay’s own key has signed is no word of the realm’s', async () => {
  const key = await importPKCS8(readFileSync(join(relay.dir, 'keys', 'ES256.pem'), 'utf8'), 'ES256')
  const { keys: published } = await publishedKeys(world.demo.issuer)
  const kid = published.find(({ alg }) => alg === 'ES256')?.kid
  const sign = (claims: JWTPayload, typ: string) =>
    new SignJWT({ ...claims, iss: world.demo.issuer, aud: 'logout-relay' })
      .setProtectedHeader({ alg: 'ES256', typ, ...(kid === undefined ? {} : { kid }) })
      .setIssuedAt()
      .sign(key)
  const pushed = await call<{ err: string }>('POST', `${relay.url}/events`, {
    text: await sign({ jti: 'x', events: {} }, 'secevent+jwt'),
    headers: { 'content-type': 'application/secevent+jwt' },
  })
  expect([pushed.status, pushed.json().err]).toEqual([400, 'invalid_key'])
  const roles = { resource_access: { 'logout-relay': { roles: ['view'] } }, exp: Math.floor(Date.now() / 1000) + 60 }
  const token = await sign({ ...roles, sub: 'x', typ: 'Bearer' }, 'JWT')
  const listed = await call('GET', `${relay.url}/api/v1/deliveries`, { headers: { authorization: `Bearer ${token}` } })
  expect(listed.status).toBe(401)
})

// With longer than a token lives in between: test/nightly/long-down.test.ts.
test('a relying party that was down is told when it is back, with a token made for that attempt', async () => {
  const port = await freePort()
  await createClient('back-app', {
    publicClient: true,
    directAccessGrantsEnabled: true,
    attributes: { 'backchannel.logout.url': `http://127.0.0.1:${port}/logout` },
  })
  const user = await person('olaf')
  await world.demo.tokens.directGrant('back-app', 'olaf', 'password')
  await nextSecond()
  expect((await reset(user)).status).toBe(204)
  const resetAt = Math.floor(Date.now() / 1000)
  await until('it has been attempted', async () => (await deliveries('client_id=back-app&state=open'))[0]?.attempts)
  await until('seconds have passed', () => Date.now() / 1000 > resetAt + 3)
  const recorder = await startRecorder(port)
  try {
    await until('it is told', () => recorder.tokens.length > 0)
    expect(recorder.tokens[0]?.claims.iat).toBeGreaterThan(resetAt + 1)
  } finally {
    recorder.close()
  }
})
