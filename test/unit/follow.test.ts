import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { makeMetrics } from '../../relay/telemetry/metrics.ts'
import { type FollowPorts, followRealm } from '../../relay/run/follow.ts'
import type { IdentityProvider, RealmLook } from '../../relay/idp/port.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { Keycloak } from '../../relay/idp/keycloak/keycloak.ts'
import type { Finding } from '../../relay/domain/finding.ts'
import { RelayError } from '../../relay/errors.ts'
import { Findings } from '../../relay/telemetry/findings.ts'
import { makeLog } from '../../relay/telemetry/observer.ts'
import { systemClock } from '../../relay/run/open.ts'
import { Registrar } from '../../relay/registry/registrar.ts'
import { RelyingParties } from '../../relay/registry/registry.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { deliverersBy, ISSUER, securityEvent, temporaryFolder } from './given.ts'
import { hmacRealm, type OddRealm, realm } from './signed.ts'

/** What a relay says from its start on of a realm that signs so. A stand-in for the realm, since it answers in milliseconds. */
async function follow({ sign, jwks }: OddRealm, answers: object = {}, found: Finding[] = []) {
  const access_token = await sign({ sub: 'service-account-logout-relay' }, { typ: 'JWT' })
  const server: Server = createServer((question, response) => {
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
    const path = question.url ?? ''
    const answer = path.includes('.well-known')
      ? { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }
      : path.endsWith('/certs')
        ? jwks
        : path.endsWith('/token')
          ? { access_token, token_type: 'Bearer', expires_in: 300 }
          : path.endsWith('/outbox')
            ? { sets: {} }
            : { relying_parties: [], ...answers }
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
  const store = openSqliteStore(`${temporaryFolder()}/relay.db`)
  onTestFinished(() => store.close())
  const troubles: string[] = []
  const stop = new AbortController()
  const metrics = makeMetrics()
  await followRealm(
    {
      provider: new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true }),
      registrar: new Registrar({
        notes: store,
        relyingParties: new RelyingParties({
          ...{ allowHttpOnLoopback: false, allowAddresses: [], timeoutMs: 1, concurrency: 1, overrides: [] },
        }),
        deliverers: deliverersBy(() => Promise.reject(new Error('nobody is to be sent anything'))),
        observer: { changed: () => undefined },
        nowMs: () => Date.now(),
      }),
      metrics,
      findings: { found: (...some) => void found.push(...some), about: () => [] },
      log: makeLog('silent'),
      clock: systemClock,
      pollMs: 60_000,
      leads: () => true,
      verify: () => Promise.resolve(securityEvent(1, [])),
      receive: () => Promise.resolve(),
      stored: () => Promise.resolve(),
      fetchMissing: () => {
        stop.abort()
        return Promise.resolve()
      },
      unpushed: () => 0,
      takeRefused: () => Promise.resolve([]),
      waits: () => undefined,
      trouble: (what) => void troubles.push(what),
    },
    stop.signal,
  )
  return { troubles, metrics }
}

test('the start says of a realm whose signature nobody can verify that its events will be refused, and what to do', async () => {
  expect((await follow(await realm())).troubles).toEqual([])
  const found: Finding[] = []
  const [trouble] = (await follow(await hmacRealm(), {}, found)).troubles
  expect(found.filter(({ ok }) => !ok)).toMatchObject([
    { check: 'signature', says: expect.stringMatching(/^every event will be refused/) as string },
  ])
  expect(trouble).toMatch(/Every security event of http.* will be refused\. .*choose another.*RS256/)
})

test('what the realm tells of the directories behind it is in the metrics after the first look', async () => {
  const directory = { id: '0d1c', name: 'ad', state: 'held', users: 300, held: 300 }
  const { metrics } = await follow(await realm(), { realm: { listener: true, directories: [directory] } })
  const text = await metrics.registry.metrics()
  expect(text).toMatch(/logout_relay_directory_held{issuer="http:.*",directory="ad",directory_id="0d1c"} 300/)
})

test('what waits of the word of identity providers is in the metrics after a look, and gone after one without it', async () => {
  const upstreams = [
    { id: '9b1c', issuer: 'https://login.example.com', held: 7 },
    { id: '9b1d', issuer: 'https://other.example.com', held: 0, decided_by: 'anna' },
  ]
  const { metrics } = await follow(await realm(), { realm: { listener: true, upstreams } })
  const shown = async () =>
    (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith('logout_relay_upstream_held{'))
  expect(await shown()).toEqual([
    expect.stringMatching(/\{issuer="http:.*",upstream_issuer="https:\/\/login\.example\.com"\} 7$/),
    expect.stringMatching(/\{issuer="http:.*",upstream_issuer="https:\/\/other\.example\.com"\} 0$/),
  ])
  metrics.upstreamsHeld.clear()
  expect(await shown()).toEqual([])
})

