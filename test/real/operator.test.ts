import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KINDS } from '../../scripts/matrix/access.ts'
import { ACTS } from '../../scripts/matrix/acts.ts'
import { asItShouldBe, play } from '../../scripts/matrix/play.ts'
import { planWorld, startAround, type World } from '../../scripts/matrix/world.ts'
import type { RealmAdmin } from '../../scripts/stage/admin.ts'
import { type CibaDevice, startCibaDevice } from '../../scripts/stage/ciba.ts'
import { call } from '../../scripts/stage/http.ts'
import { type Mailbox, startMail } from '../../scripts/stage/mail.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { route, shared } from './shared.ts'

let world: World
let admin: RealmAdmin
let upstream: RealmAdmin
let mail: Mailbox
let ciba: CibaDevice
/** Of a program with the role `operate`. */
let program: string

beforeAll(async () => {
  const { keycloak, postgres, token, ...server } = await shared()
  const plan = await planWorld()
  await route('events', 'operator', `http://127.0.0.1:${plan.relayPort}/events`)
  admin = await server.bring('demo', 'operator', plan.env)
  upstream = await server.make('operator-upstream')
  ;[mail, ciba] = [await startMail(), await startCibaDevice()]
  await route('ciba', 'operator', ciba.url)
  const parts = { keycloak, postgres, token, mail, ciba, features: await server.features() }
  world = await startAround(parts, admin, upstream, plan)
  const operator = await admin.clientUuid('logout-relay-operator')
  await admin.must('PUT', `/clients/${operator}`, { directAccessGrantsEnabled: true })
  program = await world.tokens.serviceAccount('logout-relay-operator', world.secret)
})

afterAll(async () => {
  await Promise.all([world.stop(), mail.stop(), ciba.stop()])
})

const REASON = 'laptop stolen'
const person = (name: string, realm = admin) => realm.createUser(name, 'password')

/** What the relay answers to this word. */
async function contain(word: object, token = program): Promise<Record<string, unknown>> {
  const answer = await call<Record<string, unknown>>('POST', `${world.relay.url}/api/v1/containments`, {
    json: { reason: REASON, ...word },
    headers: { authorization: `Bearer ${token}` },
  })
  return { status: answer.status, ...answer.json() }
}

/** What the extension answers to this word, asked past the relay. */
async function containAtKeycloak(word: object, token: string): Promise<Record<string, unknown>> {
  const answer = await call<Record<string, unknown>>('POST', `${world.target.issuer}/logout-relay/containments`, {
    json: { reason: REASON, ...word },
    headers: { authorization: `Bearer ${token}` },
  })
  return { status: answer.status, ...answer.json() }
}

/** Olivia's token, who has every role of the relay, through this client. */
async function oliviaThrough(clientId: string, secret?: string): Promise<string> {
  return (await world.tokens.directGrant(clientId, 'olivia', 'password', 'openid', secret)).access_token
}

async function loggedIn(name: string) {
  const user = await person(name)
  const tokens = await world.tokens.directGrant('flows-app', name, 'password')
  await until('the next second has begun', () => Date.now() % 1000 < 100)
  return { user, lives: () => world.tokens.lives('flows-app', tokens) }
}

