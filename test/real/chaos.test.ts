import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../../scripts/stage/process.ts'

function chaos(...options: string[]): Promise<{ status: number; lines: string[] }> {
  return new Promise((resolve) => {
    const args = [join(ROOT, 'chaos', 'main.ts'), '--short', ...options]
    execFile(process.execPath, args, { timeout: 110_000 }, (error, stdout, stderr) =>
      resolve({
        status: error === null ? 0 : typeof error.code === 'number' ? error.code : -1,
        lines: (stdout + stderr).trim().split('\n'),
      }),
    )
  })
}

const FIGURES = /: 0 never delivered; \d+ told twice after a fault, 0 without one; 0 reported without/

test('nothing acknowledged is lost by kills, a graceful stop, a full or read-only disk, or a damaged file', async () => {
  const { status, lines } = await chaos('--store', 'sqlite', '--kills', '4')
  expect({ status, lines }).toMatchObject({ status: 0 })
  expect(lines).toHaveLength(6)
  expect(lines.at(-1)).toMatch(FIGURES)
})

test('nothing acknowledged is lost by a failover of Redis that drops the last writes, by FLUSHALL, or with a relay', async () => {
  const { status, lines } = await chaos('--store', 'redis')
  expect({ status, lines }).toMatchObject({ status: 0 })
  expect(lines[0]).toMatch(/; [1-9]\d* events read again; /)
  expect(lines.at(-1)).toMatch(FIGURES)
})
