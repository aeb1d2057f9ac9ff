import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Findings } from '../../relay/telemetry/findings.ts'
import { findingsOn } from '../../relay/domain/finding.ts'
import { countAmiss, countOpen, makeMetrics } from '../../relay/telemetry/metrics.ts'
import type { Store } from '../../relay/store/port.ts'
import { parse } from 'yaml'
import { RelayError } from '../../relay/errors.ts'
import { VERSION } from '../../relay/version.ts'
import { ISSUER, NOW_MS } from './given.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

const unreachable = [{ issuer: ISSUER, clientId: 'legacy', count: 2, untilMs: NOW_MS }]
const findings = new Findings()

function counting(open: Store['open']) {
  const metrics = makeMetrics()
  countOpen(metrics, { open })
  countAmiss(metrics, { unreachable: () => Promise.resolve(unreachable) }, findings, () => NOW_MS)
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

test('what is amiss, what nobody can be told about and which version runs are metrics, and none is left when it is well', async () => {
  const { ok, todo } = findingsOn(ISSUER)
  findings.found(todo('listener', 'is OFF'))
  const { registry } = counting(() => Promise.resolve([]))
  const says = await registry.metrics()
  expect(says).toContain(`logout_relay_to_do{about="${ISSUER}",check="listener"} 1`)
  expect(says).toContain(`logout_relay_sessions_unreachable{issuer="${ISSUER}",client_id="legacy"} 2`)
  expect(says).toContain(`logout_relay_build_info{version="${VERSION}",node="${process.versions.node}"} 1`)
  findings.found(ok('listener', 'is on'))
  expect(await registry.metrics()).not.toContain('check="listener"')
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
