import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import { laneOf } from '../domain/model.ts'
import { isLoopback, logoutUriComplaint } from '../domain/uri.ts'
import { RelayError } from '../errors.ts'
import { certificates, readText } from './files.ts'
import { Issuer, Networks, Text, Url } from './issuer.ts'
import { Redis, type RedisConfig, redisOf } from './redis.ts'
import { SIGNING_ALGORITHMS } from '../signing/key.ts'
import { Upstream, upstreamComplaints, type UpstreamConfig, upstreamOf } from './upstream.ts'

const Listen = z
  .strictObject({
    host: Text.default('127.0.0.1').describe('anything but loopback needs `tls` or `plain_http_behind_proxy`'),
    port: z.number().int().min(0).max(65_535).default(8484).describe('0: a free one'),
    tls: z
      .strictObject({
        cert_file: Text.describe('PEM, with the chain'),
        key_file: Text.describe('PEM'),
      })
      .optional(),
    plain_http_behind_proxy: z.boolean().default(false).describe('a proxy in front speaks TLS'),
  })
  .refine(
    (l) =>
      l.tls !== undefined ||
      l.plain_http_behind_proxy ||
      isLoopback(`http://${l.host.includes(':') ? `[${l.host}]` : l.host}`),
    {
      path: ['host'],
      error: 'is reachable from other machines without TLS; give listen.tls, or say plain_http_behind_proxy: true',
    },
  )

const Console = z
  .strictObject({
    issuer: Url.describe('one of `issuers`: where people log in. No console without it: [console.md](console.md)'),
    client_id: Text.default('logout-relay-console').describe('the console’s client in that realm'),
    client_secret: Text.optional().describe('its secret, best as `${NAME}`'),
    client_secret_file: Text.optional().describe('or a file that holds it; one of the two is required'),
    url: Url.refine((url) => url.endsWith('/console'), 'does not end with /console, where the console is')
      .refine((url) => url.startsWith('https:') || isLoopback(url), 'is plain http to another machine; use https')
      .describe('where people find it, ending in `/console`'),
  })
  .refine((console) => (console.client_secret === undefined) !== (console.client_secret_file === undefined), {
    path: ['client_secret'],
    error: 'or client_secret_file must be given, and not both; there is no default',
  })

const SecurityFeed = z
  .strictObject({
    file: Text.optional().describe('JSON lines are appended to it: [security-feed.md](security-feed.md)'),
    url: Url.optional().describe('or they are sent here by POST; one of the two is required'),
    authorization_file: Text.optional().describe('a file that holds the value of the `Authorization` header'),
    ca_file: Text.optional().describe('PEM; certificates of CAs that are trusted for this in addition'),
    allow_http: z.boolean().default(false).describe('for a `url` on http that is not on this machine'),
    subject: z
      .boolean()
      .default(false)
      .describe(
        'whether each line says whose account it was, by the `sub` of the user; a SIEM keeps that for as long as it keeps lines',
      ),
  })
  .refine((feed) => (feed.file === undefined) !== (feed.url === undefined), {
    path: ['file'],
    error: 'or url must be given, and not both',
  })
  .refine((feed) => feed.url?.startsWith('http:') !== true || isLoopback(feed.url) || feed.allow_http, {
    path: ['url'],
    error: 'is plain http to another machine; use https, or say allow_http: true if something else encrypts the way',
  })

