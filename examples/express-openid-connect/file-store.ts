import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A session store in files, so that sessions, and the logouts that end them, outlive a restart. For the example only. */
export class FileStore<T> {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
    mkdirSync(dir, { recursive: true })
  }

  get(id: string, done: (error: unknown, value?: T) => void): void {
    try {
      done(null, JSON.parse(readFileSync(this.#path(id), 'utf8')) as T)
    } catch {
      done(null)
    }
  }

  set(id: string, value: T, done: (error?: unknown) => void): void {
    const path = this.#path(id)
    writeFileSync(`${path}.new`, JSON.stringify(value))
    renameSync(`${path}.new`, path)
    done(null)
  }

  destroy(id: string, done: (error?: unknown) => void): void {
    rmSync(this.#path(id), { force: true })
    done(null)
  }

  #path(id: string): string {
    return join(this.#dir, createHash('sha256').update(id).digest('hex'))
  }
}
