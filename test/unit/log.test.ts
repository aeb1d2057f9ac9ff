import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { parseConfig } from '../../relay/config/config.ts'
import { startRelay } from '../../relay/main.ts'
import { temporaryFolder } from './given.ts'

const CANARY = 'canary-7f3a'

/** A token in form, whose every part is one that must not be seen. */
function tokenWithCanary(issuer: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const header = part({ alg: 'RS256', typ: 'secevent+jwt', kid: CANARY })
  return `${header}.${part({ iss: issuer, sub: CANARY, jti: CANARY, aud: 'logout-relay' })}.${CANARY}`
}

test('no token, secret or subject reaches the log, an error or a metric, also when everything is refused', async () => {
  const issuer = 'http://127.0.0.1:9/realms/demo'
  const config = parseConfig(
    [
      'listen: { port: 0 }',
      `store: { sqlite: ${join(temporaryFolder(), 'relay.db')} }`,
      `issuers: [{ issuer: "${issuer}", client_secret: ${CANARY} }]`,
      'log: { level: debug }',
    ].join('\n'),
    'relay.yaml',
    {},
  )
  let log = ''
  const lines = new Writable({
    write: (chunk: Buffer, _, done) => {
      log += chunk.toString()
      done()
    },
  })
  const relay = await startRelay(config, pino({ level: 'debug' }, lines))
  let said = ''
  try {
    const tokens = [tokenWithCanary(issuer), tokenWithCanary('https://evil.example.org'), CANARY]
    for (const token of tokens) {
      const headers = { 'content-type': 'application/secevent+jwt' }
      const pushed = await fetch(`${relay.url}/events`, { method: 'POST', headers, body: token })
      expect(pushed.status).toBeGreaterThanOrEqual(400)
      const listed = await fetch(`${relay.url}/api/v1/deliveries`, { headers: { authorization: `Bearer ${token}` } })
      expect(listed.status).toBeGreaterThanOrEqual(400)
      said += (await pushed.text()) + (await listed.text())
    }
    said += await (await fetch(`${relay.url}/metrics`)).text()
    said += await (await fetch(`${relay.url}/readyz`)).text()
  } finally {
    await relay.close()
  }
  // It has said something: that it is up, waits for the issuer, refused the pushes.
  expect(log).toContain('Waiting for the identity provider')
  expect(log).toContain('A pushed security event was refused')
  const shown = (text: string) => [text.includes(CANARY), text.includes(Buffer.from(CANARY).toString('base64'))]
  expect([shown(log), shown(said)]).toEqual([
    [false, false],
    [false, false],
  ])
})
