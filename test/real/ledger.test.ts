import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Browser } from '../../scripts/stage/browser.ts'
import { call } from '../../scripts/stage/http.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { type Postgres, startPostgres } from '../../scripts/stage/postgres.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { TokenEndpoint } from '../../scripts/stage/tokens.ts'

const SECRET = 'secret-of-a-test'
const REDIRECT_URI = 'http://localhost:9/back'

let postgres: Postgres
let keycloak: KeycloakServer
let tokens: TokenEndpoint

/** No relay here: the tests poll the outbox themselves, with the relay's service account. */
beforeAll(async () => {
  postgres = await startPostgres()
  keycloak = await startKeycloak({
    postgres,
    jars: [EXTENSION_JAR],
    realms: [join(ROOT, 'realm-export', 'demo-realm.json')],
    env: {
      LOGOUT_RELAY_DEMO_APACHE_URL: 'http://localhost:9',
      LOGOUT_RELAY_DEMO_EXPRESS_URL: 'http://localhost:9',
      LOGOUT_RELAY_APP_SECRET: SECRET,
      LOGOUT_RELAY_CLIENT_SECRET: SECRET,
      LOGOUT_RELAY_OPERATOR_SECRET: SECRET,
      LOGOUT_RELAY_CONSOLE_SECRET: SECRET,
      LOGOUT_RELAY_USER_PASSWORD: 'password',
    },
  })
  tokens = new TokenEndpoint(keycloak.issuer('demo'))
  await keycloak.admin.createClient('demo', {
    clientId: 'flows-app',
    publicClient: true,
    implicitFlowEnabled: true,
    directAccessGrantsEnabled: true,
    redirectUris: [REDIRECT_URI],
    attributes: { 'backchannel.logout.url': 'http://127.0.0.1:9/logout' },
  })
})

afterAll(async () => {
  await keycloak.stop()
  await postgres.stop()
})

const person = (name: string) => keycloak.admin.createUser('demo', name, 'password')
const ledgerOf = (user: string) =>
  postgres
    .psql(
      `select sid || case when offline then ' offline' else '' end from logout_relay_ledger where user_id = '${user}'`,
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

async function poll(body: object): Promise<Record<string, string>> {
  const authorization = `Bearer ${await tokens.serviceAccount('logout-relay', SECRET)}`
  const answer = await call<{ sets: Record<string, string> }>(
    'POST',
    `${keycloak.issuer('demo')}/logout-relay/outbox`,
    { json: body, headers: { authorization } },
  )
  expect(answer.status).toBe(200)
  return answer.json().sets
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
    const { access_token } = await tokens.directGrant('flows-app', 'forgotten', 'password')
    await keycloak.admin.must('POST', `/demo/users/${user}/logout`)
    expect(await keycloak.admin.sessions('demo', user)).toEqual([])
    await delay(1100)
    const jti = await resetAndPoll(user)
    const { events } = decodeJwt<{ events: Record<string, { 'logout-relay': { sessions: { sid: string }[] } }> }>(
      (await poll({}))[jti] ?? '',
    )
    const sids = Object.values(events).flatMap((event) => event['logout-relay'].sessions.map(({ sid }) => sid))
    expect(sids).toEqual([decodeJwt(access_token)['sid']])
  })
})
