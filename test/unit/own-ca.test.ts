import { writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { getCACertificates } from 'node:tls'
import { generate } from 'selfsigned'
import { beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { openApi } from '../../relay/api/client.ts'
import { caOf } from '../../relay/cli/ca-file.ts'
import { accessToken } from '../../relay/cli/token.ts'
import { parseConfig } from '../../relay/config/config.ts'
import { realmLogin } from '../../relay/console/login.ts'
import { trusting } from '../../relay/http.ts'
import { AdminApi } from '../../relay/idp/keycloak/audit/admin-api.ts'
import { readAccess } from '../../relay/idp/keycloak/claims.ts'
import { checkConsole } from '../../relay/idp/keycloak/check/console.ts'
import { checkRealm } from '../../relay/idp/keycloak/check/realm.ts'
import { usersOf } from '../../relay/idp/keycloak/users.ts'
import { allowedBy } from '../../relay/run/configured.ts'
import { openProvider } from '../../relay/run/open.ts'
import { temporaryFolder } from './given.ts'
import { realm } from './signed.ts'

interface Authority {
  readonly cert: string
  readonly key: string
}

async function authority(name: string): Promise<Authority> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    ...{ keyType: 'ec', algorithm: 'sha256' },
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true },
    ],
  })
  return { cert, key }
}

let ours: Authority
let theirs: Authority
beforeAll(async () => {
  ours = await authority('Our own CA')
  theirs = await authority('Another CA')
})

/** A realm, and a relay beside it, on a TLS server whose certificate this CA has issued. */
async function servedUnder(ca: Authority): Promise<string> {
  const leaf = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    ...{ keyType: 'ec', algorithm: 'sha256', ca },
    extensions: [
      { name: 'basicConstraints', cA: false },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  })
  const keys = await realm()
  const access_token = await keys.sign({ iat: Math.floor(Date.now() / 1000) }, { typ: 'JWT' })
  const answers: Readonly<Record<string, (url: string) => unknown>> = {
    'openid-configuration': (url) => ({
      ...{
        issuer: url,
        token_endpoint: `${url}/token`,
        jwks_uri: `${url}/certs`,
        authorization_endpoint: `${url}/auth`,
      },
    }),
    certs: () => keys.jwks,
    token: () => ({ access_token, token_type: 'Bearer', expires_in: 300 }),
    outbox: () => ({ sets: {} }),
    users: () => [{ id: 'id-of-alice', username: 'alice' }],
    changes: () => ({ changes: [] }),
  }
  const server = createServer({ cert: leaf.cert, key: leaf.private }, (question: IncomingMessage, response) => {
    const name = new URL(question.url ?? '', 'https://x').pathname.split('/').at(-1) ?? ''
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(answers[name]?.(issuer) ?? {}))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `https://127.0.0.1:${(server.address() as AddressInfo).port}/realms/main`
  return issuer
}

const inFile = (text: string) => {
  const path = join(temporaryFolder(), 'ca.pem')
  writeFileSync(path, text)
  return path
}
const configured = (issuer: string, file?: string) =>
  parseConfig(
    `issuers: [{ issuer: "${issuer}", client_secret: s${file === undefined ? '' : `, ca_file: "${file}"`} }]`,
    'relay.yaml',
    {},
  )
const consoleClient = { clientId: 'c', clientSecret: 's', url: 'https://relay.example.org/console', audience: 'a' }