/** relay.yaml. The descriptions are the reference in docs/configuration.md. */
export const Schema = z.strictObject({
  listen: Listen.prefault({}),
  identifier: Text.default('logout-relay').describe(
    '`aud` of the SETs and of API tokens, and the client whose roles count',
  ),
  store: z
    .strictObject({
      sqlite: Text.optional().describe('one file, one relay'),
      redis: Redis.optional().describe('or one or several relays: [operate.md](operate.md#the-relay-on-redis)'),
    })
    .refine((store) => (store.sqlite === undefined) !== (store.redis === undefined), 'names sqlite or redis, not both')
    .default({ sqlite: './data/logout-relay.db' }),
  retention_days: z
    .number()
    .int()
    .min(45)
    .max(36_500)
    .default(400)
    .describe(
      'how long containments, their evidence and who changed what are kept after they have ended: [operate.md](operate.md#how-long-things-are-kept)',
    ),
  subject_retention_days: z
    .number()
    .int()
    .min(0)
    .max(36_500)
    .optional()
    .describe(
      'how long it is kept whose account a containment was about; as long as the containment where it is left out, 0 for no longer than it is open',
    ),
  issuers: z.array(Issuer).min(1, 'is empty: name at least one realm'),
  delivery: z
    .strictObject({
      allow_http_on_loopback: z.boolean().default(false).describe('logout URLs on this machine, also without TLS'),
      allow_addresses: Networks.default([]).describe(
        'networks such as `10.0.0.0/8` or `fd12:3456::/32` where relying parties may be although they are not public',
      ),
      ca_file: Text.optional().describe('PEM; CAs that are trusted in addition to those that Node trusts'),
      timeout_ms: z
        .number()
        .int()
        .min(100)
        .max(20_000)
        .default(10_000)
        .describe(
          'one deadline for an attempt; of it 2 seconds are for the connection and its TLS handshake, and half for the answer to begin',
        ),
      concurrency: z.number().int().min(1).max(1000).default(4).describe('attempts under way at one relying party'),
      give_up_unknown_days: z
        .number()
        .min(0)
        .max(30)
        .default(3)
        .describe(
          'after so many days a session is given up that its relying party is shown not to know ([design.md](design.md), decision 22); 0 for never',
        ),
    })
    .prefault({}),
  relying_parties: z
    .array(
      z.strictObject({
        issuer: Url.describe('one of `issuers`'),
        client_id: Text.describe('the client to which the rest applies'),
        backchannel_logout_uri: z
          .string()
          .superRefine((uri, at) => {
            const complaint = logoutUriComplaint(uri)
            if (complaint !== undefined) {
              at.addIssue({ code: 'custom', message: complaint })
            }
          })
          .optional()
          .describe('registers it, should its realm name no logout URL for it: [operate.md](operate.md)'),
        allow_http: z.boolean().optional().describe('its logout URL may be http; allows no address'),
        allow_addresses: Networks.optional().describe('added to those for all'),
        timeout_ms: z.number().int().min(100).max(20_000).optional().describe('instead of the one for all'),
        concurrency: z.number().int().min(1).max(1000).optional().describe('instead of the one for all'),
      }),
    )
    .default([]),
  upstreams: z.array(Upstream).default([]),
  console: Console.optional(),
  guard: z
    .strictObject({
      key_file: Text.describe(
        'PEM, a private key on P-256 of the relay’s own that signs the watermark stream: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out guard.pem`. With another key all guards read the feed anew',
      ),
    })
    .optional(),
  security_feed: SecurityFeed.optional(),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('the log is JSON on standard output'),
    })
    .prefault({}),
})

/** What is running: relay.yaml and the environment, checked, with every default filled in and every secret read. */
export type Config = Omit<
  z.infer<typeof Schema>,
  'issuers' | 'delivery' | 'console' | 'security_feed' | 'store' | 'upstreams'
> & {
  readonly upstreams: readonly UpstreamConfig[]
  readonly store:
    | { readonly sqlite: string; readonly redis?: undefined }
    | { readonly redis: RedisConfig; readonly sqlite?: undefined }
  readonly security_feed?: (
    { readonly file: string } | { readonly url: string; readonly authorization?: string; readonly ca?: string }
  ) & {
    readonly subject: boolean
  }
  readonly console?: Omit<z.infer<typeof Console>, 'client_secret' | 'client_secret_file'> & {
    readonly client_secret: string
  }
  readonly delivery: Omit<z.infer<typeof Schema>['delivery'], 'ca_file'> & { readonly ca?: string }
  readonly issuers: readonly (Omit<z.infer<typeof Issuer>, 'client_secret' | 'client_secret_file' | 'ca_file'> & {
    readonly client_secret: string
    readonly ca?: string
  })[]
}

