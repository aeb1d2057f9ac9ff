import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { EXIT_STATUSES } from '../../relay/cli.ts'
import { freePort, ROOT, until } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

/**
 * What people do wrong on their first day, and what they are told: a sentence with what to do, and an exit status of the table
 * in docs/cli.md. What needs a real Keycloak is in console.test.ts (a missing role, a dead relay) and check.test.ts.
 */
const CLI = join(ROOT, 'relay', 'cli.ts')
let folder: string
let relay: Server
let answer: readonly [status: number, body: object]

beforeAll(async () => {
  folder = temporary('misuse')
  relay = createServer((_, response) => response.writeHead(answer[0]).end(JSON.stringify(answer[1])))
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
})

afterAll(() => {
  relay.close()
})

interface Run {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Run> {
  const { LOGOUT_RELAY_TOKEN: _, ...others } = process.env
  const own = { ...others, LOGOUT_RELAY_LOGIN_FILE: join(folder, 'no-login.json'), ...env }
  const child = spawn(process.execPath, [CLI, ...args], { cwd: folder, env: own })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, out, err }
}

function config(more: string, name = 'relay.yaml'): string {
  const path = join(folder, name)
  writeFileSync(path, `store: { sqlite: ${join(folder, `${name}.db`)} }\n${more}\n`)
  return path
}
const ISSUERS = 'issuers: [{ issuer: "http://127.0.0.1:9/realms/main", client_secret: s }]'
const relayUrl = () => `http://127.0.0.1:${(relay.address() as AddressInfo).port}`

/** Each ends with what is told on standard error, without a stack trace. */
const ROWS: readonly (readonly [
  what: string,
  args: () => readonly string[] | Promise<readonly string[]>,
  env: () => Record<string, string>,
  code: number,
  says: RegExp,
])[] = [
  [
    'no relay.yaml',
    () => ['start'],
    () => ({}),
    78,
    /^logout-relay: There is no config file \S+\/relay\.yaml: name yours with --config or LOGOUT_RELAY_CONFIG.*\n\nissuers:\n {2}- issuer: https/,
  ],
  [
    'a secret file that is not there',
    () => [
      'start',
      '-c',
      config('issuers: [{ issuer: "https://i.example.org/realms/x", client_secret_file: secret }]', 'a.yaml'),
    ],
    () => ({}),
    78,
    /issuers\[0\]\.client_secret_file: \S+\/secret cannot be read: there is no such file in that folder/,
  ],
  [
    'a secret file in a folder that is not there',
    () => [
      'start',
      '-c',
      config('issuers: [{ issuer: "https://i.example.org/realms/x", client_secret_file: run/secret }]', 'b.yaml'),
    ],
    () => ({}),
    78,
    /\S+\/run\/secret cannot be read: there is no such folder \(ENOENT\)\. A path that does not begin with \//,
  ],
  [
    'a secret file that is a folder',
    () => {
      mkdirSync(join(folder, 'folder'), { recursive: true })
      return [
        'start',
        '-c',
        config('issuers: [{ issuer: "https://i.example.org/realms/x", client_secret_file: folder }]', 'c.yaml'),
      ]
    },
    () => ({}),
    78,
    /\S+\/folder cannot be read: it is a folder/,
  ],
  [
    'a port that another program has',
    () => ['start', '-c', config(`${ISSUERS}\nlisten: { port: ${(relay.address() as AddressInfo).port} }`, 'd.yaml')],
    () => ({}),
    78,
    /listen: port \d+ of 127\.0\.0\.1 is in use by another program: end that one, or name another port in listen\.port/,
  ],
  [
    'a certificate that is not there',
    () => [
      'start',
      '-c',
      config(`${ISSUERS}\nlisten: { port: 0, tls: { cert_file: c.pem, key_file: k.pem } }`, 'e.yaml'),
    ],
    () => ({}),
    78,
    /listen\.tls\.cert_file: \S+\/c\.pem cannot be read by this user \(ENOENT\)/,
  ],
  [
    'no token',
    () => ['status'],
    () => ({ LOGOUT_RELAY_URL: relayUrl() }),
    78,
    /There is no access token\. Log in with logout-relay login, or set LOGOUT_RELAY_TOKEN/,
  ],
  [
    'a token that has expired',
    () => {
      answer = [401, { error: 'invalid_token', error_description: 'The token expired 3 min ago: get a fresh one' }]
      return ['status']
    },
    () => ({ LOGOUT_RELAY_URL: relayUrl(), LOGOUT_RELAY_TOKEN: 'a.b.c' }),
    1,
    /The relay refused the token \(401\): The token expired 3 min ago: get a fresh one/,
  ],
  [
    'no relay at the address',
    async () => ['status', '--url', `http://127.0.0.1:${await freePort()}`],
    () => ({ LOGOUT_RELAY_TOKEN: 'a.b.c' }),
    1,
    /No relay answers at http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)/,
  ],
  [
    'a number that is none',
    () => ['containments', '--limit', 'many'],
    () => ({ LOGOUT_RELAY_TOKEN: 'a.b.c' }),
    1,
    /Give a number from 1 to 500/,
  ],
]

