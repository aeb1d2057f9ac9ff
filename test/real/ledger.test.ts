import { decodeJwt } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { Browser } from '../../scripts/stage/browser.ts'
import { call } from '../../scripts/stage/http.ts'
import { until } from '../../scripts/stage/process.ts'
import type { TokenEndpoint } from '../../scripts/stage/tokens.ts'
import { nextSecond, REDIRECT_URI, shareDemoRealm, type SharedDemoRealm } from './demo-realm.ts'

let realm: SharedDemoRealm
let tokens: TokenEndpoint

beforeAll(async () => {
  realm = await shareDemoRealm('ledger')
  ;({ tokens } = realm)
})

const person = (name: string) => realm.person(name)
const poll = (body: object) => realm.poll(body)
const ledgerOf = (user: string) => realm.ledgerOf(user)

/** Sends the browser through the login page with that response type, and answers what comes back to the client. */
async function authorize(user: string, responseType: string): Promise<URLSearchParams> {
  const query = {
    response_type: responseType,
    client_id: 'flows-app',
    redirect_uri: REDIRECT_URI,
    scope: 'openid',
    nonce: 'nonce',
  }
  const request = `${realm.issuer}/protocol/openid-connect/auth?${new URLSearchParams(query).toString()}`
  const back = await new Browser().authorize(request, REDIRECT_URI, user, 'password')
  return new URLSearchParams(back.hash ? back.hash.slice(1) : back.search)
}

/** Resets the user's password and answers the `jti` of the row that this leaves in the outbox. */
async function resetAndPoll(user: string): Promise<string> {
  expect((await realm.admin.resetPassword(user, 'another')).status).toBe(204)
  let jti = ''
  await until('the event is in the outbox', async () => {
    const sets = Object.entries(await poll({}))
    jti = sets.find(([, set]) => (decodeJwt(set)['sub_id'] as { sub: string }).sub === user)?.[0] ?? ''
    return jti !== ''
  })
  return jti
}

describe('the ledger has a session', () => {
  test('of the code flow from the exchange on, and not before', async () => {
    const user = await person('code')
    const code = (await authorize('code', 'code')).get('code') ?? ''
    expect(ledgerOf(user)).toEqual([])
    const form = { grant_type: 'authorization_code', client_id: 'flows-app', redirect_uri: REDIRECT_URI, code }
    const issued = (await tokens.ask(form)).json()
    expect(ledgerOf(user)).toEqual([decodeJwt(issued.access_token)['sid']])
  })

  test('of the implicit flow, which has no exchange', async () => {
    const user = await person('implicit')
    const back = await authorize('implicit', 'id_token token')
    expect(ledgerOf(user)).toEqual([decodeJwt(back.get('id_token') ?? '')['sid']])
  })

  test('of the hybrid flow, though its code is never exchanged', async () => {
    const user = await person('hybrid')
    const back = await authorize('hybrid', 'code id_token')
    expect(back.get('code')).not.toBe('')
    expect(ledgerOf(user)).toEqual([decodeJwt(back.get('id_token') ?? '')['sid']])
  })

  test('of a client that has an offline session alone', async () => {
    const user = await person('offline')
    const issued = await tokens.directGrant('flows-app', 'offline', 'password', 'openid offline_access')
    expect(ledgerOf(user)).toEqual([`${String(decodeJwt(issued.access_token)['sid'])} offline`])
  })
})

/** Anybody's client, whose users may log in with their password alone. Answers its internal id. */
async function client(clientId: string, more: object = {}): Promise<string> {
  await realm.admin.createClient({
    clientId,
    publicClient: true,
    directAccessGrantsEnabled: true,
    attributes: { 'backchannel.logout.url': 'http://127.0.0.1:9/logout' },
    ...more,
  })
  return realm.admin.clientUuid(clientId)
}

