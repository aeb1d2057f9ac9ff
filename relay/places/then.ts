import { spawn } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { RelayError } from '../errors.ts'
import type { Place } from './port.ts'

/** A command that hangs would keep the agent from the next secret. */
const LONGEST_MS = 5 * 60_000
/** What the agent itself proves itself by is none of the command's. */
const OWN = /^(LOGOUT_RELAY_|VAULT_)/

/**
 * The file, and a command that is run after each secret that was put there. That it is owed is noted beside the file before the
 * secret is there, so that it is run also where whoever put it there was killed in between.
 *
 * @param command for /bin/sh; what it prints goes to standard error
 */
export function withCommand(place: Place, file: string, command: string, longestMs = LONGEST_MS): Place {
  const note = `${file}.then`
  return {
    name: place.name,
    put: async (secret) => {
      const isOwed = existsSync(note)
      const written = await noting(place, note, secret)
      if (written || isOwed) {
        await run(command, longestMs)
      }
      rmSync(note, { force: true })
      return written
    },
  }
}

/** A note that cannot be written is no reason to say anything else than what is said of the secret. */
async function noting(place: Place, note: string, secret: string): Promise<boolean> {
  try {
    // Whatever has that name already, such as a link or a pipe, is not written to.
    writeFileSync(note, '', { mode: 0o600, flag: 'wx' })
  } catch {
    // As the place will say.
  }
  return place.put(secret)
}

function run(command: string, longestMs: number): Promise<void> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OWN.test(name)))
  // Not the command itself, in which somebody may have put what is secret.
  const failed = (how: string) =>
    new RelayError('place_unavailable', `The secret is in place, and the command of --then ${how}`)
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', command], { env, stdio: ['ignore', 2, 2], detached: true })
    const late = setTimeout(() => {
      endGroup(child.pid)
    }, longestMs)
    child.once('error', () => {
      clearTimeout(late)
      reject(failed('could not be started'))
    })
    child.once('exit', (code, signal) => {
      clearTimeout(late)
      if (code === 0) {
        resolve()
      } else {
        reject(failed(signal === null ? `ended with status ${code ?? '?'}` : `was ended by ${signal}`))
      }
    })
  })
}

/** The shell and what it has started, whatever signals they ignore. */
function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) {
      process.kill(-pid, 'SIGKILL')
    }
  } catch {
    // It has just ended by itself.
  }
}