/** A realm in which all is well but what is given, followed until the test is over. */
function followed(look: Partial<RealmLook>, ports: Partial<FollowPorts> = {}, more: Partial<IdentityProvider> = {}) {
  const clock = new FakeClock()
  const stop = new AbortController()
  const polls: (readonly string[])[] = []
  const found: Finding[] = []
  const findings = new Findings()
  const looks: number[] = []
  const store = openSqliteStore(`${temporaryFolder()}/relay.db`)
  const provider = {
    issuer: ISSUER,
    connect: () => Promise.resolve(),
    keys: () => Promise.resolve(),
    signatureComplaint: () => Promise.resolve(undefined),
    ownFindings: () => [],
    look: () => {
      looks.push(clock.nowMs())
      return Promise.resolve({ parties: [], realm: {}, findings: [], ...look })
    },
    poll: (_: number, ack: readonly string[]) => {
      polls.push(ack)
      return Promise.resolve({ sets: {} })
    },
    ...more,
  } as unknown as IdentityProvider
  const registrar = new Registrar({
    notes: store,
    relyingParties: new RelyingParties({
      ...{ allowHttpOnLoopback: false, allowAddresses: [], timeoutMs: 1, concurrency: 1, overrides: [] },
    }),
    deliverers: deliverersBy(() => Promise.reject(new Error('nobody is to be sent anything'))),
    observer: { changed: () => undefined },
    nowMs: () => clock.nowMs(),
  })
  const running = followRealm(
    {
      ...{ provider, registrar, metrics: makeMetrics(), log: makeLog('silent'), clock, pollMs: 5000 },
      findings: {
        found: (...some) => {
          found.push(...some)
          findings.found(...some)
        },
        about: (...things) => findings.about(...things),
      },
      leads: () => true,
      verify: () => Promise.resolve(securityEvent(1, [])),
      receive: () => Promise.resolve(),
      stored: () => Promise.resolve(),
      unpushed: () => 0,
      fetchMissing: () => Promise.resolve(),
      takeRefused: () => Promise.resolve([]),
      waits: () => undefined,
      trouble: () => undefined,
      ...ports,
    },
    stop.signal,
  )
  onTestFinished(async () => {
    stop.abort()
    await running
    await store.close()
  })
  return { clock, polls, found, findings, looks }
}

test('what was refused when the relay ran last is asked for again at the start, and the outbox is told of it', async () => {
  const asked: number[] = []
  const takeRefused = (sinceMs: number) => {
    asked.push(sinceMs)
    return Promise.resolve(['jti-7'])
  }
  const { clock, polls } = followed({ outbox: { waiting: 2, refused: 1, oldestMs: 4711 } }, { takeRefused })
  await settle()
  await clock.advance(5000)
  expect(asked).toEqual([4711])
  expect(polls.flat()).toEqual(['jti-7'])
  await clock.advance(10_000)
  expect([asked.length, polls.flat()]).toEqual([1, ['jti-7']])
})

test('what merely waits in the outbox is left to the poll', async () => {
  const takeRefused = () => Promise.reject(new Error('asked'))
  const { clock, polls } = followed({ outbox: { waiting: 2, refused: 0, oldestMs: 4711 } }, { takeRefused })
  await settle()
  await clock.advance(5000)
  expect(polls.length).toBeGreaterThan(1)
})

test.each([
  ['that arrives nowhere', true, 3, false],
  ['of which one event was late', true, 2, true],
  ['that nobody has switched on', false, 9, true],
])('a push URL %s is told of only where it is amiss', async (_, pushes, count, ok) => {
  const { found } = followed({ pushes }, { unpushed: () => count })
  await settle()
  const push = found.findLast(({ check }) => check === 'push')
  expect(push).toMatchObject({
    ok,
    ...(ok ? {} : { says: expect.stringMatching(/came by the poll.*push-url/) as string }),
  })
})

test('a realm in which something is amiss is looked at again within seconds, and one that is well each minute', async () => {
  const findings: Finding[] = [{ check: 'listener', about: ISSUER, ok: false, says: 'is OFF' }]
  const { clock, looks } = followed({ findings })
  await settle()
  await clock.advance(10_000)
  expect(looks).toHaveLength(3)
  findings[0] = { check: 'listener', about: ISSUER, ok: true, says: 'is on' }
  await clock.advance(64_999)
  expect(looks).toHaveLength(4)
  await clock.advance(1)
  expect(looks).toHaveLength(5)
})

test('that a realm makes no logout tokens is told until it makes them, also where nothing is due any more', async () => {
  const asked: string[] = []
  let refuses = true
  const genuine: IdentityProvider['genuine'] = (clientId) => {
    asked.push(clientId)
    return refuses
      ? Promise.reject(new RelayError('idp_unavailable', 'logout-tokens answered 403'))
      : Promise.resolve({ tokens: new Map() })
  }
  const { clock, findings } = followed({}, {}, { genuine })
  await settle()
  await clock.advance(60_000)
  expect(asked).toEqual([])
  findings.found({ check: 'logout tokens', about: ISSUER, ok: false, says: 'logout-tokens answered 403' })
  await clock.advance(65_000)
  expect(asked.length).toBeGreaterThan(0)
  expect(findings.about(ISSUER)).toHaveLength(1)
  refuses = false
  await clock.advance(5000)
  expect(findings.about(ISSUER)).toEqual([])
})

test('what a process could not do while it led is not told by it once another leads', async () => {
  let leads = true
  const poll = () => Promise.reject(new RelayError('idp_unavailable', 'outbox answered 500'))
  const { clock, findings } = followed({}, { leads: () => leads }, { poll })
  await settle()
  await clock.advance(65_000)
  expect(findings.about(ISSUER)).toMatchObject([{ check: 'poll' }])
  leads = false
  await clock.advance(5000)
  expect(findings.about(ISSUER)).toEqual([])
})
