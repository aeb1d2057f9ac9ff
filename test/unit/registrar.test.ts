import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Change } from '../../relay/domain/change.ts'
import type { Answer } from '../../relay/domain/model.ts'
import { providerName } from '../../relay/domain/provider.ts'
import { parseConfig } from '../../relay/config/config.ts'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import type { Genuine } from '../../relay/delivery/port.ts'
import { allowedBy } from '../../relay/run/configured.ts'
import { Registrar } from '../../relay/registry/registrar.ts'
import { type DeliverySettings, RelyingParties } from '../../relay/registry/registry.ts'
import type { Store } from '../../relay/store/port.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { deliverersBy, ISSUER, NOW_MS, OTHER_ISSUER, temporaryFolder } from './given.ts'

const SETTINGS: DeliverySettings = {
  allowHttpOnLoopback: false,
  allowAddresses: [],
  timeoutMs: 1000,
  concurrency: 4,
  overrides: [],
}
test('a relying party is the same under a former name of its realm', () => {
  const formerly = 'https://old.example.org/realms/demo'
  const overrides = [{ issuer: ISSUER, clientId: 'wiki', concurrency: 9 }]
  const parties = new RelyingParties({ ...SETTINGS, overrides, formerIssuers: new Map([[formerly, ISSUER]]) })
  parties.replace(ISSUER, [party('wiki')])
  parties.keep(ISSUER, 'orders', { paused: { by: 'operator-1', atMs: NOW_MS } })
  expect(parties.find(formerly, 'wiki')).toEqual(parties.find(ISSUER, 'wiki'))
  expect(parties.lane(formerly, 'wiki').concurrency).toBe(9)
  expect(parties.lane(formerly, 'orders').concurrency).toBe(0)
})

const REFUSES: Answer = { kind: 'response', status: 400 }
const uri = (host: string) => `https://${host}.example.org/logout`
const party = (clientId: string, logoutUri = uri(clientId)) => ({
  ...{ issuer: ISSUER, clientId, target: backchannelAt(logoutUri) },
  ...{ enabled: true },
})
const registration = (clientId: string, logoutUri = uri('registered')) => ({
  ...{ issuer: ISSUER, clientId, logoutUri },
})
const asked = { by: 'olivia-1', reason: 'it is being moved' }

let store: Store
let answer: Answer
let sent: string[]

beforeEach(() => {
  store = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  const opened = store
  onTestFinished(() => opened.close())
  answer = REFUSES
  sent = []
})

/** One process of the relay, on the store that all share. */
async function relay(overrides: DeliverySettings['overrides'] = [], genuine?: Genuine) {
  const relyingParties = new RelyingParties({ ...SETTINGS, overrides })
  const told: Change[] = []
  const registrar = new Registrar({
    notes: store,
    relyingParties,
    deliverers: deliverersBy((to) => {
      sent.push(to)
      return Promise.resolve(answer)
    }),
    ...(genuine ? { genuine: () => genuine } : {}),
    observer: { changed: (change) => void told.push(change) },
    nowMs: () => NOW_MS,
  })
  await registrar.load()
  return { relyingParties, registrar, told }
}

test('a realm that has got another host name keeps its registrations and pauses, and what was last seen of it', async () => {
  const formerly = 'https://old.example.org/realms/demo'
  const before = await relay()
  await before.registrar.saw(formerly, [], { listener: true })
  await before.registrar.register({ ...registration('shop'), issuer: formerly }, asked)
  await before.registrar.pause(formerly, 'shop', asked)
  const after = await relay()
  await after.registrar.adopt(ISSUER, [formerly])
  await after.registrar.load()
  expect(after.relyingParties.list(ISSUER)).toMatchObject([{ clientId: 'shop', source: 'registered', paused: asked }])
  expect(after.relyingParties.list(formerly)).toEqual([])
  await after.registrar.saw(ISSUER, [], { listener: false })
  expect(after.told).toMatchObject([{ issuer: ISSUER, kind: 'listener_off' }])
  // It stays so when the former name is no longer in relay.yaml, and what is said since is not overruled by it.
  await after.registrar.resume(ISSUER, 'shop', 'olivia-1')
  const later = await relay()
  await later.registrar.adopt(ISSUER, [formerly])
  await later.registrar.load()
  expect(later.relyingParties.list(ISSUER)).toMatchObject([{ clientId: 'shop', source: 'registered' }])
  expect(later.relyingParties.paused(ISSUER, 'shop')).toBeUndefined()
})

