import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmodSync, chownSync, cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { parseAllDocuments, stringify } from 'yaml'
import { Admin } from '../../scripts/stage/admin.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import { startExpress } from '../../scripts/stage/express.ts'
import { call } from '../../scripts/stage/http.ts'
import { RelayImage } from '../../scripts/stage/image.ts'
import { KeycloakImage } from '../../scripts/stage/keycloak-image.ts'
import { KEYCLOAK_VERSIONS } from '../../scripts/stage/keycloak-versions.ts'
import { startPostgres } from '../../scripts/stage/postgres.ts'
import { freePort, ROOT, type Running, until, untilUp } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'

const PASSWORD = 'password'
const NOBODY_IN_PARTICULAR = 1000
/** Where the chart has the relay listen. */
const PORT = 8484

interface Volume {
  readonly name: string
  readonly configMap?: { readonly name: string }
  readonly secret?: { readonly secretName: string }
}
interface Container {
  readonly args: readonly string[]
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
}
interface Rendered {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
  readonly spec?: {
    readonly template?: { readonly spec: { containers: readonly Container[]; volumes: readonly Volume[] } }
  }
}

/** A folder that the user of the relay's image may write to. */
function folder(): string {
  const made = temporary('of-the-image')
  chownSync(made, NOBODY_IN_PARTICULAR, NOBODY_IN_PARTICULAR)
  return made
}

async function ready(what: string, running: Running, url: string, seconds: number): Promise<void> {
  onTestFinished(() => running.stop())
  const isReady = () =>
    call('GET', url).then(
      ({ status }) => status === 200,
      () => false,
    )
  await untilUp(`${what} is not ready`, running, isReady, seconds)
}

async function startKeycloakOf(image: KeycloakImage, relay: string) {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.stop())
  const [port, management, password] = [await freePort(), await freePort(), randomUUID()]
  const url = `http://localhost:${port}`
  const running = image.start(
    {
      KC_BOOTSTRAP_ADMIN_USERNAME: 'admin',
      KC_BOOTSTRAP_ADMIN_PASSWORD: password,
      KC_DB_URL: postgres.url,
      KC_DB_USERNAME: postgres.user,
    },
    ...['start', '--optimized', '--http-enabled=true', `--http-port=${port}`, '--http-host=127.0.0.1'],
    ...[`--http-management-port=${management}`, `--hostname=${url}`],
    `--spi-events-listener--logout-relay--push-url=${relay}/events`,
  )
  await ready('Keycloak in its image', running, `http://127.0.0.1:${management}/health/ready`, 300)
  return { url, password, admin: new Admin(url, 'admin', password) }
}

/** The realm without the extension's listener, as it is before anybody has set it up. */
function stockRealm(express: string, secret: string): object {
  const values: Record<string, string> = {
    LOGOUT_RELAY_STOCK_EXPRESS_URL: express,
    LOGOUT_RELAY_STOCK_APACHE_URL: 'http://localhost:9',
    LOGOUT_RELAY_APP_SECRET: secret,
    LOGOUT_RELAY_USER_PASSWORD: PASSWORD,
  }
  const text = readFileSync(join(ROOT, 'realm-export', 'stock-realm.json'), 'utf8')
  return JSON.parse(
    text.replace(/\$\{(\w+)(?::([^}]*))?\}/g, (_, name: string, other = '') => values[name] ?? String(other)),
  ) as object
}

