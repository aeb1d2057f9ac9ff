import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Browser } from '../../scripts/stage/browser.ts'
import { call } from '../../scripts/stage/http.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { ledgerKey } from '../../scripts/stage/ledger.ts'
import type { Postgres } from '../../scripts/stage/postgres.ts'
import { until } from '../../scripts/stage/process.ts'
import type { TokenEndpoint } from '../../scripts/stage/tokens.ts'
import { DEMO_ENV, type DemoRealm, nextSecond, REDIRECT_URI, startDemoRealm } from './demo-realm.ts'

let realm: DemoRealm
let postgres: Postgres
let keycloak: KeycloakServer
let tokens: TokenEndpoint

beforeAll(async () => {
  realm = await startDemoRealm()
  ;({ postgres, keycloak, tokens } = realm)
})

afterAll(() => realm.stop())

const person = (name: string) => realm.person(name)
const poll = (body: object) => realm.poll(body)
const ledgerOf = (user: string) =>
  postgres
    .psql(
      `select sid || case when is_offline then ' offline' else '' end from logout_relay_ledger
      join logout_relay_ledger_template t on t.id = template where user_id = '${user}'`,
    )
    .split('\n')
    .filter(Boolean)

/** Sends the browser through the login page with that response type, and answers what comes back to the client. */
async function authorize(user: string, responseType: string): Promise<URLSearchParams> {
  const query = {
    response_type: responseType,
    client_id: 'flows-app',
    redirect_uri: REDIRECT_URI,
    scope: 'openid',
    nonce: 'nonce',
  }
  const request = `${keycloak.issuer('demo')}/protocol/openid-connect/auth?${new URLSearchParams(query).toString()}`
  const back = await new Browser().authorize(request, REDIRECT_URI, user, 'password')
  return new URLSearchParams(back.hash ? back.hash.slice(1) : back.search)
}

/** Resets the user's password and answers the `jti` of the row that this leaves in the outbox. */
async function resetAndPoll(user: string): Promise<string> {
  expect((await keycloak.admin.resetPassword('demo', user, 'another')).status).toBe(204)
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
  await keycloak.admin.createClient('demo', {
    clientId,
    publicClient: true,
    directAccessGrantsEnabled: true,
    attributes: { 'backchannel.logout.url': 'http://127.0.0.1:9/logout' },
    ...more,
  })
  return keycloak.admin.clientUuid('demo', clientId)
}

/** Rows that a login of one user each has made at that client, and which end then: `ends` is SQL, `n` goes from 1. */
function makeRows(clientUuid: string, count: number, ends: string, prefix = 'made'): void {
  const sid = `'${prefix}-' || lpad(n::text, 30, '0')`
  postgres.psql(`insert into logout_relay_ledger (login_began, latest_end, template, user_key, sid_key, user_id, sid)
    select 0, ${ends}, (select min(id) from logout_relay_ledger_template where client_uuid = '${clientUuid}'),
    ${ledgerKey('md5(n::text)::uuid::text')}, ${ledgerKey(sid)}, md5(n::text)::uuid::text, ${sid}
    from generate_series(1, ${count}) n`)
}

