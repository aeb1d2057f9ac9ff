import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Admin, RealmAdmin } from '../stage/admin.ts'
import { type CibaDevice, startCibaDevice } from '../stage/ciba.ts'
import { DEMO_REALM, demoRealm } from '../stage/demo-realm.ts'
import { EXTENSION_JAR, type KeycloakAt, startKeycloak } from '../stage/keycloak.ts'
import { type Mailbox, startMail } from '../stage/mail.ts'
import { type Database, startPostgres } from '../stage/postgres.ts'
import { temporary } from '../stage/temporary.ts'
import { ASSERTIONS, createClients, createIdentityProviders, createPartner, SECRET } from './clients.ts'
import { Target } from './target.ts'

/** What both realms have in common. */
export interface Parts {
  readonly keycloak: KeycloakAt
  readonly postgres: Database
  readonly mail: Mailbox
  readonly ciba: CibaDevice
  /** What Keycloak has on, by the names that `--features` has for it. */
  readonly features: ReadonlySet<string>
  /** An access token of the server's administrator. */
  readonly token: () => Promise<string>
}

/** Realms of one Keycloak. The first two are as in the demo realm's file but for the listener, the third is empty. */
export interface Realms {
  readonly guarded: RealmAdmin
  readonly stock: RealmAdmin
  readonly upstream: RealmAdmin
}

/** Two realms that are alike but for the extension's listener. */
export interface Targets {
  readonly features: ReadonlySet<string>
  /** With the listener. */
  readonly guarded: Target
  /** Without. */
  readonly stock: Target
}

export interface World extends Targets {
  readonly version: string
  stop(): Promise<void>
}

/** Of the server: linking that a client begins is off by default since 26.7, and on for all before. */
export const ACCOUNT_LINKING = '--spi-login-protocol--openid-connect--allow-client-initiated-account-linking=true'

export const cibaChannel = (url: string) =>
  `--spi-ciba-auth-channel--ciba-http-auth-channel--http-authentication-channel-uri=${url}`

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

/** On one Keycloak with the extension, of its own. */
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
        options: [cibaChannel(ciba.url), ACCOUNT_LINKING],
      }),
    )
    await keycloak.admin.must('POST', '', { realm: 'upstream', enabled: true })
    // A token from before a realm has no rights in it.
    const { username, password } = keycloak.adminUser
    const admin = new Admin(keycloak.url, username, password)
    const [features, token] = [await admin.features(), () => admin.token()]
    const realm = (name: string) => new RealmAdmin(admin, name)
    const realms = { guarded: realm('demo'), stock: realm(STOCK), upstream: realm('upstream') }
    return { ...(await furnish({ keycloak, postgres, mail, ciba, features, token }, realms)), version, stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/** The demo realm's file under another name and without the listener. */
function stockRealm(): string {
  const demo = readFileSync(DEMO_REALM, 'utf8')
  const stock = JSON.parse(demo.replaceAll('default-roles-demo', `default-roles-${STOCK}`)) as object
  const file = join(temporary('stock-realm'), `${STOCK}-realm.json`)
  writeFileSync(file, JSON.stringify({ ...stock, realm: STOCK, eventsListeners: ['jboss-logging'] }))
  return file
}

/** Gives the realms what the attacks need. */
export async function furnish(parts: Parts, { guarded, stock, upstream }: Realms): Promise<Targets> {
  const { keycloak, mail, features } = parts
  await upstream.must('PUT', '', { passwordPolicy: QUICK_HASH })
  for (const admin of [guarded, stock]) {
    await admin.must('PUT', '', {
      ...REALM,
      smtpServer: { host: '127.0.0.1', port: String(mail.port), from: 'idp@example.org' },
    })
    // The person goes on in the browser that has opened the link of a forgotten password, as on Keycloak by itself.
    await admin.setForceLogin('false')
    await admin.enableAction({ alias: 'UPDATE_EMAIL', name: 'Update Email' }, { verifyEmail: 'true' })
    await admin.enableAction({ alias: 'delete_account', name: 'Delete Account' })
    await createClients(admin)
    await createIdentityProviders(keycloak, admin, upstream)
    if (features.has(ASSERTIONS)) {
      await createPartner(admin)
    }
  }
  return { features, guarded: new Target(parts, guarded, upstream), stock: new Target(parts, stock, upstream) }
}
