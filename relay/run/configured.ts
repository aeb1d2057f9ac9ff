import { X509Certificate } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { DEFAULT_CLIENTS } from '../config/issuer.ts'
import type { Allowed } from '../domain/change.ts'
import type { WayTo } from '../delivery/port.ts'
import { laneOf } from '../domain/model.ts'
import { providerName } from '../domain/provider.ts'
import { type DeliverySettings, RelyingParties } from '../registry/registry.ts'

/** The names of each realm: its host name may have changed, and evidence is kept under the name that it came by. */
export interface Names {
  /** The names that a realm had before, by its name of today. */
  readonly former: ReadonlyMap<string, readonly string[]>
  /** The name of today, by each name. */
  readonly today: ReadonlyMap<string, string>
}

export function namesOf({ issuers }: Config): Names {
  const each = issuers.flatMap(({ issuer, former_issuers }) =>
    [issuer, ...former_issuers].map((name) => [name, issuer] as const),
  )
  return {
    former: new Map(issuers.map(({ issuer, former_issuers }) => [issuer, former_issuers])),
    today: new Map(each),
  }
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
    told: toldIn(config),
  })
}

/** The identity providers that are told, each as what the realm calls it. */
function toldIn({ upstreams }: Config): NonNullable<DeliverySettings['told']> {
  return upstreams.flatMap(({ realm, issuer, link_issuer, tell, allow_http, allow_addresses }) =>
    tell
      ? [
          {
            ...{ issuer: realm, clientId: providerName(link_issuer ?? issuer), url: tell.url },
            ...(allow_http ? { allowHttp: true } : {}),
            allowAddresses: allow_addresses,
          },
        ]
      : [],
  )
}

/** How a request to each of them is made. */
export function wayToProviders(config: Config): WayTo {
  const { today } = namesOf(config)
  const ways = new Map(
    config.upstreams.flatMap(({ realm, issuer, link_issuer, tell }) => {
      const { url = '', audience = url, subject = 'iss_sub', authorization } = tell ?? {}
      const way = { audience, subject, ...(authorization === undefined ? {} : { authorization }) }
      return tell ? [[laneOf(realm, providerName(link_issuer ?? issuer)), way] as const] : []
    }),
  )
  return (issuer, clientId) => ways.get(laneOf(today.get(issuer) ?? issuer, clientId))
}

/** What the config allows in this realm that is not allowed by default. */
export function allowedBy({ delivery, issuers, relying_parties }: Config, issuer: string): Allowed {
  const yes = (is: boolean | undefined) => (is === true ? 'yes' : '')
  const realm = issuers.find((one) => one.issuer === issuer)
  const settings = {
    'delivery.allow_http_on_loopback': yes(delivery.allow_http_on_loopback),
    'delivery.allow_addresses': delivery.allow_addresses.join(', '),
    'delivery.ca_file': fingerprints(delivery.ca),
    'issuers.allow_http': yes(realm?.allow_http),
    'issuers.ca_file': fingerprints(realm?.ca),
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

function fingerprints(ca = ''): string {
  const certificates = ca.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []
  return certificates.map((pem) => new X509Certificate(pem).fingerprint256).join(', ')
}
