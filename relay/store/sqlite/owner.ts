import { chmodSync, closeSync, existsSync, openSync, statSync } from 'node:fs'
import { codeOf, RelayError } from '../../errors.ts'

const OTHERS = 0o077

/** What SQLite makes beside a file gets the mode of that file; what lies there from before may have another. */
const BESIDE = ['', '-wal', '-shm', '-journal']

/**
 * Makes the store's files for their owner alone, before SQLite opens any of them: they say who was contained when and why.
 * A file that others can read is narrowed and not refused. Every relay up to now has made one under the usual umask, so a
 * refusal would stop each of them at its upgrade; and nobody else has a use for it, since the relay holds it exclusively.
 *
 * @returns whether others could read it until now
 * @throws RelayError `store_unavailable` where it cannot be narrowed, since it is another user's
 */
export function keepToOwner(path: string, chmod = chmodSync): boolean {
  if (!existsSync(path)) {
    // Opened only where there is none yet: to close a file that SQLite has open gives up this process's locks on it.
    closeSync(openSync(path, 'a', 0o600))
  }
  const wide = filesOf(path).filter(isOpenToOthers)
  for (const file of wide) {
    let why = ''
    try {
      chmod(file, 0o600)
    } catch (cause) {
      why = ` (${codeOf(cause) ?? 'unknown'})`
    }
    if (isOpenToOthers(file)) {
      throw new RelayError(
        'store_unavailable',
        `The store ${file} can be read by others than its owner, and this user may not change that${why}: ` +
          `give it to the user that the relay runs as, and run chmod 600 ${file}`,
      )
    }
  }
  return wide.length > 0
}

/** Of the files of a store those that are there. */
function filesOf(path: string): string[] {
  return BESIDE.map((end) => path + end).filter((file) => existsSync(file))
}

/** Whether a store is there that others than its owner can read or write. Windows has no such modes. */
export function isOpenToOthers(file: string): boolean {
  return process.platform !== 'win32' && (statSync(file).mode & OTHERS) !== 0
}