/** All that asks a realm or a relay, as its caller names the CA; says what it got. */
const ASKS: readonly (readonly [
  what: string,
  ask: (issuer: string, ca: string | undefined) => Promise<unknown>,
  got: unknown,
  setting: RegExp,
])[] = [
  [
    'the relay, for tokens, keys and events',
    async (issuer, ca) => {
      const [config] = configured(issuer, ca === undefined ? undefined : inFile(ca)).issuers
      const provider = openProvider(config as NonNullable<typeof config>)
      onTestFinished(() => provider.close())
      await provider.connect()
      return [(await provider.published()).length, await provider.poll(1, [], {})]
    },
    [1, { sets: {} }],
    /issuers\[\]\.ca_file/,
  ],
  [
    'logout-relay check, for the realm',
    async (issuer, ca) => {
      const asked = { issuer, clientId: 'c', clientSecret: 's', ca, identifier: 'a', clients: [] }
      const { findings, reached } = await checkRealm(asked, Date.now)
      return reached ? 'reached' : Promise.reject(new Error(findings[0]?.says))
    },
    'reached',
    /issuers\[\]\.ca_file/,
  ],
  [
    'the console, for names of users',
    (issuer, ca) => usersOf(issuer, ca).find('t', 'alice'),
    'id-of-alice',
    /issuers\[\]\.ca_file, for a command --ca-file/,
  ],
  [
    'the command line, for a token',
    async (issuer, ca) => {
      const env = { LOGOUT_RELAY_LOGIN_FILE: '/not/there', LOGOUT_RELAY_ISSUER: issuer, LOGOUT_RELAY_CLIENT_ID: 'c' }
      const token = await accessToken({ ...env, LOGOUT_RELAY_CLIENT_SECRET: 's' }, Date.now(), ca)
      return token.split('.').length
    },
    3,
    /--ca-file or LOGOUT_RELAY_CA_FILE/,
  ],
  [
    'the command line, for what a relay knows',
    (issuer, ca) => openApi(new URL(issuer).origin, 't', ca).changes('1'),
    [],
    /--ca-file or LOGOUT_RELAY_CA_FILE/,
  ],
  [
    'the audit, for the realm',
    (issuer, ca) => {
      const api = new AdminApi(new URL(issuer).origin, 'main', { LOGOUT_RELAY_TOKEN: 't' }, ca)
      return api.get('/admin/realms/main/users', z.array(z.object({ id: z.string() })))
    },
    [{ id: 'id-of-alice' }],
    /--ca-file or LOGOUT_RELAY_CA_FILE/,
  ],
]

test.each(ASKS)(
  '%s: a CA of one’s own is trusted where it is named, and is asked for where it is not',
  async (...row) => {
    const [, ask, got, setting] = row
    const issuer = await servedUnder(ours)
    expect(await ask(issuer, ours.cert)).toEqual(got)
    const refused = ask(issuer, undefined)
    await expect(refused).rejects.toThrow(/has a certificate of a CA that is not trusted here \([A-Z_]+\)/)
    await expect(refused).rejects.toThrow(setting)
  },
)

/** Each by which a person or a program asks a realm, with what it cannot do without. */
const COMMANDS: readonly (readonly [command: string, args: (issuer: string) => readonly string[]])[] = [
  ['rotate', () => ['--client', 'job', '--report']],
  ['held list', () => []],
  ['held confirm', () => ['9b1c', '--reason', 'meant']],
  ['held dismiss', () => ['9b1c', '--reason', 'not meant']],
  ['keys rotate-realm', () => ['--yes']],
  ['setup', (issuer) => ['--url', new URL(issuer).origin, '--realm', 'main', '--print']],
  ['audit', (issuer) => ['--url', new URL(issuer).origin, '--realm', 'main']],
]

test.each(COMMANDS)('logout-relay %s heeds --ca-file, and LOGOUT_RELAY_CA_FILE as well', async (command, args) => {
  const issuer = await servedUnder(ours)
  const claims = Buffer.from(JSON.stringify({ iss: issuer })).toString('base64url')
  vi.stubEnv('LOGOUT_RELAY_TOKEN', `eyJhbGciOiJub25lIn0.${claims}.`)
  vi.stubEnv('LOGOUT_RELAY_CA_FILE', '')
  const said: string[] = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text)) > 0)
  vi.spyOn(process.stdout, 'write').mockImplementation(() => true)
  onTestFinished(() => {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
    process.exitCode = 0
  })
  // A token is asked for once, and kept for as long as the process lives.
  vi.resetModules()
  const { program } = await import('../../relay/cli.ts')
  const says = async (...more: readonly string[]) => {
    said.length = 0
    const failed: unknown = await program
      .parseAsync([...command.split(' '), ...args(issuer), ...more], { from: 'user' })
      .then(
        () => '',
        (cause: unknown) => cause,
      )
    return `${said.join('')}${String(failed)}`
  }
  const untrusted = /has a certificate of a CA that is not trusted here .* in --ca-file or LOGOUT_RELAY_CA_FILE/
  /** What a realm that answers nothing but `{}` is told, once it is reached. */
  const reached = /answered 200, and something that .* does not|lacks view-realm/
  expect(await says()).toMatch(untrusted)
  const file = inFile(ours.cert)
  expect(await says('--ca-file', file)).toMatch(reached)
  vi.stubEnv('LOGOUT_RELAY_CA_FILE', file)
  expect(await says()).toMatch(reached)
})

