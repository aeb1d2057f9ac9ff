import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { keepLogin, keptLogin, loginFile } from '../../relay/cli/kept-login.ts'
import { accessToken, freshToken } from '../../relay/cli/token.ts'
import { NOW_MS, temporaryFolder } from './given.ts'

/** A stand-in for a realm's token endpoint; the real one is asked in test/real/login.test.ts. */
async function realmThatAnswers(status: number, body: object) {
  const seen: { authorization: string | undefined; form: Record<string, string> }[] = []
  const server = createServer((question, response) => {
    let text = ''
    question.on('data', (chunk: Buffer) => (text += chunk.toString()))
    question.on('end', () => {
      response.setHeader('content-type', 'application/json')
      if (question.url?.includes('.well-known') === true) {
        response.end(JSON.stringify({ issuer: issuer(), token_endpoint: `${issuer()}/token` }))
      } else {
        seen.push({
          authorization: question.headers.authorization,
          form: Object.fromEntries(new URLSearchParams(text)),
        })
        response.writeHead(status).end(JSON.stringify(body))
      }
    })
  })
  const issuer = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/main`
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { issuer: issuer(), seen }
}

const here = () => ({ LOGOUT_RELAY_LOGIN_FILE: join(temporaryFolder(), 'state', 'login.json') })
const login = (issuer: string, expires_at_ms: number) => ({
  ...{ issuer, client_id: 'operator', access_token: 'kept', refresh_token: 'r', expires_at_ms },
})
const ISSUED = { access_token: 'issued', token_type: 'Bearer', expires_in: 300, refresh_token: 'next' }

test('the token in the environment counts before all else, and is sent as it is', async () => {
  expect(await accessToken({ LOGOUT_RELAY_TOKEN: 'a.b.c', LOGOUT_RELAY_CLIENT_SECRET: 's' }, NOW_MS)).toBe('a.b.c')
})

test.each<[string, Record<string, string>, RegExp]>([
  ['none at all', {}, /There is no access token\. Log in with logout-relay login, or set LOGOUT_RELAY_TOKEN/],
  [
    'one with a line break',
    { LOGOUT_RELAY_TOKEN: 'a\r\nx: y' },
    /LOGOUT_RELAY_TOKEN holds something that is no access token/,
  ],
  [
    'a secret and no client',
    { LOGOUT_RELAY_CLIENT_SECRET: 's' },
    /no LOGOUT_RELAY_ISSUER and no LOGOUT_RELAY_CLIENT_ID/,
  ],
  ['a secret twice', { LOGOUT_RELAY_CLIENT_SECRET: 's', LOGOUT_RELAY_CLIENT_SECRET_FILE: '/x' }, /are both set/],
  [
    'a secret file that is not there',
    { LOGOUT_RELAY_CLIENT_SECRET_FILE: '/not/there' },
    /_FILE: \/not\/there cannot be read by this user \(ENOENT\)/,
  ],
  ['a secret file that is empty', { LOGOUT_RELAY_CLIENT_SECRET_FILE: '/dev/null' }, /\/dev\/null is empty/],
  [
    'a realm over plain http',
    {
      LOGOUT_RELAY_CLIENT_SECRET: 's',
      LOGOUT_RELAY_CLIENT_ID: 'c',
      LOGOUT_RELAY_ISSUER: 'http://idp.example.org/realms/main',
    },
    /must be https/,
  ],
])('with %s nothing is sent, and what to do is said', async (_, env, says) => {
  await expect(accessToken({ ...here(), ...env }, NOW_MS)).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringMatching(says) as string,
  })
})

test('a client in the environment gets a token of its own, where nobody has logged in', async () => {
  const { issuer, seen } = await realmThatAnswers(200, ISSUED)
  const file = join(temporaryFolder(), 'secret')
  writeFileSync(file, 'very secret\n')
  const env = {
    ...here(),
    ...{ LOGOUT_RELAY_ISSUER: issuer, LOGOUT_RELAY_CLIENT_ID: 'operator', LOGOUT_RELAY_CLIENT_SECRET_FILE: file },
  }
  expect(await accessToken(env, NOW_MS)).toBe('issued')
  const basic = Buffer.from('operator:very+secret').toString('base64')
  expect(seen).toEqual([{ authorization: `Basic ${basic}`, form: { grant_type: 'client_credentials' } }])
  keepLogin(env, login(issuer, NOW_MS + 60_000))
  expect(await accessToken(env, NOW_MS)).toBe('kept')
})

test('a wrong secret is said with the client, where it is set, and not the secret', async () => {
  const { issuer } = await realmThatAnswers(401, { error: 'unauthorized_client' })
  const env = {
    ...here(),
    ...{ LOGOUT_RELAY_ISSUER: issuer, LOGOUT_RELAY_CLIENT_ID: 'operator', LOGOUT_RELAY_CLIENT_SECRET: 'wrong-one' },
  }
  const failure: unknown = await accessToken(env, NOW_MS).catch((cause: unknown) => cause)
  expect(failure).toMatchObject({
    code: 'access_denied',
    message: expect.stringMatching(
      /the client operator no token \(401 unauthorized_client\).*LOGOUT_RELAY_CLIENT_SECRET/,
    ) as string,
  })
  expect(String(failure)).not.toContain('wrong-one')
})

test('a login is kept for its user alone, and refused where others can read it', async () => {
  const env = here()
  const file = keepLogin(env, login('https://idp.example.org/realms/main', NOW_MS + 60_000))
  expect([file, (statSync(file).mode & 0o777).toString(8), (statSync(dirname(file)).mode & 0o777).toString(8)]).toEqual(
    [...[env.LOGOUT_RELAY_LOGIN_FILE, '600', '700']],
  )
  expect(await accessToken(env, NOW_MS)).toBe('kept')
  chmodSync(file, 0o644)
  await expect(accessToken(env, NOW_MS)).rejects.toThrow(/can be read by others.*run logout-relay login/)
  writeFileSync(file, 'garbage')
  chmodSync(file, 0o600)
  await expect(accessToken(env, NOW_MS)).rejects.toThrow(/holds no login: run logout-relay login/)
})

test('a login whose token ends is renewed, and what is renewed is kept', async () => {
  const { issuer, seen } = await realmThatAnswers(200, ISSUED)
  const env = here()
  keepLogin(env, login(issuer, NOW_MS))
  expect(await accessToken(env, NOW_MS)).toBe('issued')
  expect(seen).toMatchObject([{ form: { grant_type: 'refresh_token', refresh_token: 'r' } }])
  expect(keptLogin(env)).toEqual({ ...login(issuer, NOW_MS + 300_000), access_token: 'issued', refresh_token: 'next' })
})

test('a fresh token is asked for although the one that is kept has not ended; one that is given is what it is', async () => {
  const { issuer, seen } = await realmThatAnswers(200, ISSUED)
  const env = here()
  keepLogin(env, login(issuer, NOW_MS + 60_000))
  expect(await freshToken({ ...env, LOGOUT_RELAY_TOKEN: 'given' }, NOW_MS)).toBe('given')
  expect(seen).toEqual([])
  expect(await freshToken(env, NOW_MS)).toBe('issued')
  expect(keptLogin(env)).toMatchObject({ access_token: 'issued', refresh_token: 'next' })
  const { refresh_token: _, ...withoutRefresh } = login(issuer, NOW_MS + 60_000)
  keepLogin(env, withoutRefresh)
  expect(await freshToken(env, NOW_MS)).toBe('kept')
})

test('a login that the realm has ended says for how long, and is forgotten', async () => {
  const { issuer } = await realmThatAnswers(400, { error: 'invalid_grant' })
  const env = here()
  keepLogin(env, login(issuer, NOW_MS - 180_000))
  await expect(accessToken(env, NOW_MS)).rejects.toMatchObject({
    code: 'access_denied',
    message: `The login at ${issuer} expired 3 min ago: run logout-relay login`,
  })
  expect(existsSync(env.LOGOUT_RELAY_LOGIN_FILE)).toBe(false)
})

test('a realm that is away does not cost the login', async () => {
  const env = here()
  keepLogin(env, login('http://127.0.0.1:9/realms/main', NOW_MS))
  await expect(accessToken(env, NOW_MS)).rejects.toMatchObject({ code: 'idp_unavailable' })
  expect(existsSync(env.LOGOUT_RELAY_LOGIN_FILE)).toBe(true)
})

test('a folder that cannot be written is named, with the setting', () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'file'), '')
  mkdirSync(join(folder, 'x'))
  const env = { LOGOUT_RELAY_LOGIN_FILE: join(folder, 'file', 'login.json') }
  expect(() => keepLogin(env, login('https://i', 1))).toThrow(/cannot be written .*LOGOUT_RELAY_LOGIN_FILE/)
  expect(loginFile({ XDG_STATE_HOME: '/s' })).toBe('/s/logout-relay/login.json')
  expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('')
})
