import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../scripts/stage/process.ts'

// Of 10,000; without a claim some twenty would be given twice.
const MANY = 400

test('a port that one process was given is given to no other while the first one lives', async () => {
  const program = `
    import { freePort } from ${JSON.stringify(new URL('../../scripts/stage/process.ts', import.meta.url).href)}
    const ports = []
    while (ports.length < ${MANY}) ports.push(await freePort())
    process.once('disconnect', process.exit).send(ports)`
  const other = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  onTestFinished(() => void other.kill())
  const [theirs] = (await once(other, 'message')) as [number[]]
  const ours: number[] = []
  while (ours.length < MANY) {
    ours.push(await freePort())
  }
  expect(new Set([...theirs, ...ours]).size).toBe(2 * MANY)
})
