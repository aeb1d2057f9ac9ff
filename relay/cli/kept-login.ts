import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { codeOf, RelayError } from '../errors.ts'

const Kept = z.object({
  issuer: z.string(),
  client_id: z.string(),
  access_token: z.string(),
  expires_at_ms: z.number(),
  refresh_token: z.string().optional(),
})
/** A login on this machine, until it ends: for its user alone. */
export type KeptLogin = z.infer<typeof Kept>

type Env = Readonly<Record<string, string | undefined>>

/** Where it is: `LOGOUT_RELAY_LOGIN_FILE`, or the folder for state of the XDG Base Directory Specification. */
export function loginFile(env: Env): string {
  return (
    env['LOGOUT_RELAY_LOGIN_FILE'] ??
    join(env['XDG_STATE_HOME'] ?? join(homedir(), '.local', 'state'), 'logout-relay', 'login.json')
  )
}

/** @throws RelayError `config_invalid` for a file that others can read, or that is no login */
export function keptLogin(env: Env): KeptLogin | undefined {
  const file = loginFile(env)
  const wrong = (what: string) => new RelayError('config_invalid', `${file} ${what}: run logout-relay login`)
  let text: string
  try {
    if ((statSync(file).mode & 0o077) !== 0) {
      throw wrong('can be read by others, so its login may be another’s by now')
    }
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') {
      return undefined
    }
    throw cause instanceof RelayError ? cause : wrong(`cannot be read (${codeOf(cause) ?? 'unknown'})`)
  }
  try {
    return Kept.parse(JSON.parse(text))
  } catch {
    throw wrong('holds no login')
  }
}

/** In place of the one before, whole or not at all. */
export function keepLogin(env: Env, login: KeptLogin): string {
  const file = loginFile(env)
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    const beside = `${file}.${process.pid}`
    writeFileSync(beside, JSON.stringify(login), { mode: 0o600 })
    renameSync(beside, file)
  } catch (cause) {
    const why = codeOf(cause) ?? 'unknown'
    throw new RelayError(
      'config_invalid',
      `${file} cannot be written (${why}): name another in LOGOUT_RELAY_LOGIN_FILE`,
    )
  }
  return file
}

export function forgetLogin(env: Env): void {
  rmSync(loginFile(env), { force: true })
}
