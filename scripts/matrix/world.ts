import {
  ASSERTIONS,
  createClients,
  createIdentityProviders,
  createPartner,
  SECRET,
  UPSTREAM,
} from '../attack/clients.ts'
import { Target } from '../attack/target.ts'
import { ACCOUNT_LINKING, cibaChannel, type Parts } from '../attack/world.ts'
import { Admin, RealmAdmin } from '../stage/admin.ts'
import { type Application, startApache } from '../stage/apache.ts'
import { startCibaDevice } from '../stage/ciba.ts'
import { startExpress } from '../stage/express.ts'
import { DEMO_REALM, demoRealm } from '../stage/demo-realm.ts'
import { type Gate, startGate } from '../stage/gate.ts'
import { EXTENSION_JAR, startKeycloak } from '../stage/keycloak.ts'
import { type Directory, startDirectory } from '../stage/ldap.ts'
import { startMail } from '../stage/mail.ts'
import { type OrdersApi, startOrders } from '../stage/orders.ts'
import { startPostgres } from '../stage/postgres.ts'
import { freePort } from '../stage/process.ts'
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

/** What is ended together; at once, if one cannot be started. */
function together() {
  const started: { stop(): Promise<void> }[] = []
  return {
    keep: async <T extends { stop(): Promise<void> }>(starting: T | Promise<T>): Promise<T> => {
      const part = await starting
      started.push(part)
      return part
    },
    stop: async () => {
      await Promise.all(started.splice(0).map((part) => part.stop()))
    },
  }
}

/** Where the parts of a world will be that Keycloak and the realm's file are told of before they are there. */
export interface Plan {
  readonly relayPort: number
  readonly apachePort: number
  readonly expressPort: number
  /** For the placeholders in the demo realm's file. */
  readonly env: Readonly<Record<string, string>>
}

export async function planWorld(): Promise<Plan> {
  const [relayPort, apachePort, expressPort] = [await freePort(), await freePort(), await freePort()]
  const env = demoRealm(SECRET, {
    apache: `http://localhost:${apachePort}`,
    express: `http://localhost:${expressPort}`,
  })
  return { relayPort, apachePort, expressPort, env }
}

