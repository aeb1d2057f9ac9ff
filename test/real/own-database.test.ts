import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Admin } from '../../scripts/stage/admin.ts'
import { startKeycloak } from '../../scripts/stage/keycloak.ts'
import { ledgerKey } from '../../scripts/stage/ledger.ts'
import { until } from '../../scripts/stage/process.ts'
import { type Audit, audit } from './audit-command.ts'
import { DEMO_ENV, type DemoRealm, nextSecond, startDemoRealm } from './demo-realm.ts'
import { inCommon } from './in-common.ts'

/** What needs a database of its own, or a Keycloak without a host name that pushes nothing. */

let realm: DemoRealm

beforeAll(async () => {
  realm = await startDemoRealm({ hostname: null })
})

afterAll(() => realm.stop())

describe('where Keycloak has no host name but that of each request', () => {
  beforeAll(async () => {
    await realm.admin.createClient({
      ...{ clientId: 'relative', publicClient: true, directAccessGrantsEnabled: true },
      ...{ rootUrl: 'https://app.example.org', attributes: { 'backchannel.logout.url': '/logout' } },
    })
    // The relay asks once.
    await realm.poll({ maxEvents: 0 })
  })

  const loggedIn = async (name: string) => {
    const user = await realm.person(name)
    await realm.tokens.directGrant('relative', name, 'password')
    await nextSecond()
    return user
  }
  /** The one event about the user, once it is listed, and the issuer that it names. */
  const told = async (user: string) => {
    let found: { iss?: string; uris: unknown[] }[] = []
    await until('it is told', async () => {
      const sets = Object.values(await realm.poll({ maxEvents: 50 })).map((set) =>
        decodeJwt<{ sub_id: { sub: string }; events: Record<string, { 'logout-relay': { sessions: object[] } }> }>(set),
      )
      found = sets
        .filter(({ sub_id }) => sub_id.sub === user)
        .map(({ iss, events }) => ({
          ...(iss === undefined ? {} : { iss }),
          uris: Object.values(events).flatMap((event) =>
            event['logout-relay'].sessions.map(
              (one) => (one as { backchannel_logout_uri?: string }).backchannel_logout_uri,
            ),
          ),
        }))
      return found.length > 0
    })
    expect(found).toHaveLength(1)
    return found[0]
  }
  const deleteByWorkflow = async (user: string) => {
    const made = await realm.admin.must('POST', '/workflows', {
      ...{ name: `for-${user}`, steps: [{ uses: 'delete-user' }] },
    })
    const workflow = String(made.headers['location']).split('/').at(-1) ?? ''
    await realm.admin.must('POST', `/workflows/${workflow}/activate/USERS/${user}`)
  }
  const asTheRelayHasIt = () => ({ iss: realm.issuer, uris: ['https://app.example.org/logout'] })

  test('an event has the issuer that the relay asks with, though the administrator is at another address', async () => {
    const user = await loggedIn('inner')
    const { port } = new URL(realm.keycloak.url)
    const { username, password } = realm.keycloak.adminUser
    await new Admin(`http://127.0.0.1:${port}`, username, password).resetPassword('demo', user, 'another')
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })

  test('so has one that no request makes: a workflow deletes the user', async () => {
    const user = await loggedIn('leaver')
    await deleteByWorkflow(user)
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })

  test('before the relay has ever asked, it is the issuer that logins have shown', async () => {
    const user = await loggedIn('early-leaver')
    realm.postgres.psql('delete from logout_relay_issuer')
    await deleteByWorkflow(user)
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })

  test('before the relay has ever asked, whoever logs in by another address says nothing of the issuer of a reset', async () => {
    const user = await loggedIn('visited')
    const { port } = new URL(realm.keycloak.url)
    const elsewhere = await fetch(`http://127.0.0.1:${port}/realms/demo/protocol/openid-connect/token`, {
      method: 'POST',
      body: new URLSearchParams({
        ...{ grant_type: 'password', client_id: 'relative', scope: 'openid' },
        ...{ username: 'visited', password: 'password' },
      }),
    })
    expect(elsewhere.status).toBe(200)
    await nextSecond()
    realm.postgres.psql('delete from logout_relay_issuer')
    await realm.admin.resetPassword(user, 'another')
    expect((await told(user))?.iss).toBe(realm.issuer)
  })

  test('so has one that comes by SCIM: the account is disabled there', async () => {
    const { admin } = realm
    await admin.must('PUT', '', { scimApiEnabled: true })
    const scim = `${realm.issuer}/scim/v2`
    const audience = {
      ...{ name: 'scim', protocol: 'openid-connect', protocolMapper: 'oidc-audience-mapper' },
      config: { 'included.custom.audience': scim, 'access.token.claim': 'true' },
    }
    await admin.createClient({
      ...{ clientId: 'scim', secret: 'of-scim', serviceAccountsEnabled: true, protocolMappers: [audience] },
    })
    const account = await admin.must<{ id: string }>(
      'GET',
      `/clients/${await admin.clientUuid('scim')}/service-account-user`,
    )
    const roles = `clients/${await admin.clientUuid('realm-management')}`
    const all = await admin.must<object[]>('GET', `/${roles}/roles`)
    await admin.must('POST', `/users/${account.json().id}/role-mappings/${roles}`, all.json())
    const user = await loggedIn('by-scim')
    const patched = await fetch(`${scim}/Users/${user}/`, {
      method: 'PATCH',
      headers: {
        authorization: `Bearer ${await realm.tokens.serviceAccount('scim', 'of-scim')}`,
        'content-type': 'application/scim+json',
      },
      body: JSON.stringify({
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [{ op: 'replace', path: 'active', value: false }],
      }),
    })
    expect(patched.status, await patched.text()).toBe(200)
    expect((await admin.must<{ enabled: boolean }>('GET', `/users/${user}`)).json().enabled).toBe(false)
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })

  test('a session that only Keycloak knows is told at the relative logout URL of its client', async () => {
    const { eventsListeners } = (await realm.admin.must<{ eventsListeners: string[] }>('GET', '')).json()
    await realm.admin.must('PUT', '', { eventsListeners: ['jboss-logging'] })
    const user = await loggedIn('from-before')
    await realm.admin.must('PUT', '', { eventsListeners })
    await realm.admin.resetPassword(user, 'another')
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })

  // Where the audit itself is tested, the server pushes its events.
  test('the audit finds that the server pushes no events', async () => {
    const { url, admin } = realm.keycloak
    const env = { LOGOUT_RELAY_TOKEN: await admin.token() }
    const { out } = await audit(['--url', url, '--realm', 'demo', '--json'], env)
    const { findings } = JSON.parse(out) as Audit
    expect(findings.filter(({ id }) => id === 'push-off')).toMatchObject([{ level: 'low', where: { name: 'demo' } }])
  })
})

