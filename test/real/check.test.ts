import { execFile } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import type { World } from '../../scripts/demo/world.ts'
import type { KeycloakAt } from '../../scripts/stage/keycloak.ts'
import { ROOT, until } from '../../scripts/stage/process.ts'
import { startRedis } from '../../scripts/stage/redis.ts'
import type { RelayServer } from '../../scripts/stage/relay.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { nextSecond } from './demo-realm.ts'
import { startRecorder } from './recorder.ts'
import { startSharedWorld } from './shared.ts'

const CLI = join(ROOT, 'relay', 'cli.ts')
const DAY_MS = 86_400_000

let world: World<KeycloakAt>
let dir: string
let relay: RelayServer

beforeAll(async () => {
  world = await startSharedWorld('check')
  relay = world.relay
  dir = temporary('check')
})

afterAll(async () => {
  await relay.stop()
  await world.stop()
})

interface Line {
  readonly check: string
  readonly about: string
  readonly ok: boolean
  readonly says: string
}

const run = (args: readonly string[], env: Record<string, string> = {}) =>
  promisify(execFile)(process.execPath, [CLI, ...args], { env: { ...process.env, ...env } }).then(
    (done) => ({ ...done, code: 0 }),
    (failed: unknown) => failed as { code: number; stdout: string },
  )

/** Runs the command as a person does; answers its exit status and its lines. Its clock may be `aheadMs`. */
async function check(file = join(world.relay.dir, 'relay.yaml'), aheadMs = 0) {
  const shift = `data:text/javascript,const now = Date.now; Date.now = () => now() + ${aheadMs}`
  const env: Record<string, string> = aheadMs > 0 ? { NODE_OPTIONS: `--import=${encodeURI(shift)}` } : {}
  const { code, stdout } = await run(['check', '--json', '--config', file], env)
  const lines = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)
  return { status: code, lines, todo: lines.filter(({ ok }) => !ok) }
}

/** What is changed of a relay.yaml here. */
interface Yaml {
  listen: { port: number; tls?: { cert_file: string; key_file: string } }
  store: object
  identifier?: string
  issuers: [{ issuer: string; client_secret: string; signing?: object }]
  console: { issuer: string; client_secret: string; url: string }
  security_feed?: object
  relying_parties?: object[]
}

/** The relay's config, changed. */
function configWith(change: (config: Yaml) => void): string {
  const config = parse(readFileSync(join(world.relay.dir, 'relay.yaml'), 'utf8')) as Yaml
  change(config)
  const file = join(dir, 'relay.yaml')
  writeFileSync(file, stringify(config), { mode: 0o600 })
  return file
}

const admin = () => world.demo.admin

/** A client of a realm and one of its roles, as the Admin API takes them. */
async function roleOf(client: string, role: string) {
  const uuid = await admin().clientUuid(client)
  return { uuid, role: (await admin().must('GET', `/clients/${uuid}/roles/${role}`)).json() }
}

/** Changes the relay's own account: takes a role, or gives one. */
async function account(method: 'POST' | 'DELETE', client: string, role: string) {
  const user = await admin().userId('service-account-logout-relay')
  const { uuid, role: named } = await roleOf(client, role)
  await admin().must(method, `/users/${user}/role-mappings/clients/${uuid}`, [named])
}

/** Changes what it is given of a client, or of the realm, and answers how to take that back. */
async function alter(path: string, change: object): Promise<() => Promise<unknown>> {
  const before = (await admin().must<{ attributes?: object }>('GET', path)).json()
  const attributes =
    'attributes' in change ? { attributes: { ...before.attributes, ...(change.attributes as object) } } : {}
  await admin().must('PUT', path, { ...before, ...change, ...attributes })
  return () => admin().must('PUT', path, before)
}
const client = async (clientId: string) => `/clients/${await admin().clientUuid(clientId)}`

/** A certificate of this machine, with its key, in files. */
async function pair(name: string, endsMs: number) {
  const made = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    notBeforeDate: new Date(Date.now() - 30 * DAY_MS),
    notAfterDate: new Date(endsMs),
  })
  const files = { cert_file: join(dir, `${name}.pem`), key_file: join(dir, `${name}-key.pem`) }
  writeFileSync(files.cert_file, made.cert)
  writeFileSync(files.key_file, made.private)
  return { ...files, cert: made.cert, private: made.private }
}