describe('of what is the same for every login at a client', () => {
  const templates = (uuid: string) =>
    realm.postgres
      .psql(`select claims from logout_relay_ledger_template where client_uuid = '${uuid}' order by id`)
      .split('\n')
      .filter(Boolean)
      .map((claims) => JSON.parse(claims) as Record<string, unknown>)

  test('the ledger has one copy, which names no login, also where many begin at once at a client that is new', async () => {
    const uuid = await client('new-app')
    await Promise.all(
      ['una', 'udo', 'ute'].map(async (name) => {
        await person(name)
        await Promise.all([1, 2].map(() => tokens.directGrant('new-app', name, 'password')))
      }),
    )
    const [only, ...more] = templates(uuid)
    expect(more).toEqual([])
    expect(Object.keys(only ?? {}).sort()).toEqual(['aud', 'events', 'iss', 'typ'])
    const rows = `select count(*) from logout_relay_ledger join logout_relay_ledger_template t on t.id = template where client_uuid = '${uuid}'`
    expect(realm.postgres.psql(rows)).toBe('6')
  })

  test('there is another copy once the client has another logout URL, and a client that is deleted is told at its last', async () => {
    const uuid = await client('moving-app')
    const user = await person('movable')
    await tokens.directGrant('moving-app', 'movable', 'password')
    const attributes = { 'backchannel.logout.url': 'http://127.0.0.1:9/moved' }
    await realm.admin.must('PUT', `/clients/${uuid}`, { clientId: 'moving-app', attributes })
    await tokens.directGrant('moving-app', 'movable', 'password')
    expect(templates(uuid)).toHaveLength(2)
    await realm.admin.must('DELETE', `/clients/${uuid}`)
    await nextSecond()
    await resetAndPoll(user)
    const { sessions } = await realm.toldOnce(user)
    const told = sessions as unknown as { backchannel_logout_uri: string; client_id: string }[]
    expect(told.map(({ client_id }) => client_id)).toEqual(['moving-app', 'moving-app'])
    expect(told.map(({ backchannel_logout_uri }) => backchannel_logout_uri).sort()).toEqual([
      'http://127.0.0.1:9/logout',
      'http://127.0.0.1:9/moved',
    ])
  })
})

describe('a logout token names', () => {
  /** The tokens of the user's sessions, and what the SET said of those. */
  async function afterReset(user: string) {
    await resetAndPoll(user)
    const { sessions, txn } = await realm.toldOnce(user)
    const { tokens: minted } = await realm.ask<{ tokens: Record<string, string> }>('logout-tokens', {
      ids: sessions.map(({ id }) => id),
    })
    return { sessions, txn, minted: Object.values(minted).map((token) => decodeJwt(token)) }
  }
  test('the sub that the client was given in its ID token, whatever mapper has set it', async () => {
    const bySub = (claim: string) => ({
      name: `sub-of-${claim}`,
      protocol: 'openid-connect',
      protocolMapper: 'oidc-usermodel-attribute-mapper',
      config: { 'user.attribute': claim, 'claim.name': 'sub', 'jsonType.label': 'String', 'id.token.claim': 'true' },
    })
    await client('by-email', { protocolMappers: [bySub('email')] })
    const user = await person('mapped')
    const { id_token = '' } = await tokens.directGrant('by-email', 'mapped', 'password')
    expect(decodeJwt(id_token).sub).toBe('mapped@example.org')
    await nextSecond()
    const { sessions, minted } = await afterReset(user)
    expect(sessions.map(({ sub }) => sub)).toEqual(['mapped@example.org'])
    expect(minted.map(({ sub }) => sub)).toEqual(['mapped@example.org'])
  })

  test('the event as all that is told of it does, but not to a client that knows the user by another name', async () => {
    await client('by-id')
    const pairwise = {
      name: 'pairwise',
      protocol: 'openid-connect',
      protocolMapper: 'oidc-sha256-pairwise-sub-mapper',
      config: { pairwiseSubAlgorithmSalt: 'salt' },
    }
    await client('by-pairwise', { redirectUris: [REDIRECT_URI], protocolMappers: [pairwise] })
    const user = await person('named')
    await tokens.directGrant('by-id', 'named', 'password')
    await tokens.directGrant('by-pairwise', 'named', 'password')
    await nextSecond()
    const { txn, minted } = await afterReset(user)
    expect(txn).not.toBe('')
    expect(Object.fromEntries(minted.map(({ aud, txn }) => [String(aud), txn]))).toEqual({
      'by-id': txn,
      'by-pairwise': undefined,
    })
  })

  test('the client by its id of today, also where it was renamed after the login', async () => {
    const uuid = await client('before')
    const user = await person('renaming')
    await tokens.directGrant('before', 'renaming', 'password')
    await nextSecond()
    await realm.admin.must('PUT', `/clients/${uuid}`, { clientId: 'after' })
    const { sessions, minted } = await afterReset(user)
    expect(sessions.map(({ client_id }) => client_id)).toEqual(['after'])
    expect(minted.map(({ aud }) => aud)).toEqual(['after'])
  })
})

