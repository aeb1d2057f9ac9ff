import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

// Handed over as text: a user that a child runs as may not be able to read where this repository lies.
const KEEPER = readFileSync(join(dirname(fileURLToPath(import.meta.url)), 'keeper.sh'), 'utf8')

/** The repository's root. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

export interface Running {
  readonly logFile: string
  /** SIGTERM, and SIGKILL for what is still there after 8 s. Resolves when the whole process group is gone. */
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
  const child: ChildProcess = spawn('/bin/sh', ['-c', KEEPER, 'keeper', command, ...args], {
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

const [FIRST_PORT, END_PORT] = [20_000, 30_000]
/** How far below a port is the one that stands for it while it is taken. */
const CLAIM_BELOW = 10_000

/**
 * A port nobody listens on right now, and a new one at every call. No other process is given it either as long as this
 * one lives: test files run side by side, and a Keycloak takes half a minute to listen on the port it was given. Not one
 * of those that the system gives to outgoing connections (Linux: from 32768): such a one may be taken before the server
 * behind it is up, even by the very connection that asks whether it is up.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, END_PORT)
    if (await take(port)) {
      return port
    }
  }
}

/** The same for something that takes the port behind its own as well. */
export async function freePortPair(): Promise<number> {
  for (;;) {
    const port = await freePort()
    if (await take(port + 1)) {
      return port
    }
  }
}

/** Claims the port for this process, unless another has or somebody listens there. */
async function take(port: number): Promise<boolean> {
  if (!(await listen(port - CLAIM_BELOW))) {
    return false
  }
  const server = await listen(port)
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)))
  return server !== undefined
}

/** Listens without keeping the process alive; undefined where somebody does already. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => resolve(server))
    server.unref()
  })
}

/** Waits until the condition holds; an exception counts as "not yet". */
export async function until(what: string, holds: () => unknown, { seconds = 60, everyMs = 25 } = {}): Promise<void> {
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

/** Waits until the server answers, and shows the tail of its log if it ends before that or takes too long. */
export async function untilUp(
  what: string,
  running: Running,
  isUp: () => Promise<boolean>,
  seconds = 120,
): Promise<void> {
  try {
    await until(what, async () => running.exited() || (await isUp()), { seconds, everyMs: 100 })
    if (running.exited()) {
      throw new Error('It has ended')
    }
  } catch (cause) {
    await running.stop()
    throw new Error(`${what}\n${readFileSync(running.logFile, 'utf8').split('\n').slice(-30).join('\n')}`, { cause })
  }
}
