import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { EXIT_STATUSES } from '../../relay/cli.ts'
import { freePort, ROOT, type Running, start, until, untilUp } from '../../scripts/stage/process.ts'
import { StandInIdp } from '../../scripts/stage/stand-in-idp.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

/**
 * What people do wrong on their first day, and what they are told: a sentence with what to do, and an exit status of the table
 * in docs/cli.md. What needs a real Keycloak is in console.test.ts (a role that is taken away, a dead relay) and check.test.ts,
 * a Node that is too old in install.test.ts, a reader that goes in commands.test.ts.
 */
const CLI = join(ROOT, 'relay', 'cli.ts')
/** Linux lets nobody read it, not even root. */
const CLOSED = '/proc/sys/net/ipv4/route/flush'
let folder: string
let relay: Server

beforeAll(async () => {
  folder = temporary('misuse')
  relay = createServer((_, response) => response.end('{}'))
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
const QUIET = { outbox: { waiting: 0, refused: 0 }, issuer_fixed: true, clock_ahead_ms: 0 }
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
    'a secret file that this user may not read',
    () => [
      'start',
      '-c',
      config(`issuers: [{ issuer: "https://i.example.org/realms/x", client_secret_file: ${CLOSED} }]`, 'f.yaml'),
    ],
    () => ({}),
    78,
    /issuers\[0\]\.client_secret_file: \S+ cannot be read: the user that this runs as may not read it.*Give it to that user/,
  ],
  [
    'a secret file that is empty',
    () => [
      'start',
      '-c',
      config('issuers: [{ issuer: "https://i.example.org/realms/x", client_secret_file: /dev/null }]', 'k.yaml'),
    ],
    () => ({}),
    78,
    /issuers\[0\]\.client_secret_file: \/dev\/null is empty: put the client’s secret there/,
  ],
  [
    'a CA file that is not there',
    () => ['start', '-c', config(ISSUERS.replace(' }]', ', ca_file: ca.pem }]'), 'l.yaml')],
    () => ({}),
    78,
    /issuers\[0\]\.ca_file: \S+\/ca\.pem cannot be read: there is no such file in that folder/,
  ],
  [
    'a CA file of a command that is no PEM',
    () => ['status', '--ca-file', '/dev/null'],
    () => ({ LOGOUT_RELAY_TOKEN: 'a.b.c' }),
    78,
    /--ca-file, LOGOUT_RELAY_CA_FILE: \/dev\/null does not hold certificates in PEM form: .*openssl x509/,
  ],
  [
    'a field that is misspelt',
    () => ['start', '-c', config(`${ISSUERS}\nlisen: {}`, 'm.yaml')],
    () => ({}),
    78,
    /m\.yaml: does not know "lisen"; is it misspelt\?/,
  ],
  [
    'a command that there is not',
    () => ['statsu'],
    () => ({}),
    1,
    /unknown command 'statsu'\n\(Did you mean status\?\)/,
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

interface Realm {
  /** Instead of the right ones. */
  readonly metadata?: object
  readonly token?: readonly [status: number, body: object]
  readonly extension?: readonly [status: number, body: object]
}

/** A realm with something amiss; says its issuer. */
async function realmWith({ metadata, token, extension }: Realm): Promise<string> {
  const realm = createServer((question, response) => {
    const issuer = `http://127.0.0.1:${(realm.address() as AddressInfo).port}/realms/main`
    const right = { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }
    const [status, body] = question.url?.includes('.well-known')
      ? [metadata ? 404 : 200, metadata ?? right]
      : question.url?.endsWith('/token')
        ? (token ?? [200, { access_token: 'opaque', token_type: 'Bearer' }])
        : question.url?.endsWith('/certs')
          ? [200, { keys: [] }]
          : (extension ?? [404, {}])
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => realm.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    realm.closeAllConnections()
    realm.close()
  })
  return `http://127.0.0.1:${(realm.address() as AddressInfo).port}/realms/main`
}

test.each<[string, () => Promise<string>, RegExp]>([
  [
    'a wrong secret',
    () => realmWith({ token: [401, { error: 'unauthorized_client' }] }),
    /gives the relay no token \(401 unauthorized_client\): .*is this its secret\?/,
  ],
  [
    'a role that is missing',
    () => realmWith({ extension: [403, {}] }),
    /relying-parties answered 403: give the service account of the relay's client the role "relying-parties"/,
  ],
  [
    'an extension that is not there',
    () => realmWith({}),
    /answered 404: is the extension installed in this Keycloak\?/,
  ],
  [
    'a realm that is not there',
    () => realmWith({ metadata: { error: 'Realm does not exist' } }),
    /has no metadata there: is the realm there and enabled, and is the path in issuers\.issuer complete\?/,
  ],
  [
    'a realm of another name',
    async () => (await realmWith({})).replace('127.0.0.1', 'localhost'),
    /calls itself something else: write that in issuers\.issuer, or set Keycloak’s --hostname/,
  ],
  [
    'a Keycloak that is not there',
    async () => `http://127.0.0.1:${await freePort()}/realms/main`,
    /cannot be reached \(ECONNREFUSED\)/,
  ],
])(
  '%s keeps the relay waiting, and its log, in words for levels, and /readyz say what to do',
  async (_, realm, says) => {
    const issuer = await realm()
    const port = await freePort()
    const path = config(`issuers: [{ issuer: "${issuer}", client_secret: wrong }]\nlisten: { port: ${port} }`, 'i.yaml')
    const child = spawn(process.execPath, [CLI, 'start', '-c', path], { cwd: folder })
    const ended = new Promise((resolve) => child.on('close', resolve))
    onTestFinished(async () => {
      child.kill()
      await ended
    })
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    await until('it waits', () => out.includes('Waiting for the identity provider'), { seconds: 60 })
    const waiting = out.split('\n').find((line) => line.includes('Waiting for')) ?? ''
    expect(JSON.parse(waiting)).toMatchObject({ level: 'warn', why: expect.stringMatching(says) as string })
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`)
    const { waiting_for } = (await ready.json()) as { waiting_for: string[] }
    expect([ready.status, waiting_for]).toEqual([503, [expect.stringMatching(says)]])
    expect(out).not.toContain('wrong')
  },
)

test('a relay whose CA is not known here is told from one that is not there, and is reached once its CA is named', async () => {
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...{ keyType: 'ec', algorithm: 'sha256' },
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }],
  })
  const server = createHttpsServer({ cert, key }, (_, response) => response.end('{"changes":[]}'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const env = { LOGOUT_RELAY_TOKEN: 'a.b.c', LOGOUT_RELAY_URL: url }
  const says = /has a certificate of a CA that is not trusted here \(\w+\): .*in --ca-file or LOGOUT_RELAY_CA_FILE/
  expect(await run(['changes'], env)).toMatchObject({ code: 1, err: expect.stringMatching(says) as string })
  const file = join(folder, 'known.pem')
  writeFileSync(file, cert)
  expect(await run(['changes', '--ca-file', file], env)).toMatchObject({ code: 0, err: '' })
  expect(await run(['changes'], { ...env, LOGOUT_RELAY_CA_FILE: file })).toMatchObject({ code: 0, err: '' })
})

describe('a relay that runs', () => {
  const roles = ['view']
  let idp: StandInIdp
  let running: Running
  let path: string
  let url: string
  const readiness = async () => (await (await fetch(`${url}/readyz`)).json()) as { to_do: string[] }
  const stranger = () => idp.operatorToken(roles, { iss: 'https://idp.example.org/realms/other' })

  beforeAll(async () => {
    idp = await StandInIdp.start([])
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    path = config(
      `issuers: [{ issuer: "${idp.issuer}", client_secret: ${idp.clientSecret}, poll_interval_s: 0.2 }]\nlisten: { port: ${port} }`,
      'runs.yaml',
    )
    running = start(process.execPath, [CLI, 'start', '-c', path], { cwd: folder, logFile: join(folder, 'log') })
    const ready = () => fetch(`${url}/readyz`).then(({ status }) => status === 200)
    await untilUp('The relay is not ready', running, ready, 60)
  })

  afterAll(async () => {
    await running.stop()
    idp.stop()
  })

  test.each<[string, () => Promise<string>, RegExp]>([
    [
      'has expired',
      () => idp.operatorToken(roles, { exp: Math.floor(Date.now() / 1000) - 180 }),
      /\(401\): The token expired 3 min( \d s)? ago: get a fresh one/,
    ],
    [
      'is garbage',
      () => Promise.resolve('garbage'),
      /\(401\): This is no token that the relay can read: send an access/,
    ],
    [
      'is of another realm',
      stranger,
      /\(401\): The token is of an issuer \(iss\) that this relay does not serve: log in/,
    ],
    [
      'is not signed by the realm',
      async () => `${(await idp.operatorToken(roles)).split('.').slice(0, 2).join('.')}.${'A'.repeat(86)}`,
      /\(401\): The token is not signed by its realm, or with a key .*: get a fresh one/,
    ],
    [
      'is for another audience',
      () => idp.operatorToken(roles, { aud: 'shop' }),
      /\(401\): The token is not for the audience logout-relay: its holder needs a role of the client logout-relay/,
    ],
    [
      'lacks the role',
      () => idp.operatorToken(['guard']),
      /\(403\): It takes the role view of the client logout-relay/,
    ],
    [
      'was issued to a client that may not act',
      () => idp.operatorToken(roles, { azp: 'shop' }),
      /\(403\): Tokens of the client shop do not count here: log in through a client that issuers\[\]\.clients/,
    ],
  ])('tells whoever comes with a token that %s what is wrong with it, and the status is 1', async (_, token, says) => {
    const ended = await run(['status'], { LOGOUT_RELAY_URL: url, LOGOUT_RELAY_TOKEN: await token() })
    expect(ended).toMatchObject({ code: 1, out: '', err: expect.stringMatching(says) as string })
  })

  test('keeps another from its store, which says so and ends with 1', async () => {
    const other = join(folder, 'other.yaml')
    writeFileSync(other, `store: { sqlite: ${path}.db }\n${ISSUERS}\nlisten: { port: 0 }\n`)
    expect(await run(['start', '-c', other])).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^logout-relay: Another process uses the store \S+runs\.yaml\.db; stop it, or give this relay a file of its own/,
      ) as string,
    })
  })

  test('says that push does not arrive where its URL leads elsewhere, and so does check', async () => {
    idp.realm = { listener: true, push: true, audience: 'logout-relay', keycloak: '26.7.3', ...QUIET }
    const isTold = async () => {
      await idp.reset([])
      return (await readiness()).to_do.some((one) => one.includes('push does not arrive'))
    }
    await until('it is told', isTold, { seconds: 120, everyMs: 500 })
    const { code, out } = await run(['check', '-c', path])
    expect([code, out]).toEqual([
      1,
      expect.stringMatching(
        /^TO DO {2}relay .*push does not arrive: the last \d+ events came by the poll.*Is the extension’s push-url this relay’s \/events/m,
      ),
    ])
  })
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
