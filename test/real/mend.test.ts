import { execFile } from 'node:child_process'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { compactDecrypt, createRemoteJWKSet, exportJWK, generateKeyPair, decodeJwt, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startWorld, type World } from '../../scripts/demo/world.ts'
import { Admin } from '../../scripts/stage/admin.ts'
import { call } from '../../scripts/stage/http.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { type DemoRealm, nextSecond, startDemoRealm } from './demo-realm.ts'
import { type Recorder, startRecorder } from './recorder.ts'

/** What people who run Keycloak have met, on a real one: keys, algorithms and addresses that change at a bad moment. */

let world: World

beforeAll(async () => {
  world = await startWorld(() => undefined)
})

afterAll(async () => {
  await world.relay.stop()
  await world.stop()
})

async function recorder(): Promise<Recorder> {
  const started = await startRecorder()
  onTestFinished(() => started.close())
  return started
}

async function client(clientId: string, { logoutUri }: Recorder, more: Record<string, string> = {}): Promise<string> {
  await world.keycloak.admin.must('POST', '/demo/clients', {
    ...{ clientId, publicClient: true, directAccessGrantsEnabled: true },
    attributes: { 'backchannel.logout.url': logoutUri, ...more },
  })
  const found = await world.keycloak.admin.must<{ id: string }[]>('GET', `/demo/clients?clientId=${clientId}`)
  return found.json()[0]?.id ?? ''
}

/** Somebody who has a session at each client; resolves to what resets their password. */
async function loggedIn(name: string, ...clientIds: string[]): Promise<() => Promise<void>> {
  const user = await world.keycloak.admin.createUser('demo', name, 'password')
  for (const clientId of clientIds) {
    await world.demo.tokens.directGrant(clientId, name, 'password')
  }
  await nextSecond()
  return async () => {
    expect((await world.keycloak.admin.resetPassword('demo', user, 'another')).status).toBe(204)
  }
}

const realmId = async () => (await world.keycloak.admin.must<{ id: string }>('GET', '/demo')).json().id
const addKey = async (providerId: string, config: Record<string, string[]>) =>
  world.keycloak.admin.must('POST', '/demo/components', {
    ...{ name: `${providerId} of a test`, providerId, providerType: 'org.keycloak.keys.KeyProvider' },
    ...{ parentId: await realmId(), config: { priority: ['900'], enabled: ['true'], active: ['true'], ...config } },
  })
const signsWith = (defaultSignatureAlgorithm: string) =>
  world.keycloak.admin.must('PUT', '/demo', { defaultSignatureAlgorithm })

const ENCRYPTED = 'id.token.encrypted.response'
/** What the relay owes a client, open or not. */
const owed = async (clientId: string) => {
  const headers = { authorization: `Bearer ${world.operatorToken}` }
  const found = await call<{
    deliveries: { client_id: string; state: string; attempts: number; last_reason?: string }[]
  }>('GET', `${world.relay.url}/api/v1/deliveries`, { headers })
  return found.json().deliveries.filter(({ client_id }) => client_id === clientId)
}

/** A relying party that takes what is encrypted to it, and signed inside by the realm, and nothing else. */
async function sealed(clientId: string, alg: string) {
  const issuer = world.keycloak.issuer('demo')
  const realmKeys = createRemoteJWKSet(new URL(`${issuer}/protocol/openid-connect/certs`))
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: `of ${clientId}`, use: 'enc', alg }] }
  const app = await startRecorder(0, async (token) => {
    const signed = new TextDecoder().decode((await compactDecrypt(token, privateKey)).plaintext)
    return (await jwtVerify(signed, realmKeys, { issuer, audience: clientId, typ: 'logout+jwt' })).payload
  })
  onTestFinished(() => app.close())
  return { app, jwks }
}