test('a relying party is not registered under the name of an identity provider', async () => {
  const { registrar } = await relay()
  const named = registration(providerName('https://login.example.com'))
  await expect(registrar.register(named, asked, true)).rejects.toMatchObject({ code: 'invalid_request' })
  expect(sent).toEqual([])
})

const changes = async () => (await store.changes(ISSUER, 100)).map(({ kind }) => kind)

describe('whose word on a logout URL counts', () => {
  const file = [{ issuer: ISSUER, clientId: 'wiki', logoutUri: uri('file') }]

  test('the realm’s before relay.yaml’s, that before what is registered, and the others are shown', async () => {
    const { relyingParties, registrar } = await relay(file)
    await registrar.register(registration('wiki'), asked)
    expect(relyingParties.find(ISSUER, 'wiki')).toMatchObject({ source: 'file', target: { uri: uri('file') } })
    await registrar.saw(ISSUER, [party('wiki', uri('realm'))], {})
    expect(relyingParties.list(ISSUER)).toMatchObject([
      {
        source: 'realm',
        target: { uri: uri('realm') },
        outvoted: [
          { source: 'file', target: { uri: uri('file') } },
          { source: 'registered', target: { uri: uri('registered') } },
        ],
      },
    ])
  })

  test('a relay that has just started does not take a registration for the realm’s word', async () => {
    const first = await relay()
    await first.registrar.saw(ISSUER, [party('wiki')], {})
    await first.registrar.register(registration('wiki', uri('evil')), asked)
    const second = await relay()
    expect(second.relyingParties.find(ISSUER, 'wiki')).toMatchObject({ source: 'realm', target: { uri: uri('wiki') } })
  })

  test('another realm’s relying party of the same name is another', async () => {
    const { relyingParties, registrar } = await relay(file)
    await registrar.register({ ...registration('wiki'), issuer: OTHER_ISSUER }, asked)
    expect(relyingParties.find(ISSUER, 'wiki')?.target.uri).toBe(uri('file'))
    expect(relyingParties.list(OTHER_ISSUER)).toMatchObject([
      { target: { uri: uri('registered') }, source: 'registered' },
    ])
  })
})

describe('a registration', () => {
  test('of a relying party that refuses what it must is kept, by whom and why, also after a restart', async () => {
    const { registrar, told } = await relay()
    expect(await registrar.register(registration('shop'), asked)).toMatchObject({ registered: true })
    expect(new Set(sent)).toEqual(new Set([uri('registered')]))
    expect(told).toMatchObject([{ kind: 'relying_party_registered', clientId: 'shop', ...asked }])
    expect((await relay()).relyingParties.find(ISSUER, 'shop')).toMatchObject({ target: { uri: uri('registered') } })
  })

  test.each<[string, Answer, RegExp]>([
    ['that says yes to anything', { kind: 'response', status: 200 }, /accepts anything/],
    ['that is not there', { kind: 'response', status: 404 }, /nothing at the logout URL/],
    ['that takes no POST', { kind: 'response', status: 405 }, /takes no POST/],
    ['that sends to a login', { kind: 'response', status: 302 }, /redirects, most likely to a login page/],
    ['that has CSRF protection', { kind: 'response', status: 403 }, /CSRF/],
    ['whose certificate is not good', { kind: 'failure', code: 'tls' }, /TLS/],
    ['that is down', { kind: 'failure', code: 'connection_refused' }, /Nothing listens/],
  ])('of one %s is made only in spite of the check', async (_, given, says) => {
    answer = given
    const { registrar, relyingParties, told } = await relay()
    const refused = await registrar.register(registration('shop'), asked)
    expect([refused.registered, refused.finding.says]).toEqual([false, expect.stringMatching(says)])
    expect([relyingParties.list(ISSUER), await changes(), told]).toEqual([[], [], []])
    expect(await registrar.register(registration('shop'), asked, true)).toMatchObject({ registered: true })
    expect(told).toMatchObject([{ data: { check: 'failed' } }])
  })

  test('of one that refuses also what the realm has signed is made only in spite of the check', async () => {
    const genuine: Genuine = (clientId) => Promise.resolve({ tokens: new Map([['sid', `of ${clientId}`]]) })
    const { registrar } = await relay([], genuine)
    const refused = await registrar.register(registration('shop'), asked)
    expect([refused.registered, refused.finding.says]).toEqual([false, expect.stringMatching(/^answers 400 also to/)])
    expect(await registrar.register(registration('shop'), asked, true)).toMatchObject({ registered: true })
  })

  test.each<[string, string, Answer]>([
    ['no URL', 'wiki.example.org', REFUSES],
    ['another scheme', 'javascript:alert(1)', REFUSES],
    ['a user name', 'https://user:pass@wiki.example.org/', REFUSES],
    ['a fragment', 'https://wiki.example.org/#there', REFUSES],
    ['no end', `https://wiki.example.org/${'x'.repeat(2000)}`, REFUSES],
    ['plain http', 'http://wiki.example.org/', { kind: 'failure', code: 'http_not_allowed' }],
    ['a forbidden address', 'https://169.254.169.254/', { kind: 'failure', code: 'address_not_allowed' }],
  ])('of a logout URL with %s is never made', async (_, logoutUri, given) => {
    answer = given
    const { registrar } = await relay()
    await expect(registrar.register(registration('shop', logoutUri), asked, true)).rejects.toMatchObject({
      code: 'invalid_request',
    })
    expect(await changes()).toEqual([])
  })

  test('is taken back once, and what the realm names stays', async () => {
    const { registrar, relyingParties } = await relay()
    await registrar.saw(ISSUER, [party('wiki')], {})
    await registrar.register(registration('wiki'), asked)
    await registrar.unregister(ISSUER, 'wiki', asked)
    expect(relyingParties.find(ISSUER, 'wiki')).toMatchObject({ source: 'realm', outvoted: [] })
    await expect(registrar.unregister(ISSUER, 'wiki', asked)).rejects.toMatchObject({ code: 'not_found' })
    expect(await changes()).toEqual(['registration_removed', 'relying_party_registered'])
  })
})

