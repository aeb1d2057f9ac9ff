import { html } from 'hono/html'
import type { Config } from '../config/config.ts'
import type { Html } from './layout.ts'
import type { ConsolePorts } from './ports.ts'

/** What is configured, field by field. Named one by one, so that a secret that is added later is not shown by itself. */
export function settingsInForce(config: Config): (readonly [string, string])[] {
  const { listen, delivery, console, security_feed } = config
  const list = (values: readonly string[]) => (values.length === 0 ? 'none' : values.join(', '))
  return [
    ['listen', `${listen.host}:${listen.port}${listen.tls ? ', TLS' : ''}`],
    ['identifier', config.identifier],
    ['store', config.store.redis ? 'Redis' : config.store.sqlite],
    ['retention_days', String(config.retention_days)],
    ['subject_retention_days', String(config.subject_retention_days ?? config.retention_days)],
    ...config.issuers.map(
      ({ issuer, client_id, clients, poll_interval_s, signing, former_issuers, ca }) =>
        [
          'issuers',
          [
            `${issuer}: client ${client_id}, polled every ${poll_interval_s} s`,
            signing
              ? `the relay signs with keys of its own: ${list(signing.keys.map(({ alg }) => alg))}`
              : 'the realm signs',
            `tokens that may act here: ${clients.length === 0 ? 'none' : `those of ${list(clients)}`}`,
            ...(ca === undefined ? [] : ['certificates of your own are trusted']),
            ...(former_issuers.length > 0 ? [`formerly ${list(former_issuers)}`] : []),
          ].join('; '),
        ] as const,
    ),
    ['delivery.timeout_ms', String(delivery.timeout_ms)],
    ['delivery.concurrency', String(delivery.concurrency)],
    ['delivery.allow_http_on_loopback', delivery.allow_http_on_loopback ? 'yes: for demos and tests alone' : 'no'],
    ['delivery.allow_addresses', list(delivery.allow_addresses)],
    ['delivery.ca_file', delivery.ca === undefined ? 'none' : 'certificates of your own are trusted'],
    ...config.relying_parties.map(({ issuer, client_id, ...differs }) => {
      const fields = Object.entries(differs).map(([name, value]) => `${name} ${String(value)}`)
      return ['relying_parties', `${client_id} of ${issuer}: ${fields.join('; ')}`] as const
    }),
    [
      'upstreams',
      list(
        config.upstreams.map(({ name, issuer, realm, global_token_revocation, stream, allow_http, allow_addresses }) =>
          [
            `${name}: ${issuer} for ${realm}`,
            ...(global_token_revocation ? ['may revoke'] : []),
            ...(stream ? [`a stream by ${stream.delivery}`] : []),
            ...(allow_http ? ['without TLS'] : []),
            ...(allow_addresses.length > 0 ? [`also at ${allow_addresses.join(' ')}`] : []),
          ].join('; '),
        ),
      ),
    ],
    ['guard', config.guard ? 'guards are fed' : 'none'],
    ['console', console ? `${console.url}, client ${console.client_id}` : 'none'],
    [
      'security_feed',
      security_feed === undefined ? 'none' : 'file' in security_feed ? security_feed.file : security_feed.url,
    ],
    ['log.level', config.log.level],
  ]
}

/** What is configured; what a reset ends is policy of the realm and is not here. */
export function settingsPage({ settings, client }: Pick<ConsolePorts, 'settings' | 'client'>): Html {
  return html`<h1>Settings in force</h1>
    <p class="meta">
      From the relay’s config. What a reset ends is decided in the realm ${client.issuer} and cannot be changed here.
    </p>
    <dl class="settings">
      ${settings.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>`
}
