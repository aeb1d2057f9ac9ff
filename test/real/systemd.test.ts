import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseConfig } from '../../relay/config/config.ts'
import { ROOT } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

const UNIT = readFileSync(join(ROOT, 'deploy', 'systemd', 'logout-relay.service'), 'utf8')

/** What `systemd-analyze verify` says of it, on a machine that has the command it starts. */
function verify(unit: string) {
  const dir = temporary('unit')
  const command = join(dir, 'logout-relay')
  writeFileSync(command, '#!/bin/sh\n', { mode: 0o755 })
  writeFileSync(join(dir, 'logout-relay.service'), unit.replace('/opt/logout-relay/bin/logout-relay', command))
  const args = ['verify', '--man=no', join(dir, 'logout-relay.service')]
  const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' })
  return { status, said: stdout + stderr }
}

test('systemd takes the unit without a word, and would not take a misspelt one', () => {
  expect(verify(UNIT)).toEqual({ status: 0, said: '' })
  expect(verify(UNIT.replace('ProtectSystem=', 'ProtectSytem=')).said).toContain('ProtectSytem')
  expect(verify(UNIT.replace('ExecStart=', 'ExecStart=/nowhere')).status).not.toBe(0)
})

test('systemd counts the exposure of the service as little', () => {
  const args = [
    'security',
    '--offline=true',
    '--threshold=15',
    '--no-pager',
    join(ROOT, 'deploy', 'systemd', 'logout-relay.service'),
  ]
  const said = execFileSync('systemd-analyze', args, { encoding: 'utf8' })
  expect(said).toMatch(/Overall exposure level for logout-relay.service: 1\.\d/)
})

test('the config that docs/install.md has for it is taken, with the folder of secrets that systemd names', () => {
  const text = readFileSync(join(ROOT, 'docs', 'install.md'), 'utf8')
  const yaml = /```yaml\n([^]*?)```/.exec(text)?.[1] ?? ''
  const [, id = ''] = /^LoadCredential=([^:]+):/m.exec(UNIT) ?? []
  const dir = temporary('credentials')
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, id), 'a-secret\n')
  const config = parseConfig(yaml, 'relay.yaml', { CREDENTIALS_DIRECTORY: dir })
  expect(config.issuers[0]?.client_secret).toBe('a-secret')
  const [, state] = /^StateDirectory=(.*)$/m.exec(UNIT) ?? []
  expect(config.store.sqlite).toBe(`/var/lib/${state ?? ''}/relay.db`)
})
