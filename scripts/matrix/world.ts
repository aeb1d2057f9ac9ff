import { join } from 'node:path'
import {
  ASSERTIONS,
  createClients,
  createIdentityProviders,
  createPartner,
  SECRET,
  UPSTREAM,
} from '../attack/clients.ts'
import { Target } from '../attack/target.ts'
import type { Parts } from '../attack/world.ts'
import { type Application, startApache } from '../stage/apache.ts'
import { startCibaDevice } from '../stage/ciba.ts'
import { startExpress } from '../stage/express.ts'
import { type Gate, startGate } from '../stage/gate.ts'
import { EXTENSION_JAR, startKeycloak } from '../stage/keycloak.ts'
import { type Directory, startDirectory } from '../stage/ldap.ts'
import { startMail } from '../stage/mail.ts'
import { type OrdersApi, startOrders } from '../stage/orders.ts'
import { startPostgres } from '../stage/postgres.ts'
import { freePort, ROOT } from '../stage/process.ts'
import { type RelayServer, startRelayProcess } from '../stage/relay.ts'
import type { TokenEndpoint } from '../stage/tokens.ts'

const LISTENER = 'logout-relay'
/** The people of the directory. */
export const UNIT = 'matrix'

/** What every person here has; what is not about the access under test stays out of its way. */
const REALM = {
  rememberMe: true,
  editUsernameAllowed: true,
  resetPasswordAllowed: true,
  registrationAllowed: true,
  organizationsEnabled: true,
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

export interface World extends Parts {
  readonly relay: RelayServer
  /** The demo realm. */
  readonly target: Target
  readonly tokens: TokenEndpoint
  /** What this Keycloak has on, by the names that `--features` has for it. */
  readonly features: ReadonlySet<string>
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
  readonly directory: Directory
  /** Whether whoever registers is made in the directory, and not in Keycloak alone. */
  setRegistering(inDirectory: boolean): Promise<void>
  /** Whether Logout Relay listens in the realm: where it does not, nothing ends. */
  setListening(on: boolean): Promise<void>
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
  const secret = SECRET
  try {
    const [relayPort, apachePort, expressPort] = [await freePort(), await freePort(), await freePort()]
    const [postgres, mail, ciba] = [await keep(startPostgres()), await keep(startMail()), await keep(startCibaDevice())]
    const directory = await keep(startDirectory({ [UNIT]: [] }, 'password'))
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
          '--spi-events-listener--logout-relay--directories-every-ms=1000',
          // Off by default since 26.7, and on for all before.
          '--spi-login-protocol--openid-connect--allow-client-initiated-account-linking=true',
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
    const parts = { keycloak, postgres, mail, ciba }
    const features = await furnish(parts, { gate, forgotten: await forgotten })
    const target = new Target(parts, 'demo')
    const setRegistering = await addDirectory(target, directory)
    const api = { ...app, clientId: 'orders-api' }
    return {
      ...{ ...parts, target, features, relay, secret, stop, directory, setRegistering },
      tokens: target.tokens,
      apache: await apache,
      express: await express,
      forgotten: { ...(await forgotten), gate },
      orders: await keep(startOrders({ ...api, relayUrl: relay.url })),
      unguarded: await keep(startOrders(api)),
      victim: await keycloak.admin.createUser('demo', 'victim', 'password'),
      setPolicy: async (policy) => {
        // Whether there are organizations is one of the attributes.
        const { organizationsEnabled } = REALM
        await keycloak.admin.must('PUT', '/demo', { organizationsEnabled, attributes: { ...ATTRIBUTES, ...policy } })
      },
      setListening: async (on) => {
        const eventsListeners = ['jboss-logging', ...(on ? [LISTENER] : [])]
        await keycloak.admin.must('PUT', '/demo', { eventsListeners })
      },
    }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/** Answers what decides whether whoever registers is made in it. */
async function addDirectory({ admin }: Target, directory: Directory): Promise<World['setRegistering']> {
  const federation = directory.federation(UNIT, { importUsers: true })
  await admin.must('POST', '/demo/components', federation)
  const [made] = (
    await admin.must<{ id: string; config: object }[]>(
      'GET',
      `/demo/components?name=${UNIT}&type=${federation.providerType}`,
    )
  ).json()
  return async (inDirectory) => {
    const config = { ...federation.config, syncRegistrations: [String(inDirectory)] }
    await admin.must('PUT', `/demo/components/${made?.id ?? ''}`, { ...made, config })
  }
}

/** What the demo realm does not have. Answers the features that this Keycloak has. */
async function furnish(
  { keycloak, mail }: Parts,
  { gate, forgotten }: { gate: Gate; forgotten: Application },
): Promise<ReadonlySet<string>> {
  const { admin } = keycloak
  const features = await admin.features()
  await admin.must('PUT', '/demo', {
    ...REALM,
    attributes: ATTRIBUTES,
    smtpServer: { host: '127.0.0.1', port: String(mail.port), from: 'idp@example.org' },
  })
  await admin.enableAction('demo', { alias: 'UPDATE_EMAIL', name: 'Update Email' }, { verifyEmail: 'true' })
  await createClients(keycloak, 'demo')
  await admin.createClient('demo', {
    clientId: forgotten.clientId,
    secret: SECRET,
    redirectUris: [`${new URL(forgotten.url).origin}/callback`],
    attributes: { 'backchannel.logout.url': gate.url, 'backchannel.logout.session.required': 'true' },
  })
  await admin.setClientAttributes('demo', 'orders-api', { 'standard.token.exchange.enabled': 'true' })
  await admin.must('POST', '', { realm: UPSTREAM, enabled: true })
  await createIdentityProviders(keycloak, 'demo', { storeToken: true })
  if (features.has(ASSERTIONS)) {
    await createPartner(keycloak, 'demo')
  }
  return features
}
