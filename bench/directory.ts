import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../scripts/stage/keycloak.ts'
import { type Directory, startDirectory } from '../scripts/stage/ldap.ts'
import { type Postgres, startPostgres } from '../scripts/stage/postgres.ts'
import { ROOT, until } from '../scripts/stage/process.ts'
import { TokenEndpoint } from '../scripts/stage/tokens.ts'
import { addedTo } from './in-turn.ts'
import { figure, type Line, scaled, type Size } from './stats.ts'

const PEOPLE = 100_000
const LIVE = 10_000
const UNIT = 'people'
const CLIENT = 'mobile-app'
const [OLD, NEW] = ['password', 'another-password']
/** By then a change is judged at the first look. */
const OLD_ENOUGH_MS = 3_000
const SWEEPS = 3
const WARM_UP = 15
/** What fits into a command line. */
const CHUNK = 1_000

/**
 * A directory of 100,000 people, of whom 10,000 have sessions, with the sweep as it is by default: what a sweep asks, how
 * long it takes, how long a session lives after the password was changed, where nobody logs in and where the person does, and
 * what the looks add to a login.
 */
export async function directory({ rounds, share }: Size): Promise<Line[]> {
  const people = Array.from({ length: scaled(PEOPLE, share) }, (_, n) => `p${n}`)
  const live = people.slice(0, scaled(LIVE, share))
  const logins = Array.from({ length: rounds * 2 }, (_, n) => `login${n}`)
  const ldap = await startDirectory({ [UNIT]: [...people, ...logins] }, OLD, { tellsTime: true })
  const postgres = await startPostgres()
  const secrets = ['APP_SECRET', 'CLIENT_SECRET', 'OPERATOR_SECRET', 'CONSOLE_SECRET', 'USER_PASSWORD']
  const urls = ['DEMO', 'STOCK'].flatMap((realm) => [`${realm}_APACHE_URL`, `${realm}_EXPRESS_URL`])
  const keycloak = await startKeycloak({
    postgres,
    jars: [EXTENSION_JAR],
    realms: ['demo', 'stock'].map((realm) => join(ROOT, 'realm-export', `${realm}-realm.json`)),
    env: Object.fromEntries([
      ...secrets.map((name) => [`LOGOUT_RELAY_${name}`, randomUUID()]),
      ...urls.map((name) => [`LOGOUT_RELAY_${name}`, 'http://localhost:9']),
    ]) as Record<string, string>,
  })
  try {
    const bench = new Bench(keycloak, postgres, ldap)
    await bench.giveSessions(live)
    return [...(await bench.sweeps()), ...(await bench.changes(logins)), ...(await bench.addedToLogin(rounds))]
  } finally {
    await keycloak.stop()
    await postgres.stop()
    await ldap.stop()
  }
}

class Bench {
  readonly #keycloak: KeycloakServer
  readonly #postgres: Postgres
  readonly #ldap: Directory
  readonly #tokens: TokenEndpoint
  readonly #stock: TokenEndpoint

  constructor(keycloak: KeycloakServer, postgres: Postgres, ldap: Directory) {
    this.#keycloak = keycloak
    this.#postgres = postgres
    this.#ldap = ldap
    this.#tokens = new TokenEndpoint(keycloak.issuer('demo'))
    this.#stock = new TokenEndpoint(keycloak.issuer('stock'))
  }