async function check(): Promise<{ check: string; ok: boolean; says: string }[]> {
  const args = [join(ROOT, 'relay', 'cli.ts'), 'check', '--json', '--config', join(world.relay.dir, 'relay.yaml')]
  const { stdout } = await promisify(execFile)(process.execPath, args).catch(
    (failed: unknown) => failed as { stdout: string },
  )
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { check: string; ok: boolean; says: string })
}

test('a realm key that is changed and a password that is reset at once end the session within seconds', async () => {
  const app = await recorder()
  await client('rotated-app', app)
  const reset = await loggedIn('rosa', 'rotated-app')
  // The relay has just fetched the realm's keys, so that it may not fetch them again at once.
  const header = Buffer.from('{"alg":"RS256","kid":"no such key"}').toString('base64url')
  const claims = Buffer.from(JSON.stringify({ iss: world.keycloak.issuer('demo') })).toString('base64url')
  const authorization = `Bearer ${header}.${claims}.c2ln`
  expect((await call('GET', `${world.relay.url}/api/v1/deliveries`, { headers: { authorization } })).status).toBe(401)
  await addKey('rsa-generated', { keySize: ['2048'] })
  const beganMs = performance.now()
  await reset()
  await until('it is told', () => app.tokens.length > 0, { seconds: 60 })
  expect(performance.now() - beganMs).toBeLessThan(15_000)
  expect(await world.relay.metrics()).not.toMatch(/logout_relay_events_total\{[^}]*invalid_key/)
})

test('a logout URL that is changed just before a reset is the one that is told', async () => {
  const [old, now] = [await recorder(), await recorder()]
  const id = await client('moved-app', old)
  const reset = await loggedIn('moni', 'moved-app')
  const headers = { authorization: `Bearer ${world.operatorToken}` }
  const listed = () => call<object>('GET', `${world.relay.url}/api/v1/relying-parties`, { headers })
  await until('the relay knows the old one', async () => (await listed()).text.includes(old.logoutUri), { seconds: 90 })
  await world.keycloak.admin.must('PUT', `/demo/clients/${id}`, {
    attributes: { 'backchannel.logout.url': now.logoutUri },
  })
  await reset()
  await until('the new one is told', () => now.tokens.length > 0, { seconds: 60 })
  expect(old.tokens).toEqual([])
})

test('a realm that signs with Ed448 is understood, and one that signs with a secret is found by the check', async () => {
  const app = await recorder()
  await client('edwards-app', app)
  await addKey('eddsa-generated', { eddsaEllipticCurveKey: ['Ed448'] })
  const before = (await world.keycloak.admin.must<{ defaultSignatureAlgorithm: string }>('GET', '/demo')).json()
  onTestFinished(() => signsWith(before.defaultSignatureAlgorithm).then(() => undefined))
  await signsWith('EdDSA')
  const reset = await loggedIn('edda', 'edwards-app')
  await reset()
  await until('it is told', () => app.tokens.length > 0, { seconds: 60 })
  expect(app.tokens[0]?.header.alg).toBe('EdDSA')
  expect((await check()).find((line) => line.check === 'signature')).toMatchObject({ ok: true })
  await signsWith('HS512')
  expect((await check()).find((line) => line.check === 'signature')).toMatchObject({
    ok: false,
    says: expect.stringMatching(/every event would be refused.*RS256/) as string,
  })
})