test.each(ROWS)(
  '%s is told with what to do, and with an exit status that is documented',
  async (_, args, env, code, says) => {
    const ended = await run(await args(), env())
    expect(ended).toMatchObject({ code, err: expect.stringMatching(says) as string })
    expect(ended.err).not.toMatch(/\n {4}at /)
    expect(EXIT_STATUSES.map(([status]) => status)).toContain(code)
  },
)

test.runIf(process.getuid?.() !== 0)(
  'a secret file that this user may not read is told with the user’s part in it',
  async () => {
    const secret = join(folder, 'foreign')
    writeFileSync(secret, 's')
    chmodSync(secret, 0)
    const path = config(
      `issuers: [{ issuer: "https://i.example.org/realms/x", client_secret_file: ${secret} }]`,
      'f.yaml',
    )
    expect(await run(['start', '-c', path])).toMatchObject({
      code: 78,
      err: expect.stringMatching(/may not read it.*Give it to that user/) as string,
    })
  },
)

test('check says that the port is another program’s, beside all else that it finds', async () => {
  const { port } = relay.address() as AddressInfo
  const path = config(`${ISSUERS}\nlisten: { port: ${port} }`, 'g.yaml')
  const { code, out } = await run(['check', '-c', path])
  expect([code, out]).toEqual([
    1,
    expect.stringMatching(/^TO DO {2}listen {2}127\.0\.0\.1:\d+ {2}port \d+ .* is in use by another program/m),
  ])
  const free = await run(['check', '-c', config(`${ISSUERS}\nlisten: { port: ${await freePort()} }`, 'h.yaml')])
  expect(free.out).toMatch(/^ok {5}listen {2}127\.0\.0\.1:\d+ {2}is free$/m)
})

/** A realm that knows neither our client nor our secret. */
async function realmThatRefuses(): Promise<string> {
  const realm = createServer((question, response) => {
    const issuer = `http://127.0.0.1:${(realm.address() as AddressInfo).port}/realms/main`
    response.setHeader('content-type', 'application/json')
    if (question.url?.includes('.well-known') === true) {
      response.end(JSON.stringify({ issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }))
    } else {
      response.writeHead(401).end(JSON.stringify({ error: 'unauthorized_client' }))
    }
  })
  await new Promise<void>((resolve) => realm.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    realm.closeAllConnections()
    realm.close()
  })
  return `http://127.0.0.1:${(realm.address() as AddressInfo).port}/realms/main`
}

test('a wrong secret keeps the relay waiting, and its log, in words for levels, and /readyz say what to do', async () => {
  const issuer = await realmThatRefuses()
  const port = await freePort()
  const path = config(`issuers: [{ issuer: "${issuer}", client_secret: wrong }]\nlisten: { port: ${port} }`, 'i.yaml')
  const child = spawn(process.execPath, [CLI, 'start', '-c', path], { cwd: folder })
  onTestFinished(() => void child.kill())
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  await until('it waits', () => out.includes('Waiting for the identity provider'), { seconds: 60 })
  const waiting = out.split('\n').find((line) => line.includes('Waiting for')) ?? ''
  const says = /gives the relay no token \(401 unauthorized_client\): .*is this its secret\?/
  expect(JSON.parse(waiting)).toMatchObject({ level: 'warn', why: expect.stringMatching(says) as string })
  const ready = await fetch(`http://127.0.0.1:${port}/readyz`)
  expect([ready.status, await ready.text()]).toEqual([503, expect.stringMatching(says)])
  expect(out).not.toContain('wrong')
})

test('a relay whose reader has gone goes on', async () => {
  const port = await freePort()
  const path = config(`${ISSUERS}\nlisten: { port: ${port} }`, 'j.yaml')
  const child = spawn(process.execPath, [CLI, 'start', '-c', path], { cwd: folder })
  onTestFinished(() => void child.kill())
  child.stdout.destroy()
  const answers = () =>
    fetch(`http://127.0.0.1:${port}/healthz`).then(
      ({ status }) => status === 200,
      () => false,
    )
  await until('it is up', answers, { seconds: 60 })
  expect([child.exitCode, await answers()]).toEqual([null, true])
})