/** A right value for each field that people get wrong, by its path without indices. */
const EXAMPLES: Readonly<Record<string, string>> = {
  listen: 'listen: { host: 127.0.0.1, port: 8484 }',
  'listen.host': 'host: 127.0.0.1',
  'listen.port': 'port: 8484',
  store: 'store: { sqlite: /var/lib/logout-relay/relay.db }',
  'store.redis.nodes': 'nodes: [redis.example.org:6379]',
  'store.redis.sentinels': 'sentinels: [sentinel-1.example.org:26379, sentinel-2.example.org:26379]',
  'store.redis.master': 'master: mymaster',
  'store.redis.password_file': 'password_file: /run/secrets/logout-relay-redis',
  'store.redis.tls': 'tls: { ca_file: /etc/logout-relay/redis-ca.pem }',
  'store.redis.replicas': 'replicas: 1',
  'store.sqlite': 'sqlite: /var/lib/logout-relay/relay.db',
  retention_days: 'retention_days: 400',
  subject_retention_days: 'subject_retention_days: 30',
  issuers: 'issuers: [{ issuer: https://idp.example.org/realms/main, client_secret_file: /run/secrets/logout-relay }]',
  'issuers.issuer': 'issuer: https://idp.example.org/realms/main',
  'issuers.client_secret': 'client_secret_file: /run/secrets/logout-relay',
  'issuers.client_secret_file': 'client_secret_file: /run/secrets/logout-relay',
  'issuers.ca_file': 'ca_file: /etc/logout-relay/ca.pem',
  'issuers.signing.keys': 'keys: [{ alg: RS256, key_file: /var/lib/logout-relay/rs256.pem }]',
  'issuers.signing.keys.alg': `alg: ${SIGNING_ALGORITHMS.join(' or ')}`,
  'issuers.signing.published_for_s': 'published_for_s: 300',
  'issuers.poll_interval_s': 'poll_interval_s: 5',
  'issuers.clients': 'clients: [logout-relay-operator, oncall]',
  'issuers.former_issuers': 'former_issuers: [https://login.example.org/realms/main]',
  'delivery.timeout_ms': 'timeout_ms: 10000',
  'delivery.allow_addresses': 'allow_addresses: [10.0.0.0/8]',
  'delivery.ca_file': 'ca_file: /etc/logout-relay/ca.pem',
  'delivery.concurrency': 'concurrency: 4',
  'delivery.give_up_unknown_days': 'give_up_unknown_days: 3',
  'relying_parties.backchannel_logout_uri': 'backchannel_logout_uri: https://wiki.example.org/backchannel-logout',
  'relying_parties.allow_addresses': 'allow_addresses: [10.1.2.3/32]',
  'relying_parties.issuer': 'issuer: https://idp.example.org/realms/main',
  'upstreams.name': 'name: okta',
  'upstreams.issuer': 'issuer: https://example.okta.com',
  'upstreams.realm': 'realm: https://idp.example.org/realms/main',
  'upstreams.jwks_uri': 'jwks_uri: https://example.okta.com/oauth2/v1/keys',
  'upstreams.audience': 'audience: https://logout-relay.example.org/global-token-revocation',
  'upstreams.stream': 'stream: { delivery: push }',
  'upstreams.tell.url': 'url: https://logout-relay.example.com/global-token-revocation',
  'upstreams.tell.audience': 'audience: https://logout-relay.example.com/global-token-revocation',
  'upstreams.behind_client': 'behind_client: partner',
  'upstreams.stream.client_id': 'client_id: logout-relay',
  'upstreams.stream.client_secret': 'client_secret_file: /run/secrets/logout-relay-upstream',
  'upstreams.allow_addresses': 'allow_addresses: [10.0.0.0/8]',
  'console.issuer': 'issuer: https://idp.example.org/realms/main',
  'console.client_secret': 'client_secret_file: /run/secrets/logout-relay-console',
  'console.url': 'url: https://logout-relay.example.org/console',
  'guard.key_file': 'key_file: /etc/logout-relay/guard.pem',
  'security_feed.file': 'file: /var/log/logout-relay/security.jsonl',
  'security_feed.url': 'url: https://siem.example.org/logout-relay',
  'log.level': 'level: info',
}

