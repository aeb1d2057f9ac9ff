import type { FailureCode } from '../domain/model.ts'

const SAYS: Readonly<Record<FailureCode, string>> = {
  timeout: 'It did not answer in time: see whether it is up, and whether a firewall keeps the relay out.',
  connection_refused: 'Nothing listens at its address: see whether it is up, and whether the port is right.',
  connection_lost: 'The connection broke before the answer was there.',
  name_not_found: 'Its host name cannot be resolved: it is misspelt, or unknown to the name server.',
  tls: 'Its TLS certificate or handshake was not accepted: renew it, or name its CA in delivery.ca_file.',
  http_not_allowed: 'Its logout URL is plain http; allow that for this relying party by name, or give it https.',
  address_not_allowed:
    'Its host is at an address that is not public. If it belongs there, name its network in allow_addresses, for this ' +
    'relying party or under delivery; addresses of cloud metadata are never allowed.',
  bad_url: 'Its logout URL is not usable.',
  not_minted: 'The identity provider refused to make its logout token.',
  other: 'The attempt failed before an answer.',
}

/** The same where its URL is none of a client. */
const OF_SETTING: Readonly<Partial<Record<FailureCode, string>>> = {
  http_not_allowed: 'Its URL is plain http; allow that with allow_http, or give it https.',
  address_not_allowed:
    'Its host is at an address that is not public. If it belongs there, name its network in allow_addresses, for it or ' +
    'under delivery; addresses of cloud metadata are never allowed.',
  bad_url: 'Its URL is not usable.',
}

/** Why there was no answer, for the person who reads it; the same for every kind of delivery. */
export function saysOf(code: FailureCode): string {
  return SAYS[code]
}

/** The same of one whose URL relay.yaml alone has. */
export function saysOfConfigured(code: FailureCode): string {
  return OF_SETTING[code] ?? SAYS[code]
}