describe('of what is the same for every login at a client', () => {
  const templates = (uuid: string) =>
    postgres
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
    expect(postgres.psql(rows)).toBe('6')
  })

  test('there is another copy once the client has another logout URL, and a client that is deleted is told at its last', async () => {
    const uuid = await client('moving-app')
    const user = await person('movable')
    await tokens.directGrant('moving-app', 'movable', 'password')
    const attributes = { 'backchannel.logout.url': 'http://127.0.0.1:9/moved' }
    await keycloak.admin.must('PUT', `/demo/clients/${uuid}`, { clientId: 'moving-app', attributes })
    await tokens.directGrant('moving-app', 'movable', 'password')
    expect(templates(uuid)).toHaveLength(2)
    await keycloak.admin.must('DELETE', `/demo/clients/${uuid}`)
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

test('a row of the ledger takes at most 300 bytes, indexes included', async () => {
  const uuid = await client('full-app')
  await person('full')
  await tokens.directGrant('full-app', 'full', 'password')
  postgres.psql('create table spare as select * from logout_relay_ledger; truncate logout_relay_ledger')
  try {
    // As they come: in the order of time, and of their ids in none.
    makeRows(uuid, 200_000, `extract(epoch from now())::bigint + n / 20`, 'long')
    const size = Number(postgres.psql(`select pg_total_relation_size('logout_relay_ledger') / 200000.0`))
    expect(size).toBeGreaterThan(100)
    expect(size).toBeLessThanOrEqual(300)
  } finally {
    postgres.psql(
      'truncate logout_relay_ledger; insert into logout_relay_ledger overriding system value select * from spare; drop table spare',
    )
  }
})

describe('what can no longer live goes', () => {
  /** One more node on the same database, which prunes as it starts. */
  async function whileANodeStarts<T>(see: () => Promise<T>, options: readonly string[] = []): Promise<T> {
    const other = await startKeycloak({
      options,
      postgres,
      jars: [EXTENSION_JAR],
      env: DEMO_ENV,
      password: keycloak.adminUser.password,
    })
    try {
      return await see()
    } finally {
      await other.stop()
    }
  }
  const rowsOf = (where: string) => Number(postgres.psql(`select count(*) from logout_relay_ledger where ${where}`))

  test('by the stretch: not a row whose session lives, nor a stretch that fails, which keeps back nothing else', async () => {
    const uuid = await client('old-app')
    const user = await person('lasting')
    await tokens.directGrant('old-app', 'lasting', 'password', 'openid offline_access')
    await tokens.directGrant('flows-app', 'lasting', 'password')
    expect(ledgerOf(user)).toHaveLength(2)
    postgres.psql(`update logout_relay_ledger set latest_end = 20000 where user_id = '${user}'`)
    makeRows(uuid, 30_000, 'n', 'past')
    postgres.psql(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
      create trigger refuse before delete on logout_relay_ledger for each row when (old.latest_end = 7) execute function refuse()`)
    postgres.psql(`insert into logout_relay_ledger_template (hash, realm_id, client_uuid, is_offline, alg, encrypted, claims, used_ms)
      select n, realm_id, client_uuid, is_offline, alg, encrypted, claims, extract(epoch from now() - interval '1 day' * n) * 1000
      from logout_relay_ledger_template, generate_series(0, 2) n where client_uuid = '${uuid}'`)
    try {
      await whileANodeStarts(() =>
        until('pruning has come to its end', () => rowsOf(`latest_end between 20000 and 30000`) === 0),
      )
    } finally {
      postgres.psql('drop trigger refuse on logout_relay_ledger; drop function refuse')
    }
    // Of the stretch with the seventh nothing.
    expect(rowsOf(`latest_end <= 30000`)).toBe(5000)
    expect(rowsOf(`latest_end <= 5000`)).toBe(5000)
    expect(rowsOf(`user_id = '${user}' and latest_end > extract(epoch from now())`)).toBe(2)
    // This one has online sessions in memory alone, and so has to look at them one by one. Of templates one goes that no row is
    // of, once no node can be about to write one.
    const templates = `select hash from logout_relay_ledger_template where client_uuid = '${uuid}' and length(hash) = 1`
    await whileANodeStarts(
      () =>
        until('the rest is gone, too', () => rowsOf(`latest_end <= 30000`) === 0 && postgres.psql(templates) === '0'),
      ['--features-disabled=persistent-user-sessions'],
    )
  }, 300_000)
})

describe('a logout token names', () => {
  /** The tokens of the user's sessions, and what the SET said of those. */
  async function afterReset(user: string) {
    await resetAndPoll(user)
    const { sessions } = await realm.toldOnce(user)
    const { tokens: minted } = await realm.ask<{ tokens: Record<string, string> }>('logout-tokens', {
      ids: sessions.map(({ id }) => id),
    })
    return { sessions, minted: Object.values(minted).map((token) => decodeJwt(token)) }
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

  test('the client by its id of today, also where it was renamed after the login', async () => {
    const uuid = await client('before')
    const user = await person('renaming')
    await tokens.directGrant('before', 'renaming', 'password')
    await nextSecond()
    await keycloak.admin.must('PUT', `/demo/clients/${uuid}`, { clientId: 'after' })
    const { sessions, minted } = await afterReset(user)
    expect(sessions.map(({ client_id }) => client_id)).toEqual(['after'])
    expect(minted.map(({ aud }) => aud)).toEqual(['after'])
  })
})

describe('a logout URL of 3,000 characters', () => {
  const attributes = { 'backchannel.logout.url': `http://127.0.0.1:9/${'x'.repeat(3000)}` }

  test('is not saved, and the answer says why', async () => {
    const answer = await keycloak.admin.call('POST', '/demo/clients', { clientId: 'too-long', attributes })
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('at most 2048')
  })

  test('that is there already, since the listener was off, fails no login: its client counts as one without', async () => {
    const { eventsListeners } = (await keycloak.admin.must<{ eventsListeners: string[] }>('GET', '/demo')).json()
    await keycloak.admin.must('PUT', '/demo', { eventsListeners: [] })
    const clientId = 'was-too-long'
    await keycloak.admin.createClient('demo', {
      clientId,
      publicClient: true,
      directAccessGrantsEnabled: true,
      attributes,
    })
    await keycloak.admin.must('PUT', '/demo', { eventsListeners })
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
    const row = postgres.psql(`select err, err_description, acked_ms from logout_relay_outbox where jti = '${jti}'`)
    expect(row.trim()).toBe('invalid_key|no such key|')
  })

  test('that cannot be signed does not keep the others from the relay', async () => {
    const poisoned = await resetAndPoll(await person('poisoned'))
    postgres.psql(`update logout_relay_outbox set trigger_id = 'of-a-newer-jar' where jti = '${poisoned}'`)
    const other = await resetAndPoll(await person('other'))
    expect(other).not.toBe(poisoned)
    expect(postgres.psql(`select err from logout_relay_outbox where jti = '${poisoned}'`).trim()).toBe('unsignable')
  })

  test('lists a session that Keycloak has forgotten', async () => {
    const user = await person('forgotten')
    const { access_token, refresh_token } = await tokens.directGrant('flows-app', 'forgotten', 'password')
    const form = { client_id: 'flows-app', refresh_token }
    await call('POST', `${keycloak.issuer('demo')}/protocol/openid-connect/logout`, { form })
    expect(await keycloak.admin.sessions('demo', user)).toEqual([])
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