/**
 * Reads the config. `${NAME}` in a value of the file is the environment variable NAME.
 *
 * @throws RelayError `config_invalid` whose message names every field that is wrong, why, and an example; no values
 */
export function loadConfig(path: string, env: Readonly<Record<string, string | undefined>>): Config {
  if (!existsSync(path)) {
    throw new RelayError(
      'config_invalid',
      `There is no config file ${resolve(path)}: name yours with --config or LOGOUT_RELAY_CONFIG. The least that it needs:\n\n` +
        'issuers:\n  - issuer: https://idp.example.org/realms/main\n    client_secret_file: /run/secrets/logout-relay\n\n' +
        'docs/configuration.md has all the rest',
    )
  }
  return parseConfig(readText(path, 'the config file'), path, env)
}

export function parseConfig(yaml: string, path: string, env: Readonly<Record<string, string | undefined>>): Config {
  const unset: string[] = []
  let raw: unknown
  try {
    raw = substitute(parseYaml(yaml), env, unset)
  } catch (cause) {
    const where =
      cause instanceof Error && 'linePos' in cause ? (cause.linePos as { line: number }[])[0]?.line : undefined
    throw new RelayError('config_invalid', `${path}${where === undefined ? '' : `, line ${where}`}: is not YAML`)
  }
  if (unset.length > 0) {
    throw new RelayError(
      'config_invalid',
      unset.map((name) => `${path}: the environment variable ${name} is used but not set`).join('\n'),
    )
  }
  const parsed = Schema.safeParse(raw ?? {})
  if (!parsed.success) {
    throw new RelayError('config_invalid', parsed.error.issues.map((issue) => describe(path, issue)).join('\n'))
  }
  const config = parsed.data
  const issuers = config.issuers.map(({ client_secret, client_secret_file, ca_file, ...issuer }, n) => ({
    ...issuer,
    client_secret: secretOf({ client_secret, client_secret_file }, `issuers[${n}]`),
    ...(ca_file === undefined ? {} : { ca: certificates(ca_file, `issuers[${n}].ca_file`) }),
  }))
  const names = issuers.flatMap(({ issuer, former_issuers }) => [issuer, ...former_issuers])
  if (new Set(names).size < names.length) {
    throw new RelayError('config_invalid', `${path}: issuers: names an issuer twice, also counting former_issuers`)
  }
  if (config.console && !issuers.some(({ issuer }) => issuer === config.console?.issuer)) {
    throw new RelayError(
      'config_invalid',
      `${path}: console.issuer is not one of issuers: people log in at a realm of the relay`,
    )
  }
  checkRelyingParties(config, path)
  checkUpstreams(config, path)
  const upstreams = config.upstreams.map((upstream) => upstreamOf(upstream, readText))
  const { ca_file, ...delivery } = config.delivery
  const ca = ca_file === undefined ? {} : { ca: certificates(ca_file, 'delivery.ca_file') }
  const { console: ofPeople, security_feed, store: ofStore, ...rest } = config
  const store = ofStore.redis
    ? { redis: redisOf(ofStore.redis, readText, certificates) }
    : { sqlite: ofStore.sqlite ?? '' }
  const feed = security_feed && { security_feed: securityFeedOf(security_feed) }
  const console = ofPeople && { console: { ...ofPeople, client_secret: secretOf(ofPeople, 'console') } }
  return deepFreeze({ ...rest, ...console, ...feed, store, issuers, upstreams, delivery: { ...delivery, ...ca } })
}

