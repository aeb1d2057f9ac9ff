import { randomUUID } from 'node:crypto'
import { RealmAdmin } from '../../stage/admin.ts'
import { takeLogins } from '../../stage/broker.ts'
import { demoRealm, realmFrom } from '../../stage/demo-realm.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../../stage/keycloak.ts'
import { freePort } from '../../stage/process.ts'
import { type RelayServer, startRelayProcess } from '../../stage/relay.ts'
import type { Run } from '../run.ts'
import { applications, type Realm, startRealm } from '../world.ts'
import { type PeopleDirectory, startPeopleDirectory } from './directory.ts'

/** In the directory. */
export const ANN = 'ann'
/** In the realm `staff` itself. */
export const BEN = 'ben'
/** In the directory, if there is one. Nothing happens to her. */
export const CLEO = 'cleo'
/** Every 30 s unless it is set. */
export const LOOK_EVERY_MS = 3000

export interface FederatedWorld {
  readonly keycloak: KeycloakServer
  /** Where people log in: with a password of the directory, or of its own. */
  readonly staff: Realm
  /** It has nobody's password: it takes its logins from `staff`. */
  readonly main: Realm
  readonly relay: RelayServer
  /** Absent where none is to be had. */
  readonly directory: PeopleDirectory | undefined
  /** Of everybody. */
  readonly password: string
  /** Of each realm's operator, for the relay's API. */
  readonly secret: string
}

/** Starts every part, for real: one Keycloak with both realms, and one relay for both. */
export async function startFederated(run: Run, version = '26.7.3'): Promise<FederatedWorld> {
  const [secret, password] = [randomUUID(), `demo-${randomUUID().slice(0, 8)}`]
  const relayPort = await freePort()
  run.progress(`Starting Keycloak ${version} with the extension (up to a minute)`)
  const [keycloak, directory] = await Promise.all([
    run.keep(
      startKeycloak({
        version,
        jars: [EXTENSION_JAR],
        options: [
          `--spi-events-listener--logout-relay--push-url=http://127.0.0.1:${relayPort}/events`,
          `--spi-events-listener--logout-relay--directories-every-ms=${LOOK_EVERY_MS}`,
        ],
      }),
    ),
    run.keep(startPeopleDirectory([ANN, CLEO], password, run.progress)),
  ])
  run.progress('Starting the relay and the relying parties of both realms')
  const [staff, main] = [await bring(run, keycloak, 'staff', secret), await bring(run, keycloak, 'main', secret)]
  if (directory) {
    await staff.admin.must('POST', '/components', directory.federation)
  }
  for (const name of directory ? [BEN] : [BEN, CLEO]) {
    await staff.admin.createUser(name, password)
  }
  await takeLogins(keycloak, main.admin, { from: staff.admin, secret })
  const issuers = [staff, main].map(({ issuer }) => ({ issuer, client_secret: secret }))
  const relay = await run.keep(startRelayProcess({ port: relayPort, issuers }))
  return { keycloak, staff, main, relay, directory, password, secret }
}

/** A realm as that of the plain demo, and its relying parties. */
async function bring(run: Run, keycloak: KeycloakServer, name: string, secret: string): Promise<Realm> {
  const ports = { apache: await freePort(), express: await freePort() }
  const apps = { apache: `http://localhost:${ports.apache}`, express: `http://localhost:${ports.express}` }
  await keycloak.admin.must('POST', '', realmFrom('demo', name, demoRealm(secret, apps)))
  const realm = await startRealm(new RealmAdmin(keycloak.admin, name), keycloak, secret, ports)
  await Promise.all(applications(realm).map((application) => run.keep(application)))
  return realm
}
