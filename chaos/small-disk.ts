import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A file system of a few MiB that can be filled and made read-only; it goes when this process does, however it ends. */
export interface SmallDisk {
  readonly dir: string
  fill(): void
  free(): void
  readOnly(is: boolean): void
}

/** @returns undefined where this user may not mount */
export function mountSmallDisk(parent: string, mib: number): SmallDisk | undefined {
  const dir = join(parent, 'small-disk')
  mkdirSync(dir)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=0700`, 'tmpfs', dir], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  // Ends with the pipe, so also after SIGKILL.
  const guard = spawn('/bin/sh', ['-c', 'cat >/dev/null; umount -l "$1"', 'guard', dir], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  guard.unref()
  ;(guard.stdin as unknown as { unref(): void }).unref()
  const filler = join(dir, 'filler')
  return {
    dir,
    fill: () => {
      for (let size = 1024 * 1024, n = 0; size >= 512;) {
        try {
          writeFileSync(filler, Buffer.alloc(size), { flag: 'a' })
          n++
        } catch {
          size = Math.floor(size / 2)
        }
        if (n > 1000) {
          throw new Error('The small disk does not fill up')
        }
      }
    },
    free: () => rmSync(filler),
    readOnly: (is) => {
      execFileSync('mount', ['-o', `remount,${is ? 'ro' : 'rw'}`, dir], { stdio: 'ignore' })
    },
  }
}