describe('a logout URL of 3,000 characters', () => {
  const attributes = { 'backchannel.logout.url': `http://127.0.0.1:9/${'x'.repeat(3000)}` }

  test('is not saved, and the answer says why', async () => {
    const answer = await realm.admin.call('POST', '/clients', { clientId: 'too-long', attributes })
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('at most 2048')
  })

  test('that is there already, since the listener was off, fails no login: its client counts as one without', async () => {
    const { eventsListeners } = (await realm.admin.must<{ eventsListeners: string[] }>('GET', '')).json()
    await realm.admin.must('PUT', '', { eventsListeners: [] })
    const clientId = 'was-too-long'
    await realm.admin.createClient({
      clientId,
      publicClient: true,
      directAccessGrantsEnabled: true,
      attributes,
    })
    await realm.admin.must('PUT', '', { eventsListeners })
    const user = await person('patient')
    await tokens.directGrant(clientId, 'patient', 'password')
    expect(ledgerOf(user)).toHaveLength(1)
  })
})

describe('a row of the outbox', () => {
  test('that the relay refuses stays, with the reason, and does not come at once again', async () => {
    const user = await person('refused')
    const jti = await resetAndPoll(user)
    const left = await poll({ setErrs: { [jti]: { err: 'invalid_key', description: 'no such key' } } })
    expect(Object.keys(left)).not.toContain(jti)
    const row = realm.postgres.psql(
      `select err, err_description, acked_ms from logout_relay_outbox where jti = '${jti}'`,
    )
    expect(row.trim()).toBe('invalid_key|no such key|')
  })

  test('that cannot be signed does not keep the others from the relay', async () => {
    const poisoned = await resetAndPoll(await person('poisoned'))
    realm.postgres.psql(`update logout_relay_outbox set trigger_id = 'of-a-newer-jar' where jti = '${poisoned}'`)
    const other = await resetAndPoll(await person('other'))
    expect(other).not.toBe(poisoned)
    expect(realm.postgres.psql(`select err from logout_relay_outbox where jti = '${poisoned}'`).trim()).toBe(
      'unsignable',
    )
  })

  test('lists a session that Keycloak has forgotten', async () => {
    const user = await person('forgotten')
    const { access_token, refresh_token } = await tokens.directGrant('flows-app', 'forgotten', 'password')
    const form = { client_id: 'flows-app', refresh_token }
    await call('POST', `${realm.issuer}/protocol/openid-connect/logout`, { form })
    expect(await realm.admin.sessions(user)).toEqual([])
    await nextSecond()
    const jti = await resetAndPoll(user)
    const { events } = decodeJwt<{ events: Record<string, { 'logout-relay': { sessions: { sid: string }[] } }> }>(
      (await poll({}))[jti] ?? '',
    )
    const sids = Object.values(events).flatMap((event) => event['logout-relay'].sessions.map(({ sid }) => sid))
    expect(sids).toEqual([decodeJwt(access_token)['sid']])
  })

  test.each<[string, string, object]>([
    ['maxEvents', 'a negative number', { maxEvents: -1 }],
    ['ack', 'a jti that is null', { ack: [null] }],
    ['ack', 'more than can be looked up in one request', { ack: Array<string>(501).fill('x') }],
    ['setErrs', 'an error that is null', { setErrs: { x: null } }],
  ])('stays when a poll carries in its %s %s: 400 names the member', async (member, _, body) => {
    const waits = (await realm.ask<{ sets: object }>('outbox', { maxEvents: 50 })).sets
    const [jti = ''] = Object.keys(waits)
    expect(jti).not.toBe('')
    const answer = await realm.call<{ error_description: string }>('outbox', { ack: [jti], ...body })
    expect([answer.status, answer.json().error_description.split(' ')[0]]).toEqual([400, member])
    expect(Object.keys((await realm.ask<{ sets: object }>('outbox', { maxEvents: 50 })).sets)).toEqual(
      Object.keys(waits),
    )
  })
})
