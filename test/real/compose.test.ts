import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

test('every secret that it takes is made anew by deploy/compose/secrets, and none has a default', () => {
  const folder = temporary('compose')
  mkdirSync(join(folder, 'deploy', 'compose'), { recursive: true })
  cpSync(join(ROOT, 'deploy', 'compose', 'secrets'), join(folder, 'deploy', 'compose', 'secrets'))
  const make = () => execFileSync('sh', [join(folder, 'deploy', 'compose', 'secrets')], { stdio: 'ignore' })
  make()
  const env = readFileSync(join(folder, '.env'), 'utf8')
  const made = new Map([...env.matchAll(/^(\w+)=([0-9a-f]{32})$/gm)].map(([, name = '', value = '']) => [name, value]))
  const taken = new Set(
    [...readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8').matchAll(/\$\{(\w+)(.{2})/g)].map(([, name, how]) =>
      [name, how].join(),
    ),
  )
  expect([...taken].sort()).toEqual([...made.keys()].map((name) => `${name},:?`).sort())
  expect(new Set(made.values()).size).toBe(made.size)
  expect(statSync(join(folder, '.env')).mode & 0o077).toBe(0)
  make()
  expect(readFileSync(join(folder, '.env'), 'utf8')).toBe(env)
})