describe('a pause', () => {
  test('leaves no room for an attempt, at every relay, until it is over', async () => {
    const [here, there] = [await relay(), await relay()]
    await here.registrar.saw(ISSUER, [party('wiki'), party('shop')], {})
    await here.registrar.pause(ISSUER, 'wiki', asked)
    await there.registrar.load()
    for (const { relyingParties } of [here, there]) {
      expect(relyingParties.paused(ISSUER, 'wiki')).toEqual({ ...asked, atMs: NOW_MS })
      expect(relyingParties.lane(ISSUER, 'wiki').concurrency).toBe(0)
      expect(relyingParties.lane(ISSUER, 'shop').concurrency).toBe(4)
    }
    await there.registrar.resume(ISSUER, 'wiki', 'oscar-1')
    await here.registrar.load()
    expect(here.relyingParties.lane(ISSUER, 'wiki').concurrency).toBe(4)
    expect(await store.changes(ISSUER, 2)).toMatchObject([
      { kind: 'relying_party_resumed', by: 'oscar-1' },
      { kind: 'relying_party_paused', ...asked },
    ])
  })

  test('is of a relying party that is known, and ends once', async () => {
    const { registrar } = await relay()
    await expect(registrar.pause(ISSUER, 'nobody', asked)).rejects.toMatchObject({ code: 'not_found' })
    await expect(registrar.resume(ISSUER, 'nobody', 'olivia-1')).rejects.toMatchObject({ code: 'not_found' })
  })

  test('and a registration by two relays at once are both kept', async () => {
    const [here, there] = [await relay(), await relay()]
    await here.registrar.saw(ISSUER, [party('wiki')], {})
    await Promise.all([
      here.registrar.pause(ISSUER, 'wiki', asked),
      there.registrar.register(registration('wiki'), asked),
    ])
    const { relyingParties } = await relay()
    expect(relyingParties.find(ISSUER, 'wiki')).toMatchObject({
      paused: { ...asked },
      outvoted: [{ source: 'registered' }],
    })
  })
})

