import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { takeLogins } from '../../scripts/stage/broker.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { call } from '../../scripts/stage/http.ts'
import { freePort, until } from '../../scripts/stage/process.ts'
import { type RelayServer, startRelayProcess } from '../../scripts/stage/relay.ts'
import { nextSecond, REDIRECT_URI, SECRET, type SharedDemoRealm, shareDemoRealm } from './demo-realm.ts'

const HERE = ['127.0.0.0/8']
const POLICY = 'logout-relay.policy'

/** Where people's passwords are. */
let staff: SharedDemoRealm
/** Where they work; it takes logins from `staff`, and tells it. */
let main: SharedDemoRealm
const relays = new Map<SharedDemoRealm, RelayServer>()

beforeAll(async () => {
  staff = await shareDemoRealm('upstream-told-staff')
  main = await shareDemoRealm('upstream-told-main')
  await takeLogins(main.keycloak, main.admin, { from: staff.admin, secret: SECRET })
  // And the other way round, so that a word could go round in a circle.
  await takeLogins(main.keycloak, staff.admin, { from: main.admin, secret: SECRET })
  await settings(main)
  await settings(staff)
  const ports = new Map([
    [staff, await freePort()],
    [main, await freePort()],
  ])
  const endpoint = (realm: SharedDemoRealm) => `http://127.0.0.1:${ports.get(realm)}/global-token-revocation`
  for (const [realm, other] of [
    [staff, main],
    [main, staff],
  ] as const) {
    await realm.admin.letRelayHearUpstreams()
    const both = { issuer: other.issuer, realm: realm.issuer, allow_addresses: HERE }
    const heard = { audience: endpoint(realm), global_token_revocation: true, behind_client: other.admin.realm }
    relays.set(
      realm,
      await startRelayProcess({
        port: ports.get(realm) ?? 0,
        issuers: [{ issuer: realm.issuer, client_secret: SECRET, poll_interval_s: 0.5 }],
        upstreams: [
          { ...both, name: 'hears', ...heard },
          { ...both, name: 'tells', tell: { url: endpoint(other) } },
        ],
      }),
    )
  }
})

afterAll(async () => {
  await Promise.all([...relays.values()].map((relay) => relay.stop()))
})

/** Keycloak takes the attributes that are given for all that there are. */
function settings(realm: SharedDemoRealm, other: Record<string, string> = {}) {
  const neighbour = realm === main ? 'upstream-told-staff' : 'upstream-told-main'
  const usual = {
    [`${POLICY}.admin-reset-password`]: 'sessions, tell-upstreams',
    // Else a word would end at the first hop by itself.
    [`${POLICY}.downstream-sessions-revoked`]: 'sessions, tell-upstreams',
    'logout-relay.upstreams.told': neighbour,
    'logout-relay.downstreams.clients': neighbour,
  }
  return realm.admin.must('PUT', '', { attributes: { ...usual, ...other } })
}

/** A login at `main` by the identity provider `staff`, for an application of `main`. */
async function workingBy(name: string) {
  const query = { response_type: 'code', client_id: 'flows-app', redirect_uri: REDIRECT_URI, scope: 'openid' }
  const request = new URLSearchParams({ ...query, kc_idp_hint: 'upstream-told-staff' }).toString()
  const url = `${main.issuer}/protocol/openid-connect/auth?${request}`
  const back = await new Browser().authorize(url, REDIRECT_URI, name, 'password')
  const code = back.searchParams.get('code') ?? ''
  const form = { grant_type: 'authorization_code', client_id: 'flows-app', redirect_uri: REDIRECT_URI, code }
  const tokens = (await main.tokens.ask(form)).json()
  return () => main.tokens.lives('flows-app', tokens)
}

/** Somebody of `staff` who works at `main`, with another session at `staff` that `main` has no part in. */
async function person(name: string) {
  const there = await staff.person(name)
  const worksAtMain = await workingBy(name)
  const login = async () => {
    const tokens = await staff.tokens.directGrant('flows-app', name, 'password')
    return () => staff.tokens.lives('flows-app', tokens)
  }
  return { there, here: await main.admin.userId(name), worksAtMain, livesAtStaff: await login(), login }
}

