import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { letAudit, letSeeNames } from './audit-scope.ts'
import { RealmAdmin } from '../stage/admin.ts'
import { type Application, apacheIsThere, startApache } from '../stage/apache.ts'
import { type ExpressApplication, startExpress } from '../stage/express.ts'
import { EXTENSION_JAR, type KeycloakAt, type KeycloakServer, startKeycloak } from '../stage/keycloak.ts'
import type { Postgres } from '../stage/postgres.ts'
import { freePort, ROOT } from '../stage/process.ts'
import { type RelayServer, startRelayProcess } from '../stage/relay.ts'
import { TokenEndpoint } from '../stage/tokens.ts'

/** A realm and its relying parties. */
export interface Realm {
  readonly issuer: string
  readonly admin: RealmAdmin
  readonly tokens: TokenEndpoint
  /** Absent where Debian's packages are not to be had. */
  readonly apache?: Application
  express: ExpressApplication
}

/** One of the two realms of the demo, which have the same relying parties and the same people. */
export interface Twin extends Realm {
  readonly name: 'demo' | 'stock'
  /** Where its browser app will be, as the realm was told. */
  readonly browserAppPort: number
}

/** `K`: what may be done with its Keycloak. */
export interface World<K extends KeycloakAt = KeycloakServer> {
  readonly keycloak: K
  readonly relay: RelayServer
  readonly stock: Twin
  readonly demo: Twin
  /** Of Alice and Bob in both realms, and of Olivia and Victor, who work with the console. */
  readonly password: string
  /** A token for the relay's API that lives as long as anybody will look at the demo. */
  readonly operatorToken: string
  readonly consoleUrl: string
  /** Of the applications' clients in both realms. */
  readonly appSecret: string
  stop(): Promise<void>
}

/** Where its relying parties will be, as a realm is told. */
interface Ports {
  readonly apache: number
  readonly express: number
}

interface TwinPorts extends Ports {
  readonly browserApp: number
}

/** Where the parts will be and what they will share: it is said to Keycloak before any of them starts. */
export interface Plan {
  readonly keycloakPort: number
  readonly relayPort: number
  readonly demoPorts: TwinPorts
  readonly stockPorts: TwinPorts
  readonly secrets: Readonly<Record<'app' | 'relay' | 'operator' | 'console', string>>
  readonly password: string
  readonly consoleUrl: string
  /** For the placeholders in the realm files. */
  readonly env: Record<string, string>
}

/** On free ports or those that the environment names. */
export async function planWorld(): Promise<Plan> {
  const keycloakPort = await portOf('DEMO_KEYCLOAK_PORT')
  const relayPort = await portOf('DEMO_RELAY_PORT')
  const demoPorts = {
    apache: await portOf('DEMO_APACHE_PORT'),
    express: await portOf('DEMO_EXPRESS_PORT'),
    browserApp: await portOf('DEMO_BROWSER_APP_PORT'),
  }
  const stockPorts = { apache: await freePort(), express: await freePort(), browserApp: await freePort() }
  const secrets = { app: randomUUID(), relay: randomUUID(), operator: randomUUID(), console: randomUUID() }
  const password = `demo-${randomUUID().slice(0, 8)}`
  const consoleUrl = `http://127.0.0.1:${relayPort}/console`
  const env = {
    LOGOUT_RELAY_DEMO_APACHE_URL: `http://localhost:${demoPorts.apache}`,
    LOGOUT_RELAY_DEMO_EXPRESS_URL: `http://localhost:${demoPorts.express}`,
    LOGOUT_RELAY_DEMO_BROWSER_URL: `http://localhost:${demoPorts.browserApp}`,
    LOGOUT_RELAY_STOCK_APACHE_URL: `http://localhost:${stockPorts.apache}`,
    LOGOUT_RELAY_STOCK_EXPRESS_URL: `http://localhost:${stockPorts.express}`,
    LOGOUT_RELAY_STOCK_BROWSER_URL: `http://localhost:${stockPorts.browserApp}`,
    LOGOUT_RELAY_APP_SECRET: secrets.app,
    LOGOUT_RELAY_CLIENT_SECRET: secrets.relay,
    LOGOUT_RELAY_OPERATOR_SECRET: secrets.operator,
    LOGOUT_RELAY_CONSOLE_SECRET: secrets.console,
    LOGOUT_RELAY_DEMO_CONSOLE_URL: consoleUrl,
    LOGOUT_RELAY_USER_PASSWORD: password,
  }
  return { keycloakPort, relayPort, demoPorts, stockPorts, secrets, password, consoleUrl, env }
}

