import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { basename, join } from 'node:path'
import { Admin } from './admin.ts'
import { call } from './http.ts'
import { buildOf } from './keycloak-build.ts'
import { freePort, ROOT, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

export const EXTENSION_JAR = join(ROOT, 'extension-config', 'target', 'logout-relay-keycloak.jar')
/** Ends a Keycloak at the worst moment, in realms that have its listener. */
export const CRASH_JAR = join(ROOT, 'test', 'crash-extension', 'target', 'crash-extension.jar')

export interface KeycloakOptions {
  readonly version?: string
  /** A free one if it is not given. */
  readonly port?: number
  /** Jars for providers/. */
  readonly jars?: readonly string[]
  /** Realm files for --import-realm. */
  readonly realms?: readonly string[]
  /** For the placeholders in the realm files. */
  readonly env?: Record<string, string>
  /** Further command line options. */
  readonly options?: readonly string[]
  /** Without it: H2 in a file. */
  readonly postgres?: { readonly url: string; readonly user: string }
  /** What it calls itself, its own address if it is not given: the other node's, for the second of two; null: as it is asked. */
  readonly hostname?: string | null
  /** The administrator's, where a database has one already; a new one if it is not given. */
  readonly password?: string
}

/** Where one is, for who may use it and not end it. */
export interface KeycloakAt {
  readonly url: string
  issuer(realm: string): string
}

export interface KeycloakServer extends KeycloakAt, Running {
  readonly admin: Admin
  readonly adminUser: { readonly username: string; readonly password: string }
  /** The same server once more, on the same data and port. */
  restart(): Promise<KeycloakServer>
}

interface Place {
  readonly home: string
  readonly port: number
  readonly management: number
  readonly password: string
}

/** A real Keycloak with a home of its own. */
export async function startKeycloak(options: KeycloakOptions = {}): Promise<KeycloakServer> {
  const { version = '26.7.3', jars = [], postgres } = options
  const build = buildOf(version, jars, postgres ? 'postgres' : 'dev-file', options.options ?? [])
  const home = makeHome(version, options)
  await build.restore(home)
  const port = options.port ?? (await freePort())
  const server = await run(
    { home, port, management: await freePort(), password: options.password ?? randomUUID() },
    options,
  )
  build.save(home)
  return server
}

function makeHome(version: string, { jars = [], realms = [] }: KeycloakOptions): string {
  const dist = join(ROOT, '.cache', `keycloak-${version}`)
  if (!existsSync(dist)) {
    throw new Error(`Keycloak ${version} is not there; run: sh scripts/setup test`)
  }
  const home = temporary('keycloak')
  // A copy, since the build writes into lib/, and Keycloak takes the place its jars really lie in for its home.
  cpSync(dist, home, { recursive: true, preserveTimestamps: true })
  for (const jar of jars) {
    // Keycloak builds itself anew when a jar's time is not the one it was built with.
    cpSync(jar, join(home, 'providers', basename(jar)), { preserveTimestamps: true })
  }
  mkdirSync(join(home, 'data', 'import'), { recursive: true })
  for (const realm of realms) {
    cpSync(realm, join(home, 'data', 'import', basename(realm)))
  }
  return home
}

async function run(place: Place, options: KeycloakOptions): Promise<KeycloakServer> {
  const { home, port, management, password } = place
  const url = `http://localhost:${port}`
  const hostname = options.hostname === undefined ? url : options.hostname
  const database = options.postgres
    ? [
        '--db=postgres',
        `--db-url=${options.postgres.url}`,
        `--db-username=${options.postgres.user}`,
        '--db-password=none',
      ]
    : []
  const running = start(
    join(home, 'bin', 'kc.sh'),
    [
      'start-dev',
      `--http-port=${port}`,
      '--http-host=127.0.0.1',
      `--http-management-port=${management}`,
      ...(hostname === null ? [] : [`--hostname=${hostname}`]),
      '--import-realm',
      '--log-level=INFO,org.logoutrelay:debug',
      ...database,
      ...(options.options ?? []),
    ],
    {
      env: {
        ...options.env,
        KC_BOOTSTRAP_ADMIN_USERNAME: 'admin',
        KC_BOOTSTRAP_ADMIN_PASSWORD: password,
        JAVA_OPTS_APPEND: `-Xmx700m ${process.env['JAVA_OPTS_APPEND'] ?? ''}`,
      },
      logFile: join(home, 'log'),
    },
  )
  const isUp = async () => (await call('GET', `${url}/realms/master`)).status === 200
  await untilUp(`Keycloak at ${url} does not come up`, running, isUp, 300)
  return {
    ...running,
    url,
    admin: new Admin(url, 'admin', password),
    adminUser: { username: 'admin', password },
    issuer: (realm) => `${hostname ?? url}/realms/${realm}`,
    restart: () => run(place, options),
  }
}
