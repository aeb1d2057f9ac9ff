import { accessSync, constants } from 'node:fs'
import { dirname } from 'node:path'
import { codeOf, RelayError } from '../../errors.ts'

/** SQLITE_CORRUPT and SQLITE_NOTADB, without what SQLite adds in the higher bits. */
const DAMAGED: readonly number[] = [11, 26]

/** What went wrong with the file and what to do. SQLite's own words name no data of ours, so they may be shown. */
export function storeError(path: string, cause: unknown): RelayError {
  if (cause instanceof RelayError) {
    return cause
  }
  const words = cause instanceof Error ? cause.message : 'unknown'
  if (isDamage(cause)) {
    return new RelayError(
      'store_unavailable',
      `The store ${path} is damaged (${words}). Stop the relay, move this file and those beside it named ${path}-wal ` +
        'and -shm away, put back a backup or begin without a file, and start it again: docs/operate.md',
      { cause },
    )
  }
  const why = whyNotWritable(path)
  return why === undefined
    ? new RelayError('store_unavailable', `The store ${path} cannot be used: ${words}`, { cause })
    : new RelayError(
        'store_unavailable',
        `The store ${path} cannot be written (${why}): the relay must be able to write the file and its folder`,
        { cause },
      )
}

export function isDamage(cause: unknown): boolean {
  return cause instanceof Error && 'errcode' in cause && DAMAGED.includes(Number(cause.errcode) & 0xff)
}

/** SQLite says "disk I/O error" of a file system that is read-only. */
function whyNotWritable(path: string): string | undefined {
  for (const place of [dirname(path), path]) {
    try {
      accessSync(place, constants.W_OK)
    } catch (cause) {
      const code = codeOf(cause) ?? 'unknown'
      if (code !== 'ENOENT') {
        return code
      }
    }
  }
  return undefined
}
