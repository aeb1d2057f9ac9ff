import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { type Application, startApache } from '../stage/apache.ts'
import { type CibaDevice, startCibaDevice } from '../stage/ciba.ts'
import { startExpress } from '../stage/express.ts'
import { type Gate, startGate } from '../stage/gate.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../stage/keycloak.ts'
import { type Mailbox, startMail } from '../stage/mail.ts'
import { type OrdersApi, startOrders } from '../stage/orders.ts'
import { type Postgres, startPostgres } from '../stage/postgres.ts'
import { freePort, ROOT } from '../stage/process.ts'
import { type RelayServer, startRelayProcess } from '../stage/relay.ts'
import { TokenEndpoint } from '../stage/tokens.ts'

/** Nobody listens there: the browser is stopped before it goes there. */
export const REDIRECT_URI = 'http://localhost:9/back'

/** What every person here has; what is not about the access under test stays out of its way. */
const REALM = {
  rememberMe: true,
  editUsernameAllowed: true,
  resetPasswordAllowed: true,
  accessTokenLifespan: 600,
  accessCodeLifespan: 600,
}

/** A realm's attributes are saved as a whole: these go along with every policy. */
const ATTRIBUTES = {
  cibaBackchannelTokenDeliveryMode: 'poll',
  cibaExpiresIn: '600',
  cibaInterval: '1',
  // Whoever may impersonate would be privileged, and lose factors that others keep.
  'logout-relay.privileged.roles': 'realm-management/manage-users',
  // The factors are given while the person is logged in already.
  'logout-relay.policy.admin-credential-changed': 'off',
}

export interface World {
  readonly keycloak: KeycloakServer
  readonly relay: RelayServer
  readonly postgres: Postgres
  readonly tokens: TokenEndpoint
  readonly mail: Mailbox
  readonly ciba: CibaDevice
  readonly apache: Application
  readonly express: Application
  /** An application that Keycloak's own logout does not reach while its gate is shut. */
  readonly forgotten: Application & { readonly gate: Gate }
  readonly orders: OrdersApi
  /** The same API, without a guard. */
  readonly unguarded: OrdersApi
  /** Of every client here. */
  readonly secret: string
  /** The user whom others impersonate. */
  readonly victim: string
  /** Replaces the realm's policy by its defaults and these. */
  setPolicy(policy: Readonly<Record<string, string>>): Promise<void>
  stop(): Promise<void>
}