test.each([
  ['RSA-OAEP', 'A256GCM', 'seda'],
  ['ECDH-ES+A256KW', undefined, 'sedef'],
] as const)(
  'a client whose ID tokens are encrypted with %s gets its logout tokens so: signed, then encrypted, with the issuer in front',
  async (alg, enc, name) => {
    const clientId = `sealed-${name}`
    const { app, jwks } = await sealed(clientId, alg)
    await client(clientId, app, {
      [`${ENCRYPTED}.alg`]: alg,
      ...(enc === undefined ? {} : { [`${ENCRYPTED}.enc`]: enc }),
      ...{ 'use.jwks.string': 'true', 'jwks.string': JSON.stringify(jwks) },
      'backchannel.logout.session.required': 'true',
    })
    const reset = await loggedIn(name, clientId)
    await reset()
    await until('it is told', () => app.tokens.length > 0, { seconds: 60 })
    expect(app.tokens).toHaveLength(1)
    expect(app.tokens[0]?.header).toMatchObject({
      ...{ alg, enc: enc ?? 'A128CBC-HS256', cty: 'JWT', kid: `of ${clientId}`, iss: world.keycloak.issuer('demo') },
    })
    expect(app.tokens[0]?.claims).toMatchObject({ aud: clientId, sid: expect.any(String) as string })
    await until('it is reported', async () => (await owed(clientId))[0]?.state === 'delivered')
    // What is sent to find out whether it takes what the realm makes is encrypted as well.
    expect((await check()).find((line) => line.says.includes('and takes what it has'))).toBeDefined()
    expect(app.tokens.length).toBeGreaterThan(1)
  },
)

test('a client whose encryption key cannot be had is told nothing in clear, holds up no other, and is told once it can', async () => {
  const { app, jwks } = await sealed('sealed-late', 'RSA-OAEP-256')
  const plain = await recorder()
  const hung = new Set<ServerResponse>()
  let isUp = false
  const keys = createServer((_, response) => {
    if (isUp) {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(jwks))
    } else {
      hung.add(response)
    }
  })
  await new Promise<void>((resolve) => keys.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    keys.closeAllConnections()
    keys.close()
  })
  const id = await client('sealed-late', app)
  await client('beside-sealed', plain)
  const reset = await loggedIn('selma', 'sealed-late', 'beside-sealed')
  await world.keycloak.admin.must('PUT', `/demo/clients/${id}`, {
    attributes: {
      [`${ENCRYPTED}.alg`]: 'RSA-OAEP-256',
      'use.jwks.url': 'true',
      'jwks.url': `http://127.0.0.1:${(keys.address() as AddressInfo).port}/jwks`,
    },
  })
  await reset()
  await until('the other client is told', () => plain.tokens.length > 0, { seconds: 60 })
  await until('the refusal is to be seen', async () =>
    (await owed('sealed-late')).some(
      ({ state, last_reason }) => state === 'open' && last_reason === 'not_minted:no_encryption_key',
    ),
  )
  expect(hung.size).toBeGreaterThan(0)
  expect(app.tokens).toEqual([])
  isUp = true
  hung.forEach((response) => response.destroy())
  await until('it is told', () => app.tokens.length > 0, { seconds: 90 })
  expect(app.tokens[0]?.header).toMatchObject({ alg: 'RSA-OAEP-256', enc: 'A128CBC-HS256' })
})

test('a client that wanted encrypted tokens and is deleted at the event is told nothing in clear', async () => {
  const clear = await recorder()
  const id = await client('sealed-gone', clear)
  await client('beside-gone', clear)
  const reset = await loggedIn('selin', 'sealed-gone', 'beside-gone')
  // There is no key, so that it is still owed when the client goes.
  await world.keycloak.admin.must('PUT', `/demo/clients/${id}`, { attributes: { [`${ENCRYPTED}.alg`]: 'RSA-OAEP' } })
  await reset()
  await until('the other client is told', () => clear.tokens.length > 0, { seconds: 60 })
  await world.keycloak.admin.must('DELETE', `/demo/clients/${id}`)
  const attempts = async () => (await owed('sealed-gone'))[0]?.attempts ?? 0
  const before = await attempts()
  await until('it is tried again', async () => (await attempts()) > before + 1, { seconds: 60 })
  expect((await owed('sealed-gone'))[0]).toMatchObject({ state: 'open', last_reason: 'not_minted:no_encryption_key' })
  expect(clear.tokens.map(({ claims }) => claims.aud)).toEqual(['beside-gone'])
})

