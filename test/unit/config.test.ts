import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig, parseConfig } from '../../relay/config/config.ts'
import { RelayError } from '../../relay/errors.ts'
import { readStreamKey } from '../../relay/watermarks/key.ts'
import { temporaryFolder } from './given.ts'

const CANARY = 'canary-b5b1'
const ISSUER = 'issuer: https://idp.example.org/realms/main'
const RIGHT = `issuers: [{ ${ISSUER}, client_secret: ${CANARY} }]`

function complaint(yaml: string, env: Record<string, string> = {}): string {
  try {
    parseConfig(yaml, 'relay.yaml', env)
  } catch (cause) {
    expect(cause).toBeInstanceOf(RelayError)
    expect(cause).toMatchObject({ code: 'config_invalid' })
    const { message } = cause as RelayError
    expect(message).not.toContain(CANARY)
    return message
  }
  throw new Error('It was taken')
}

test('the least config is one realm with its secret, and nothing can change it afterwards', () => {
  const config = parseConfig(RIGHT, 'relay.yaml', {})
  expect(config.issuers[0]).toMatchObject({ client_id: 'logout-relay', client_secret: CANARY, poll_interval_s: 5 })
  expect(config.issuers[0]?.clients).toEqual(['logout-relay-operator'])
  expect(config.listen).toMatchObject({ host: '127.0.0.1', port: 8484 })
  expect(config.retention_days).toBe(400)
  expect(Object.isFrozen(config) && Object.isFrozen(config.issuers[0]) && Object.isFrozen(config.listen)).toBe(true)
})

test('a secret comes from the environment or a file, without its line end', () => {
  const file = join(temporaryFolder(), 'secret')
  writeFileSync(file, `${CANARY}\n`)
  const ofFile = parseConfig(`issuers: [{ ${ISSUER}, client_secret_file: ${file} }]`, 'relay.yaml', {})
  const ofEnv = parseConfig(`issuers: [{ ${ISSUER}, client_secret: "\${S}" }]`, 'relay.yaml', { S: CANARY })
  expect([ofFile, ofEnv].map(({ issuers }) => issuers[0]?.client_secret)).toEqual([CANARY, CANARY])
})

test('a secret that is empty is no secret: the config says so, and not the realm', () => {
  const file = join(temporaryFolder(), 'secret')
  writeFileSync(file, '\n')
  const ofFile = () => parseConfig(`issuers: [{ ${ISSUER}, client_secret_file: ${file} }]`, 'relay.yaml', {})
  const ofEnv = () => parseConfig(`issuers: [{ ${ISSUER}, client_secret: "\${S}" }]`, 'relay.yaml', { S: '' })
  expect(ofFile).toThrow(/client_secret_file: .*secret is empty: put the client’s secret there/)
  expect(ofEnv).toThrow(/environment variable S is used but not set/)
})

