import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { serve } from '@hono/node-server'
import type { Hono } from 'hono'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import type { Allowed } from '../domain/change.ts'
import type { Clock } from '../flow/ports.ts'
import { DEFAULT_CLIENTS } from '../config/issuer.ts'
import { RelyingParties } from '../registry/registry.ts'
import { RealmKeys } from '../signing/realm-keys.ts'
import type { Store } from '../store/port.ts'
import { openRedisStore } from '../store/redis/redis.ts'
import { openSqliteStore } from '../store/sqlite/sqlite.ts'

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined),
}

/** The store that the config names. @param closed told of each containment whose last delivery has ended */
export async function openStore(
  { store }: Config,
  log: Logger,
  closed: (issuer: string, msSinceEvent: number) => void,
): Promise<Store> {
  if (!store.redis) {
    const narrowed = () =>
      log.warn(
        { store: store.sqlite },
        'Other users of this machine could read the store until now; it is for its owner alone from here on',
      )
    return openSqliteStore(store.sqlite, closed, narrowed)
  }
  const trouble = (what: string, cause: unknown) =>
    log.error({ why: cause instanceof Error ? cause.message : undefined }, what)
  const opened = await openRedisStore({ ...store.redis, nowMs: () => systemClock.nowMs(), trouble, closed })
  opened.shared?.weaknesses().forEach((weakness) => log.warn(weakness))
  return opened
}

/** The registry with the delivery settings of the config; the realms have not been asked yet. */
export function makeRelyingParties(config: Config): RelyingParties {
  return new RelyingParties({
    formerIssuers: new Map(
      config.issuers.flatMap(({ issuer, former_issuers }) => former_issuers.map((name) => [name, issuer] as const)),
    ),
    allowHttpOnLoopback: config.delivery.allow_http_on_loopback,
    allowAddresses: config.delivery.allow_addresses,
    timeoutMs: config.delivery.timeout_ms,
    concurrency: config.delivery.concurrency,
    overrides: config.relying_parties.map(
      ({ issuer, client_id, allow_http, allow_addresses, timeout_ms, concurrency, ...registered }) => ({
        issuer,
        clientId: client_id,
        ...(registered.backchannel_logout_uri === undefined ? {} : { logoutUri: registered.backchannel_logout_uri }),
        ...(allow_http === undefined ? {} : { allowHttp: allow_http }),
        ...(allow_addresses === undefined ? {} : { allowAddresses: allow_addresses }),
        ...(timeout_ms === undefined ? {} : { timeoutMs: timeout_ms }),
        ...(concurrency === undefined ? {} : { concurrency }),
      }),
    ),
  })
}

/** What the config allows in this realm that is not allowed by default. */
export function allowedBy({ delivery, issuers, relying_parties }: Config, issuer: string): Allowed {
  const yes = (is: boolean | undefined) => (is === true ? 'yes' : '')
  const realm = issuers.find((one) => one.issuer === issuer)
  const fingerprints = (delivery.ca?.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []).map(
    (pem) => new X509Certificate(pem).fingerprint256,
  )
  const settings = {
    'delivery.allow_http_on_loopback': yes(delivery.allow_http_on_loopback),
    'delivery.allow_addresses': delivery.allow_addresses.join(', '),
    'delivery.ca_file': fingerprints.join(', '),
    'issuers.allow_http': yes(realm?.allow_http),
    'issuers.clients': (realm?.clients ?? []).filter((id) => !DEFAULT_CLIENTS.includes(id)).join(', '),
    ...Object.fromEntries(
      relying_parties
        .filter((party) => party.issuer === issuer)
        .flatMap(({ client_id, allow_http, allow_addresses = [], backchannel_logout_uri = '' }) => [
          [`${client_id}: allow_http`, yes(allow_http)],
          [`${client_id}: allow_addresses`, allow_addresses.join(', ')],
          [`${client_id}: backchannel_logout_uri`, backchannel_logout_uri],
        ]),
    ),
  }
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== ''))
}

/** The keys of the relay's own, of those realms that have any. */
export function makeOwnKeys(config: Config, log: Logger): Map<string, RealmKeys> {
  const realms = new Map<string, RealmKeys>()
  for (const { issuer, signing } of config.issuers) {
    if (signing) {
      const options = {
        places: signing.keys.map(({ alg, key_file }) => ({ alg, file: key_file })),
        publishedForMs: signing.published_for_s * 1000,
        tell: (what: string, about: Readonly<Record<string, string>>) => log.info({ issuer, ...about }, what),
        trouble: (what: string, cause: unknown) =>
          log.error({ issuer, why: cause instanceof Error ? cause.message : undefined }, what),
      }
      realms.set(issuer, new RealmKeys(options))
    }
  }
  return realms
}

export function listen(
  app: Hono,
  { listen: { host, port, tls } }: Config,
): Promise<{ server: ReturnType<typeof serve>; url: string }> {
  const options = tls
    ? {
        createServer: createHttpsServer,
        serverOptions: { cert: readFileSync(tls.cert_file), key: readFileSync(tls.key_file) },
      }
    : {}
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port, ...options }, (address) => {
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      resolve({ server, url: `${tls ? 'https' : 'http'}://${name}:${address.port}` })
    })
    server.once('error', reject)
  })
}