interface Line {
  readonly kind: string
  readonly data: Record<string, unknown>
}
interface Containment {
  readonly id: string
  readonly trigger: string
  readonly open: number
}

async function ask<T>(realm: SharedDemoRealm, path: string): Promise<T> {
  const headers = { authorization: `Bearer ${await realm.tokens.serviceAccount('logout-relay-operator', SECRET)}` }
  return (await call<T>('GET', `${relays.get(realm)?.url}/api/v1/${path}`, { headers })).json()
}

/** What a realm's relay has of this user, with the evidence. */
async function containmentsOf(realm: SharedDemoRealm, user: string) {
  const { containments } = await ask<{ containments: Containment[] }>(realm, `containments?subject=${user}`)
  return Promise.all(
    containments.map(async (one) => ({
      ...one,
      evidence: (await ask<{ evidence: Line[] }>(realm, `containments/${one.id}`)).evidence,
    })),
  )
}

const eventsOf = (realm: SharedDemoRealm, user: string) =>
  realm.postgres
    .psql(`select distinct txn, trigger_id from logout_relay_outbox where user_id = '${user}' order by txn`)
    .split('\n')
    .filter(Boolean)

const toldIn = (evidence: readonly Line[], other: SharedDemoRealm) =>
  evidence.filter(({ kind, data }) => kind === 'attempt' && data['client_id'] === `identity provider ${other.issuer}`)

describe('a reset at the realm behind', () => {
  test('ends what the user has at the identity provider, by one word that comes back from nowhere', async () => {
    const [anna, bystander] = [await person('anna'), await person('bystander')]
    await nextSecond()
    expect((await main.admin.resetPassword(anna.here, 'another')).status).toBe(204)
    await until('what is at the identity provider is dead', async () => !(await anna.livesAtStaff()))
    expect(await anna.worksAtMain()).toBe(false)
    expect([await bystander.livesAtStaff(), await bystander.worksAtMain()]).toEqual([true, true])
    await nextSecond()
    const after = await anna.login()

    await until('each relay has told of it', async () => {
      const [here] = await containmentsOf(main, anna.here)
      return toldIn(here?.evidence ?? [], staff).some(({ data }) => data['outcome'] === 'delivered')
    })
    const [here, ...moreHere] = await containmentsOf(main, anna.here)
    const [there, ...moreThere] = await containmentsOf(staff, anna.there)
    expect([moreHere, moreThere]).toEqual([[], []])
    expect([here?.trigger, there?.trigger]).toEqual(['admin-reset-password', 'downstream-sessions-revoked'])
    expect(there?.evidence.find(({ kind }) => kind === 'told_by')?.data).toEqual({ issuer: main.issuer, txn: here?.id })
    expect(toldIn(here?.evidence ?? [], staff).map(({ data }) => data['status'])).toEqual([204])
    // Linked as they are, it is told back to nobody.
    expect(toldIn(there?.evidence ?? [], main)).toEqual([])
    // What the identity provider then tells its own applications, `main` among them, makes no further event.
    await nextSecond()
    await nextSecond()
    expect(eventsOf(main, anna.here)).toEqual([`${here?.id}|admin-reset-password`])
    expect(eventsOf(staff, anna.there)).toEqual([`${there?.id}|downstream-sessions-revoked`])
    expect(await after()).toBe(true)
  })

  test('that policy does not have told is told to nobody', async () => {
    const ben = await person('ben')
    await settings(main, { [`${POLICY}.admin-reset-password`]: 'sessions' })
    await nextSecond()
    await main.admin.resetPassword(ben.here, 'another')
    await until('it is told', async () => (await containmentsOf(main, ben.here)).length > 0)
    await settings(main)
    expect((await containmentsOf(main, ben.here)).flatMap(({ evidence }) => toldIn(evidence, staff))).toEqual([])
    expect(await ben.livesAtStaff()).toBe(true)
  })

  test('is told by a relay that was down, as of when it happened: a login made meanwhile lives', async () => {
    const carl = await person('carl')
    const away = relays.get(staff)
    await away?.stop()
    await nextSecond()
    await main.admin.resetPassword(carl.here, 'another')
    await until('it has been tried', async () => {
      const [one] = await containmentsOf(main, carl.here)
      return toldIn(one?.evidence ?? [], staff).length > 0
    })
    const [one] = await containmentsOf(main, carl.here)
    expect(toldIn(one?.evidence ?? [], staff)[0]?.data).toMatchObject({
      outcome: 'retry',
      reason: 'connection_refused',
    })
    expect(await carl.livesAtStaff()).toBe(true)
    await nextSecond()
    const after = await carl.login()
    const again = await away?.restart()
    if (again) {
      relays.set(staff, again)
    }
    await until('what was there before is dead', async () => !(await carl.livesAtStaff()), { seconds: 60 })
    expect(await after()).toBe(true)
  })
})