test.each([
  ['no realm', 'issuers: []', /issuers .*name at least one realm.*Example:/],
  ['an empty file', '', /issuers .*Example:/],
  ['a misspelt field', `${RIGHT}\nisuers: []`, /does not know "isuers"; is it misspelt\?/],
  ['a misspelt field inside', `issuers: [{ ${ISSUER}, client_secret: x, polls: 5 }]`, /issuers\[0\].*"polls"/],
  [
    'a feed to nowhere',
    `${RIGHT}\nsecurity_feed: {}`,
    /security_feed\.file or url must be given, and not both.*Example:/,
  ],
  [
    'a feed to two places',
    `${RIGHT}\nsecurity_feed: { file: /f, url: https://siem.example.org }`,
    /security_feed\.file or url must be given, and not both/,
  ],
  [
    'a feed in the clear',
    `${RIGHT}\nsecurity_feed: { url: http://siem.example.org }`,
    /security_feed\.url is plain http to another machine/,
  ],
  [
    'a word for all clients',
    `issuers: [{ ${ISSUER}, client_secret: x, clients: ['*'] }]`,
    /issuers\[0\]\.clients\[0\] is no client id.*name each\. Example: clients: /,
  ],
  ['no secret', `issuers: [{ ${ISSUER} }]`, /issuers\[0\]\.client_secret .*there is no default.*Example:/],
  [
    'two secrets',
    `issuers: [{ ${ISSUER}, client_secret: ${CANARY}, client_secret_file: /s }]`,
    /issuers\[0\]\.client_secret .*not both/,
  ],
  [
    'a secret file that is not there',
    `issuers: [{ ${ISSUER}, client_secret_file: /nowhere/s }]`,
    /\/nowhere\/s.*ENOENT/,
  ],
  [
    'an unset variable',
    `issuers: [{ ${ISSUER}, client_secret: "\${NOT_SET}" }]`,
    /variable NOT_SET is used but not set/,
  ],
  [
    'plain http to another machine',
    `issuers: [{ issuer: "http://idp.example.org/realms/main", client_secret: ${CANARY} }]`,
    /issuers\[0\]\.issuer is plain http.*allow_http: true/,
  ],
  [
    'an issuer with a slash at its end',
    `issuers: [{ issuer: "https://idp.example.org/realms/main/", client_secret: ${CANARY} }]`,
    /issuers\[0\]\.issuer ends with a slash/,
  ],
  ['an issuer that is no URL', `issuers: [{ issuer: idp, client_secret: ${CANARY} }]`, /issuers\[0\]\.issuer is not/],
  [
    'an issuer twice',
    `issuers: [{ ${ISSUER}, client_secret: ${CANARY} }, { ${ISSUER}, client_secret: ${CANARY} }]`,
    /names an issuer twice/,
  ],
  [
    'two stores',
    `${RIGHT}\nstore: { sqlite: /x, redis: { nodes: ["localhost:1"] } }`,
    /store names sqlite or redis, not both/,
  ],
  ['a Redis nowhere', `${RIGHT}\nstore: { redis: {} }`, /store\.redis\.nodes or sentinels must be given.*Example:/],
  [
    'Sentinels without a name',
    `${RIGHT}\nstore: { redis: { sentinels: ["localhost:1"] } }`,
    /store\.redis\.master goes with/,
  ],
  [
    'a Redis by URL',
    `${RIGHT}\nstore: { redis: { nodes: ["redis://u:${CANARY}@h:1"] } }`,
    /redis\.nodes\[0\] is not host:port/,
  ],
  [
    'a Redis elsewhere without TLS',
    `${RIGHT}\nstore: { redis: { nodes: ["redis.example.org:6379"], password_file: /s } }`,
    /store\.redis\.tls is missing.*allow_unencrypted: true/,
  ],
  [
    'a Redis elsewhere without a password',
    `${RIGHT}\nstore: { redis: { nodes: ["redis.example.org:6379"], tls: {} } }`,
    /store\.redis\.password_file is missing.*no default/,
  ],
  ['all interfaces without TLS', `${RIGHT}\nlisten: { host: 0.0.0.0 }`, /listen\.host .*without TLS/],
  ['a port out of range', `${RIGHT}\nlisten: { port: 70000 }`, /listen\.port .*Example: port: 8484/],
  ['a time limit out of range', `${RIGHT}\ndelivery: { timeout_ms: 5 }`, /delivery\.timeout_ms .*Example:/],
  [
    'evidence for less time than the outbox',
    `${RIGHT}\nretention_days: 44`,
    /retention_days .*Example: retention_days/,
  ],
  ['evidence for half a day', `${RIGHT}\nretention_days: 400.5`, /retention_days /],
  ['an unknown log level', `${RIGHT}\nlog: { level: loud }`, /log\.level .*Example: level: info/],
  ['no YAML', `issuers: [{ ${ISSUER}\nclient_secret: ${CANARY}`, /relay\.yaml, line \d+: is not YAML/],
])('%s is refused, with the field and what to do', (_, yaml, expected) => {
  expect(complaint(yaml)).toMatch(expected)
})

test('no two realms can have the same name, of today or of formerly', () => {
  const realm = (name: string, ...former: string[]) => ({
    issuer: `https://idp.example.org/realms/${name}`,
    client_secret: 'secret-of-a-test',
    former_issuers: former.map((each) => `https://idp.example.org/realms/${each}`),
  })
  const parse = (...issuers: object[]) => parseConfig(JSON.stringify({ issuers }), 'relay.yaml', {})
  expect(parse(realm('a', 'old-a'), realm('b')).issuers[0]?.former_issuers).toHaveLength(1)
  expect(() => parse(realm('a', 'b'), realm('b'))).toThrow(/names an issuer twice, also counting former_issuers/)
  expect(() => parse(realm('a', 'a'))).toThrow(/names an issuer twice/)
})