/** One that names no realm of the relay, or a client twice, would silently not be in force. */
function checkRelyingParties({ issuers, relying_parties }: z.infer<typeof Schema>, path: string): void {
  const seen = new Set<string>()
  const complaints = relying_parties.flatMap(({ issuer, client_id }, n) => {
    const where = `${path}: relying_parties[${n}]`
    const formerly = issuers.findIndex((one) => one.former_issuers.includes(issuer))
    const lane = laneOf(issuer, client_id)
    const twice = seen.has(lane)
    seen.add(lane)
    return [
      ...(formerly >= 0 ? [`${where}.issuer is a former name of issuers[${formerly}]; write its name of today`] : []),
      ...(formerly >= 0 || issuers.some((one) => one.issuer === issuer)
        ? []
        : [`${where}.issuer is not one of issuers, so that nothing of it would be in force; write it as it is there`]),
      ...(twice ? [`${where}.client_id is there twice for that issuer; make one entry of both`] : []),
    ]
  })
  if (complaints.length > 0) {
    throw new RelayError('config_invalid', complaints.join('\n'))
  }
}

function checkUpstreams({ issuers, upstreams }: z.infer<typeof Schema>, path: string): void {
  const complaints = upstreamComplaints(
    upstreams,
    issuers.map(({ issuer }) => issuer),
  )
  if (complaints.length > 0) {
    throw new RelayError('config_invalid', complaints.map((complaint) => `${path}: ${complaint}`).join('\n'))
  }
}

function secretOf(
  {
    client_secret,
    client_secret_file = '',
  }: { client_secret?: string | undefined; client_secret_file?: string | undefined },
  where: string,
): string {
  const secret = client_secret ?? readText(client_secret_file, `${where}.client_secret_file`).trim()
  if (secret === '') {
    const field = client_secret === undefined ? `client_secret_file: ${client_secret_file}` : 'client_secret'
    throw new RelayError('config_invalid', `${where}.${field} is empty: put the client’s secret there (Credentials)`)
  }
  return secret
}

function securityFeedOf({ file, url = '', authorization_file, ca_file, subject }: z.infer<typeof SecurityFeed>) {
  if (file !== undefined) {
    return { file, subject }
  }
  const where = 'security_feed.authorization_file'
  const authorization = authorization_file === undefined ? undefined : readText(authorization_file, where).trim()
  if (authorization !== undefined && !/^[\x21-\x7e][\x20-\x7e]*$/.test(authorization)) {
    throw new RelayError(
      'config_invalid',
      `${where} must hold one line, the value of the header. Example: Bearer 8f2c…`,
    )
  }
  return {
    ...{ url, subject },
    ...(authorization === undefined ? {} : { authorization }),
    ...(ca_file === undefined ? {} : { ca: certificates(ca_file, 'security_feed.ca_file') }),
  }
}

function describe(path: string, issue: z.core.$ZodIssue): string {
  const field = issue.path
    .map((part, n) => (typeof part === 'number' ? `[${part}]` : `${n > 0 ? '.' : ''}${String(part)}`))
    .join('')
  if (issue.code === 'unrecognized_keys') {
    return `${path}: ${field === '' ? '' : `${field}: `}does not know ${issue.keys.map((key) => `"${key}"`).join(', ')}; is it misspelt?`
  }
  const example = EXAMPLES[issue.path.filter((part) => typeof part !== 'number').join('.')]
  return `${path}: ${field || 'the file'} ${issue.message.replace(/^Invalid input: /, 'is wrong: ')}${example === undefined ? '' : `. Example: ${example}`}`
}

function substitute(value: unknown, env: Readonly<Record<string, string | undefined>>, unset: string[]): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{(\w+)\}/g, (_, name: string) => {
      const found = env[name]
      if (found === undefined || found === '') {
        unset.push(name)
      }
      return found ?? ''
    })
  }
  if (Array.isArray(value)) {
    return value.map((item) => substitute(item, env, unset))
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, env, unset)]))
  }
  return value
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.values(value).forEach(deepFreeze)
    Object.freeze(value)
  }
  return value
}
