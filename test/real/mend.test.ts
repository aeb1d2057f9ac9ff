import { execFile } from 'node:child_process'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { compactDecrypt, createRemoteJWKSet, exportJWK, generateKeyPair, decodeJwt, jwtVerify } from 'jose'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { World } from '../../scripts/demo/world.ts'
import { call } from '../../scripts/stage/http.ts'
import type { KeycloakAt } from '../../scripts/stage/keycloak.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { nextSecond } from './demo-realm.ts'
import { type Recorder, startRecorder } from './recorder.ts'
import { startSharedWorld } from './shared.ts'

/** What people who run Keycloak have met, on a real one: keys, algorithms and addresses that change at a bad moment. */

let world: World<KeycloakAt>

/** A client that the relay comes to know within a minute, while the tests run. */
let moved: { id: string; old: Recorder }

beforeAll(async () => {
  world = await startSharedWorld('mend')
  const old = await startRecorder()
  moved = { id: await client('moved-app', old), old }
})

afterAll(async () => {
  moved.old.close()
  await world.relay.stop()
  await world.stop()
})

async function recorder(): Promise<Recorder> {
  const started = await startRecorder()
  onTestFinished(() => started.close())
  return started
}

async function client(clientId: string, { logoutUri }: Recorder, more: Record<string, string> = {}): Promise<string> {
  await world.demo.admin.must('POST', '/clients', {
    ...{ clientId, publicClient: true, directAccessGrantsEnabled: true },
    attributes: { 'backchannel.logout.url': logoutUri, ...more },
  })
  const found = await world.demo.admin.must<{ id: string }[]>('GET', `/clients?clientId=${clientId}`)
  return found.json()[0]?.id ?? ''
}

/** Somebody who has a session at each client; resolves to what resets their password. */
async function loggedIn(name: string, ...clientIds: string[]): Promise<() => Promise<void>> {
  const user = await world.demo.admin.createUser(name, 'password')
  for (const clientId of clientIds) {
    await world.demo.tokens.directGrant(clientId, name, 'password')
  }
  await nextSecond()
  return async () => {
    expect((await world.demo.admin.resetPassword(user, 'another')).status).toBe(204)
  }
}

const realmId = async () => (await world.demo.admin.must<{ id: string }>('GET', '')).json().id
const addKey = async (providerId: string, config: Record<string, string[]>) =>
  world.demo.admin.must('POST', '/components', {
    ...{ name: `${providerId} of a test`, providerId, providerType: 'org.keycloak.keys.KeyProvider' },
    ...{ parentId: await realmId(), config: { priority: ['900'], enabled: ['true'], active: ['true'], ...config } },
  })
const signsWith = (defaultSignatureAlgorithm: string) => world.demo.admin.must('PUT', '', { defaultSignatureAlgorithm })

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
  const issuer = world.demo.issuer
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
  const claims = Buffer.from(JSON.stringify({ iss: world.demo.issuer })).toString('base64url')
  const authorization = `Bearer ${header}.${claims}.c2ln`
  expect((await call('GET', `${world.relay.url}/api/v1/deliveries`, { headers: { authorization } })).status).toBe(401)
  await addKey('rsa-generated', { keySize: ['2048'] })
  const beganMs = performance.now()
  await reset()
  await until('it is told', () => app.tokens.length > 0, { seconds: 60 })
  expect(performance.now() - beganMs).toBeLessThan(15_000)
  expect(await world.relay.metrics()).not.toMatch(/logout_relay_events_total\{[^}]*invalid_key/)
})

test('a realm that signs with Ed448 is understood, and one that signs with a secret is found by the check', async () => {
  const app = await recorder()
  await client('edwards-app', app)
  await addKey('eddsa-generated', { eddsaEllipticCurveKey: ['Ed448'] })
  const before = (await world.demo.admin.must<{ defaultSignatureAlgorithm: string }>('GET', '')).json()
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
      ...{ alg, enc: enc ?? 'A128CBC-HS256', cty: 'JWT', kid: `of ${clientId}`, iss: world.demo.issuer },
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
  await world.demo.admin.must('PUT', `/clients/${id}`, {
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
  await world.demo.admin.must('PUT', `/clients/${id}`, { attributes: { [`${ENCRYPTED}.alg`]: 'RSA-OAEP' } })
  await reset()
  await until('the other client is told', () => clear.tokens.length > 0, { seconds: 60 })
  await world.demo.admin.must('DELETE', `/clients/${id}`)
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
  await world.demo.admin.must('DELETE', `/clients/${id}`)
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
  await world.demo.admin.must('PUT', `/clients/${id}`, {
    attributes: { 'id.token.signed.response.alg': 'ES256', 'backchannel.logout.revoke.offline.tokens': 'true' },
  })
  await reset()
  await until('it is told', () => app.tokens.length > 0, { seconds: 60 })
  expect(app.tokens[0]?.header.alg).toBe('ES256')
  expect(app.tokens[0]?.claims['events']).toMatchObject({ revoke_offline_access: true })
})

test('a client whose ID tokens have a sid of its own is told that one', async () => {
  const app = await recorder()
  await world.demo.admin.createClient({
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
  const user = await world.demo.admin.createUser('sidney', 'password')
  const { id_token = '' } = await world.demo.tokens.directGrant('own-sid', 'sidney', 'password')
  expect(decodeJwt(id_token)['sid']).toBe('sidney@example.org')
  await nextSecond()
  await world.demo.admin.resetPassword(user, 'another')
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
  await world.demo.admin.createClient({
    ...{ clientId, publicClient: true, directAccessGrantsEnabled: true, ...settings },
  })
  const user = await world.demo.admin.createUser(`user-of-${clientId}`, 'password')
  // Without an ID token, which Keycloak could not make either.
  await world.demo.tokens.directGrant(clientId, `user-of-${clientId}`, 'password', 'profile')
  await world.demo.tokens.directGrant(`beside-${clientId}`, `user-of-${clientId}`, 'password')
  await nextSecond()
  expect((await world.demo.admin.resetPassword(user, 'another')).status).toBe(204)
  await until('the other client is told', () => plain.tokens.length > 0, { seconds: 60 })
})

test('a logout URL that is changed just before a reset is the one that is told', async () => {
  const { id, old } = moved
  const now = await recorder()
  const reset = await loggedIn('moni', 'moved-app')
  const headers = { authorization: `Bearer ${world.operatorToken}` }
  const listed = () => call<object>('GET', `${world.relay.url}/api/v1/relying-parties`, { headers })
  await until('the relay knows the old one', async () => (await listed()).text.includes(old.logoutUri), { seconds: 90 })
  await world.demo.admin.must('PUT', `/clients/${id}`, {
    attributes: { 'backchannel.logout.url': now.logoutUri },
  })
  // The check has asked it what it takes.
  const before = old.tokens.length
  await reset()
  await until('the new one is told', () => now.tokens.length > 0, { seconds: 60 })
  expect(old.tokens).toHaveLength(before)
})
