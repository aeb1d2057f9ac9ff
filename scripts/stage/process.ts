import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const KEEPER = join(dirname(fileURLToPath(import.meta.url)), 'keeper.sh')

/** The repository's root. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

export interface Running {
  readonly logFile: string
  /** Resolves when the whole process group is gone. */
  stop(): Promise<void>
  kill9(): Promise<void>
  /** Sends a signal to everything in the group but the keeper's shell. */
  signal(name: NodeJS.Signals): void
  exited(): boolean
}

export interface StartOptions {
  readonly env?: Record<string, string>
  readonly cwd?: string
  readonly logFile: string
  readonly uid?: number
  readonly gid?: number
}

/** Starts a command in a process group of its own. It ends with this process, however this process ends. */
export function start(
  command: string,
  args: readonly string[],
  { env, cwd, logFile, uid, gid }: StartOptions,
): Running {
  const log = openSync(logFile, 'a')
  const child: ChildProcess = spawn('/bin/sh', [KEEPER, command, ...args], {
    detached: true,
    stdio: ['pipe', log, log],
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  })
  closeSync(log)
  // A pipe to a group that is gone already is not worth an exception.
  child.stdin?.on('error', () => undefined)
  let ended = false
  const end = new Promise<void>((resolve) => {
    child.once('exit', () => {
      ended = true
      resolve()
    })
    child.once('error', () => {
      ended = true
      resolve()
    })
  })
  const signal = (name: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) {
        process.kill(-child.pid, name)
      }
    } catch {
      // The group is gone already.
    }
  }
  const kill9 = async () => {
    signal('SIGKILL')
    await end
  }
  return {
    logFile,
    signal,
    kill9,
    exited: () => ended,
    stop: async () => {
      signal('SIGTERM')
      await Promise.race([end, delay(8000, undefined, { ref: false })])
      await kill9()
    },
  }
}

/** A port nobody listens on right now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => {
        if (address !== null && typeof address === 'object') {
          resolve(address.port)
        } else {
          reject(new Error('no port'))
        }
      })
    })
  })
}

const temporaries: string[] = []

/** A directory that goes with this process; KEEP=1 in the environment leaves it there to be looked into. */
export function temporary(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `logout-relay-${name}-`))
  temporaries.push(dir)
  return dir
}

process.on('exit', () => {
  if (!process.env['KEEP']) {
    for (const dir of temporaries) {
      rmSync(dir, { recursive: true, force: true })
    }
  }
})

/** Waits until the condition holds; an exception counts as "not yet". */
export async function until(what: string, holds: () => unknown, { seconds = 30, everyMs = 25 } = {}): Promise<void> {
  const end = performance.now() + seconds * 1000
  let last: unknown
  while (performance.now() < end) {
    try {
      if (await holds()) {
        return
      }
    } catch (cause) {
      last = cause
    }
    await delay(everyMs)
  }
  throw new Error(`Waited ${seconds} s in vain: ${what}`, { cause: last })
}

/** Waits until the server answers, and shows the tail of its log if it does not. */
export async function untilUp(
  what: string,
  running: Running,
  isUp: () => Promise<boolean>,
  seconds = 120,
): Promise<void> {
  try {
    await until(
      what,
      async () => {
        if (running.exited()) {
          throw new Error('it has ended')
        }
        return isUp()
      },
      { seconds, everyMs: 100 },
    )
  } catch (cause) {
    await running.stop()
    throw new Error(`${what}\n${readFileSync(running.logFile, 'utf8').split('\n').slice(-30).join('\n')}`, { cause })
  }
}
