import type { UpstreamConfig } from '../config/upstream.ts'
import type { Ask, Reach } from '../delivery/port.ts'
import { keysOfUpstream } from './keys.ts'
import { Transmitter } from './transmitter.ts'

/** How far what is asked of it may go. */
function reachOf({ allow_http, allow_addresses }: UpstreamConfig): Reach {
  return { http: allow_http ? 'always' : 'loopback', allowAddresses: allow_addresses }
}

export function openKeys(upstream: UpstreamConfig, ask: Ask): ReturnType<typeof keysOfUpstream> {
  return keysOfUpstream({ ask, issuer: upstream.issuer, jwksUri: upstream.jwks_uri, reach: reachOf(upstream) })
}

/** What can be asked of its transmitter; undefined where the config has no client for that. */
export function openTransmitter(upstream: UpstreamConfig, ask: Ask): Transmitter | undefined {
  const { client_id, client_secret, scope = '', token_url } = upstream.stream ?? {}
  if (client_id === undefined || client_secret === undefined) {
    return undefined
  }
  return new Transmitter({
    ask,
    issuer: upstream.issuer,
    reach: reachOf(upstream),
    client: { id: client_id, secret: client_secret, scope, tokenUrl: token_url },
    monotonicMs: () => performance.now(),
  })
}
