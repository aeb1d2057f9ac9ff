import type { DatabaseSync } from 'node:sqlite'
import type { RelayError } from '../../errors.ts'
import { isDamage, storeError } from './failures.ts'

/**
 * Group commit: changes asked for in one turn of the event loop share one transaction and so one fsync. Each runs in a
 * savepoint of its own, so one that fails takes no other with it, and each promise resolves only after the commit.
 */
export class Commits {
  readonly #db: DatabaseSync
  readonly #path: string
  #damage: RelayError | undefined
  #queue: { readonly work: () => void; readonly done: (failure?: unknown) => void }[] = []

  constructor(db: DatabaseSync, path: string) {
    this.#db = db
    this.#path = path
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
    const failures = new Map<number, unknown>()
    try {
      this.#db.exec('begin immediate')
      queue.forEach(({ work }, n) => {
        this.#db.exec('savepoint work')
        try {
          work()
        } catch (failure) {
          if (isDamage(failure)) {
            throw failure
          }
          failures.set(n, failure)
          this.#db.exec('rollback to work')
        }
        this.#db.exec('release work')
      })
      this.#db.exec('commit')
    } catch (failure) {
      // A full disk or a lock: nothing of this turn is durable, and everybody is told so.
      if (this.#db.isOpen && this.#db.isTransaction) {
        this.#db.exec('rollback')
      }
      for (const { done } of queue) {
        done(failure)
      }
      return
    }
    queue.forEach(({ done }, n) => done(failures.get(n)))
  }
}