  /** One of them logs in; the others are written as Keycloak and the extension would have. */
  async giveSessions(live: readonly string[]): Promise<void> {
    const { admin } = this.#keycloak
    await admin.must('POST', '/demo/components', this.#ldap.federation(UNIT, { importUsers: true }))
    const [first = '', ...others] = live
    await this.#tokens.directGrant(CLIENT, first, OLD)
    const id = await admin.userId('demo', first)
    const ids = this.#ldap.entryUuids(UNIT)
    this.#postgres.psql('create table live (id text, name text, uuid text)')
    const rows = others.map((name) => `('${randomUUID()}','${name}','${ids.get(name) ?? ''}')`)
    for (let from = 0; from < rows.length; from += CHUNK) {
      this.#postgres.psql(`insert into live values ${rows.slice(from, from + CHUNK).join(',')}`)
    }
    // A key is the beginning of the SHA-256 of the id.
    this.#postgres
      .psql(`insert into user_entity (id, username, realm_id, federation_link, enabled, email_verified, not_before, email_constraint, created_timestamp)
  select live.id, live.name, u.realm_id, u.federation_link, true, false, 0, live.id, u.created_timestamp from live, user_entity u where u.id = '${id}';
insert into user_attribute (id, name, value, user_id) select gen_random_uuid()::text, 'LDAP_ID', uuid, id from live;
insert into logout_relay_ledger (login_began, latest_end, user_key, sid_key, template, user_id, sid)
  select l.login_began, l.latest_end, ('x' || left(encode(sha256(live.id::bytea), 'hex'), 16))::bit(64)::bigint, l.sid_key, l.template, live.id, l.sid
  from live, logout_relay_ledger l where l.user_id = '${id}'`)
    await this.#looked()
  }

  #looks(): number {
    return Number(this.#postgres.psql('select coalesce(max(looked_ms), 0) from logout_relay_directory'))
  }

  /** All have been looked at once more. */
  async #looked(): Promise<void> {
    const before = this.#looks()
    await until('all have been looked at', () => this.#looks() > before, { seconds: 600 })
  }

  async sweeps(): Promise<Line[]> {
    await this.#looked()
    const asked: { searches: number; entries: number; ms: number }[] = []
    for (let n = 0; n < SWEEPS; n++) {
      const before = this.#ldap.asked()
      const due = Number(this.#postgres.psql('select due_ms from logout_relay_directory'))
      await this.#looked()
      const after = this.#ldap.asked()
      asked.push({
        // What is counted here is asked for by two searches as well.
        searches: after.searches - before.searches - 2,
        entries: after.entries - before.entries - 2,
        ms: this.#looks() - due,
      })
    }
    const users = this.#postgres.psql('select users from logout_relay_directory')
    return [
      {
        what: `a sweep of ${users} users: searches`,
        unit: 'count',
        figure: figure(asked.map(({ searches }) => searches)),
      },
      {
        what: `a sweep of ${users} users: entries`,
        unit: 'count',
        figure: figure(asked.map(({ entries }) => entries)),
      },
      {
        what: `a sweep of ${users} users, from when it was due`,
        unit: 'ms',
        figure: figure(asked.map(({ ms }) => ms)),
      },
    ]
  }

  async changes(names: readonly string[]): Promise<Line[]> {
    const half = names.length / 2
    const bySweep = await Promise.all(names.slice(0, half).map((name, n) => this.#change(name, n)))
    const byLogin: number[] = []
    for (const name of names.slice(half)) {
      byLogin.push(await this.#changeAndLogin(name))
    }
    return [
      {
        what: 'from the change to the death, by sweep',
        unit: 'ms',
        figure: figure(bySweep),
        goal: ['p99', 'at most', 35_000],
      },
      {
        what: 'from a login with the new password to the death',
        unit: 'ms',
        figure: figure(byLogin),
        goal: ['p99', 'at most', 1_000],
      },
    ]
  }

  /** Each time the same person, in a realm with the extension and in one without that has the same directory. */
  async addedToLogin(rounds: number): Promise<Line[]> {
    await this.#keycloak.admin.must('POST', '/stock/components', this.#ldap.federation(UNIT, { importUsers: true }))
    const login = (tokens: TokenEndpoint) => () => tokens.directGrant(CLIENT, 'p0', OLD)
    return addedTo(
      'a login with a password of the directory',
      { rounds: rounds * 40, warmUp: WARM_UP, atMost: 2 },
      { demo: login(this.#tokens), stock: login(this.#stock) },
    )
  }

  /** At some moment between two sweeps. */
  async #change(name: string, n: number): Promise<number> {
    const tokens = await this.#tokens.directGrant(CLIENT, name, OLD)
    await delay(OLD_ENOUGH_MS + n * 1_900)
    this.#ldap.setPassword(UNIT, name, NEW)
    const began = performance.now()
    await until('the session is dead', async () => !(await this.#tokens.lives(CLIENT, tokens)))
    return performance.now() - began
  }

  async #changeAndLogin(name: string): Promise<number> {
    const tokens = await this.#tokens.directGrant(CLIENT, name, OLD)
    await delay(OLD_ENOUGH_MS)
    this.#ldap.setPassword(UNIT, name, NEW)
    await delay(OLD_ENOUGH_MS)
    await this.#tokens.directGrant(CLIENT, name, NEW)
    const began = performance.now()
    await until('the session is dead', async () => !(await this.#tokens.lives(CLIENT, tokens)))
    return performance.now() - began
  }
}
