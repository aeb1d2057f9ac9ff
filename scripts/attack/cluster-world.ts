import { randomUUID } from 'node:crypto'
import { type CibaDevice, startCibaDevice } from '../stage/ciba.ts'
import { DEMO_REALM, demoRealm } from '../stage/demo-realm.ts'
import { CRASH_JAR, EXTENSION_JAR } from '../stage/keycloak.ts'
import { type Mailbox, startMail } from '../stage/mail.ts'
import { type Node, type Nodes, startNodes } from '../stage/nodes.ts'
import { type Postgres, startPostgres } from '../stage/postgres.ts'
import { until } from '../stage/process.ts'

export const GUARDED = 'demo'
export const STOCK = 'stock'
/** Nobody listens there: the browser is stopped before it goes there. */
export const REDIRECT_URI = 'http://localhost:9/back'
export const SECRET = randomUUID()
export const CIBA_APP = { client_id: 'ciba-app', client_secret: SECRET }

/** Two nodes on one database, and two realms: one with the listener, and one without that is the control. */
export interface Cluster {
  readonly version: string
  readonly nodes: Nodes
  readonly postgres: Postgres
  readonly mail: Mailbox
  readonly ciba: CibaDevice
  /**
   * Has the node halt at this reset: right after the commit, before anything else. Ends when it has.
   *
   * @returns puts the realm back
   */
  halting(node: Node, realm: string, reset: () => Promise<unknown>): Promise<() => Promise<unknown>>
  stop(): Promise<void>
}

export async function startCluster(version = '26.7.3'): Promise<Cluster> {
  const started: { stop(): Promise<void> }[] = []
  const stop = async () => {
    for (const part of started.splice(0).reverse()) {
      await part.stop()
    }
  }
  try {
    const postgres = await startPostgres()
    started.push(postgres)
    const mail = await startMail()
    started.push(mail)
    const reached: string[] = []
    const ciba = await startCibaDevice(() => reached)
    started.push(ciba)
    const nodes = await startNodes({
      version,
      postgres,
      jars: [EXTENSION_JAR, CRASH_JAR],
      realms: [DEMO_REALM],
      env: demoRealm(SECRET),
      options: [`--spi-ciba-auth-channel--ciba-http-auth-channel--http-authentication-channel-uri=${ciba.url}`],
    })
    started.push(nodes)
    reached.push(nodes.b.url)
    await furnish(nodes, mail)
    return { version, nodes, postgres, mail, ciba, halting: (...how) => halting(nodes, ...how), stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}

async function furnish({ a }: Nodes, mail: Mailbox): Promise<void> {
  const { admin } = a.keycloak
  await admin.must('POST', '', { realm: STOCK, enabled: true })
  for (const realm of [GUARDED, STOCK]) {
    await admin.must('PUT', `/${realm}`, {
      // What is measured is not hashing.
      passwordPolicy: 'hashAlgorithm(pbkdf2-sha256) and hashIterations(1)',
      resetPasswordAllowed: true,
      // Longer than a node takes to come back.
      accessTokenLifespan: 600,
      accessCodeLifespan: 600,
      attributes: { cibaBackchannelTokenDeliveryMode: 'poll', cibaExpiresIn: '600', cibaInterval: '1' },
      smtpServer: { host: '127.0.0.1', port: String(mail.port), from: 'idp@example.org' },
    })
    const reader = {
      name: 'reader',
      protocol: 'openid-connect',
      protocolMapper: 'oidc-audience-mapper',
      config: { 'included.client.audience': 'reader', 'access.token.claim': 'true' },
    }
    const app = { publicClient: true, redirectUris: [REDIRECT_URI], protocolMappers: [reader] }
    await admin.createClient(realm, { ...app, clientId: 'flows-app', directAccessGrantsEnabled: true })
    await admin.createClient(realm, { ...app, clientId: 'consent-app', consentRequired: true })
    await admin.createClient(realm, {
      clientId: CIBA_APP.client_id,
      secret: SECRET,
      protocolMappers: [reader],
      attributes: { 'oidc.ciba.grant.enabled': 'true' },
    })
    await admin.createClient(realm, {
      clientId: 'reader',
      secret: SECRET,
      serviceAccountsEnabled: true,
      standardFlowEnabled: false,
    })
  }
}

async function halting(
  nodes: Nodes,
  node: Node,
  realm: string,
  reset: () => Promise<unknown>,
): Promise<() => Promise<unknown>> {
  const other = node === nodes.a ? nodes.b : nodes.a
  const path = `/${realm}`
  const { eventsListeners } = (await other.keycloak.admin.must<{ eventsListeners: string[] }>('GET', path)).json()
  const listen = (listeners: string[]) => other.keycloak.admin.must('PUT', path, { eventsListeners: listeners })
  await listen([...eventsListeners, 'crash-after-commit'])
  const answer = await reset().catch(() => undefined)
  if (answer !== undefined) {
    throw new Error(`Node ${node.name} answered instead of halting`)
  }
  await until(`node ${node.name} has halted`, () => node.keycloak.exited())
  return () => listen(eventsListeners)
}
