import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../../scripts/stage/process.ts'

test('nothing acknowledged is lost by kills, a graceful stop, a full or read-only disk, or a damaged file', async () => {
  const { status, lines } = await new Promise<{ status: number; lines: string[] }>((resolve) => {
    const args = [join(ROOT, 'chaos', 'main.ts'), '--store', 'sqlite', '--kills', '4', '--short']
    execFile(process.execPath, args, { timeout: 110_000 }, (error, stdout, stderr) =>
      resolve({
        status: error === null ? 0 : typeof error.code === 'number' ? error.code : -1,
        lines: (stdout + stderr).trim().split('\n'),
      }),
    )
  })
  expect({ status, lines }).toMatchObject({ status: 0 })
  expect(lines).toHaveLength(6)
  expect(lines.at(-1)).toMatch(/: 0 never delivered; \d+ told twice after a fault, 0 without one; 0 reported without/)
})
