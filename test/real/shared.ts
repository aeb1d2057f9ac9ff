import { inject } from 'vitest'
import { Admin, RealmAdmin } from '../../scripts/stage/admin.ts'
import { planWorld, startParts, type World } from '../../scripts/demo/world.ts'
import { realmFrom } from '../../scripts/stage/demo-realm.ts'
import { call } from '../../scripts/stage/http.ts'
import type { KeycloakAt } from '../../scripts/stage/keycloak.ts'
import { type Database, databaseAt } from '../../scripts/stage/postgres.ts'
import type { SharedServer } from './shared-server.ts'

/** The Keycloak that test files share, each with realms of its own. */
export interface Shared {
  readonly keycloak: KeycloakAt
  readonly postgres: Database
  /** Brings in a realm of `realm-export/` under a name of the file's own; throws if the name is taken. */
  bring(file: 'demo' | 'stock', name: string, env: Record<string, string>): Promise<RealmAdmin>
  /** An empty realm. */
  make(name: string): Promise<RealmAdmin>
  /** Of the realm of the server's administrators: what a file changes in it, it changes for all. */
  readonly master: RealmAdmin
  readonly administrator: { readonly username: string; readonly password: string }
  /** An access token of the administrator's. */
  readonly token: () => Promise<string>
  /** What is on, by the names that `--features` has for it. */
  features(): Promise<ReadonlySet<string>>
}

export async function shared(): Promise<Shared> {
  const { url, adminPassword, postgresPort } = (await call<SharedServer>('GET', `${inject('doorman')}/keycloak`)).json()
  const administrator = { username: 'admin', password: adminPassword }
  const server = new Admin(url, administrator.username, administrator.password)
  const create = async (realm: string, description: object) => {
    await server.must('POST', '', { ...description, realm, enabled: true })
    return new RealmAdmin(server, realm)
  }
  return {
    keycloak: { url, issuer: (realm) => `${url}/realms/${realm}` },
    postgres: databaseAt(postgresPort),
    bring: (file, name, env) => create(name, realmFrom(file, name, env)),
    make: (name) => create(name, {}),
    master: new RealmAdmin(server, 'master'),
    administrator,
    // One from before a realm may have no rights in it.
    token: () => new Admin(url, administrator.username, administrator.password).token(),
    features: () => server.features(),
  }
}

/** Sends on what the shared Keycloak says of this realm. */
export async function route(what: 'events' | 'ciba', realm: string, to: string): Promise<void> {
  await call('PUT', `${inject('doorman')}/${what}/${realm}`, { text: to })
}

/** The demo's world on the shared Keycloak, with the realms NAME and NAME-stock. */
export async function startSharedWorld(name: string): Promise<World<KeycloakAt>> {
  const { keycloak, ...server } = await shared()
  const plan = await planWorld()
  await route('events', name, `http://127.0.0.1:${plan.relayPort}/events`)
  const demo = await server.bring('demo', name, plan.env)
  const stock = await server.bring('stock', `${name}-stock`, plan.env)
  return startParts(keycloak, demo, stock, plan)
}