test('a client that had encrypted tokens and is deleted before the event is told nothing in clear', async () => {
  const clear = await recorder()
  const { jwks } = await sealed('sealed-before', 'RSA-OAEP')
  const id = await client('sealed-before', clear, {
    [`${ENCRYPTED}.alg`]: 'RSA-OAEP',
    ...{ 'use.jwks.string': 'true', 'jwks.string': JSON.stringify(jwks) },
  })
  await client('beside-before', clear)
  const reset = await loggedIn('sena', 'sealed-before', 'beside-before')
  await world.keycloak.admin.must('DELETE', `/demo/clients/${id}`)
  await reset()
  await until('the other client is told', () => clear.tokens.length > 0, { seconds: 60 })
  await until('the refusal is to be seen', async () =>
    (await owed('sealed-before')).some(
      ({ state, last_reason }) => state === 'open' && last_reason === 'not_minted:no_encryption_key',
    ),
  )
  expect(clear.tokens.map(({ claims }) => claims.aud)).toEqual(['beside-before'])
})

test('what a client asks of its logout tokens is as it asks today, not as at the login', async () => {
  const app = await recorder()
  const id = await client('changed-app', app)
  await addKey('ecdsa-generated', { ecdsaEllipticCurveKey: ['P-256'] })
  const reset = await loggedIn('chana', 'changed-app')
  await world.keycloak.admin.must('PUT', `/demo/clients/${id}`, {
    attributes: { 'id.token.signed.response.alg': 'ES256', 'backchannel.logout.revoke.offline.tokens': 'true' },
  })
  await reset()
  await until('it is told', () => app.tokens.length > 0, { seconds: 60 })
  expect(app.tokens[0]?.header.alg).toBe('ES256')
  expect(app.tokens[0]?.claims['events']).toMatchObject({ revoke_offline_access: true })
})

test('a client whose ID tokens have a sid of its own is told that one', async () => {
  const app = await recorder()
  await world.keycloak.admin.createClient('demo', {
    ...{ clientId: 'own-sid', publicClient: true, directAccessGrantsEnabled: true },
    attributes: { 'backchannel.logout.url': app.logoutUri, 'backchannel.logout.session.required': 'true' },
    protocolMappers: [
      {
        ...{ name: 'sid', protocol: 'openid-connect', protocolMapper: 'oidc-usermodel-attribute-mapper' },
        config: {
          'user.attribute': 'email',
          'claim.name': 'sid',
          'jsonType.label': 'String',
          'id.token.claim': 'true',
        },
      },
    ],
  })
  const user = await world.keycloak.admin.createUser('demo', 'sidney', 'password')
  const { id_token = '' } = await world.demo.tokens.directGrant('own-sid', 'sidney', 'password')
  expect(decodeJwt(id_token)['sid']).toBe('sidney@example.org')
  await nextSecond()
  await world.keycloak.admin.resetPassword('demo', user, 'another')
  await until('it is told', () => app.tokens.length > 0, { seconds: 60 })
  expect(app.tokens[0]?.claims['sid']).toBe('sidney@example.org')
})

const CANNOT_BE_SUB = {
  ...{ name: 'sub', protocol: 'openid-connect', protocolMapper: 'oidc-hardcoded-claim-mapper' },
  config: {
    ...{ 'claim.name': 'sub', 'claim.value': 'no number', 'jsonType.label': 'long' },
    ...{ 'id.token.claim': 'true', 'access.token.claim': 'false', 'userinfo.token.claim': 'false' },
  },
}
test.each([
  ['an algorithm of 30 characters', 'odd-alg', { attributes: { 'id.token.signed.response.alg': 'X'.repeat(30) } }],
  ['a mapper that cannot make the sub of an ID token', 'odd-sub', { protocolMappers: [CANNOT_BE_SUB] }],
])('%s fails no login that works without it, and no reset', async (_, clientId, settings) => {
  const plain = await recorder()
  await client(`beside-${clientId}`, plain)
  await world.keycloak.admin.createClient('demo', {
    ...{ clientId, publicClient: true, directAccessGrantsEnabled: true, ...settings },
  })
  const user = await world.keycloak.admin.createUser('demo', `user-of-${clientId}`, 'password')
  // Without an ID token, which Keycloak could not make either.
  await world.demo.tokens.directGrant(clientId, `user-of-${clientId}`, 'password', 'profile')
  await world.demo.tokens.directGrant(`beside-${clientId}`, `user-of-${clientId}`, 'password')
  await nextSecond()
  expect((await world.keycloak.admin.resetPassword('demo', user, 'another')).status).toBe(204)
  await until('the other client is told', () => plain.tokens.length > 0, { seconds: 60 })
})