/** Every part that a person's password unlocks, for real: one Keycloak with the extension, the relay, applications, an API. */
export async function startWorld(progress: (what: string) => void, version: string): Promise<World> {
  const started: { stop(): Promise<void> }[] = []
  const keep = async <T extends { stop(): Promise<void> }>(starting: T | Promise<T>): Promise<T> => {
    const part = await starting
    started.push(part)
    return part
  }
  const stop = async () => {
    await Promise.all(started.splice(0).map((part) => part.stop()))
  }
  const secret = randomUUID()
  try {
    const [relayPort, apachePort, expressPort] = [await freePort(), await freePort(), await freePort()]
    const [postgres, mail, ciba] = [await keep(startPostgres()), await keep(startMail()), await keep(startCibaDevice())]
    progress(`Starting Keycloak ${version} with the extension (up to a minute)`)
    const keycloak = await keep(
      startKeycloak({
        version,
        postgres,
        jars: [EXTENSION_JAR],
        realms: [join(ROOT, 'realm-export', 'demo-realm.json')],
        env: {
          LOGOUT_RELAY_DEMO_APACHE_URL: `http://localhost:${apachePort}`,
          LOGOUT_RELAY_DEMO_EXPRESS_URL: `http://localhost:${expressPort}`,
          LOGOUT_RELAY_CLIENT_SECRET: secret,
          LOGOUT_RELAY_OPERATOR_SECRET: secret,
          LOGOUT_RELAY_CONSOLE_SECRET: secret,
          LOGOUT_RELAY_APP_SECRET: secret,
          LOGOUT_RELAY_USER_PASSWORD: 'password',
        },
        options: [
          `--spi-events-listener--logout-relay--push-url=http://127.0.0.1:${relayPort}/events`,
          `--spi-ciba-auth-channel--ciba-http-auth-channel--http-authentication-channel-uri=${ciba.url}`,
        ],
      }),
    )
    const issuer = keycloak.issuer('demo')
    progress('Starting the relay, two applications, an API with a guard and one without')
    const app = { issuer, clientSecret: secret }
    const express = keep(startExpress({ ...app, clientId: 'express-app', port: expressPort }))
    const apache = keep(startApache({ ...app, clientId: 'apache-app', port: apachePort }))
    const forgotten = keep(startExpress({ ...app, clientId: 'forgotten-app' }))
    const relay = await keep(startRelayProcess({ port: relayPort, issuers: [{ issuer, client_secret: secret }] }))
    const gate = await keep(startGate((await forgotten).logoutUri))
    await furnish(keycloak, { secret, mail, gate, forgotten: await forgotten })
    const api = { ...app, clientId: 'orders-api' }
    return {
      ...{ keycloak, relay, postgres, mail, ciba, secret, stop },
      tokens: new TokenEndpoint(issuer),
      apache: await apache,
      express: await express,
      forgotten: { ...(await forgotten), gate },
      orders: await keep(startOrders({ ...api, relayUrl: relay.url })),
      unguarded: await keep(startOrders(api)),
      victim: await keycloak.admin.createUser('demo', 'victim', 'password'),
      setPolicy: async (policy) => {
        await keycloak.admin.must('PUT', '/demo', { attributes: { ...ATTRIBUTES, ...policy } })
      },
    }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/** What the demo realm does not have: further clients, and a second realm as an identity provider that it brokers. */
async function furnish(
  keycloak: KeycloakServer,
  { secret, mail, gate, forgotten }: { secret: string; mail: Mailbox; gate: Gate; forgotten: Application },
): Promise<void> {
  const { admin, url } = keycloak
  await admin.must('PUT', '/demo', {
    ...REALM,
    attributes: ATTRIBUTES,
    smtpServer: { host: '127.0.0.1', port: String(mail.port), from: 'idp@example.org' },
  })
  const browserApp = { publicClient: true, redirectUris: [REDIRECT_URI] }
  await admin.createClient('demo', {
    ...browserApp,
    clientId: 'flows-app',
    directAccessGrantsEnabled: true,
    attributes: { 'oauth2.device.authorization.grant.enabled': 'true', 'oauth2.device.polling.interval': '1' },
  })
  await admin.createClient('demo', { ...browserApp, clientId: 'consent-app', consentRequired: true })
  await admin.createClient('demo', {
    clientId: 'ciba-app',
    secret,
    attributes: { 'oidc.ciba.grant.enabled': 'true' },
  })
  await admin.createClient('demo', {
    clientId: forgotten.clientId,
    secret,
    redirectUris: [`${new URL(forgotten.url).origin}/callback`],
    attributes: { 'backchannel.logout.url': gate.url, 'backchannel.logout.session.required': 'true' },
  })
  await admin.setClientAttributes('demo', 'orders-api', { 'standard.token.exchange.enabled': 'true' })
  await admin.must('POST', '', { realm: 'upstream', enabled: true })
  await admin.createClient('upstream', {
    clientId: 'demo',
    secret,
    redirectUris: [`${keycloak.issuer('demo')}/broker/upstream/endpoint`],
  })
  const upstream = `${url}/realms/upstream/protocol/openid-connect`
  await admin.must('POST', '/demo/identity-provider/instances', {
    alias: 'upstream',
    providerId: 'oidc',
    storeToken: true,
    config: {
      clientId: 'demo',
      clientSecret: secret,
      clientAuthMethod: 'client_secret_post',
      authorizationUrl: `${upstream}/auth`,
      tokenUrl: `${upstream}/token`,
      defaultScope: 'openid',
    },
  })
}
