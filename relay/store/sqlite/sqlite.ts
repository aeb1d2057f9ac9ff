import type { Store } from '../port.ts'
import { acceptsOn } from './accept.ts'
import { openDatabase } from './database.ts'
import { endsOn } from './ends.ts'
import { securityFeedOn } from './security-feed.ts'
import { listsOn, pagesOn } from './lists.ts'
import { notesOn } from './notes.ts'
import { pruneOn } from './prune.ts'
import { siblingsOn } from './siblings.ts'
import { watermarksOn } from './watermarks.ts'
import { actsOn, workOn } from './work.ts'

/**
 * The store on SQLite: one file, one process. WAL with `synchronous=FULL`, so a commit has reached the disk before
 * anybody is told of it.
 *
 * @param closed told of each containment whose last delivery has ended, for metrics; a commit that then fails tells twice
 * @param narrowed told when others than the file's owner could read it until now
 * @throws RelayError `store_in_use` when another process holds the file, `store_unavailable` when it cannot be opened
 */
export function openSqliteStore(
  path: string,
  closed: (issuer: string, msSinceEvent: number) => void = () => undefined,
  narrowed: () => void = () => undefined,
): Store {
  const database = openDatabase(path, narrowed)
  const { sql, read, commits, close } = database
  const ends = endsOn(database, closed)
  const siblings = siblingsOn(database, ends)
  return {
    ...acceptsOn(database, ends, siblings),
    ...workOn(database, ends, siblings),
    ...actsOn(database, ends),
    ...listsOn(database),
    ...pagesOn(database),
    ...watermarksOn(sql, read),
    ...securityFeedOn(sql, read, commits),
    ...notesOn(sql, read, commits),
    ...pruneOn(sql, commits),
    close,
  }
}
