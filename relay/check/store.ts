import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Agent } from 'undici'
import { z } from 'zod'
import type { Config } from '../config/config.ts'
import { RelayError } from '../errors.ts'
import { exchange } from '../http.ts'
import { isOpenToOthers } from '../store/sqlite/owner.ts'
import { roomComplaint } from '../store/sqlite/room.ts'
import { formOf } from '../store/sqlite/schema.ts'
import { type Finding, findingsOn } from '../domain/finding.ts'

const TIMEOUT_MS = 5000

/** What `/readyz` answers, ready or not. */
const Readiness = z.object({
  status: z.enum(['ready', 'not ready']),
  waiting_for: z.array(z.string()).default([]),
  to_do: z.array(z.string()).default([]),
})

/**
 * Whether the store on SQLite can be written, without writing it: a check that somebody runs as root must not leave a file
 * behind that the relay may then not open. `held` when a running relay has it.
 */
export function checkSqlite(path: string, access = accessSync): { finding: Finding; held: boolean } {
  const { ok, todo } = findingsOn(path)
  const file = resolve(path)
  const folder = existing(dirname(file))
  if (!statSync(folder).isDirectory()) {
    return { finding: todo('store', `cannot be created: ${folder} is a file; name another folder`), held: false }
  }
  try {
    access(existsSync(file) ? file : folder, constants.W_OK)
    access(folder, constants.W_OK)
  } catch {
    return {
      finding: todo(
        'store',
        'cannot be written by this user: give the file and its folder to the user that the relay runs as',
      ),
      held: false,
    }
  }
  const full = roomComplaint(folder)
  if (full !== undefined) {
    return { finding: todo('store', full), held: false }
  }
  if (!existsSync(file)) {
    return { finding: ok('store', 'is not there yet and can be created'), held: false }
  }
  try {
    const db = new DatabaseSync(file)
    try {
      db.exec('pragma busy_timeout = 0; begin immediate; rollback')
      formOf(db, path)
    } finally {
      db.close()
    }
    if (isOpenToOthers(file)) {
      const what = `can be read by other users of this machine: run chmod 600 ${path}, or start the relay, which does that`
      return { finding: todo('store', what), held: false }
    }
    return { finding: ok('store', 'can be written; no relay has it open'), held: false }
  } catch (cause) {
    if (cause instanceof RelayError) {
      return { finding: todo('store', cause.message), held: false }
    }
    const words = cause instanceof Error ? cause.message : ''
    return /locked|busy/i.test(words)
      ? { finding: ok('store', 'is in use by a running relay'), held: true }
      : { finding: todo('store', `cannot be used (${words}): put a backup in its place`), held: false }
  }
}

/**
 * What the relay that runs at this address says of itself; undefined where none does. Over TLS it must be the one with the
 * configured certificate.
 */
export async function checkRunning({ host, port, tls }: Config['listen']): Promise<Finding | undefined> {
  const url = urlOf({ host, port, tls })
  const { ok, todo } = findingsOn(url)
  let dispatcher: Agent | undefined
  try {
    // It is asked by its address, which its certificate need not name.
    const pinned = tls && { ca: readFileSync(tls.cert_file), checkServerIdentity: () => undefined }
    dispatcher = new Agent({ connect: pinned ? { ...pinned, allowPartialTrustChain: true } : {} })
    const { status, json } = await exchange(`${url}/readyz`, { dispatcher, timeoutMs: TIMEOUT_MS })
    const { waiting_for, to_do } = Readiness.parse(json)
    if (status === 200) {
      // What else it says, the other lines say as well.
      const pushes = to_do.find((one) => one.includes(': push '))
      return pushes === undefined ? ok('relay', 'runs and is ready') : todo('relay', `runs, and says of ${pushes}`)
    }
    return todo('relay', `runs and waits for: ${waiting_for.join('; ') || `it answers ${status}`}`)
  } catch {
    return undefined
  } finally {
    await dispatcher?.destroy()
  }
}

/** Of one that must run, since it has the store open. */
export function silent(listen: Config['listen']): Finding {
  return findingsOn(urlOf(listen)).todo(
    'relay',
    'has the store open and does not answer: does listen in this config say where it runs?',
  )
}

function urlOf({ host, port, tls }: Pick<Config['listen'], 'host' | 'port' | 'tls'>): string {
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function existing(folder: string): string {
  return existsSync(folder) ? folder : existing(dirname(folder))
}