describe('two realms that take logins from one another', () => {
  test('end after one hop, whichever begins', async () => {
    const dora = await person('dora')
    await staff.admin.must('POST', `/users/${dora.there}/federated-identity/upstream-told-main`, {
      ...{ userId: dora.here, userName: 'dora' },
    })
    // Of `main` she is known at `staff` too, by the client through which that takes logins.
    const broker = await main.admin.clientUuid('upstream-told-staff')
    await main.admin.must('PUT', `/clients/${broker}`, { directAccessGrantsEnabled: true })
    await main.admin.resetPassword(dora.here, 'first')
    await until('the other realm has heard', async () => (await containmentsOf(staff, dora.there)).length === 1)
    await nextSecond()
    await main.tokens.directGrant('upstream-told-staff', 'dora', 'first', 'openid', SECRET)
    await nextSecond()
    await staff.admin.resetPassword(dora.there, 'second')
    const heard = async () =>
      (await containmentsOf(main, dora.here)).find(({ trigger }) => trigger === 'downstream-sessions-revoked')
    await until('the first has heard', async () => (await heard()) !== undefined)
    await nextSecond()
    await nextSecond()
    const triggers = async (realm: SharedDemoRealm, user: string) =>
      (await containmentsOf(realm, user)).map(({ trigger }) => trigger).sort()
    expect(await triggers(main, dora.here)).toEqual(['admin-reset-password', 'downstream-sessions-revoked'])
    expect(await triggers(staff, dora.there)).toEqual(['admin-reset-password', 'downstream-sessions-revoked'])
    const told = (await containmentsOf(main, dora.here)).flatMap(({ evidence }) => toldIn(evidence, staff))
    expect(told).toHaveLength(1)
  })
})

