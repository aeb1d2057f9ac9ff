import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { z } from 'zod'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RelayServer, startRelayProcess } from '../../scripts/stage/relay.ts'
import { until } from '../../scripts/stage/process.ts'
import { StandInIdp } from '../../scripts/stage/stand-in-idp.ts'
import { SecurityFeedLine } from '../../relay/security-feed/line.ts'
import { startRecorder } from './recorder.ts'

// The realm is a stand-in: what is looked at lies between the store and the SIEM, and Keycloak takes no part in it.
let idp: StandInIdp
let relay: RelayServer
let recorder: Awaited<ReturnType<typeof startRecorder>>
const lines: z.infer<typeof SecurityFeedLine>[] = []
let siem: 'up' | 'refuses' | 'hangs' = 'refuses'
const server = createServer((question, response) => {
  let text = ''
  question.setEncoding('utf8').on('data', (part: string) => (text += part))
  question.on('end', () => {
    if (siem === 'hangs') {
      return
    }
    if (siem === 'up') {
      lines.push(
        ...text
          .trim()
          .split('\n')
          .map((line) => SecurityFeedLine.parse(JSON.parse(line))),
      )
    }
    response.writeHead(siem === 'up' ? 202 : 503).end()
  })
})

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  recorder = await startRecorder()
  idp = await StandInIdp.start([{ clientId: 'orders', logoutUri: recorder.logoutUri }])
  relay = await startRelayProcess({
    issuers: [{ issuer: idp.issuer, client_secret: idp.clientSecret, poll_interval_s: 1 }],
    securityFeed: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` },
  })
  idp.pushTo(`${relay.url}/events`)
})

afterAll(async () => {
  await relay.stop()
  idp.stop()
  recorder.close()
  server.closeAllConnections()
  server.close()
})

async function reset(): Promise<string> {
  const row = await idp.reset(['orders'])
  expect(await idp.push(row)).toBe(202)
  await until('the relying party has answered', () => idp.answers.has(row.sessions[0]?.id ?? ''))
  return row.jti
}

test('deliveries wait for no SIEM; what it missed, also across kill -9, it gets once it is back, each line once', async () => {
  const contained = [await reset()]
  await until('the feed is seen to wait', async () =>
    (await relay.metrics()).includes('logout_relay_security_feed_waiting_timestamp_seconds{issuer='),
  )
  siem = 'hangs'
  contained.push(await reset())
  await relay.kill9()
  server.closeAllConnections()
  siem = 'up'
  relay = await relay.restart()
  contained.push(await reset())
  const seen = () => new Set(lines.map(({ id }) => id)).size
  await until('everything is told', () => lines.filter(({ kind }) => kind === 'closed').length >= 3)
  for (const containment of contained) {
    expect(lines.filter((line) => line.containment === containment).map(({ kind }) => kind)).toEqual([
      ...['upstream_sessions_ended', 'received', 'planned', 'attempt', 'closed'],
    ])
  }
  expect(seen()).toBe(lines.length)
  expect(await relay.metrics()).not.toMatch(/feed_waiting_timestamp_seconds\{/)
})

test('a delivery is seen in the metrics at each of its stations', async () => {
  const metrics = await relay.metrics()
  const value = (line: RegExp) => Number(new RegExp(`^${line.source} (.+)$`, 'm').exec(metrics)?.[1])
  const issuer = `{issuer="${idp.issuer}"}`
  // By whichever way it came first: the poll comes every second.
  const accepted = metrics.matchAll(/^logout_relay_events_total\{source="(?:push|poll)",outcome="accepted"\} (\d+)$/gm)
  expect([...accepted].reduce((sum, [, count]) => sum + Number(count), 0)).toBe(1)
  expect(metrics).toContain(`logout_relay_signing_duration_seconds_count${issuer} 1`)
  expect(metrics).toContain(`logout_relay_logout_tokens_total{issuer="${idp.issuer}",outcome="made"} 1`)
  expect(metrics).toContain(`logout_relay_time_to_contain_seconds_count${issuer} 1`)
  expect(metrics).toMatch(/logout_relay_poll_last_success_timestamp_seconds\{.*\} \d/)
  expect(value(/logout_relay_store_duration_seconds_count\{operation="record"\}/)).toBe(1)
  expect(value(/logout_relay_security_feed_lines_total/)).toBeGreaterThanOrEqual(5)
})

test('relay.yaml that allows more than before is told to the SIEM as what it is', async () => {
  const file = join(relay.dir, 'relay.yaml')
  const text = readFileSync(file, 'utf8')
  await relay.stop()
  writeFileSync(file, text.replace(/^delivery:\n/m, 'delivery:\n  allow_addresses: [10.0.0.0/8]\n'))
  relay = await relay.restart()
  await until('it is told', () => lines.some(({ kind }) => kind === 'settings_weakened'))
  expect(lines.find(({ kind }) => kind === 'settings_weakened')).toMatchObject({
    issuer: idp.issuer,
    data: { setting: 'delivery.allow_addresses', was: '', is: '10.0.0.0/8', weakening: true },
  })
})
