import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { countOpen, makeMetrics } from '../../relay/telemetry/metrics.ts'
import type { Store } from '../../relay/store/port.ts'
import { parse } from 'yaml'
import { RelayError } from '../../relay/errors.ts'
import { ISSUER, NOW_MS } from './given.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

function counting(open: Store['open']) {
  const metrics = makeMetrics()
  countOpen(metrics, { open })
  return metrics
}
const registered = () => counting(() => Promise.resolve([])).registry.getMetricsAsJSON()

test('names are by Prometheus’s convention: base units, and counters end in _total', async () => {
  for (const { name, type } of await registered()) {
    expect(name).toMatch(/^logout_relay_[a-z_]+$/)
    expect([name, String(type) === 'counter']).toEqual([name, name.endsWith('_total')])
    expect(name).not.toMatch(/_(ms|millis|minutes|bytes_total_total)/)
  }
})

test('a store that cannot be read takes no other metric with it, and is read once for a scrape', async () => {
  let reads = 0
  let broken = false
  const open = () => {
    reads += 1
    return broken
      ? Promise.reject(new RelayError('store_unavailable', 'away'))
      : Promise.resolve([{ issuer: ISSUER, clientId: 'wiki', count: 3, oldestMs: NOW_MS, asked: true }])
  }
  const { registry, troubles } = counting(open)
  troubles.inc()
  const whole = await registry.metrics()
  expect(whole).toContain(`logout_relay_deliveries_open{issuer="${ISSUER}",client_id="wiki"} 3`)
  expect(whole).toContain(`logout_relay_deliveries_open_oldest_timestamp_seconds{`)
  expect(reads).toBe(1)
  broken = true
  const rest = await registry.metrics()
  expect(rest).not.toContain('client_id="wiki"')
  expect(rest).toContain('logout_relay_troubles_total 1')
})

test('alert rules and dashboard ask for metrics that are there, and for all but none forgotten on the dashboard', async () => {
  const names = (await registered()).map(({ name }) => name)
  const asked = (text: string) => [
    ...new Set([...text.matchAll(/logout_relay_[a-z_]+/g)].map(([name]) => name.replace(/_bucket$/, ''))),
  ]
  const alerts = parse(read('deploy/alerts.yaml')) as { groups: { rules: { expr: string }[] }[] }
  const expressions = alerts.groups.flatMap(({ rules }) => rules.map(({ expr }) => expr)).join('\n')
  expect(asked(expressions).filter((name) => !names.includes(name))).toEqual([])
  expect(asked(read('deploy/grafana-dashboard.json')).sort()).toEqual([...names].sort())
})
