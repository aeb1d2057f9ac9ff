import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { codeOf, RelayError } from '../errors.ts'
import type { Place } from './port.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** Who takes away what another run has left may take what that one is about to put in place: it writes again. */
const TRIES = 50
const RIGHTS = 0o7777

export interface FileOptions {
  /** Of the permissions; nothing of it is for everybody. */
  readonly mode: number
  /** A group that may read it, if it is another than the folder or the user gives it. */
  readonly gid?: number | undefined
}

const PRIVATE: FileOptions = { mode: 0o600 }

/** A file that the workload reads. */
export function filePlace(file: string, options: FileOptions = PRIVATE): Place {
  return {
    name: file,
    put: (secret) => {
      try {
        sweep(file)
        return Promise.resolve(has(file, secret, options) ? false : (place(file, secret, options), true))
      } catch (cause) {
        return Promise.reject(unwritable(file, cause, options))
      }
    },
  }
}

/** In place of what was there, for its user alone. @throws RelayError `config_invalid` */
export function keep(file: string, secret: string): void {
  try {
    sweep(file)
    place(file, secret, PRIVATE)
  } catch (cause) {
    throw new RelayError(
      'config_invalid',
      `The new secret is made, and in Keycloak’s console, Clients, Credentials; ${file} cannot be written (${codeOf(cause) ?? 'unknown'})`,
    )
  }
}

/** Before a secret is made, not after: it is tried. @param option by which the file was named */
export function requireWritable(file: string, option: string): void {
  const invalid = (what: string) => new RelayError('config_invalid', `${option}: ${what}`)
  const beside = besides(file)
  try {
    writeFileSync(beside, '', { mode: 0o600, flag: 'wx' })
    rmSync(beside)
  } catch (cause) {
    throw invalid(`${dirname(file)} cannot be written to (${codeOf(cause) ?? 'unknown'}): name another place`)
  }
  if (lstatSync(file, { throwIfNoEntry: false })?.isDirectory()) {
    throw invalid(`${file} is a folder: name a file in it`)
  }
  if (isHeldByAnother(file)) {
    throw invalid(`${file} is another user’s, in a folder where nobody replaces what is another’s: name another place`)
  }
}

/** The number of a group. @throws RelayError `config_invalid` for one that this machine does not know */
export async function groupId(name: string): Promise<number> {
  try {
    // Nothing of what this process knows is the other one's.
    const env = { PATH: process.env['PATH'] }
    const { stdout } = /^[\w.]/.test(name)
      ? await promisify(execFile)('getent', ['group', name], { env })
      : { stdout: '' }
    const id = stdout.split(':')[2] ?? ''
    if (/^\d+$/.test(id)) {
      return Number(id)
    }
  } catch {
    // Below.
  }
  throw new RelayError('config_invalid', `--group: this machine knows no group ${name}: name one that getent group has`)
}

function has(file: string, secret: string, { mode, gid }: FileOptions): boolean {
  const there = lstatSync(file, { throwIfNoEntry: false })
  const isRight = there?.isFile() && (there.mode & RIGHTS) === mode && (gid === undefined || there.gid === gid)
  return isRight === true && content(file) === secret
}

/** One that may be replaced and not read is replaced. */
function content(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** Beside it nobody else can have put a file or a link of a name to come. */
function place(file: string, secret: string, options: FileOptions): void {
  for (let left = TRIES; ; left -= 1) {
    const beside = besides(file)
    try {
      write(beside, secret, options)
      renameSync(beside, file)
      return
    } catch (cause) {
      rmSync(beside, { force: true })
      if (codeOf(cause) !== 'ENOENT' || left === 1) {
        throw cause
      }
    }
  }
}

/** All of it by what was opened: whoever may write to the folder can make the name a link meanwhile. */
function write(beside: string, secret: string, { mode, gid }: FileOptions): void {
  const opened = openSync(beside, 'wx', 0o600)
  try {
    if (gid !== undefined) {
      fchownSync(opened, -1, gid)
    }
    writeFileSync(opened, secret)
    fsyncSync(opened)
    // Whatever the umask is.
    fchmodSync(opened, mode)
  } finally {
    closeSync(opened)
  }
}

/** What a run that was killed between the writing and the renaming has left: it holds a secret. */
function sweep(file: string): void {
  const folder = dirname(file)
  const start = `${basename(file)}.`
  for (const name of names(folder)) {
    const path = join(folder, name)
    const there =
      name.startsWith(start) && UUID.test(name.slice(start.length))
        ? lstatSync(path, { throwIfNoEntry: false })
        : undefined
    if (there?.isFile() && isOurs(there)) {
      rmSync(path, { force: true })
    }
  }
}

/** A folder that may be written to and not read is no reason to stop. */
function names(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

const besides = (file: string) => `${file}.${randomUUID()}`
const isOurs = ({ uid }: Stats) => uid === process.geteuid?.()

/** In a folder like /tmp only a file's owner, the folder's and root may replace it. */
function isHeldByAnother(file: string): boolean {
  const [there, folder] = [lstatSync(file, { throwIfNoEntry: false }), statSync(dirname(file))]
  const sticky = (folder.mode & 0o1000) !== 0
  return there !== undefined && sticky && !isOurs(there) && !isOurs(folder) && process.geteuid?.() !== 0
}

function unwritable(file: string, cause: unknown, { gid }: FileOptions): RelayError {
  const code = codeOf(cause) ?? 'unknown'
  const message = `${file} cannot be written (${code}): ${whatToDo(file, code, gid)}`
  return new RelayError(code === 'ENOSPC' || code === 'EDQUOT' ? 'place_unavailable' : 'access_denied', message, {
    cause,
  })
}

function whatToDo(file: string, code: string, gid: number | undefined): string {
  switch (code) {
    case 'EPERM':
      return gid === undefined
        ? `another user’s file is there, and ${dirname(file)} lets nobody replace it: take it away`
        : `the user that this runs as can give a file only to a group of its own: make it a member of group ${gid}`
    case 'EACCES':
      return `let the user that this runs as write to the folder ${dirname(file)}`
    case 'EROFS':
      return `${dirname(file)} is on a file system that is read-only: name another place`
    case 'ENOENT':
      return `there is no folder ${dirname(file)}: make it`
    case 'EISDIR':
    case 'ENOTEMPTY':
      return 'it is a folder: name a file in it'
    case 'ENOSPC':
    case 'EDQUOT':
      return 'there is no room left'
    default:
      return 'see to it that it can be'
  }
}
