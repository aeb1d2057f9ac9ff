import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { type Application, apacheIsThere, startApache } from '../stage/apache.ts'
import { type ExpressApplication, startExpress } from '../stage/express.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../stage/keycloak.ts'
import { freePort, ROOT } from '../stage/process.ts'
import { type RelayServer, startRelayProcess } from '../stage/relay.ts'
import { TokenEndpoint } from '../stage/tokens.ts'

/** One realm of the demo: its relying parties and its people. */
export interface Realm {
  readonly name: 'demo' | 'stock'
  readonly tokens: TokenEndpoint
  /** Absent where Debian's packages are not to be had. */
  readonly apache?: Application
  express: ExpressApplication
}

export interface World {
  readonly keycloak: KeycloakServer
  readonly relay: RelayServer
  readonly stock: Realm
  readonly demo: Realm
  readonly password: string
  /** A token for the relay's API that lives as long as anybody will look at the demo. */
  readonly operatorToken: string
  stop(): Promise<void>
}

/** Starts every part, for real, on free ports. `version` is Keycloak's. */
export async function startWorld(progress: (what: string) => void, version = '26.7.3'): Promise<World> {
  const stopping: (() => Promise<void>)[] = []
  const stop = async () => {
    await Promise.all(stopping.map((end) => end()))
  }
  try {
    const ports = await Promise.all(
      ['DEMO_APACHE', 'DEMO_EXPRESS', 'STOCK_APACHE', 'STOCK_EXPRESS', 'RELAY'].map(
        async (name) => [name, await freePort()] as const,
      ),
    )
    const port = new Map<string, number>(ports)
    const secrets = { app: randomUUID(), relay: randomUUID(), operator: randomUUID() }
    const password = `demo-${randomUUID().slice(0, 8)}`
    progress(`Starting Keycloak ${version} with the extension (up to a minute)`)
    const keycloak = await startKeycloak({
      version,
      jars: [EXTENSION_JAR],
      realms: ['demo', 'stock'].map((realm) => join(ROOT, 'realm-export', `${realm}-realm.json`)),
      env: {
        ...Object.fromEntries(
          ports
            .filter(([name]) => name !== 'RELAY')
            .map(([name, n]) => [`LOGOUT_RELAY_${name}_URL`, `http://localhost:${n}`]),
        ),
        LOGOUT_RELAY_APP_SECRET: secrets.app,
        LOGOUT_RELAY_CLIENT_SECRET: secrets.relay,
        LOGOUT_RELAY_OPERATOR_SECRET: secrets.operator,
        LOGOUT_RELAY_USER_PASSWORD: password,
      },
      options: [`--spi-events-listener--logout-relay--push-url=http://127.0.0.1:${port.get('RELAY') ?? 0}/events`],
    })
    stopping.push(() => keycloak.stop())
    progress('Starting the relay and the relying parties')
    const realm = async (name: 'demo' | 'stock'): Promise<Realm> => {
      const issuer = keycloak.issuer(name)
      const at = (kind: string) => port.get(`${name.toUpperCase()}_${kind}`) ?? 0
      const express = await startExpress({
        issuer,
        clientId: 'express-app',
        clientSecret: secrets.app,
        port: at('EXPRESS'),
      })
      stopping.push(() => express.stop())
      const tokens = new TokenEndpoint(issuer)
      if (!apacheIsThere()) {
        return { name, tokens, express }
      }
      const apache = await startApache({
        issuer,
        clientId: 'apache-app',
        clientSecret: secrets.app,
        port: at('APACHE'),
      })
      stopping.push(() => apache.stop())
      return { name, tokens, express, apache }
    }
    const [relay, stock, demo] = await Promise.all([
      startRelayProcess({
        port: port.get('RELAY') ?? 0,
        issuers: [{ issuer: keycloak.issuer('demo'), client_secret: secrets.relay }],
      }),
      realm('stock'),
      realm('demo'),
    ])
    stopping.push(() => relay.stop())
    const operatorToken = await demo.tokens.serviceAccount('logout-relay-operator', secrets.operator)
    return {
      keycloak,
      relay,
      stock,
      demo,
      password,
      operatorToken,
      stop: async () => {
        // The demo may have started one of them again.
        await demo.express.stop()
        await stop()
      },
    }
  } catch (cause) {
    await stop()
    throw cause
  }
}

export function applications(realm: Realm): Application[] {
  return [...(realm.apache ? [realm.apache] : []), realm.express]
}
