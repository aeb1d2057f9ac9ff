import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { RealmAdmin } from '../../scripts/stage/admin.ts'
import { ROOT } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

export const CLI = join(ROOT, 'relay', 'cli.ts')

/** A Keycloak, and an administrator in its realm master. */
export interface Server {
  readonly url: string
  readonly administrator: { readonly username: string; readonly password: string }
}

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface How {
  readonly folder?: string
  /** Another address than Keycloak's own. */
  readonly url?: string
  readonly env?: Record<string, string>
  readonly started?: (kill: (signal: NodeJS.Signals) => void) => void
}

/** `logout-relay setup` on a realm, as the server's administrator. */
export function setupAt({ url, administrator: { username, password } }: Server) {
  return (realm: string, args: readonly string[], how: How = {}): Promise<Ran> => {
    const { env = {} } = how
    const user = args.includes('--user') || 'LOGOUT_RELAY_TOKEN' in env ? [] : ['--user', username]
    return run(['setup', '--url', how.url ?? url, '--realm', realm, ...user, ...args], {
      ...how,
      env: { LOGOUT_RELAY_ADMIN_PASSWORD: password, ...env },
    })
  }
}

export async function run(
  args: readonly string[],
  { folder = temporary('setup'), env = {}, started }: How,
): Promise<Ran> {
  const child = spawn(process.execPath, [CLI, ...args], {
    ...{ cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  })
  started?.((signal) => child.kill(signal))
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, out, err }
}

/** All of a realm that Keycloak exports, lists in an order of their own: clients, roles, mappings, settings, attributes. */
export async function exported(realm: RealmAdmin): Promise<unknown> {
  const path = '/partial-export?exportClients=true&exportGroupsAndRoles=true'
  const all = (await realm.must<Record<string, unknown>>('POST', path, {})).json()
  // Whatever is saved of a realm, Keycloak stores some defaults of settings as attributes, too.
  const attributes = Object.entries(all['attributes'] as Record<string, string>)
  const own = attributes.filter(([name, value]) => !(STORED.includes(name) && ['0', 'false'].includes(value)))
  return sorted({ ...all, attributes: Object.fromEntries(own) })
}
const STORED = [
  ...['clientSessionIdleTimeout', 'clientSessionMaxLifespan', 'scimApiEnabled'],
  ...['clientOfflineSessionIdleTimeout', 'clientOfflineSessionMaxLifespan'],
]

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(sorted).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  }
  if (typeof value !== 'object' || value === null) {
    return value
  }
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, one]) => [name, sorted(one)]))
}

export const lines = (text: string) => text.trimEnd().split('\n')
/** But for what Node keeps in a test's folder. */
export const filesIn = (folder: string) => readdirSync(folder).filter((name) => name !== '.cache')
/** What a plan would do, without what is said below it. */
export const steps = ({ out }: Ran) =>
  lines(out).filter((line) => /^(note|make|set|give|take|switch|put|write|remove) /.test(line))