/** Starts every part, for real. `version` is Keycloak's; without a `postgres` it keeps its data in a file. */
export async function startWorld(
  progress: (what: string) => void,
  version = '26.7.3',
  postgres?: Postgres,
): Promise<World> {
  const plan = await planWorld()
  progress(`Starting Keycloak ${version} with the extension (up to a minute)`)
  const keycloak = await startKeycloak({
    version,
    port: plan.keycloakPort,
    ...(postgres ? { postgres } : {}),
    jars: [EXTENSION_JAR],
    realms: ['demo', 'stock'].map((realm) => join(ROOT, 'realm-export', `${realm}-realm.json`)),
    env: plan.env,
    options: [`--spi-events-listener--logout-relay--push-url=http://127.0.0.1:${plan.relayPort}/events`],
  })
  try {
    progress('Starting the relay and the relying parties')
    const realm = (name: string) => new RealmAdmin(keycloak.admin, name)
    const world = await startParts(keycloak, realm('demo'), realm('stock'), plan)
    const stop = () => Promise.all([world.stop(), keycloak.stop()]).then(() => undefined)
    return { ...world, keycloak, stop }
  } catch (cause) {
    await keycloak.stop()
    throw cause
  }
}

/** The relay and the relying parties of these realms, which are there and push to the relay. */
export async function startParts<K extends KeycloakAt>(
  keycloak: K,
  demoAdmin: RealmAdmin,
  stockAdmin: RealmAdmin,
  { relayPort, demoPorts, stockPorts, secrets, password, consoleUrl }: Plan,
): Promise<World<K>> {
  const started: { stop(): Promise<void> }[] = []
  const stop = async () => {
    await Promise.all(started.map((part) => part.stop()))
  }
  try {
    await letAudit(demoAdmin, 'olivia')
    await letSeeNames(demoAdmin, 'olivia')
    const issuer = keycloak.issuer(demoAdmin.realm)
    const [relay, stock, demo] = await Promise.all([
      startRelayProcess({
        port: relayPort,
        issuers: [{ issuer, client_secret: secrets.relay }],
        console: { issuer, client_secret: secrets.console, url: consoleUrl },
      }),
      startTwin('stock', stockAdmin, keycloak, secrets.app, stockPorts),
      startTwin('demo', demoAdmin, keycloak, secrets.app, demoPorts),
    ])
    started.push(relay, ...applications(stock), ...(demo.apache ? [demo.apache] : []))
    // Looked up at the end: the story starts this one again.
    started.push({ stop: () => demo.express.stop() })
    const operatorToken = await demo.tokens.serviceAccount('logout-relay-operator', secrets.operator)
    return { keycloak, relay, stock, demo, password, operatorToken, consoleUrl, appSecret: secrets.app, stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/** The relying parties of a realm. */
export function applications(realm: Realm): Application[] {
  return [...(realm.apache ? [realm.apache] : []), realm.express]
}

async function startTwin(
  name: Twin['name'],
  admin: RealmAdmin,
  keycloak: KeycloakAt,
  clientSecret: string,
  ports: TwinPorts,
): Promise<Twin> {
  const realm = await startRealm(admin, keycloak, clientSecret, ports)
  return { ...realm, name, browserAppPort: ports.browserApp }
}

/** The relying parties of a realm that is there. */
export async function startRealm(
  admin: RealmAdmin,
  keycloak: KeycloakAt,
  clientSecret: string,
  ports: Ports,
): Promise<Realm> {
  const issuer = keycloak.issuer(admin.realm)
  const [express, apache] = await Promise.all([
    startExpress({ issuer, clientId: 'express-app', clientSecret, port: ports.express }),
    apacheIsThere() ? startApache({ issuer, clientId: 'apache-app', clientSecret, port: ports.apache }) : undefined,
  ])
  return { issuer, admin, tokens: new TokenEndpoint(issuer), express, ...(apache ? { apache } : {}) }
}

async function portOf(variable: string): Promise<number> {
  const value = process.env[variable]
  if (value === undefined) {
    return freePort()
  }
  const port = Number(value)
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Error(`${variable} is not a port; an example: ${variable}=8080`)
  }
  return port
}
