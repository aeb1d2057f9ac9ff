import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CibaDevice, startCibaDevice } from '../stage/ciba.ts'
import { DEMO_REALM, demoRealm } from '../stage/demo-realm.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../stage/keycloak.ts'
import { type Mailbox, startMail } from '../stage/mail.ts'
import { type Postgres, startPostgres } from '../stage/postgres.ts'

import { temporary } from '../stage/temporary.ts'
import { ASSERTIONS, createClients, createIdentityProviders, createPartner, SECRET, UPSTREAM } from './clients.ts'
import { Target } from './target.ts'

/** What both realms have in common. */
export interface Parts {
  readonly keycloak: KeycloakServer
  readonly postgres: Postgres
  readonly mail: Mailbox
  readonly ciba: CibaDevice
}

/** One Keycloak with the extension, and two realms that are alike but for its listener. */
export interface World {
  readonly version: string
  /** With the listener. */
  readonly guarded: Target
  /** Without. */
  readonly stock: Target
  /** What this Keycloak has on, by the names that `--features` has for it. */
  readonly features: ReadonlySet<string>
  stop(): Promise<void>
}

const GUARDED = 'demo'
const STOCK = 'stock'

/** A storm is of refreshes and not of hashes: the password is hashed once. */
const QUICK_HASH = 'hashAlgorithm(pbkdf2-sha256) and hashIterations(1)'

/** The demo realm, with what the attacks need beyond it. */
const REALM = {
  passwordPolicy: QUICK_HASH,
  resetPasswordAllowed: true,
  registrationAllowed: true,
  organizationsEnabled: true,
  userManagedAccessAllowed: true,
  accessTokenLifespan: 600,
  accessCodeLifespan: 600,
  attributes: { cibaBackchannelTokenDeliveryMode: 'poll', cibaExpiresIn: '600', cibaInterval: '1' },
}

export async function startWorld(progress: (what: string) => void, version: string): Promise<World> {
  const started: { stop(): Promise<void> }[] = []
  const keep = async <T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> => {
    const part = await starting
    started.push(part)
    return part
  }
  const stop = async () => {
    await Promise.all(started.splice(0).map((part) => part.stop()))
  }
  try {
    const [postgres, mail, ciba] = [await keep(startPostgres()), await keep(startMail()), await keep(startCibaDevice())]
    progress(`Starting Keycloak ${version} with the extension (up to a minute)`)
    const keycloak = await keep(
      startKeycloak({
        version,
        postgres,
        jars: [EXTENSION_JAR],
        realms: [DEMO_REALM, stockRealm()],
        env: demoRealm(SECRET),
        options: [
          `--spi-ciba-auth-channel--ciba-http-auth-channel--http-authentication-channel-uri=${ciba.url}`,
          // Off by default since 26.7, and on for all before.
          '--spi-login-protocol--openid-connect--allow-client-initiated-account-linking=true',
        ],
      }),
    )
    const parts = { keycloak, postgres, mail, ciba }
    return { ...(await furnish(parts)), version, stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/** The demo realm's file under another name and without the listener. */
function stockRealm(): string {
  const demo = readFileSync(DEMO_REALM, 'utf8')
  const stock = JSON.parse(demo.replaceAll(`default-roles-${GUARDED}`, `default-roles-${STOCK}`)) as object
  const file = join(temporary('stock-realm'), `${STOCK}-realm.json`)
  writeFileSync(file, JSON.stringify({ ...stock, realm: STOCK, eventsListeners: ['jboss-logging'] }))
  return file
}

async function furnish(parts: Parts): Promise<Pick<World, 'guarded' | 'stock' | 'features'>> {
  const { keycloak, mail } = parts
  const { admin } = keycloak
  const features = await admin.features()
  await admin.must('POST', '', { realm: UPSTREAM, enabled: true, passwordPolicy: QUICK_HASH })
  for (const realm of [GUARDED, STOCK]) {
    await admin.must('PUT', `/${realm}`, {
      ...REALM,
      smtpServer: { host: '127.0.0.1', port: String(mail.port), from: 'idp@example.org' },
    })
    // The person goes on in the browser that has opened the link of a forgotten password, as on Keycloak by itself.
    await admin.setForceLogin(realm, 'false')
    await admin.enableAction(realm, { alias: 'UPDATE_EMAIL', name: 'Update Email' }, { verifyEmail: 'true' })
    await admin.enableAction(realm, { alias: 'delete_account', name: 'Delete Account' })
    await createClients(keycloak, realm)
    await createIdentityProviders(keycloak, realm)
    if (features.has(ASSERTIONS)) {
      await createPartner(keycloak, realm)
    }
  }
  return { guarded: new Target(parts, GUARDED), stock: new Target(parts, STOCK), features }
}
