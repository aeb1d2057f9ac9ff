import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../relay/config/config.ts'
import { addressCheck } from '../../relay/delivery/address.ts'
import { RelyingParties } from '../../relay/registry/registry.ts'
import { ISSUER, OTHER_ISSUER, temporaryFolder } from './given.ts'

const METADATA = [
  ['AWS, Azure, Google', '169.254.169.254'],
  ['AWS ECS', '169.254.170.2'],
  ['AWS EKS', '169.254.170.23'],
  ['Tencent', '169.254.0.23'],
  ['Alibaba', '100.100.100.200'],
  ['Azure WireServer', '168.63.129.16'],
  ['Oracle', '192.0.0.192'],
  ['AWS on IPv6', 'fd00:ec2::254'],
  ['AWS EKS on IPv6', 'fd00:ec2::23'],
  ['Google on IPv6', 'fd20:ce::254'],
  ['Oracle on IPv6', 'fd00:c1::a9fe:a9fe'],
  ['Scaleway on IPv6', 'fd00:42::42'],
  ['Akamai on IPv6', 'fd00:a9fe:a9fe::1'],
  ['Alibaba on IPv6', 'fd00:100::100:200'],
  ['IPv4-mapped', '::ffff:169.254.169.254'],
  ['IPv4-mapped in hex', '::ffff:a9fe:a9fe'],
  ['IPv4-translated', '::ffff:0:a9fe:a9fe'],
  ['NAT64', '64:ff9b::a9fe:a9fe'],
  ['NAT64 with a local prefix', '64:ff9b:1::a9fe:a9fe'],
  ['6to4', '2002:a9fe:a9fe::1'],
  ['Teredo', '2001::a9fe:a9fe'],
] as const

const SPECIAL = [
  ['loopback', '127.0.0.1'],
  ['all of loopback', '127.255.255.254'],
  ['loopback on IPv6', '::1'],
  ['loopback, IPv4-mapped', '::ffff:7f00:1'],
  ['loopback, IPv4-compatible', '::7f00:1'],
  ['loopback by NAT64', '64:ff9b::7f00:1'],
  ['private, RFC 1918', '10.0.0.1'],
  ['private, RFC 1918', '172.16.0.1'],
  ['private, RFC 1918', '172.31.255.255'],
  ['private, RFC 1918', '192.168.1.1'],
  ['private, IPv4-mapped', '::ffff:10.0.0.1'],
  ['private by NAT64', '64:ff9b::a00:1'],
  ['private by 6to4', '2002:a00:1::'],
  ['unique local', 'fc00::1'],
  ['unique local', 'fd12:3456::1'],
  ['link-local', '169.254.1.1'],
  ['link-local on IPv6', 'fe80::1'],
  ['link-local with a zone', 'fe80::1%eth0'],
  ['site-local', 'fec0::1'],
  ['carrier-grade NAT', '100.64.0.1'],
  ['this network', '0.0.0.0'],
  ['this network', '0.1.2.3'],
  ['unspecified', '::'],
  ['multicast', '224.0.0.1'],
  ['multicast on IPv6', 'ff02::1'],
  ['broadcast', '255.255.255.255'],
  ['reserved', '240.0.0.1'],
  ['protocol assignments', '192.0.0.1'],
  ['documentation', '192.0.2.1'],
  ['documentation', '198.51.100.1'],
  ['documentation', '203.0.113.1'],
  ['documentation on IPv6', '2001:db8::1'],
  ['documentation on IPv6', '3fff::1'],
  ['benchmarking', '198.18.0.1'],
  ['benchmarking on IPv6', '2001:2::1'],
  ['6to4 relay', '192.88.99.1'],
  ['discard', '100::1'],
  ['ORCHID', '2001:20::1'],
  ['segment routing', '5f00::1'],
  ['not assigned', '4000::1'],
  ['no address', 'localhost'],
  ['no address', ''],
] as const

