import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { Line } from '../../bench/stats.ts'

const BENCH = join(import.meta.dirname, '..', '..', 'bench', 'bench.ts')

/** Those that need no Keycloak; the others take minutes. Times are not looked at: what they are depends on the machine. */
test.each(['fan-out', 'slow', 'black-hole', 'breach', 'events-in', 'history', 'resume', 'start', 'console'])(
  'the bench %s runs in small, and gives its figures, goals and a last line that counts them',
  async (name) => {
    const size = ['--rounds', '1', '--share', '0.001']
    const { stdout } = await promisify(execFile)(process.execPath, [BENCH, '--json', '--only', name, ...size])
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines[0]).toMatchObject({ machine: { node: process.version }, rounds: 1, share: 0.001 })
    const figures = lines.slice(1, -1) as unknown as (Line & { bench: string })[]
    expect(new Set(figures.map(({ bench }) => bench))).toEqual(new Set([name]))
    for (const { what, figure } of figures) {
      expect([what, figure.median > 0, figure.n > 0]).toEqual([what, true, true])
    }
    const goals = figures.filter(({ goal }) => goal !== undefined)
    expect(goals.length).toBeGreaterThan(0)
    expect(lines.at(-1)).toMatchObject({ figures: figures.length, goals: goals.length })
  },
)

test.each([
  ['bench/bench.ts', '--only', 'nothing', 'fan-out, minted'],
  ['bench/bench.ts', '--share', 'x', 'more than 0'],
  ['bench/bench.ts', '--round', '3', '--rounds'],
  ['sim/main.ts', '--seeds', 'many', 'whole number'],
  ['chaos/main.ts', '--store', 'paper', 'sqlite, redis'],
])('%s tells a wrong %s in one line that says what to give', async (command, option, value, says) => {
  const run = promisify(execFile)(process.execPath, [join(import.meta.dirname, '..', '..', command), option, value])
  const { code, stderr } = (await run.catch((failure: unknown) => failure)) as { code: number; stderr: string }
  expect([code, stderr]).toEqual([2, expect.stringMatching(new RegExp(`^.*${option}\\b.*${says}.*\\n$`)) as string])
})
