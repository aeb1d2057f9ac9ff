import { decodeJwt } from 'jose'
import { expect } from 'vitest'
import { call } from '../../scripts/stage/http.ts'
import { RealmAdmin } from '../../scripts/stage/admin.ts'
import { type KeycloakAt, type KeycloakServer, startKeycloak } from '../../scripts/stage/keycloak.ts'
import { type Database, type Postgres, startPostgres } from '../../scripts/stage/postgres.ts'
import { until } from '../../scripts/stage/process.ts'
import { TokenEndpoint } from '../../scripts/stage/tokens.ts'
import { DEMO_REALM, demoRealm } from '../../scripts/stage/demo-realm.ts'
import { inCommon } from './in-common.ts'
import { shared } from './shared.ts'

export const SECRET = 'secret-of-a-test'
/** Nobody listens there: the browser is stopped before it goes there. */
export const REDIRECT_URI = 'http://localhost:9/back'

/** What the demo realm's file leaves open. At its applications nobody listens. */
export const DEMO_ENV = demoRealm(SECRET)

/** The most that a poll hands out. */
const PAGE = 50

export interface ToldSession {
  readonly id: string
  readonly client_id: string
  readonly sid: string
  readonly sub?: string
}

/** What the extension tells the relay of one event. */
export interface Told {
  readonly jti: string
  readonly txn: string
  readonly type: string
  readonly event: Record<string, unknown>
  readonly trigger: string
  readonly containment: Record<string, unknown>
  readonly sessions: readonly ToldSession[]
}

/**
 * The demo realm on a Keycloak and PostgreSQL of its own, without a relay: the tests poll the outbox themselves.
 *
 * @param own.features beyond those that all have
 * @param own.hostname null for a Keycloak that calls itself as it is asked
 */
export async function startDemoRealm(
  own: {
    readonly version?: string
    readonly features?: readonly string[]
    readonly options?: readonly string[]
    readonly hostname?: null
  } = {},
) {
  const postgres = await startPostgres()
  const common = inCommon(own.version, own.features)
  const keycloak = await startKeycloak({
    ...{ ...own, ...common, postgres },
    options: [...common.options, ...(own.options ?? [])],
    realms: [DEMO_REALM],
    env: DEMO_ENV,
  })
  const admin = new RealmAdmin(keycloak.admin, 'demo')
  await addFlowsApp(admin)
  const stop = async () => {
    await keycloak.stop()
    await postgres.stop()
  }
  return new DemoRealm(keycloak, admin, postgres, stop)
}

/** The same as a realm of that name on the Keycloak that test files share. */
export async function shareDemoRealm(name: string) {
  const { keycloak, postgres, ...server } = await shared()
  const admin = await server.bring('demo', name, DEMO_ENV)
  await addFlowsApp(admin)
  return new DemoRealm(keycloak, admin, postgres)
}

async function addFlowsApp(admin: RealmAdmin): Promise<void> {
  await admin.createClient({
    clientId: 'flows-app',
    publicClient: true,
    implicitFlowEnabled: true,
    directAccessGrantsEnabled: true,
    redirectUris: [REDIRECT_URI],
    attributes: { 'backchannel.logout.url': 'http://127.0.0.1:9/logout' },
  })
  const operator = await admin.clientUuid('logout-relay-operator')
  await admin.must('PUT', `/clients/${operator}`, { directAccessGrantsEnabled: true })
}

export type SharedDemoRealm = DemoRealm<KeycloakAt, Database>

export class DemoRealm<K extends KeycloakAt = KeycloakServer, D extends Database = Postgres> {
  readonly keycloak: K
  readonly admin: RealmAdmin
  readonly postgres: D
  readonly issuer: string
  readonly tokens: TokenEndpoint
  readonly stop: () => Promise<void>
  #others: (Told & { readonly sub: string })[] = []

  constructor(keycloak: K, admin: RealmAdmin, postgres: D, stop: () => Promise<void> = () => Promise.resolve()) {
    this.keycloak = keycloak
    this.admin = admin
    this.postgres = postgres
    this.issuer = keycloak.issuer(admin.realm)
    this.tokens = new TokenEndpoint(this.issuer)
    this.stop = stop
  }