/** Beside the relay that runs. */
const elsewhere = (config: Yaml) => {
  config.store = { sqlite: join(dir, 'another.db') }
  config.listen.port = 0
}

interface Broken {
  /** Instead of the relay's own. */
  readonly config?: string
  readonly aheadMs?: number
  readonly mend?: () => unknown
}

interface Row {
  readonly what: string
  readonly breaks: () => Broken | Promise<Broken>
  /** The lines that must then say what to do: which check, about what, in what words. */
  readonly todo: readonly (readonly [check: string, about: RegExp, says: RegExp])[]
}

/** As a row is written here. */
const row = (what: string, breaks: Row['breaks'], ...todo: Row['todo']): Row => ({ what, breaks, todo })

/** Wrong only in relay.yaml, or in what it names. */
const HERE: readonly Row[] = [
  row(
    'the store is to be in a folder that is a file',
    () => ({ config: configWith((config) => (config.store = { sqlite: join(CLI, 'relay.db') })) }),
    ['store', /cli\.ts\/relay\.db$/, /is a file; name another folder/],
  ),
  row(
    'the store is no database',
    () => {
      const file = join(dir, 'torn.db')
      writeFileSync(file, 'not a database at all, but long enough to be read as one')
      return { config: configWith((config) => (config.store = { sqlite: file })) }
    },
    ['store', /torn\.db$/, /put a backup in its place/],
  ),
  row('the relay listens elsewhere', () => ({ config: configWith((config) => (config.listen = { port: 9 })) }), [
    'relay',
    /^http:\/\/127\.0\.0\.1:9$/,
    /does not answer: does listen in this config say where it runs\?/,
  ]),
  row(
    'nobody is at the address of Redis',
    () => ({ config: configWith((config) => (config.store = { redis: { nodes: ['127.0.0.1:9'] } })) }),
    ['store', /Redis|127\.0\.0\.1:9/, /cannot be used: .*ECONNREFUSED/],
  ),
  row(
    'Redis forgets when it is full',
    async () => {
      const redis = await startRedis(['--maxmemory-policy', 'allkeys-lru'])
      const nodes = [`127.0.0.1:${redis.port}`]
      return { config: configWith((config) => (config.store = { redis: { nodes } })), mend: () => redis.stop() }
    },
    ['store', /^127\.0\.0\.1:/, /maxmemory-policy/],
  ),
  row(
    'Redis keeps nothing on its disk',
    async () => {
      const redis = await startRedis(['--appendonly', 'no'])
      const nodes = [`127.0.0.1:${redis.port}`]
      return { config: configWith((config) => (config.store = { redis: { nodes } })), mend: () => redis.stop() }
    },
    ['store', /^127\.0\.0\.1:/, /appendonly/],
  ),
  row(
    'the certificate has expired',
    async () => {
      const { cert_file, key_file } = await pair('expired', Date.now() - DAY_MS)
      return {
        config: configWith((config) => {
          elsewhere(config)
          config.listen.tls = { cert_file, key_file }
        }),
      }
    },
    ['certificate', /expired\.pem$/, /has expired: renew it/],
  ),
  row(
    'the certificate is soon to expire',
    async () => {
      const { cert_file, key_file } = await pair('soon', Date.now() + 3.5 * DAY_MS)
      return {
        config: configWith((config) => {
          elsewhere(config)
          config.listen.tls = { cert_file, key_file }
        }),
      }
    },
    ['certificate', /soon\.pem$/, /expires in 3 days: renew it/],
  ),
  row(
    'the certificate is not of this key',
    async () => {
      const { cert_file } = await pair('one', Date.now() + 90 * DAY_MS)
      const { key_file } = await pair('other', Date.now() + 90 * DAY_MS)
      return {
        config: configWith((config) => {
          elsewhere(config)
          config.listen.tls = { cert_file, key_file }
        }),
      }
    },
    ['certificate', /one\.pem$/, /is not of the key in .*other-key\.pem/],
  ),
  row(
    'the key for guards is open to others',
    () => {
      const file = join(world.relay.dir, 'guard.pem')
      chmodSync(file, 0o644)
      return { mend: () => chmodSync(file, 0o600) }
    },
    ['guard key', /guard\.pem$/, /chmod 600/],
  ),
  row(
    'the security feed has no folder',
    () => ({ config: configWith((config) => (config.security_feed = { file: join(dir, 'no', 'such', 'file') })) }),
    ['security feed', /no\/such\/file$/, /make its folder/],
  ),
  row(
    'the SIEM is not there',
    () => ({ config: configWith((config) => (config.security_feed = { url: 'http://127.0.0.1:9/in' })) }),
    ['security feed', /^http:\/\/127\.0\.0\.1:9$/, /does not answer \(ECONNREFUSED\)/],
  ),
]

