import type { Config } from '../config.ts'

/** What is configured, field by field. Named one by one, so that a secret that is added later is not shown by itself. */
export function settingsInForce(config: Config): (readonly [string, string])[] {
  const { listen, delivery, console, security_feed } = config
  const list = (values: readonly string[]) => (values.length === 0 ? 'none' : values.join(', '))
  return [
    ['listen', `${listen.host}:${listen.port}${listen.tls ? ', TLS' : ''}`],
    ['identifier', config.identifier],
    ['store', config.store.redis ? 'Redis' : config.store.sqlite],
    ...config.issuers.map(
      ({ issuer, client_id, poll_interval_s }) =>
        [issuer, `client ${client_id}, polled every ${poll_interval_s} s`] as const,
    ),
    ['delivery.timeout_ms', String(delivery.timeout_ms)],
    ['delivery.concurrency', String(delivery.concurrency)],
    ['delivery.allow_http_on_loopback', delivery.allow_http_on_loopback ? 'yes: for demos and tests alone' : 'no'],
    ['delivery.allow_addresses', list(delivery.allow_addresses)],
    ['delivery.ca_file', delivery.ca === undefined ? 'none' : 'certificates of your own are trusted'],
    ...config.relying_parties.map(({ issuer, client_id, ...differs }) => {
      const fields = Object.entries(differs).map(([name, value]) => `${name} ${String(value)}`)
      return [`${client_id} (${issuer})`, fields.join('; ')] as const
    }),
    ['console', console ? `${console.url}, client ${console.client_id}` : 'none'],
    [
      'security_feed',
      security_feed === undefined ? 'none' : 'file' in security_feed ? security_feed.file : security_feed.url,
    ],
    ['log.level', config.log.level],
  ]
}
