import { execFile, execFileSync } from 'node:child_process'
import { chownSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

const VERSIONS = '/usr/lib/postgresql'

export interface Database {
  readonly port: number
  /** Runs SQL and answers what psql prints, unaligned. */
  psql(sql: string): string
  /** The same, beside what is done meanwhile. */
  psqlMeanwhile(sql: string): Promise<string>
}

export interface Postgres extends Database, Running {
  readonly url: string
  readonly user: string
}

/** Debian's PostgreSQL on a free port with data of its own; it does not run as root. `settings` are those of postgresql.conf. */
export async function startPostgres(settings: Readonly<Record<string, string>> = {}): Promise<Postgres> {
  const bin = programs()
  const dir = temporary('postgres')
  const asRoot = process.getuid?.() === 0
  const id = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  const who = asRoot ? { uid: id('-u'), gid: id('-g') } : {}
  if (asRoot) {
    chownSync(dir, id('-u'), id('-g'))
  }
  const data = join(dir, 'data')
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'keycloak', '--auth=trust', '-E', 'UTF8'], {
    ...who,
    stdio: 'ignore',
    cwd: dir,
  })
  const port = await freePort()
  const set = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const args = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', dir, ...set]
  const running = start(join(bin, 'postgres'), args, { ...who, cwd: dir, logFile: join(dir, 'log') })
  const database = databaseAt(port)
  await untilUp('PostgreSQL does not come up', running, () => Promise.resolve(database.psql('select 1') === '1'), 30)
  return { ...running, ...database, url: `jdbc:postgresql://127.0.0.1:${port}/postgres`, user: 'keycloak' }
}

/** One that was started here, also by another process. */
export function databaseAt(port: number): Database {
  const psql = join(programs(), 'psql')
  const to = ['-h', '127.0.0.1', '-p', String(port), '-U', 'keycloak', '-d', 'postgres']
  return {
    port,
    psql: (sql) =>
      execFileSync(psql, [...to, '-Atqc', sql], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim(),
    psqlMeanwhile: async (sql) => (await promisify(execFile)(psql, [...to, '-Atqc', sql])).stdout.trim(),
  }
}

function programs(): string {
  const version = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort().at(-1) : undefined
  if (version === undefined) {
    throw new Error('PostgreSQL is not there; run: sh scripts/setup test')
  }
  return join(VERSIONS, version, 'bin')
}