describe("an operator's word", () => {
  test('ends every kind of access that the person had', async () => {
    const act = ACTS.find(({ trigger }) => trigger === 'operator')
    const cells = act ? await play(world, act, 'everything') : []
    expect(cells.filter((cell) => !asItShouldBe(cell))).toEqual([])
    expect(cells.map(({ access }) => access)).toEqual(KINDS.map(({ id }) => id))
  })

  test('says beforehand what would end, and leaves in the evidence who asked and why', async () => {
    const { user, lives } = await loggedIn('taken-over')
    const counts = { subject: user, sessions: 1, relying_parties: 0, unreachable: 1, shadow: false }
    expect(await contain({ subject: 'taken-over', dry_run: true })).toMatchObject({ ...counts, dry_run: true })
    expect(await lives()).toBe(true)
    const done = await contain({ subject: user })
    expect(done).toMatchObject({ status: 200, ...counts, dry_run: false })
    expect(await lives()).toBe(false)
    const headers = { authorization: `Bearer ${program}` }
    const containment = `${world.relay.url}/api/v1/containments/${String(done['containment_id'])}`
    await until('the relay has it', async () => (await call('GET', containment, { headers })).status === 200)
    const { evidence } = (
      await call<{ evidence: { kind: string; data: object }[] }>('GET', containment, { headers })
    ).json()
    const by = await admin.userId('service-account-logout-relay-operator')
    expect(evidence).toContainEqual(
      expect.objectContaining({ kind: 'asked', data: { by, client_id: 'logout-relay-operator', reason: REASON } }),
    )
  })

  test('is given on the command line too', async () => {
    const { user, lives } = await loggedIn('on-the-line')
    const env = { ...process.env, LOGOUT_RELAY_URL: world.relay.url, LOGOUT_RELAY_TOKEN: program }
    const cli = (...args: string[]) =>
      promisify(execFile)(process.execPath, [join(ROOT, 'relay', 'cli.ts'), 'contain', ...args, '--json'], { env })
    const { stdout } = await cli('on-the-line', '--reason', REASON)
    expect(JSON.parse(stdout)).toMatchObject({ subject: user, sessions: 1 })
    expect(await lives()).toBe(false)
    const failed = await cli('nobody', '--reason', REASON).catch((cause: unknown) => cause as object)
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('not one of this realm') as string })
  })

  test('about somebody who is logged in nowhere is done all the same', async () => {
    await person('nowhere')
    expect(await contain({ subject: 'nowhere' })).toMatchObject({ status: 200, sessions: 0, relying_parties: 0 })
  })

  test.each<[string, () => Promise<string>, number, RegExp]>([
    ['an unknown user', () => Promise.resolve('nobody'), 404, /not one of this realm, or no longer/],
    [
      'a user who has been deleted',
      async () => {
        const user = await person('gone')
        await admin.must('DELETE', `/users/${user}`)
        return user
      },
      404,
      /not one of this realm, or no longer/,
    ],
    ['a user of another realm', () => person('foreign', upstream), 404, /not one of this realm/],
    ['a service account', () => Promise.resolve('service-account-logout-relay'), 400, /service account of a client/],
  ])('about %s is refused with the reason', async (_, subject, status, why) => {
    const answer = await contain({ subject: await subject() })
    expect(answer).toMatchObject({ status, error_description: expect.stringMatching(why) as string })
  })

  test('is refused where the policy is that nobody has one', async () => {
    const { user, lives } = await loggedIn('no-word')
    await world.setPolicy({ 'logout-relay.policy.operator': 'off' })
    expect(await contain({ subject: user })).toMatchObject({ status: 409, error: 'policy_off' })
    await world.setPolicy({})
    expect(await lives()).toBe(true)
  })

  test('is not the relay’s to give, nor anybody’s without the role, nor of those from whom it has been taken since', async () => {
    const { user, lives } = await loggedIn('not-theirs')
    const relays = await world.tokens.serviceAccount('logout-relay', world.secret)
    expect(await contain({ subject: user }, relays)).toMatchObject({ status: 401 })
    const direct = await call('POST', `${world.target.issuer}/logout-relay/containments`, {
      json: { user, reason: REASON },
      headers: { authorization: `Bearer ${relays}` },
    })
    expect(direct.status).toBe(403)

    const guards = await world.tokens.serviceAccount('orders-api', world.secret)
    expect(await contain({ subject: user }, guards)).toMatchObject({ status: 403, error: 'unauthorized_client' })

    const account = await admin.userId('service-account-logout-relay-operator')
    const client = await admin.clientUuid('logout-relay')
    const roles = `/users/${account}/role-mappings/clients/${client}`
    const operate = (await admin.must('GET', `/clients/${client}/roles/operate`)).json()
    await admin.must('DELETE', roles, [operate])
    expect(await contain({ subject: user })).toMatchObject({ status: 403, error: 'insufficient_scope' })
    await admin.must('POST', roles, [operate])
    expect(await lives()).toBe(true)
  })

  test('about more users than the realm’s limit waits until somebody with that right confirms it', async () => {
    const { user, lives } = await loggedIn('one-too-many')
    await world.setPolicy({ 'logout-relay.operator.limit': '1' })
    expect(await contain({ subject: user })).toMatchObject({ status: 409, error: 'confirmation_required' })
    expect(await contain({ subject: user, dry_run: true })).toMatchObject({ confirmation_required: true })
    expect(await contain({ subject: user, confirm: true })).toMatchObject({
      status: 403,
      error_description: expect.stringContaining('role confirm') as string,
    })
    expect(await lives()).toBe(true)
    const olivia = await oliviaThrough('logout-relay-operator', world.secret)
    expect(await contain({ subject: user, confirm: true }, olivia)).toMatchObject({ status: 200 })
    expect(await lives()).toBe(false)
    await world.setPolicy({})
  })

  test('is no application’s to give that an operator has logged in to, neither at the relay nor at Keycloak', async () => {
    const { user, lives } = await loggedIn('not-the-applications')
    const stolen = await oliviaThrough('flows-app')
    const { azp, aud, resource_access } = decodeJwt<{ resource_access: Record<string, { roles: string[] }> }>(stolen)
    // Keycloak gives the application all that olivia may do; no more than the list stands between.
    expect([azp, [aud].flat(), resource_access['logout-relay']?.roles]).toEqual([
      'flows-app',
      expect.arrayContaining(['logout-relay']),
      expect.arrayContaining(['operate', 'confirm']),
    ])
    expect(await contain({ subject: user }, stolen)).toMatchObject({
      ...{ status: 403, error: 'unauthorized_client' },
      error_description: expect.stringMatching(/the client flows-app .*issuers\[\]\.clients/) as string,
    })
    expect(await containAtKeycloak({ user }, stolen)).toMatchObject({
      ...{ status: 403, error: 'unauthorized_client' },
      error_description: expect.stringMatching(/the client flows-app .*attribute logout-relay\.clients/) as string,
    })
    const decisions = `${world.target.issuer}/logout-relay/realm-logouts`
    const asked = await call('GET', decisions, { headers: { authorization: `Bearer ${stolen}` } })
    expect([asked.status, asked.text]).toEqual([403, expect.stringContaining('flows-app')])
    expect(await lives()).toBe(true)
    const own = await oliviaThrough('logout-relay-operator', world.secret)
    expect(await containAtKeycloak({ user, dry_run: true }, own)).toMatchObject({ status: 200, sessions: 1 })
  })

  test('is taken at Keycloak from each client that the realm names, at once, and from it alone', async () => {
    const user = await person('named')
    const through = async (clientId: string, secret?: string) =>
      (await containAtKeycloak({ user, dry_run: true }, await oliviaThrough(clientId, secret)))['status']
    await world.setPolicy({ 'logout-relay.clients': 'flows-app' })
    expect(await through('flows-app')).toBe(200)
    expect(await through('logout-relay-operator', world.secret)).toBe(403)
    // The relay itself needs no entry: what is owed is told all the same.
    expect((await call('GET', `${world.relay.url}/readyz`)).status).toBe(200)
    const relays = await world.tokens.serviceAccount('logout-relay', world.secret)
    const list = `${world.target.issuer}/logout-relay/relying-parties`
    expect((await call('GET', list, { headers: { authorization: `Bearer ${relays}` } })).status).toBe(200)
    await world.setPolicy({})
    expect(await through('flows-app')).toBe(403)
  })

  test('is not given to every client by one word: such a realm is not saved', async () => {
    await expect(world.setPolicy({ 'logout-relay.clients': '*' })).rejects.toThrow(/name each/)
  })
})
