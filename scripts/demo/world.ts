import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { letAudit } from './audit-scope.ts'
import { type Application, apacheIsThere, startApache } from '../stage/apache.ts'
import { type ExpressApplication, startExpress } from '../stage/express.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../stage/keycloak.ts'
import type { Postgres } from '../stage/postgres.ts'
import { freePort, ROOT } from '../stage/process.ts'
import { type RelayServer, startRelayProcess } from '../stage/relay.ts'
import { TokenEndpoint } from '../stage/tokens.ts'

/** One realm of the demo: its relying parties and its people. */
export interface Realm {
  readonly name: 'demo' | 'stock'
  readonly tokens: TokenEndpoint
  /** Where its browser app will be, as the realm was told. */
  readonly browserAppPort: number
  /** Absent where Debian's packages are not to be had. */
  readonly apache?: Application
  express: ExpressApplication
}

export interface World {
  readonly keycloak: KeycloakServer
  readonly relay: RelayServer
  readonly stock: Realm
  readonly demo: Realm
  /** Of Alice and Bob in both realms, and of Olivia and Victor, who work with the console. */
  readonly password: string
  /** A token for the relay's API that lives as long as anybody will look at the demo. */
  readonly operatorToken: string
  readonly consoleUrl: string
  /** Of the applications' clients in both realms. */
  readonly appSecret: string
  stop(): Promise<void>
}

interface Ports {
  readonly apache: number
  readonly express: number
  readonly browserApp: number
}

/**
 * Starts every part, for real, on free ports or those that the environment names. `version` is Keycloak's; without a
 * `postgres` it keeps its data in a file.
 */
export async function startWorld(
  progress: (what: string) => void,
  version = '26.7.3',
  postgres?: Postgres,
): Promise<World> {
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

  const started: { stop(): Promise<void> }[] = []
  const stop = async () => {
    await Promise.all(started.map((part) => part.stop()))
  }
  try {
    progress(`Starting Keycloak ${version} with the extension (up to a minute)`)
    const keycloak = await startKeycloak({
      version,
      port: keycloakPort,
      ...(postgres ? { postgres } : {}),
      jars: [EXTENSION_JAR],
      realms: ['demo', 'stock'].map((realm) => join(ROOT, 'realm-export', `${realm}-realm.json`)),
      env: {
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
      },
      options: [`--spi-events-listener--logout-relay--push-url=http://127.0.0.1:${relayPort}/events`],
    })
    started.push(keycloak)

    await letAudit(keycloak.admin, 'demo', 'olivia')

    progress('Starting the relay and the relying parties')
    const issuer = keycloak.issuer('demo')
    const [relay, stock, demo] = await Promise.all([
      startRelayProcess({
        port: relayPort,
        issuers: [{ issuer, client_secret: secrets.relay }],
        console: { issuer, client_secret: secrets.console, url: consoleUrl },
      }),
      startRealm('stock', keycloak, secrets.app, stockPorts),
      startRealm('demo', keycloak, secrets.app, demoPorts),
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

async function startRealm(
  name: Realm['name'],
  keycloak: KeycloakServer,
  clientSecret: string,
  ports: Ports,
): Promise<Realm> {
  const issuer = keycloak.issuer(name)
  const [express, apache] = await Promise.all([
    startExpress({ issuer, clientId: 'express-app', clientSecret, port: ports.express }),
    apacheIsThere() ? startApache({ issuer, clientId: 'apache-app', clientSecret, port: ports.apache }) : undefined,
  ])
  const realm = { name, tokens: new TokenEndpoint(issuer), browserAppPort: ports.browserApp, express }
  return { ...realm, ...(apache ? { apache } : {}) }
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