describe('an address', () => {
  const nothingAllowed = addressCheck([])

  test.each(['8.8.8.8', '9.255.255.255', '11.0.0.1', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00:1450::1'])(
    '%s is public',
    (address) => expect(nothingAllowed(address)).toBe(true),
  )

  test.each([
    ['IPv4-mapped', '::ffff:8.8.8.8'],
    ['by NAT64', '64:ff9b::808:808'],
  ])('is public %s as it is without', (_, address) => expect(nothingAllowed(address)).toBe(true))

  test.each(SPECIAL)('for special use is refused: %s, %s', (_, address) => expect(nothingAllowed(address)).toBe(false))

  test.each(METADATA)('of cloud metadata is never allowed: %s, %s', (_, address) => {
    expect(nothingAllowed(address)).toBe(false)
    expect(addressCheck(['0.0.0.0/0', '::/0', `${address}/${address.includes(':') ? 128 : 32}`])(address)).toBe(false)
  })

  test.each([
    ['10.0.0.0/8', '10.1.2.3', '192.168.0.1'],
    ['10.0.0.0/8', '::ffff:10.1.2.3', '192.168.0.1'],
    ['10.0.0.0/8', '64:ff9b::a01:203', 'fd00::1'],
    ['10.1.2.3/32', '10.1.2.3', '10.1.2.4'],
    ['fd12:3456::/32', 'fd12:3456::1', 'fd12:3457::1'],
    ['127.0.0.0/8', '127.0.0.1', '::1'],
    ['::1/128', '::1', '127.0.0.1'],
    ['100.64.0.0/10', '100.64.0.1', '10.0.0.1'],
  ])('in the allowed network %s is reached, %s, and none beside it, %s', (network, inside, outside) => {
    expect(addressCheck([network])(inside)).toBe(true)
    expect(addressCheck([network])(outside)).toBe(false)
  })
})

describe('the policy of a lane', () => {
  const everybody = { allowHttpOnLoopback: false, allowAddresses: ['10.0.0.0/8'], timeoutMs: 1, concurrency: 1 }

  test("has the networks allowed to all and the relying party's own, of that issuer alone", () => {
    const parties = new RelyingParties({
      ...everybody,
      overrides: [{ issuer: ISSUER, clientId: 'wiki', allowAddresses: ['192.168.0.0/16'] }],
    })
    expect(parties.lane(ISSUER, 'wiki').allowAddresses).toEqual(['10.0.0.0/8', '192.168.0.0/16'])
    expect(parties.lane(ISSUER, 'orders').allowAddresses).toEqual(['10.0.0.0/8'])
    expect(parties.lane(OTHER_ISSUER, 'wiki').allowAddresses).toEqual(['10.0.0.0/8'])
  })

  test('allows addresses of this machine where http on loopback is allowed, and http elsewhere allows no address', () => {
    const overrides = [{ issuer: ISSUER, clientId: 'wiki', allowHttp: true }]
    const loopback = new RelyingParties({ ...everybody, overrides, allowAddresses: [], allowHttpOnLoopback: true })
    expect(loopback.lane(ISSUER, 'orders')).toMatchObject({
      http: 'loopback',
      allowAddresses: ['127.0.0.0/8', '::1/128'],
    })
    const elsewhere = new RelyingParties({ ...everybody, overrides, allowAddresses: [] })
    expect(elsewhere.lane(ISSUER, 'wiki')).toMatchObject({ http: 'always', allowAddresses: [] })
  })

  test('is found among ten thousand relying parties', () => {
    const parties = new RelyingParties({
      ...everybody,
      overrides: Array.from({ length: 10_000 }, (_, n) => ({
        issuer: ISSUER,
        clientId: `rp-${n}`,
        allowAddresses: [`192.168.${n % 256}.0/24`],
      })),
    })
    expect(parties.lane(ISSUER, 'rp-9999').allowAddresses).toEqual(['10.0.0.0/8', '192.168.15.0/24'])
  })
})

describe('relay.yaml on where relying parties may be', () => {
  const config = (delivery: string) =>
    parseConfig(`issuers: [{ issuer: ${ISSUER}, client_secret: s }]\n${delivery}`, 'relay.yaml', {})

  test('allows no address and trusts no further certificate unless it says so', () => {
    expect(config('').delivery).toMatchObject({ allow_addresses: [] })
    expect(config('').delivery.ca).toBeUndefined()
  })

  test.each(['10.0.0.0', '10.0.0.0/33', '010.0.0.0/8', '0x0a.0.0.0/8', 'fd00::/129', 'orders.internal', ''])(
    'is refused when "%s" is meant for a network, with an example',
    (network) => {
      expect(() => config(`delivery: { allow_addresses: ["${network}"] }`)).toThrow(
        'relay.yaml: delivery.allow_addresses[0] is not a network in CIDR form. Example: allow_addresses: [10.0.0.0/8]',
      )
      expect(() =>
        config(`relying_parties: [{ issuer: ${ISSUER}, client_id: wiki, allow_addresses: ["${network}"] }]`),
      ).toThrow('relay.yaml: relying_parties[0].allow_addresses[0] is not a network in CIDR form.')
    },
  )

  test('takes a file with several certificates, and nothing else that is in it', async () => {
    const { cert, private: key } = await generate(undefined, { keyType: 'ec', algorithm: 'sha256' })
    const path = join(temporaryFolder(), 'ca.pem')
    writeFileSync(path, `Our own CA\n${cert}\n${key}\n${cert}`)
    const { ca } = config(`delivery: { ca_file: ${path} }`).delivery
    expect(ca?.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
    expect(ca).not.toContain('KEY')
  })

  test.each([
    ['not there', undefined, 'cannot be read: there is no such file in that folder (ENOENT)'],
    ['empty', '', 'does not hold certificates in PEM form'],
    ['no PEM', 'secret', 'does not hold certificates in PEM form'],
    [
      'PEM around something else',
      '-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n',
      'does not hold certificates in PEM form',
    ],
  ])('is refused when the file of certificates is %s, without quoting it', (_, text, problem) => {
    const path = join(temporaryFolder(), 'ca.pem')
    if (text !== undefined) {
      writeFileSync(path, text)
    }
    expect(() => config(`delivery: { ca_file: ${path} }`)).toThrow(`delivery.ca_file: ${path} ${problem}`)
    expect(() => config(`delivery: { ca_file: ${path} }`)).not.toThrow('c2VjcmV0')
  })
})