  person(name: string): Promise<string> {
    return this.admin.createUser(name, 'password')
  }

  /** The user's sessions in the ledger: the sid, and whether it is an offline one. */
  ledgerOf(user: string): string[] {
    return this.postgres
      .psql(
        `select sid || case when is_offline then ' offline' else '' end from logout_relay_ledger
      join logout_relay_ledger_template t on t.id = template where user_id = '${user}'`,
      )
      .split('\n')
      .filter(Boolean)
  }

  /** The token of a person with roles of the relay, through the client whose tokens carry somebody's word. */
  async wordOf(name: string): Promise<string> {
    return (await this.tokens.directGrant('logout-relay-operator', name, 'password', 'openid', SECRET)).access_token
  }

  /** Asks one of the extension's endpoints: POST with a body, else GET; with the relay's own token unless another is given. */
  async call<T>(endpoint: string, body?: object, token?: string) {
    const authorization = `Bearer ${token ?? (await this.tokens.serviceAccount('logout-relay', SECRET))}`
    return call<T>(body ? 'POST' : 'GET', `${this.issuer}/logout-relay/${endpoint}`, {
      ...(body ? { json: body } : {}),
      headers: { authorization },
    })
  }

  async ask<T>(endpoint: string, body?: object, token?: string): Promise<T> {
    const answer = await this.call<T>(endpoint, body, token)
    expect(answer.status, answer.text).toBe(200)
    return answer.json()
  }

  async poll(body: object): Promise<Record<string, string>> {
    return (await this.ask<{ sets: Record<string, string> }>('outbox', body)).sets
  }

  /** The events about this user that the relay has not been told of yet, without what was seen or refused since. */
  async told(user: string): Promise<Told[]> {
    return (await this.allTold(user)).filter(
      ({ containment }) => containment['watched'] === undefined && containment['refused_after'] === undefined,
    )
  }

  /** All that the relay has not been told of yet about this user. It is acknowledged. */
  async allTold(user: string): Promise<Told[]> {
    let page = await this.#page()
    while (page.length >= PAGE) {
      // Those of others are in the way, and kept for whoever asks for them.
      this.#others.push(...page)
      await this.poll({ maxEvents: 0, ack: page.map(({ jti }) => jti) })
      page = await this.#page()
    }
    const own = page.filter(({ sub }) => sub === user)
    await this.poll({ maxEvents: 0, ack: own.map(({ jti }) => jti) })
    const before = this.#others.filter(({ sub }) => sub === user)
    this.#others = this.#others.filter(({ sub }) => sub !== user)
    return [...before, ...own]
  }

  async #page(): Promise<(Told & { readonly sub: string })[]> {
    const sets = Object.values(await this.poll({ maxEvents: PAGE })).map((set) =>
      decodeJwt<{ txn: string; sub_id: { sub: string }; events: Record<string, Record<string, unknown>> }>(set),
    )
    return sets.flatMap(({ jti = '', txn, sub_id: { sub }, events }) =>
      Object.entries(events).map(([type, event]) => {
        const containment = event['logout-relay'] as { trigger: string; sessions: ToldSession[] }
        return { sub, jti, txn, type, event, containment, trigger: containment.trigger, sessions: containment.sessions }
      }),
    )
  }

  /** The one event about this user, which must be there. */
  async toldOnce(user: string): Promise<Told> {
    const [event, ...more] = await this.told(user)
    if (!event || more.length > 0) {
      throw new Error(`Told ${event ? more.length + 1 : 0} times of this user, not once`)
    }
    return event
  }
}

/** Keycloak's login times are whole seconds: what must be newer than an event begins in a later one. */
export async function nextSecond(): Promise<void> {
  const now = Math.floor(Date.now() / 1000)
  await until('the next second has begun', () => Promise.resolve(Math.floor(Date.now() / 1000) > now))
}
