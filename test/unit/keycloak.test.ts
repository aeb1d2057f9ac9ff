import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { Delivery } from '../../relay/domain/model.ts'
import { Keycloak } from '../../relay/idp/keycloak.ts'
import { NOW_MS } from './given.ts'

/** A realm that records more than it is told: a stand-in, since a real one does not lie. */
async function lyingRealm(recorded: readonly string[]): Promise<string> {
  const server: Server = createServer((question, response) => {
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/lying`
    const answer = question.url?.includes('.well-known')
      ? { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }
      : question.url?.endsWith('/token')
        ? { access_token: 'a-token', token_type: 'Bearer', expires_in: 300 }
        : { recorded, refused: { 'another-realms.1': 'unknown' } }
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/lying`
}

test('a realm has no word on ends that it was not told: those of another realm stay unreported', async () => {
  const issuer = await lyingRealm(['told.0', 'another-realms.0'])
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  const delivery = { id: 'told.0', state: 'delivered', createdMs: NOW_MS, endedMs: NOW_MS } as Delivery
  expect(await keycloak.report([delivery])).toEqual(['told.0'])
})