/** Wrong between relay.yaml and the realm. */
const BETWEEN: readonly Row[] = [
  row(
    'the secret is another one',
    () => ({ config: configWith((config) => (config.issuers[0].client_secret = 'another')) }),
    ['client', /realms\/check$/, /is this its secret \(Credentials\)\?/],
  ),
  row(
    'the issuer is not the realm’s own name',
    () => ({
      config: configWith((config) => {
        config.issuers[0].issuer = config.console.issuer = config.console.issuer.replace('localhost', '127.0.0.1')
      }),
    }),
    ['issuer', /127\.0\.0\.1/, /calls itself http:\/\/localhost:\d+\/realms\/check: write that in relay\.yaml/],
  ),
  row(
    'there is no such realm',
    () => ({
      config: configWith((config) => {
        config.issuers[0].issuer = config.console.issuer = world.keycloak.issuer('nobody')
      }),
    }),
    ['keycloak', /realms\/nobody$/, /is the realm there and enabled/],
  ),
  row('events are for another audience', () => ({ config: configWith((config) => (config.identifier = 'another')) }), [
    'audience',
    /realms\/check$/,
    /is logout-relay, and the relay’s identifier is another: make them the same/,
  ]),
  row(
    'the relay’s key is not published by the realm',
    async () => {
      const config = configWith((c) => {
        c.issuers[0].signing = { keys: [{ alg: 'RS256', key_file: join(dir, 'rs256.pem') }] }
      })
      await run(['keys', 'create', '--config', config])
      return { config }
    },
    [
      'signing key',
      /rs256\.pem$/,
      /not published by the realm.*keys export --issuer http.*--alg RS256 \| kcadm\.sh create/,
    ],
  ),
  row(
    'the console’s secret is another one',
    () => ({ config: configWith((config) => (config.console.client_secret = 'another')) }),
    ['console', /^logout-relay-console$/, /is this its secret/],
  ),
  row(
    'the console is not where its client says',
    () => ({ config: configWith((config) => (config.console.url = 'https://other.example.org/console')) }),
    ['console', /^logout-relay-console$/, /add https:\/\/other\.example\.org\/console\/callback to .*redirect URIs/],
  ),
  row('this machine’s clock is wrong', () => ({ aheadMs: 45_000 }), [
    'clocks',
    /realms\/check$/,
    /differ by 4[3-9] s: run NTP/,
  ]),
]

