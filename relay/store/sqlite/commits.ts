import type { DatabaseSync } from 'node:sqlite'
import type { RelayError } from '../../errors.ts'
import { isDamage, storeError } from './failures.ts'

/** What is kept in memory beside the file, and is told what became of a transaction. */
export interface Memory {
  committed(): void
  /** All changes: before they run again, or because they are lost. */
  rolledBack(): void
  /** The one that has failed, before the others are committed. */
  workRolledBack(): void
}

/**
 * Group commit: changes asked for in one turn of the event loop share one transaction and so one fsync, and each promise
 * resolves only after the commit. One that fails takes no other with it: all are rolled back and run again, then each in a
 * savepoint of its own. Savepoints from the start would double the cost of every statement, since SQLite keeps a copy of
 * each page that is changed within one, and a change all but never fails. So a change may run twice.
 */
export class Commits {
  readonly #db: DatabaseSync
  readonly #path: string
  readonly #memory: Memory
  #damage: RelayError | undefined
  #queue: { readonly work: () => void; readonly done: (failure?: unknown) => void }[] = []

  constructor(db: DatabaseSync, path: string, memory: Memory) {
    this.#db = db
    this.#path = path
    this.#memory = memory
  }

  /** Puts a failure in words. Once damage has been met nothing is written any more: what is acknowledged must be found again. */
  failed(cause: unknown): RelayError {
    const error = storeError(this.#path, cause)
    if (isDamage(cause)) {
      this.#damage ??= error
    }
    return error
  }

  run<T>(work: () => T): Promise<T> {
    if (this.#damage) {
      return Promise.reject(this.#damage)
    }
    return new Promise<T>((resolve, reject) => {
      let result: T
      if (this.#queue.length === 0) {
        setImmediate(() => this.flush())
      }
      this.#queue.push({
        work: () => {
          result = work()
        },
        done: (failure) => {
          if (failure === undefined) {
            resolve(result)
          } else {
            reject(this.failed(failure))
          }
        },
      })
    })
  }

  /** Commits what is queued now. */
  flush(): void {
    const queue = this.#queue
    this.#queue = []
    if (queue.length === 0) {
      return
    }
    let failures: ReadonlyMap<number, unknown> = new Map()
    try {
      this.#db.exec('begin immediate')
      try {
        queue.forEach(({ work }) => work())
      } catch (failure) {
        if (isDamage(failure)) {
          throw failure
        }
        this.#rollBack()
        this.#db.exec('begin immediate')
        failures = this.#oneByOne(queue.map(({ work }) => work))
      }
      this.#db.exec('commit')
    } catch (failure) {
      // A full disk or a lock: nothing of this turn is durable, and everybody is told so.
      this.#rollBack()
      for (const { done } of queue) {
        done(failure)
      }
      return
    }
    this.#memory.committed()
    queue.forEach(({ done }, n) => done(failures.get(n)))
  }

  #rollBack(): void {
    if (this.#db.isOpen && this.#db.isTransaction) {
      this.#db.exec('rollback')
    }
    this.#memory.rolledBack()
  }

  /** Runs each in a savepoint. Says which have failed, and how. */
  #oneByOne(works: readonly (() => void)[]): ReadonlyMap<number, unknown> {
    const failures = new Map<number, unknown>()
    works.forEach((work, n) => {
      this.#db.exec('savepoint work')
      try {
        work()
      } catch (failure) {
        if (isDamage(failure)) {
          throw failure
        }
        failures.set(n, failure)
        this.#db.exec('rollback to work')
        this.#memory.workRolledBack()
      }
      this.#db.exec('release work')
    })
    return failures
  }
}