test('an entry for a relying party that would not be in force is refused, and says why', () => {
  const realm = {
    issuer: 'https://idp.example.org/realms/a',
    client_secret: 'secret-of-a-test',
    former_issuers: ['https://login.example.org/realms/a'],
  }
  const wiki = (issuer: string) => ({ issuer, client_id: 'wiki', concurrency: 2 })
  const parse = (...relying_parties: object[]) =>
    parseConfig(JSON.stringify({ issuers: [realm], relying_parties }), 'relay.yaml', {})
  expect(parse(wiki(realm.issuer), { ...wiki(realm.issuer), client_id: 'mail' }).relying_parties).toHaveLength(2)
  expect(() => parse(wiki('https://idp.example.org/realms/A'))).toThrow(
    /^relay\.yaml: relying_parties\[0\]\.issuer is not one of issuers/,
  )
  expect(() => parse(wiki(realm.issuer), wiki('https://login.example.org/realms/a'))).toThrow(
    /^relay\.yaml: relying_parties\[1\]\.issuer is a former name of issuers\[0\]; write its name of today$/,
  )
  expect(() => parse(wiki(realm.issuer), wiki(realm.issuer))).toThrow(/relying_parties\[1\]\.client_id is there twice/)
})

test('all that is wrong is said at once', () => {
  const said = complaint(`${RIGHT}\nlisten: { port: 70000 }\nlog: { level: loud }`)
  expect(said.split('\n')).toHaveLength(2)
})

test('a config file that is not there is named', () => {
  expect(() => loadConfig('/nowhere/relay.yaml', {})).toThrow(
    /^There is no config file \/nowhere\/relay\.yaml: name yours with --config or LOGOUT_RELAY_CONFIG.*\n\nissuers:\n/,
  )
})

test('a key for the feed of the guard that cannot be used is refused with the command that makes one', async () => {
  const folder = temporaryFolder()
  const write = (name: string, pem: string | Buffer) => {
    writeFileSync(join(folder, name), pem, { mode: 0o600 })
    return join(folder, name)
  }
  const pem = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' })
  const wrong = [
    join(folder, 'missing.pem'),
    write('text.pem', CANARY),
    write('rsa.pem', pem(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey)),
    write('p384.pem', pem(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey)),
  ]
  for (const path of wrong) {
    const refused = await readStreamKey(path).catch((cause: unknown) => cause)
    expect(refused).toMatchObject({ code: 'config_invalid' })
    expect(String(refused)).toMatch(/guard\.key_file .*openssl genpkey .*P-256/)
    expect(String(refused)).not.toContain(CANARY)
  }
  const right = write('right.pem', pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey))
  const [one, again] = [await readStreamKey(right), await readStreamKey(right)]
  expect(one.hashKey('realm', 'a')).toEqual(again.hashKey('realm', 'a'))
  expect(one.hashKey('realm', 'a')).not.toEqual(one.hashKey('realm', 'b'))
  expect(one.hashKey('realm', 'a')).not.toEqual(one.hashKey('other', 'a'))
})

test('Redis is told by its servers or its Sentinels, with the secrets of both read from files', () => {
  const file = join(temporaryFolder(), 'secret')
  writeFileSync(file, `${CANARY}\n`)
  const redis = (yaml: string) => parseConfig(`${RIGHT}\nstore: { redis: { ${yaml} } }`, 'relay.yaml', {}).store.redis
  expect(redis('nodes: ["localhost:6379", "[::1]:6380"]')).toEqual({
    where: {
      nodes: [
        { host: 'localhost', port: 6379 },
        { host: '::1', port: 6380 },
      ],
    },
    access: {},
    replicas: 0,
  })
  const secrets = `username: lr, password_file: ${file}, sentinel_password_file: ${file}, tls: {}`
  expect(redis(`sentinels: ["s1.example.org:26379"], master: m, replicas: 1, ${secrets}`)).toEqual({
    where: {
      sentinels: [{ host: 's1.example.org', port: 26_379 }],
      master: 'm',
      access: { password: CANARY, tls: {} },
    },
    access: { username: 'lr', password: CANARY, tls: {} },
    replicas: 1,
  })
})
