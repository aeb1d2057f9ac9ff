import type { StatementSync } from 'node:sqlite'
import { DueLanes } from './claims.ts'
import { Commits } from './commits.ts'
import { Leases } from './leases.ts'
import { type Months, monthsOf } from './months.ts'
import { openFile } from './open.ts'
import { OpenLanes } from './open-lanes.ts'

/** A file that is open, and what is kept in memory beside it. */
export interface Database {
  /** A statement, prepared once; `leased(seq)` in it says whether the row is leased. */
  readonly sql: (text: string) => StatementSync
  readonly read: <T>(work: () => T) => Promise<T>
  readonly commits: Commits
  readonly leases: Leases
  readonly dueLanes: DueLanes
  readonly openLanes: OpenLanes
  readonly months: Months
  readonly close: () => Promise<void>
}

/** @param narrowed told when others than the file's owner could read it until now */
export function openDatabase(path: string, narrowed: () => void): Database {
  const db = openFile(path, narrowed)
  const prepared = new Map<string, StatementSync>()
  const sql = (text: string): StatementSync => {
    let statement = prepared.get(text)
    if (!statement) {
      prepared.set(text, (statement = db.prepare(text)))
    }
    return statement
  }
  const leases = new Leases()
  db.function('leased', (seq) => Number(leases.has(Number(seq))))
  const dueLanes = new DueLanes(sql, leases)
  const openLanes = new OpenLanes(sql)
  const forget = () => {
    dueLanes.forget()
    openLanes.forget()
  }
  const commits = new Commits(db, path, {
    committed: () => leases.committed(),
    rolledBack: () => {
      leases.rolledBack()
      forget()
    },
    workRolledBack: forget,
  })
  const read = <T>(work: () => T): Promise<T> => {
    try {
      return Promise.resolve(work())
    } catch (cause) {
      return Promise.reject(commits.failed(cause))
    }
  }
  return {
    ...{ sql, read, commits, leases, dueLanes, openLanes, months: monthsOf(sql) },
    close: () => {
      commits.flush()
      if (db.isOpen) {
        db.close()
      }
      return Promise.resolve()
    },
  }
}
