import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Admin } from './admin.ts'
import { call } from './http.ts'
import { freePort, ROOT, type Running, start, temporary, untilUp } from './process.ts'

export const EXTENSION_JAR = join(ROOT, 'extension-config', 'target', 'logout-relay-keycloak.jar')

export interface KeycloakOptions {
  readonly version?: string
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
}

export interface KeycloakServer extends Running {
  readonly url: string
  readonly admin: Admin
  readonly adminUser: { readonly username: string; readonly password: string }
  issuer(realm: string): string
  /** The same server once more, on the same data and port. */
  restart(): Promise<KeycloakServer>
}

/** A real Keycloak on a free port, with a home of its own. */
export async function startKeycloak(options: KeycloakOptions = {}): Promise<KeycloakServer> {
  const version = options.version ?? '26.7.3'
  const home = makeHome(version, options)
  const place = { home, port: await freePort(), management: await freePort(), password: randomUUID() }
  return run(place, options)
}

function makeHome(version: string, { jars = [], realms = [] }: KeycloakOptions): string {
  const dist = join(ROOT, '.cache', `keycloak-${version}`)
  if (!existsSync(dist)) {
    throw new Error(`Keycloak ${version} is not there; run: sh scripts/setup test`)
  }
  const home = temporary('keycloak')
  // A copy, since the build writes into lib/, and Keycloak takes the place its jars really lie in for its home.
  cpSync(dist, home, { recursive: true })
  for (const jar of jars) {
    cpSync(jar, join(home, 'providers', jar.split('/').at(-1) ?? ''))
  }
  mkdirSync(join(home, 'data', 'import'), { recursive: true })
  for (const realm of realms) {
    cpSync(realm, join(home, 'data', 'import', realm.split('/').at(-1) ?? ''))
  }
  writeFileSync(join(home, 'log'), '')
  return home
}

async function run(
  place: { home: string; port: number; management: number; password: string },
  options: KeycloakOptions,
): Promise<KeycloakServer> {
  const { home, port, management, password } = place
  const url = `http://localhost:${port}`
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
      `--hostname=${url}`,
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
        JAVA_OPTS_APPEND: '-Xmx700m -XX:TieredStopAtLevel=4',
      },
      logFile: join(home, 'log'),
    },
  )
  const isUp = async () => (await call('GET', `${url}/realms/master`)).status === 200
  await untilUp(`Keycloak at ${url} does not come up`, running, isUp, 180)
  return {
    ...running,
    url,
    admin: new Admin(url, 'admin', password),
    adminUser: { username: 'admin', password },
    issuer: (realm) => `${url}/realms/${realm}`,
    restart: () => run(place, options),
  }
}