/** What the chart renders, as a node of a cluster would lay it out for the pod: a folder for each volume. */
function layOut(config: object, secrets: Readonly<Record<string, string>>) {
  const values = join(temporary('values'), 'values.yaml')
  writeFileSync(
    values,
    stringify({
      image: { repository: 'registry.example.org/logout-relay' },
      secrets: { keycloak: 'of-keycloak' },
      config,
    }),
  )
  const chart = join(ROOT, 'deploy', 'helm')
  const helm = [join(ROOT, '.cache', 'helm'), 'template', 'logout-relay', chart, '--values', values] as const
  const all = parseAllDocuments(execFileSync(helm[0], helm.slice(1), { encoding: 'utf8' })).map(
    (document) => document.toJS() as Rendered,
  )
  const pod = all.find(({ spec }) => spec?.template)?.spec?.template?.spec
  const container = pod?.containers[0]
  if (!pod || !container) {
    throw new Error('The chart renders no pod')
  }
  const filesOf = ({ configMap, secret }: Volume) =>
    secret
      ? secrets
      : (all.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === configMap?.name)?.data ?? {})
  const mounts = container.volumeMounts.map(({ name, mountPath }) => {
    const at = folder()
    const volume = pod.volumes.find((each) => each.name === name)
    for (const [file, text] of Object.entries(volume ? filesOf(volume) : {})) {
      writeFileSync(join(at, file), text, { mode: 0o440 })
      chownSync(join(at, file), 0, NOBODY_IN_PARTICULAR)
    }
    return [mountPath, at] as const
  })
  return { folders: Object.fromEntries(mounts), args: container.args }
}

let images: { readonly keycloak: KeycloakImage; readonly relay: RelayImage }

beforeAll(() => {
  images = { keycloak: new KeycloakImage(KEYCLOAK_VERSIONS[1], 'postgres'), relay: new RelayImage() }
}, 900_000)

test('by the two images and what the chart renders, a realm that knows nothing of this comes to a dead session', async () => {
  const began = performance.now()
  const relay = `http://127.0.0.1:${PORT}`
  const keycloak = await startKeycloakOf(images.keycloak, relay)
  const [secret, expressPort] = [randomUUID(), await freePort()]
  await keycloak.admin.must('POST', '', stockRealm(`http://localhost:${expressPort}`, secret))
  const issuer = `${keycloak.url}/realms/stock`

  // 2. of docs/own-keycloak.md
  const made = folder()
  const setup = (...more: readonly string[]) =>
    images.relay.command(
      { '/made': made },
      { LOGOUT_RELAY_ADMIN_PASSWORD: keycloak.password },
      ...['setup', '--url', keycloak.url, '--realm', 'stock', '--user', 'admin', '--yes', '--folder', '/made', ...more],
    )
  setup('--console', `${relay}/console`)

  // 3., in the cluster
  const config = {
    issuers: [{ issuer, client_secret_file: '/run/secrets/logout-relay/keycloak/client-secret' }],
    delivery: { allow_http_on_loopback: true },
  }
  const { folders, args } = layOut(config, {
    'client-secret': readFileSync(join(made, 'logout-relay.secret'), 'utf8'),
  })
  await ready('The relay in its image', images.relay.start(folders, ...args), `${relay}/readyz`, 60)
  const app = await startExpress({ issuer, clientId: 'express-app', clientSecret: secret, port: expressPort })
  onTestFinished(() => app.stop())

  setup('--enforce')
  const browser = new Browser()
  await browser.login(app.url, 'alice', PASSWORD)
  expect(await browser.isAlive(app.url)).toBe(true)
  await until('the second of the login is over', () => Date.now() % 1000 < 100)
  await keycloak.admin.resetPassword('stock', await keycloak.admin.userId('stock', 'alice'), 'another')
  await until('the session is dead', async () => !(await browser.isAlive(app.url)))
  console.log(`from the start of the images to the dead session: ${Math.round((performance.now() - began) / 1000)} s`)

  const own = folder()
  cpSync(join(made, 'logout-relay-operator.secret'), join(own, 'operator'))
  chmodSync(join(own, 'operator'), 0o444)
  const status = () =>
    images.relay.command(
      { '/own': own },
      {
        LOGOUT_RELAY_URL: relay,
        LOGOUT_RELAY_ISSUER: issuer,
        LOGOUT_RELAY_CLIENT_ID: 'logout-relay-operator',
        LOGOUT_RELAY_CLIENT_SECRET_FILE: '/own/operator',
      },
      'status',
    )
  await until('it is confirmed', () => {
    try {
      return status().startsWith('Nothing is open')
    } catch {
      // Open is an exit status of its own.
      return false
    }
  })
}, 600_000)