describe('the word of a realm behind', () => {
  interface Outcome {
    readonly contained: number
    readonly held: number
    readonly known: number
  }
  const NOBODY: Outcome = { contained: 0, held: 0, known: 0 }
  let told = 0
  const word = (sub: string, more: object = {}) => {
    const id = `a word of a realm behind, ${++told}`
    const said = {
      issuer: main.issuer,
      client_id: 'upstream-told-main',
      subjects: [{ sub }],
      type: 'global-token-revocation',
    }
    return { ...said, id, txn: id, ...more }
  }
  const say = (said: object) => staff.ask<Outcome>('upstream-events', said)

  test('that has come round, or all of which has ended since, makes no event', async () => {
    const eve = await person('eve')
    await nextSecond()
    const beforeMs = Date.now()
    await nextSecond()
    await staff.admin.must('POST', `/users/${eve.there}/logout`)
    const [event = ''] = eventsOf(staff, eve.there)
    await nextSecond()
    await workingBy('eve')
    await nextSecond()
    const own = word(eve.there, { txn: event.split('|')[0], at_ms: Date.now() })
    expect(await say(own)).toEqual({ ...NOBODY, known: 1 })
    // The sessions are all that this one could end.
    await settings(staff, { [`${POLICY}.downstream-sessions-revoked`]: 'sessions' })
    expect(await say(word(eve.there, { at_ms: beforeMs }))).toEqual({ ...NOBODY, known: 1 })
    expect(eventsOf(staff, eve.there)).toEqual([event])
    await settings(staff)
    // Of another event, and since: it counts.
    expect(await say(word(eve.there, { at_ms: Date.now() }))).toEqual({ ...NOBODY, contained: 1 })
  })

  test.each<[string, (user: string) => Promise<object> | object]>([
    ['a user who has never been there', async () => word(await staff.person('stranger'))],
    ['a user who does not exist', () => word('nobody')],
    ['a user by the address', (user) => word(user, { subjects: [{ email: 'frank@example.org' }] })],
    ['a user by a client that the realm does not hear', (user) => word(user, { client_id: 'flows-app' })],
    ['a user by a client that there is not', (user) => word(user, { client_id: 'nobody' })],
    [
      'a changed password, which is not its to say',
      (user) => word(user, { type: 'https://schemas.openid.net/secevent/risc/event-type/account-disabled' }),
    ],
  ])('about %s ends nothing', async (_, said) => {
    const frank = await staff.admin.userId('frank').catch(async () => (await person('frank')).there)
    expect(await say(await said(frank))).toEqual(NOBODY)
    expect(eventsOf(staff, frank)).toEqual([])
  })

  test('has the steps done that the logout since then has not', async () => {
    const hans = await person('hans')
    await nextSecond()
    const beforeMs = Date.now()
    await nextSecond()
    await staff.admin.must('POST', `/users/${hans.there}/logout`)
    expect(await say(word(hans.there, { at_ms: beforeMs }))).toEqual({ ...NOBODY, contained: 1 })
  })

  test('ends nothing where the realm names no client that it hears', async () => {
    const gina = await person('gina')
    await settings(staff, { 'logout-relay.downstreams.clients': '' })
    expect(await say(word(gina.there))).toEqual(NOBODY)
    await settings(staff)
    expect(await say(word(gina.there))).toEqual({ ...NOBODY, contained: 1 })
  })

  // The last: what waits for a person's word has all that follows wait.
  test('ends no more users than the limit, whatever issuer it gives itself', async () => {
    const people = [await person('ida'), await person('jan'), await person('kim')]
    // What was heard in the tests before counts as well.
    const heard = 'select count(distinct user_id) from logout_relay_upstream_word w join logout_relay_upstream s'
    const ofIt = `on s.id = w.source_id where w.state = 'done' and s.iss = '${main.issuer}'`
    const before = Number(staff.postgres.psql(`${heard} ${ofIt}`))
    await settings(staff, { 'logout-relay.upstreams.limit': String(before + 1) })
    const outcomes: Outcome[] = []
    for (const [n, { there }] of people.entries()) {
      outcomes.push(await say(word(there, { issuer: `https://${n}.example.com` })))
    }
    expect(outcomes.map(({ contained, held }) => [contained, held])).toEqual([
      [1, 0],
      [0, 1],
      [0, 1],
    ])
    const sources = staff.postgres.psql(
      "select count(*) from logout_relay_upstream where iss like 'https://_.example.com'",
    )
    expect(sources.trim()).toBe('1')
  })
})

describe('a request that a realm signs for the relay', () => {
  const answer = async (name: string, audience: string) => {
    const { here } = await person(name)
    await nextSecond()
    await main.admin.resetPassword(here, 'another')
    let id = ''
    await until('it is listed', () => {
      const rows = `select jti || ' ' || sessions from logout_relay_outbox where listed_ms is not null and user_id = '${here}' and sessions like '%"provider"%'`
      const [jti = '', ...json] = (main.postgres.psql(rows).split('\n')[0] ?? '').split(' ')
      const listed = jti ? (JSON.parse(json.join(' ')) as { provider?: object }[]) : []
      id = `${jti}.${listed.findIndex(({ provider }) => provider !== undefined)}`
      return Promise.resolve(listed.length > 0)
    })
    const said = await main.call<{ tokens: Record<string, string>; refused: Record<string, string> }>('logout-tokens', {
      ...{ ids: [id], audience },
    })
    const { tokens, refused } = said.json()
    return { signed: tokens[id] !== undefined, refused: refused[id] }
  }

  test('is for no client whose id is a URL', async () => {
    const away = relays.get(main)
    await away?.stop()
    const api = 'https://api.example.com'
    await main.admin.createClient({ clientId: api, secret: SECRET })
    expect(await answer('lena', api)).toEqual({ signed: false, refused: 'audience_is_client' })
    expect(await answer('mia', `${api}/other`)).toEqual({ signed: true, refused: undefined })
    const again = await away?.restart()
    if (again) {
      relays.set(main, again)
    }
  })
})
