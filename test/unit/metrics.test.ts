import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeMetrics } from '../../relay/api/metrics.ts'
import type { Store } from '../../relay/store/port.ts'
import { parse } from 'yaml'

const ROOT = join(import.meta.dirname, '..', '..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

const registered = () =>
  makeMetrics({ open: () => Promise.resolve([]) } as unknown as Store).registry.getMetricsAsJSON()

test('names are by Prometheus’s convention: base units, and counters end in _total', async () => {
  for (const { name, type } of await registered()) {
    expect(name).toMatch(/^logout_relay_[a-z_]+$/)
    expect([name, String(type) === 'counter']).toEqual([name, name.endsWith('_total')])
    expect(name).not.toMatch(/_(ms|millis|minutes|bytes_total_total)/)
  }
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