test('people log in at the console of a realm with a CA of one’s own', async () => {
  const issuer = await servedUnder(ours)
  const login = (ca?: string) => realmLogin({ ...consoleClient, issuer, ca }, readAccess, Date.now).begin('/console')
  expect((await login(ours.cert)).to.href).toContain(`${issuer}/auth?`)
  await expect(login()).rejects.toMatchObject({ code: 'idp_unavailable' })
  const says = async (ca?: string) => {
    const [first] = await checkConsole({ ...consoleClient, issuer, client_id: 'c', client_secret: 's', ca }, undefined)
    return first?.says
  }
  expect([await says(ours.cert), await says()]).toEqual([
    expect.stringContaining('its client is refused'),
    expect.stringContaining('see the line about keycloak'),
  ])
})

test('a CA counts for the realm that names it and for no other', async () => {
  const realms = await Promise.all([ours, ours, theirs].map(servedUnder))
  const named = [inFile(ours.cert), inFile(theirs.cert), undefined]
  const [one, another, none] = realms.map((issuer, n) => {
    const [config] = configured(issuer, named[n]).issuers
    const provider = openProvider(config as NonNullable<typeof config>)
    onTestFinished(() => provider.close())
    return provider
  })
  await one?.connect()
  await expect(another?.connect()).rejects.toThrow('has a certificate of a CA that is not trusted here')
  await expect(none?.connect()).rejects.toThrow('has a certificate of a CA that is not trusted here')
})

test('a bundle of several is trusted whole, in addition to what Node trusts', async () => {
  const bundle = parseConfig(
    `issuers: [{ issuer: "https://idp.example.org/realms/a", client_secret: s, ca_file: "${inFile(`${theirs.cert}\n${ours.cert}`)}" }]`,
    'relay.yaml',
    {},
  ).issuers[0]?.ca
  expect(await usersOf(await servedUnder(ours), bundle).find('t', 'alice')).toBe('id-of-alice')
  expect(await usersOf(await servedUnder(theirs), bundle).find('t', 'alice')).toBe('id-of-alice')
  expect(trusting(bundle).ca).toEqual([...getCACertificates('default'), bundle])
})

test.each([
  ['that is not there', undefined, /cannot be read: there is no such file in that folder \(ENOENT\)/],
  ['that is not PEM', '\u0030\u0082 secret', /does not hold certificates in PEM form.*openssl x509 -inform der/],
])('a file %s is refused as the relay starts, with what to do and nothing of what is in it', (_, text, says) => {
  const file = text === undefined ? join(temporaryFolder(), 'ca.pem') : inFile(text)
  const load = () => configured('https://idp.example.org/realms/main', file)
  expect(load).toThrow(says)
  expect(load).toThrow('issuers[0].ca_file: ')
  expect(load).not.toThrow('secret')
})

test('a CA that is added for a realm is a setting that weakens it, and is told', () => {
  const issuer = 'https://idp.example.org/realms/main'
  expect(allowedBy(configured(issuer), issuer)).toEqual({})
  expect(allowedBy(configured(issuer, inFile(ours.cert)), issuer)).toEqual({
    'issuers.ca_file': expect.stringMatching(/^([\dA-F]{2}:){31}[\dA-F]{2}$/) as string,
  })
})

test('a command trusts what the file holds that is named, and no more where none is', () => {
  expect(caOf({ caFile: inFile(`Ours\n${ours.cert}`) })).toBe(ours.cert.trim().concat('\n').replaceAll('\r', ''))
  expect([caOf({}), caOf({ caFile: '' })]).toEqual([undefined, undefined])
})
