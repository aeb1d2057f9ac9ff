import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startWorld, type World } from '../../scripts/demo/world.ts'
import { call } from '../../scripts/stage/http.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { nextSecond } from './demo-realm.ts'
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

async function client(clientId: string, { logoutUri }: Recorder): Promise<string> {
  await world.keycloak.admin.must('POST', '/demo/clients', {
    ...{ clientId, publicClient: true, directAccessGrantsEnabled: true },
    attributes: { 'backchannel.logout.url': logoutUri },
  })
  const found = await world.keycloak.admin.must<{ id: string }[]>('GET', `/demo/clients?clientId=${clientId}`)
  return found.json()[0]?.id ?? ''
}

/** Somebody who has a session at the client; resolves to what resets their password. */
async function loggedIn(name: string, clientId: string): Promise<() => Promise<void>> {
  const user = await world.keycloak.admin.createUser('demo', name, 'password')
  await world.demo.tokens.directGrant(clientId, name, 'password')
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
