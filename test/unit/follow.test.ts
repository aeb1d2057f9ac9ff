import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { makeMetrics } from '../../relay/telemetry/metrics.ts'
import { followRealm } from '../../relay/run/follow.ts'
import { Keycloak } from '../../relay/idp/keycloak/keycloak.ts'
import type { Finding } from '../../relay/domain/finding.ts'
import { makeLog } from '../../relay/telemetry/observer.ts'
import { systemClock } from '../../relay/run/open.ts'
import { Registrar } from '../../relay/registry/registrar.ts'
import { RelyingParties } from '../../relay/registry/registry.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { deliverersBy, securityEvent, temporaryFolder } from './given.ts'
import { hmacRealm, type OddRealm, realm } from './signed.ts'

/** What a relay says from its start on of a realm that signs so. A stand-in for the realm, since it answers in milliseconds. */
async function troublesWith({ sign, jwks }: OddRealm, found: Finding[] = []): Promise<string[]> {
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
            : { relying_parties: [] }
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
      metrics: makeMetrics(),
      findings: { found: (one) => void found.push(one) },
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
      waits: () => undefined,
      trouble: (what) => void troubles.push(what),
    },
    stop.signal,
  )
  return troubles
}

test('the start says of a realm whose signature nobody can verify that its events will be refused, and what to do', async () => {
  expect(await troublesWith(await realm())).toEqual([])
  const found: Finding[] = []
  const [trouble] = await troublesWith(await hmacRealm(), found)
  expect(found.filter(({ ok }) => !ok)).toMatchObject([
    { check: 'signature', says: expect.stringMatching(/^every event will be refused/) as string },
  ])
  expect(trouble).toMatch(/Every security event of http.* will be refused\. .*choose another.*RS256/)
})