/** Wrong in the realm. */
const IN_REALM: readonly Row[] = [
  row('the realm is disabled', async () => ({ mend: await alter('', { enabled: false }) }), [
    'client',
    /realms\/check$/,
    /gets no token \(403.*is the realm enabled\?/,
  ]),
  row('the listener is off', async () => ({ mend: await alter('', { eventsListeners: ['jboss-logging'] }) }), [
    'listener',
    /realms\/check$/,
    /is OFF, resets end nothing: add logout-relay under Realm settings/,
  ]),
  row(
    'the realm is in shadow mode',
    async () => ({ mend: await alter('', { attributes: { 'logout-relay.mode': 'shadow' } }) }),
    ['policy', /realms\/check$/, /shadow mode.*logout-relay\.mode to enforce/],
  ),
  row(
    'a reset ends nothing',
    async () => ({ mend: await alter('', { attributes: { 'logout-relay.policy.admin-reset-password': 'off' } }) }),
    ['policy', /realms\/check$/, /remove the realm attribute logout-relay\.policy\.admin-reset-password/],
  ),
  row(
    'an application may act for the operators who log in to it',
    async () => ({ mend: await alter('', { attributes: { 'logout-relay.clients': 'express-app' } }) }),
    ['clients', /realms\/check$/, /are applications as well.*: express-app\. Make a client for operators alone/],
  ),
  row(
    'a client may act at Keycloak that may not at the relay',
    async () => ({ mend: await alter('', { attributes: { 'logout-relay.clients': 'mobile-app' } }) }),
    ['clients', /realms\/check$/, /at Keycloak alone mobile-app, at the relay alone logout-relay-operator/],
  ),
  row(
    'the relay’s client is disabled',
    async () => ({ mend: await alter(await client('logout-relay'), { enabled: false }) }),
    ['client', /realms\/check$/, /is it there and enabled/],
  ),
  row(
    'the console’s client is disabled',
    async () => ({ mend: await alter(await client('logout-relay-console'), { enabled: false }) }),
    ['console', /^logout-relay-console$/, /is it there and enabled/],
  ),
  row(
    'the relay’s account lacks the role to mint',
    async () => {
      await account('DELETE', 'logout-relay', 'logout-tokens')
      return { mend: () => account('POST', 'logout-relay', 'logout-tokens') }
    },
    ['roles', /realms\/check$/, /give its service account these roles of the client logout-relay: logout-tokens/],
    ['logout tokens', /realms\/check$/, /cannot be had \(403\): see the line about roles/],
  ),
  row(
    'the relay’s account may not list relying parties',
    async () => {
      await account('DELETE', 'logout-relay', 'relying-parties')
      return { mend: () => account('POST', 'logout-relay', 'relying-parties') }
    },
    ['roles', /realms\/check$/, /these roles of the client logout-relay: relying-parties/],
    ['extension', /realms\/check$/, /refuses the relay \(403\): see the line about its roles/],
  ),
  row(
    'the relay’s account may manage users',
    async () => {
      await account('POST', 'realm-management', 'manage-users')
      // More rights end what the account has within that second.
      await nextSecond()
      return { mend: () => account('DELETE', 'realm-management', 'manage-users') }
    },
    ['roles it must not have', /realms\/check$/, /take from its service account: realm-management\/manage-users/],
  ),
  row(
    'an application has no logout URL',
    async () => ({ mend: await alter(await client('express-app'), { attributes: { 'backchannel.logout.url': '' } }) }),
    ['logout URLs', /realms\/check$/, /ends no session there.*: express-app\. Set the client’s Backchannel logout URL/],
  ),
  row(
    'the console does not learn of logouts',
    async () => ({
      mend: await alter(await client('logout-relay-console'), { attributes: { 'backchannel.logout.url': '' } }),
    }),
    ['console', /^logout-relay-console$/, /has no Backchannel logout URL.*set http.*\/console\/backchannel-logout/],
  ),
]

test('on a healthy stage every line is ok, the real relying parties refuse the token, and the status is 0', async () => {
  const { status, lines, todo } = await check()
  expect(todo).toEqual([])
  expect(status).toBe(0)
  expect(lines.find((line) => line.check === 'relay')?.says).toBe('runs and is ready')
  const checks = ['config', 'store', 'relay', 'guard key', 'keycloak', 'issuer', 'keys', 'client']
  expect(lines.map((line) => line.check)).toEqual([
    ...[...checks, 'signature', 'clocks', 'roles', 'roles it must not have', 'extension', 'keycloak version'],
    ...[
      'logout tokens',
      'listener',
      'policy',
      'audience',
      'host name',
      'node clock',
      'push',
      'outbox',
      'realm logout',
      'directory',
      'clients',
    ],
    ...['console', 'console', 'logout URLs', 'relying party', 'relying party', 'relying party'],
  ])
  expect(lines.find((line) => line.check === 'extension')?.says).toContain('26.7.3')
  expect(lines.filter((line) => line.check === 'relying party').map((line) => line.about)).toEqual(
    expect.arrayContaining(['apache-app', 'express-app']),
  )
})

describe('what is broken is named, with what to do and by no other line, and the status is 1:', () => {
  test.each([...HERE, ...BETWEEN, ...IN_REALM])('$what', async ({ breaks, todo: expected }) => {
    const { config, aheadMs, mend } = await breaks()
    try {
      const { status, todo } = await check(config, aheadMs)
      expect(todo).toEqual(
        expected.map(([name, about, says]) => ({
          ...{ check: name, ok: false },
          ...{ about: expect.stringMatching(about) as string, says: expect.stringMatching(says) as string },
        })),
      )
      expect(status).toBe(1)
    } finally {
      await mend?.()
    }
  })

  test('relying parties, each in its own way', async () => {
    const recorder = await startRecorder()
    const { cert, private: key } = await pair('of-nobody', Date.now() + DAY_MS)
    const servers: Server[] = []
    const listening = async (server: Server) => {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      servers.push(server)
      return `127.0.0.1:${(server.address() as AddressInfo).port}`
    }
    const statuses = await listening(
      createServer((request, response) => response.writeHead(Number(request.url?.slice(1))).end()),
    )
    const untrusted = await listening(createHttpsServer({ cert, key }))
    const parties: readonly (readonly [clientId: string, url: string, says: RegExp])[] = [
      ['accepts-anything', recorder.logoutUri, /accepts anything/],
      ['nobody-there', 'http://127.0.0.1:9/logout', /Nothing listens.*see whether it is up/],
      ['never-http', 'http://logout.example.org/logout', /plain http.*give it https/],
      ['not-public', 'https://10.1.2.3/logout', /not public.*allow_addresses/],
      ['no-such-name', 'https://no-such-name.invalid/logout', /cannot be resolved: it is misspelt/],
      ['untrusted', `https://${untrusted}/`, /TLS certificate.*ca_file/],
      ['asks-for-a-login', `http://${statuses}/302`, /answers 302\. It redirects/],
      ['asks-for-a-token', `http://${statuses}/401`, /answers 401\..*must be open/],
      ['forbids', `http://${statuses}/403`, /answers 403\..*CSRF/],
      ['wrong-path', `http://${statuses}/404`, /answers 404\..*check its path/],
      ['takes-no-post', `http://${statuses}/405`, /answers 405\..*front-channel/],
      ['fails', `http://${statuses}/500`, /answers 500\..*its own log says why/],
    ]
    try {
      for (const [clientId, url] of parties) {
        const attributes = { 'backchannel.logout.url': url }
        await admin().createClient({ clientId, publicClient: true, attributes })
      }
      // One that relay.yaml registers is looked at like the others.
      const registered = { issuer: world.demo.issuer, client_id: 'shop' }
      const config = configWith((c) => {
        c.relying_parties = [{ ...registered, backchannel_logout_uri: 'http://localhost:9/logout' }]
      })
      const { status, todo } = await check(config)
      const said = (says: RegExp) => expect.stringMatching(says) as string
      expect(todo.every((line) => line.check === 'relying party')).toBe(true)
      expect(Object.fromEntries(todo.map(({ about, says }) => [about, says]))).toEqual({
        ...Object.fromEntries(parties.map(([clientId, , says]) => [clientId, said(says)])),
        shop: said(/Nothing listens/),
      })
      expect([status, todo.length]).toEqual([1, parties.length + 1])
    } finally {
      recorder.close()
      servers.forEach((server) => server.close())
      for (const [clientId] of parties) {
        await admin().must('DELETE', await client(clientId))
      }
    }
  })

  test('events that nobody takes while the relay is down', async () => {
    const outbox = ({ lines }: { lines: readonly Line[] }) => lines.find((line) => line.check === 'outbox')?.says
    await until('the relay has what was before', async () => outbox(await check()) === '0 events wait')
    await world.relay.stop()
    try {
      const user = await admin().createUser('waiting', 'password')
      expect((await admin().resetPassword(user, 'another')).status).toBe(204)
      const { status, todo, lines } = await check(undefined, 90_000)
      expect(todo.map((line) => line.check)).toEqual(expect.arrayContaining(['clocks', 'outbox']))
      expect(outbox({ lines })).toMatch(/holds 1 events, .*: start the relay/)
      expect(status).toBe(1)
    } finally {
      relay = await world.relay.restart()
    }
  })

  test('nobody is at the address of Keycloak', async () => {
    const nobody = configWith((config) => {
      config.issuers[0].issuer = config.console.issuer = `http://localhost:9/realms/${world.demo.admin.realm}`
    })
    const { status, todo } = await check(nobody)
    expect(status).toBe(1)
    expect(todo.find((line) => line.check === 'keycloak')?.says).toContain('ECONNREFUSED')
  })
})

test('a config that is wrong ends with status 78', async () => {
  const config = configWith((c) => Object.assign(c, { issuer: c.issuers }))
  expect((await check(config)).status).toBe(78)
})
