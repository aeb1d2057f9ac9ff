import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { RelayError } from '../../errors.ts'
import { storeError } from './failures.ts'
import { keepToOwner } from './owner.ts'
import { makeTables } from './schema.ts'

/**
 * Opens the file of a store for this process alone, and gives a new one its tables.
 *
 * @param narrowed told when others than the file's owner could read it until now
 * @throws RelayError `store_in_use`, `store_unavailable`
 */
export function openFile(path: string, narrowed: () => void): DatabaseSync {
  let db: DatabaseSync | undefined
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    if (keepToOwner(path)) {
      narrowed()
    }
    db = new DatabaseSync(path)
    // The lock is taken with the first statement and held: two relays on one file would send everything twice.
    db.exec(
      'pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 0',
    )
    // Under load the ids that are written lie anywhere in the file: with SQLite's 2 MB of cache every delivery read a dozen
    // pages again.
    db.exec('pragma cache_size = -16000')
    db.exec('begin immediate')
    makeTables(db, path)
    // Whoever held a lease on this file is gone.
    db.exec('update security_feed set lease_ms = 0')
    db.exec('commit')
    return db
  } catch (cause) {
    // A file that is refused is left to whoever may use it.
    db?.close()
    throw cause instanceof Error && /locked|busy/i.test(cause.message)
      ? new RelayError(
          'store_in_use',
          `Another process uses the store ${path}; stop it, or give this relay a file of its own`,
        )
      : storeError(path, cause)
  }
}