/** Anybody's client; answers its internal id. */
async function client(clientId: string): Promise<string> {
  await realm.admin.createClient({
    ...{ clientId, publicClient: true, directAccessGrantsEnabled: true },
    attributes: { 'backchannel.logout.url': 'http://127.0.0.1:9/logout' },
  })
  return realm.admin.clientUuid(clientId)
}

/** Rows that a login of one user each has made at that client, and which end then: `ends` is SQL, `n` goes from 1. */
function makeRows(clientUuid: string, count: number, ends: string, prefix = 'made'): void {
  const sid = `'${prefix}-' || lpad(n::text, 30, '0')`
  realm.postgres
    .psql(`insert into logout_relay_ledger (login_began, latest_end, template, user_key, sid_key, user_id, sid)
    select 0, ${ends}, (select min(id) from logout_relay_ledger_template where client_uuid = '${clientUuid}'),
    ${ledgerKey('md5(n::text)::uuid::text')}, ${ledgerKey(sid)}, md5(n::text)::uuid::text, ${sid}
    from generate_series(1, ${count}) n`)
}

test('a row of the ledger takes at most 300 bytes, indexes included', async () => {
  const uuid = await client('full-app')
  await realm.person('full')
  await realm.tokens.directGrant('full-app', 'full', 'password')
  realm.postgres.psql('create table spare as select * from logout_relay_ledger; truncate logout_relay_ledger')
  try {
    // As they come: in the order of time, and of their ids in none.
    makeRows(uuid, 200_000, `extract(epoch from now())::bigint + n / 20`, 'long')
    const size = Number(realm.postgres.psql(`select pg_total_relation_size('logout_relay_ledger') / 200000.0`))
    expect(size).toBeGreaterThan(100)
    expect(size).toBeLessThanOrEqual(300)
  } finally {
    realm.postgres.psql(
      'truncate logout_relay_ledger; insert into logout_relay_ledger overriding system value select * from spare; drop table spare',
    )
  }
})

describe('what can no longer live goes', () => {
  /** One more node on the same database, which prunes as it starts. */
  async function whileANodeStarts<T>(
    see: () => Promise<T>,
    options: readonly string[] = inCommon().options,
  ): Promise<T> {
    const other = await startKeycloak({
      options,
      postgres: realm.postgres,
      jars: inCommon().jars,
      env: DEMO_ENV,
      password: realm.keycloak.adminUser.password,
    })
    try {
      return await see()
    } finally {
      await other.stop()
    }
  }
  const rowsOf = (where: string) =>
    Number(realm.postgres.psql(`select count(*) from logout_relay_ledger where ${where}`))

  test('by the stretch: not a row whose session lives, nor a stretch that fails, which keeps back nothing else', async () => {
    const uuid = await client('old-app')
    const user = await realm.person('lasting')
    await realm.tokens.directGrant('old-app', 'lasting', 'password', 'openid offline_access')
    await realm.tokens.directGrant('flows-app', 'lasting', 'password')
    expect(realm.ledgerOf(user)).toHaveLength(2)
    realm.postgres.psql(`update logout_relay_ledger set latest_end = 20000 where user_id = '${user}'`)
    makeRows(uuid, 30_000, 'n', 'past')
    realm.postgres
      .psql(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
      create trigger refuse before delete on logout_relay_ledger for each row when (old.latest_end = 7) execute function refuse()`)
    realm.postgres
      .psql(`insert into logout_relay_ledger_template (hash, realm_id, client_uuid, is_offline, alg, encrypted, claims, used_ms)
      select n, realm_id, client_uuid, is_offline, alg, encrypted, claims, extract(epoch from now() - interval '1 day' * n) * 1000
      from logout_relay_ledger_template, generate_series(0, 2) n where client_uuid = '${uuid}'`)
    try {
      await whileANodeStarts(() =>
        until('pruning has come to its end', () => rowsOf(`latest_end between 20000 and 30000`) === 0),
      )
    } finally {
      realm.postgres.psql('drop trigger refuse on logout_relay_ledger; drop function refuse')
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
        until(
          'the rest is gone, too',
          () => rowsOf(`latest_end <= 30000`) === 0 && realm.postgres.psql(templates) === '0',
        ),
      ['--features-disabled=persistent-user-sessions'],
    )
  }, 300_000)
})