describe('what is seen changed at the realm', () => {
  const policy = { 'admin-reset-password': 'sessions' }

  test('is told once, by one of the relays, and without a name since the realm alone knows it', async () => {
    const [here, there] = [await relay(), await relay()]
    await here.registrar.saw(ISSUER, [party('wiki')], { listener: true, policy })
    await there.registrar.saw(ISSUER, [party('wiki')], { listener: true, policy })
    expect(await changes()).toEqual([])
    const now = { listener: false, policy: { 'admin-reset-password': 'off' } }
    for (const { registrar } of [here, there, here]) {
      await registrar.saw(ISSUER, [party('wiki', uri('evil'))], now)
    }
    expect((await changes()).sort()).toEqual(['listener_off', 'logout_uri_changed', 'policy_weakened'])
    expect(here.told.length + there.told.length).toBe(3)
    expect((await store.changes(ISSUER, 1))[0]).not.toHaveProperty('by')
    expect([here, there].map(({ registrar }) => registrar.isListenerOff(ISSUER))).toEqual([true, true])
  })

  test('while the relay was stopped is told at its next start', async () => {
    await (await relay()).registrar.saw(ISSUER, [party('wiki')], { listener: true, policy })
    await (await relay()).registrar.saw(ISSUER, [], { listener: true, policy })
    expect(await store.changes(ISSUER, 1)).toMatchObject([
      { kind: 'logout_uri_removed', clientId: 'wiki', data: { was: uri('wiki') } },
    ])
  })
})

describe('what relay.yaml allows', () => {
  const parse = (delivery: string, parties = '[]') =>
    allowedBy(
      parseConfig(
        `issuers: [{ issuer: '${ISSUER}', client_secret: s }]\ndelivery: ${delivery}\nrelying_parties: ${parties}`,
        'relay.yaml',
        {},
      ),
      ISSUER,
    )
  const wiki = (more: string) => `[{ issuer: '${ISSUER}', client_id: wiki, ${more} }]`

  test('is told when it is more than at the last start, and when it is less, and once', async () => {
    const loose = parse('{ allow_http_on_loopback: true, allow_addresses: [10.0.0.0/8] }')
    for (const allowed of [parse('{}'), loose, loose, parse('{ allow_addresses: [10.0.0.0/8] }')]) {
      await (await relay()).registrar.configured(ISSUER, allowed)
    }
    expect((await store.changes(ISSUER, 9)).toReversed()).toMatchObject([
      { kind: 'settings_weakened', data: { setting: 'delivery.allow_http_on_loopback', was: '', is: 'yes' } },
      { kind: 'settings_weakened', data: { setting: 'delivery.allow_addresses', was: '', is: '10.0.0.0/8' } },
      { kind: 'settings_changed', data: { setting: 'delivery.allow_http_on_loopback', was: 'yes', is: '' } },
    ])
  })

  test('is not compared at the first start', async () => {
    await (await relay()).registrar.configured(ISSUER, parse('{ allow_http_on_loopback: true }'))
    expect(await changes()).toEqual([])
  })

  test.each([
    ['a relying party may be http', '[]', wiki('allow_http: true'), 'settings_weakened'],
    [
      'it may be in a network',
      wiki('allow_addresses: [10.1.0.0/16]'),
      wiki("allow_addresses: ['10.0.0.0/8']"),
      'settings_weakened',
    ],
    [
      'it may be in fewer networks',
      wiki("allow_addresses: ['10.0.0.0/8', '10.1.0.0/16']"),
      wiki("allow_addresses: ['10.1.0.0/16']"),
      'settings_changed',
    ],
    [
      'a logout URL is another',
      wiki("backchannel_logout_uri: 'https://a.example.org'"),
      wiki("backchannel_logout_uri: 'https://b.example.org'"),
      'settings_weakened',
    ],
    ['a logout URL is gone', wiki("backchannel_logout_uri: 'https://a.example.org'"), '[]', 'settings_weakened'],
  ])('%s', async (_, before, now, kind) => {
    const { registrar } = await relay()
    await registrar.configured(ISSUER, parse('{}', before))
    await registrar.configured(ISSUER, parse('{}', now))
    expect(await changes()).toEqual([kind])
  })

  test('one more client whose tokens may act here is told of, and one that may no more is too', async () => {
    const clients = (names: string) =>
      allowedBy(
        parseConfig(`issuers: [{ issuer: '${ISSUER}', client_secret: s, clients: [${names}] }]`, 'relay.yaml', {}),
        ISSUER,
      )
    expect(clients('')).toEqual({})
    for (const names of ['logout-relay-operator', 'logout-relay-operator, wiki', 'logout-relay-operator']) {
      await (await relay()).registrar.configured(ISSUER, clients(names))
    }
    expect((await store.changes(ISSUER, 9)).toReversed()).toMatchObject([
      { kind: 'settings_weakened', data: { setting: 'issuers.clients', was: '', is: 'wiki' } },
      { kind: 'settings_changed', data: { setting: 'issuers.clients', was: 'wiki', is: '' } },
    ])
  })
})
