import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { countAmiss, countOpen, makeMetrics } from '../../relay/telemetry/metrics.ts'
import { ROOT } from '../../scripts/stage/process.ts'

test('promtool accepts the alert rules', () => {
  const said = execFileSync('promtool', ['check', 'rules', join(ROOT, 'deploy', 'alerts.yaml')], { encoding: 'utf8' })
  expect(said).toMatch(/SUCCESS: \d+ rules found/)
})

test('an alert about a directory is raised where it fails, is late or waits for a word, and nowhere else', () => {
  const said = execFileSync('promtool', ['test', 'rules', join(import.meta.dirname, 'alerts-directories.yaml')], {
    encoding: 'utf8',
  })
  expect(said).toContain('SUCCESS')
})

test('an alert about an identity provider is raised where it is silent, off, refused or waits for a word, until it is not', () => {
  const said = execFileSync('promtool', ['test', 'rules', join(import.meta.dirname, 'alerts-upstreams.yaml')], {
    encoding: 'utf8',
  })
  expect(said).toContain('SUCCESS')
})

test('promtool has nothing to say against the metrics', async () => {
  const open = { issuer: 'https://idp.example.org/realms/demo', clientId: 'orders', count: 1, oldestMs: 1, asked: true }
  const metrics = makeMetrics()
  countOpen(metrics, { open: () => Promise.resolve([open]) })
  metrics.directories.set(open.issuer, [
    {
      ...{
        id: '0d1c',
        name: 'ad',
        provider: 'ldap',
        state: 'watched',
        users: 3,
        withoutClock: 0,
        held: 0,
        lookedMs: 1,
      },
      failing: { sinceMs: 1, why: 'CommunicationException' },
    },
  ])
  const at = { issuer: open.issuer, clientId: 'legacy', count: 1, untilMs: 1 }
  const finding = { check: 'listener', about: open.issuer, ok: false, says: 'is OFF' }
  countAmiss(metrics, { unreachable: () => Promise.resolve([at]) }, { all: () => [finding] }, () => 0)
  const input = await metrics.registry.metrics()
  expect(execFileSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' })).toBe('')
})
