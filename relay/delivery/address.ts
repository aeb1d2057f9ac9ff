import { type LookupAddress, type LookupAllOptions } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { buildConnector } from 'undici'

type Address = ReturnType<typeof ipaddr.parse>

/**
 * Never reached, whatever is allowed. First what hands out a machine's credentials to whoever asks: link-local with the
 * metadata services of nearly every cloud, then those of Alibaba, Azure, Oracle, AWS, Google, Scaleway, Akamai. Then what
 * hides another address where a check does not look for it: 6to4, Teredo, IPv4-translated, NAT64 with a local prefix.
 */
const NEVER = [
  ...['169.254.0.0/16', '100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32', 'fe80::/10', 'fd00:ec2::/32'],
  ...[
    'fd00:c1::a9fe:a9fe/128',
    'fd20:ce::254/128',
    'fd00:42::42/128',
    'fd00:a9fe:a9fe::1/128',
    'fd00:100::100:200/128',
  ],
  ...['2002::/16', '2001::/32', '::ffff:0:0:0/96', '64:ff9b:1::/48'],
].map(ipaddr.parseCIDR)
/** All of IPv6 that is or will be public (RFC 4291 §2.4); the library takes what it does not know for public. */
const GLOBAL_UNICAST = [ipaddr.parseCIDR('2000::/3')]
const NAT64 = [ipaddr.parseCIDR('64:ff9b::/96')]

/** The judgement on an address that a connection is about to be made to: public, or in one of the networks (CIDR). */
export function addressCheck(allowAddresses: readonly string[]): (address: string) => boolean {
  const allowed = allowAddresses.map(ipaddr.parseCIDR)
  return (text) => {
    if (!ipaddr.isValid(text)) {
      return false
    }
    const address = withoutDisguise(ipaddr.process(text))
    if (isIn(address, NEVER)) {
      return false
    }
    const isPublic = address.range() === 'unicast' && (address.kind() === 'ipv4' || isIn(address, GLOBAL_UNICAST))
    return isPublic || isIn(address, allowed)
  }
}

/** NAT64 leads to the IPv4 address in its last four bytes (RFC 6052 §2.1). IPv4-mapped is undone by `process`. */
function withoutDisguise(address: Address): Address {
  return isIn(address, NAT64) ? ipaddr.fromByteArray(address.toByteArray().slice(12)) : address
}

function isIn(address: Address, networks: readonly [Address, number][]): boolean {
  return networks.some((network) => network[0].kind() === address.kind() && address.match(network))
}

class AddressNotAllowed extends Error {
  readonly code = 'ADDRESS_NOT_ALLOWED'
}

export type LookupAll = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses?: LookupAddress[]) => void,
) => void

/** Asks for a name once at a time: look-ups share 32 threads, and one stalling name server must not take them all. */
export function onceAtATime(lookupAll: LookupAll): LookupAll {
  const waiting = new Map<string, Parameters<LookupAll>[2][]>()
  return (hostname, options, callback) => {
    const others = waiting.get(hostname)
    if (others) {
      others.push(callback)
      return
    }
    const callbacks = [callback]
    waiting.set(hostname, callbacks)
    lookupAll(hostname, options, (error, addresses) => {
      waiting.delete(hostname)
      callbacks.forEach((done) => done(error, addresses))
    })
  }
}

/**
 * Connects only where the check allows. It stands between name resolution and the socket: the addresses judged are those
 * connected to, so a name that resolves differently the next time gains nothing. One forbidden address refuses them all.
 */
export function checkedConnector(
  isAllowed: (address: string) => boolean,
  lookupAll: LookupAll,
  options: buildConnector.BuildOptions,
): buildConnector.connector {
  const lookup: LookupFunction = (hostname, how, callback) =>
    lookupAll(hostname, { ...how, all: true }, (error, addresses) => {
      const first = addresses?.[0]
      if (error || !addresses || !first) {
        callback(error ?? Object.assign(new Error('no address'), { code: 'ENOTFOUND' }), [])
      } else if (!addresses.every(({ address }) => isAllowed(address))) {
        callback(new AddressNotAllowed(), [])
      } else if (how.all) {
        callback(null, addresses)
      } else {
        callback(null, first.address, first.family)
      }
    })
  const connect = buildConnector({ ...options, lookup })
  return (target, callback) => {
    // Node resolves nothing for an address in the URL itself.
    if (isIP(target.hostname) !== 0 && !isAllowed(target.hostname)) {
      callback(new AddressNotAllowed(), null)
    } else {
      connect(target, callback)
    }
  }
}