/** Every part that a person's password unlocks, for real: one Keycloak with the extension, of its own, and all around it. */
export async function startWorld(progress: (what: string) => void, version: string): Promise<World> {
  const { keep, stop } = together()
  try {
    const plan = await planWorld()
    const postgres = await keep(startPostgres())
    const [mail, ciba] = [await keep(startMail()), await keep(startCibaDevice())]
    progress(`Starting Keycloak ${version} with the extension (up to a minute)`)
    const keycloak = await keep(
      startKeycloak({
        version,
        postgres,
        jars: [EXTENSION_JAR],
        realms: [DEMO_REALM],
        env: plan.env,
        options: [
          `--spi-events-listener--logout-relay--push-url=http://127.0.0.1:${plan.relayPort}/events`,
          '--spi-events-listener--logout-relay--directories-every-ms=1000',
          ACCOUNT_LINKING,
          cibaChannel(ciba.url),
        ],
      }),
    )
    await keycloak.admin.must('POST', '', { realm: 'upstream', enabled: true })
    // A token from before a realm has no rights in it.
    const { username, password } = keycloak.adminUser
    const admin = new Admin(keycloak.url, username, password)
    const [features, token] = [await admin.features(), () => admin.token()]
    progress('Starting the relay, two applications, an API with a guard and one without')
    const parts = { keycloak, postgres, mail, ciba, features, token }
    const realm = (name: string) => new RealmAdmin(admin, name)
    return { ...(await keep(startAround(parts, realm('demo'), realm('upstream'), plan))), stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/**
 * The relay, the applications and the APIs of a realm.
 *
 * @param admin of the demo realm as in its file; events of it go to the relay
 * @param upstream of an empty realm
 */
export async function startAround(
  parts: Parts,
  admin: RealmAdmin,
  upstream: RealmAdmin,
  { relayPort, apachePort, expressPort }: Plan,
): Promise<World> {
  const { keep, stop } = together()
  const { keycloak } = parts
  const secret = SECRET
  try {
    const issuer = keycloak.issuer(admin.realm)
    const app = { issuer, clientSecret: secret }
    const express = keep(startExpress({ ...app, clientId: 'express-app', port: expressPort }))
    const apache = keep(startApache({ ...app, clientId: 'apache-app', port: apachePort }))
    const forgotten = keep(startExpress({ ...app, clientId: 'forgotten-app' }))
    const relay = await keep(startRelayProcess({ port: relayPort, issuers: [{ issuer, client_secret: secret }] }))
    const gate = await keep(startGate((await forgotten).logoutUri))
    await furnish(parts, admin, upstream, { gate, forgotten: await forgotten })
    const target = new Target(parts, admin, upstream)
    const directory = await keep(startDirectory({ [UNIT]: [] }, 'password'))
    const setRegistering = await addDirectory(admin, directory)
    const api = { ...app, clientId: 'orders-api' }
    return {
      ...{ ...parts, target, relay, secret, directory, setRegistering },
      tokens: target.tokens,
      apache: await apache,
      express: await express,
      forgotten: { ...(await forgotten), gate },
      orders: await keep(startOrders({ ...api, relayUrl: relay.url })),
      unguarded: await keep(startOrders(api)),
      victim: await admin.createUser('victim', 'password'),
      setPolicy: async (policy) => {
        // Whether there are organizations is one of the attributes.
        const { organizationsEnabled } = REALM
        await admin.must('PUT', '', { organizationsEnabled, attributes: { ...ATTRIBUTES, ...policy } })
      },
      setListening: async (on) => {
        await admin.must('PUT', '', { eventsListeners: ['jboss-logging', ...(on ? [LISTENER] : [])] })
      },
      stop,
    }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/** Answers what decides whether whoever registers is made in it. */
async function addDirectory(admin: RealmAdmin, directory: Directory): Promise<World['setRegistering']> {
  const federation = directory.federation(UNIT, { importUsers: true })
  await admin.must('POST', '/components', federation)
  const [made] = (
    await admin.must<{ id: string; config: object }[]>(
      'GET',
      `/components?name=${UNIT}&type=${federation.providerType}`,
    )
  ).json()
  return async (inDirectory) => {
    const config = { ...federation.config, syncRegistrations: [String(inDirectory)] }
    await admin.must('PUT', `/components/${made?.id ?? ''}`, { ...made, config })
  }
}

/** What the demo realm does not have. */
async function furnish(
  { keycloak, mail, features }: Parts,
  admin: RealmAdmin,
  upstream: RealmAdmin,
  { gate, forgotten }: { gate: Gate; forgotten: Application },
): Promise<void> {
  await admin.must('PUT', '', {
    ...REALM,
    attributes: ATTRIBUTES,
    smtpServer: { host: '127.0.0.1', port: String(mail.port), from: 'idp@example.org' },
  })
  await admin.enableAction({ alias: 'UPDATE_EMAIL', name: 'Update Email' }, { verifyEmail: 'true' })
  await createClients(admin)
  await admin.createClient({
    clientId: forgotten.clientId,
    secret: SECRET,
    redirectUris: [`${new URL(forgotten.url).origin}/callback`],
    attributes: { 'backchannel.logout.url': gate.url, 'backchannel.logout.session.required': 'true' },
  })
  await admin.setClientAttributes('orders-api', { 'standard.token.exchange.enabled': 'true' })
  await createIdentityProviders(keycloak, admin, upstream, { storeToken: true })
  await admin.letRelayHearUpstreams()
  const provider = (await admin.must<{ config: object }>('GET', `/identity-provider/instances/${UPSTREAM}`)).json()
  const config = { ...provider.config, issuer: keycloak.issuer(upstream.realm) }
  await admin.must('PUT', `/identity-provider/instances/${UPSTREAM}`, { ...provider, config })
  await upstream.setClientAttributes(`${admin.realm}-${UPSTREAM}`, {
    'backchannel.logout.url': `${keycloak.issuer(admin.realm)}/protocol/openid-connect/logout/backchannel-logout`,
    'backchannel.logout.session.required': 'true',
  })
  if (features.has(ASSERTIONS)) {
    await createPartner(admin)
  }
}