describe('where Keycloak has no host name but that of each request', () => {
  let realm: DemoRealm

  beforeAll(async () => {
    realm = await startDemoRealm(['--features=scim-api'], '26.7.3', null)
    await realm.keycloak.admin.createClient('demo', {
      ...{ clientId: 'relative', publicClient: true, directAccessGrantsEnabled: true },
      ...{ rootUrl: 'https://app.example.org', attributes: { 'backchannel.logout.url': '/logout' } },
    })
    // The relay asks once.
    await realm.poll({ maxEvents: 0 })
  })

  afterAll(() => realm.stop())

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
  const asTheRelayHasIt = () => ({ iss: realm.keycloak.issuer('demo'), uris: ['https://app.example.org/logout'] })

  test('an event has the issuer that the relay asks with, though the administrator is at another address', async () => {
    const user = await loggedIn('inner')
    const { port } = new URL(realm.keycloak.url)
    const { username, password } = realm.keycloak.adminUser
    await new Admin(`http://127.0.0.1:${port}`, username, password).resetPassword('demo', user, 'another')
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })

  test('so has one that no request makes: a workflow deletes the user', async () => {
    const user = await loggedIn('leaver')
    const made = await realm.keycloak.admin.must('POST', '/demo/workflows', {
      ...{ name: 'leavers', steps: [{ uses: 'delete-user' }] },
    })
    const workflow = String(made.headers['location']).split('/').at(-1) ?? ''
    await realm.keycloak.admin.must('POST', `/demo/workflows/${workflow}/activate/USERS/${user}`)
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })

  test('so has one that comes by SCIM: the account is disabled there', async () => {
    const { admin } = realm.keycloak
    await admin.must('PUT', '/demo', { scimApiEnabled: true })
    const scim = `${realm.keycloak.issuer('demo')}/scim/v2`
    const audience = {
      ...{ name: 'scim', protocol: 'openid-connect', protocolMapper: 'oidc-audience-mapper' },
      config: { 'included.custom.audience': scim, 'access.token.claim': 'true' },
    }
    await admin.createClient('demo', {
      ...{ clientId: 'scim', secret: 'of-scim', serviceAccountsEnabled: true, protocolMappers: [audience] },
    })
    const account = await admin.must<{ id: string }>(
      'GET',
      `/demo/clients/${await admin.clientUuid('demo', 'scim')}/service-account-user`,
    )
    const roles = `clients/${await admin.clientUuid('demo', 'realm-management')}`
    const all = await admin.must<object[]>('GET', `/demo/${roles}/roles`)
    await admin.must('POST', `/demo/users/${account.json().id}/role-mappings/${roles}`, all.json())
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
    expect((await admin.must<{ enabled: boolean }>('GET', `/demo/users/${user}`)).json().enabled).toBe(false)
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })

  test('a session that only Keycloak knows is told at the relative logout URL of its client', async () => {
    const { eventsListeners } = (await realm.keycloak.admin.must<{ eventsListeners: string[] }>('GET', '/demo')).json()
    await realm.keycloak.admin.must('PUT', '/demo', { eventsListeners: ['jboss-logging'] })
    const user = await loggedIn('from-before')
    await realm.keycloak.admin.must('PUT', '/demo', { eventsListeners })
    await realm.keycloak.admin.resetPassword('demo', user, 'another')
    expect(await told(user)).toEqual(asTheRelayHasIt())
  })
})
