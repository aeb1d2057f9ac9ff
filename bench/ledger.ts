import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { DEMO_REALM, demoRealm } from '../scripts/stage/demo-realm.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../scripts/stage/keycloak.ts'
import { type Postgres, startPostgres } from '../scripts/stage/postgres.ts'
import { until } from '../scripts/stage/process.ts'
import { TokenEndpoint } from '../scripts/stage/tokens.ts'
import { figure, type Line, scaled, type Size } from './stats.ts'

const SIZES = [0, 6_000_000, 50_000_000]
const PAST = 3_000_000
/** More than one batch of the pruning. */
const LEAST_PAST = 30_000
/** Of the rows that are past, one in this many is of a session that lives on. */
const LIVES_ON = 100
const CHUNK = 1_000_000
/** More than so many are written first and their indexes built afterwards, or it would take hours. */
const MOST_IN_PLACE = 6_000_000
/** As full as the others leave an index whose keys come in no order. */
const FILL_FACTOR = 70
const ROWS_OF_A_USER = 50
/** A row, what PostgreSQL logs of it, and as much again. */
const DISK_OF_A_ROW = 700
const CLIENT = 'mobile-app'
const SECRET = 'secret-of-a-bench'
const WARM_UP = 20
const LOGINS = 5

const progress = (what: string) => void process.stderr.write(`· ${what}\n`)
const count = (rows: number) => `${rows} rows`

/**
 * The ledger at size, on a real Keycloak and PostgreSQL, its rows made by SQL: what a row takes, how fast those that are past
 * go, and what a login and a reset take with none, 6 and 50 million, in turn.
 */
export async function ledger({ rounds, share }: Size): Promise<Line[]> {
  // As somebody would set it who has so many rows.
  const postgres = await startPostgres({ shared_buffers: '3GB', max_wal_size: '8GB', maintenance_work_mem: '1GB' })
  try {
    const server = await startServer(postgres)
    const bench = new Bench(postgres, server, share)
    try {
      return await bench.run(rounds)
    } finally {
      await bench.keycloak.stop()
    }
  } finally {
    await postgres.stop()
  }
}

function startServer(postgres: Postgres): Promise<KeycloakServer> {
  return startKeycloak({
    postgres,
    jars: [EXTENSION_JAR],
    realms: [DEMO_REALM],
    env: demoRealm(SECRET, {}, SECRET),
  })
}

class Bench {
  keycloak: KeycloakServer
  readonly #postgres: Postgres
  readonly #share: number
  readonly #tokens: TokenEndpoint
  #now = 0

  constructor(postgres: Postgres, keycloak: KeycloakServer, share: number) {
    this.#postgres = postgres
    this.keycloak = keycloak
    this.#share = share
    this.#tokens = new TokenEndpoint(keycloak.issuer('demo'))
  }

  async run(rounds: number): Promise<Line[]> {
    const [template, sid] = await this.#firstLogin()
    const lines: Line[] = []
    // One ledger for each size; the one that is measured has the name. So all are measured by one Keycloak, in turn.
    this.#psql('alter table logout_relay_ledger rename to ledger_like')
    const sizes = this.#sizesThatFit()
    for (const [n, rows] of sizes.entries()) {
      this.#make(n)
      this.#fill(n, rows, template, sid.length, false)
      if (rows > 0) {
        const perRow = Number(this.#psql(`select pg_total_relation_size('ledger_${n}') / ${rows}.0`))
        lines.push({
          what: `a row of the ledger with its indexes, ${count(rows)}${rows > MOST_IN_PLACE ? ', indexes built afterwards' : ''}`,
          unit: 'bytes',
          figure: figure([perRow]),
          goal: ['max', 'at most', 300],
        })
      }
    }
    this.#now = -1
    lines.push(...(await this.#measure(sizes, rounds)))
    lines.push(...(await this.#prune(sizes.length, template, sid.length)))
    return lines
  }

  #psql(sql: string): string {
    return this.#postgres.psql(sql)
  }

  /** Answers the `sid` of a login as any other. */
  async #login(): Promise<string> {
    const { access_token } = await this.#tokens.directGrant(CLIENT, 'first', 'password')
    return String(decodeJwt(access_token)['sid'])
  }

  async #firstLogin(): Promise<[template: string, sid: string]> {
    await this.keycloak.admin.createUser('demo', 'first', 'password')
    const sid = await this.#login()
    return [this.#psql(`select template from logout_relay_ledger where sid = '${sid}'`), sid]
  }

  #sizesThatFit(): number[] {
    const { bavail, bsize } = statfsSync(tmpdir())
    const fit = Math.floor((bavail * bsize) / DISK_OF_A_ROW / 1_000_000) * 1_000_000
    return SIZES.map((full) => (full === 0 ? 0 : scaled(full, this.#share))).map((rows) => {
      if (rows > fit) {
        progress(`The disk has no room for ${rows} rows; measured are ${fit}`)
      }
      return Math.min(rows, fit)
    })
  }

  #make(n: number): void {
    this.#psql(`create table ledger_${n} (like ledger_like including all excluding indexes)`)
    // Another vacuum than the one below would be in the times of some and not of others.
    this.#psql(`alter table ledger_${n} set (autovacuum_enabled = false)`)
  }

  #index(n: number): void {
    const indexes = this.#psql(`select indexdef from pg_indexes where tablename = 'ledger_like'`).split('\n')
    for (const [k, index] of indexes.entries()) {
      const inNoOrder = /user_key|sid_key/.test(index) ? `with (fillfactor = ${FILL_FACTOR})` : ''
      this.#psql(`${index.replace(/INDEX \S+ ON \S+/, `INDEX ledger_${n}_index_${k} ON ledger_${n}`)} ${inNoOrder}`)
    }
  }

  /** In the order in which logins write: session and user ids lie in none. */
  #fill(n: number, rows: number, template: string, sidLength: number, past: boolean): void {
    if (rows <= MOST_IN_PLACE) {
      this.#index(n)
    }
    for (let from = 0; from < rows; from += CHUNK) {
      progress(`Rows by SQL: ${from} of ${rows}`)
      const to = Math.min(from + CHUNK, rows)
      // Thirty days of them.
      const ends = `extract(epoch from now())::bigint ${past ? '- 2592000 - 1' : '+ 86400'} + (2592000 * g / ${rows})::bigint`
      this.#psql(`insert into ledger_${n} (login_began, latest_end, template, user_key, sid_key, user_id, sid)
        select (ends - 2592000) * 1000, ends, ${template}, hashtextextended(who, 0), hashtextextended(sid, 0), who, sid from (
          select ${ends} as ends, left(md5(g::text || '${n}') || md5(g::text), ${sidLength}) as sid,
          md5((hashint8extended(g, 7) % ${Math.max(1, Math.round(rows / ROWS_OF_A_USER))})::text)::uuid::text as who
          from generate_series(${from}::bigint, ${to - 1}) g) made`)
    }
    if (rows > MOST_IN_PLACE) {
      progress('The indexes')
      this.#index(n)
    }
    this.#psql(`vacuum (freeze, analyze) ledger_${n}`)
    this.#psql('checkpoint')
  }

  #choose(n: number): void {
    const back = this.#now < 0 ? '' : `alter table logout_relay_ledger rename to ledger_${this.#now};`
    this.#psql(`${back} alter table ledger_${n} rename to logout_relay_ledger`)
    this.#now = n
  }

  async #measure(sizes: readonly number[], rounds: number): Promise<Line[]> {
    const { admin } = this.keycloak
    const logins = sizes.map((): number[] => [])
    const resets = sizes.map((): number[] => [])
    const listed = sizes.map((): number[] => [])
    for (let round = -WARM_UP; round < rounds; round++) {
      for (let k = 0; k < sizes.length; k++) {
        // Who comes first has it no better in all rounds.
        const n = (k + Math.abs(round)) % sizes.length
        this.#choose(n)
        const name = `of-${n}-${round + WARM_UP}`
        const user = await admin.createUser('demo', name, 'password')
        await this.#tokens.directGrant(CLIENT, name, 'password')
        for (let login = 0; login < LOGINS; login++) {
          const began = performance.now()
          await this.#tokens.directGrant(CLIENT, name, 'password')
          keep(logins[n], round, performance.now() - began)
        }
        await delay(1100)
        const [began, beganMs] = [performance.now(), Date.now()]
        await admin.resetPassword('demo', user, 'password')
        keep(resets[n], round, performance.now() - began)
        const row = `from logout_relay_outbox where user_id = '${user}'`
        await until('it is listed', () => this.#psql(`select count(*) ${row} and listed_ms is not null`) === '1')
        const sessions = Number(this.#psql(`select json_array_length(sessions::json) ${row}`))
        if (sessions !== LOGINS + 1) {
          throw new Error(`Listed were ${sessions} sessions of ${LOGINS + 1}`)
        }
        keep(listed[n], round, Number(this.#psql(`select listed_ms ${row}`)) - beganMs)
        // What follows a reset must not be in the next one's time.
        await until(
          'it is cleaned up',
          () => this.#psql(`select count(*) from logout_relay_outbox where removed_ms is null`) === '0',
        )
      }
      if (round >= 0) {
        progress(`Login and reset, in turn: round ${round + 1} of ${rounds}`)
      }
    }
    const of = (what: string, times: readonly number[][]) => [
      ...sizes.map((rows, n): Line => ({
        what: `${what}, ${count(rows)}`,
        unit: 'ms',
        figure: figure(times[n] ?? []),
      })),
      ...sizes.slice(1).map((rows, n): Line => ({
        what: `${what}, ${count(rows)}, times as long`,
        unit: 'ratio',
        figure: figure(ratios(times[n + 1] ?? [], times[0] ?? [])),
        goal: ['median', 'at most', 1.1],
      })),
    ]
    return [...of('login', logins), ...of('reset', resets), ...of('reset to whom to tell is listed', listed)]
  }

  /** Keycloak prunes as it starts. Beside it the same rows are deleted by one bare statement. */
  async #prune(n: number, template: string, sidLength: number): Promise<Line[]> {
    const rows = Math.max(LEAST_PAST, scaled(PAST, this.#share))
    progress(`Pruning ${rows} rows that are past, of which one in ${LIVES_ON} is of a session that lives`)
    for (const table of [n, n + 1]) {
      this.#make(table)
      this.#fill(table, rows, template, sidLength, true)
    }
    const sid = await this.#login()
    this.#psql(`insert into offline_user_session select copy.* from offline_user_session one,
      (select sid from ledger_${n} where id % ${LIVES_ON} = 0) l,
      jsonb_populate_record(one, jsonb_build_object('user_session_id', l.sid)) copy where one.user_session_id = '${sid}'`)
    this.#psql('vacuum (analyze) offline_user_session')
    const bare = performance.now()
    this.#psql(`delete from ledger_${n + 1} where latest_end < extract(epoch from now())`)
    const bareMs = performance.now() - bare
    this.#choose(n)
    await this.keycloak.stop()
    const starting = this.keycloak.restart()
    const first = this.#psql(`select min(latest_end) from logout_relay_ledger`)
    let began = 0
    const hasBegun = () => {
      const now = performance.now()
      const begun = this.#psql('select min(latest_end) from logout_relay_ledger') !== first
      began = begun ? began : now
      return begun
    }
    await until('pruning has begun', hasBegun, { seconds: 300, everyMs: 5 })
    const past = 'select 1 from logout_relay_ledger where latest_end < extract(epoch from now())'
    await until('nothing is past', () => this.#psql(`select exists (${past})`) === 'f', { seconds: 1200, everyMs: 100 })
    const ms = performance.now() - began
    this.keycloak = await starting
    const kept = Number(this.#psql('select count(*) from logout_relay_ledger'))
    if (kept !== Math.floor(rows / LIVES_ON)) {
      throw new Error(`${kept} rows are left of ${Math.floor(rows / LIVES_ON)} whose session lives`)
    }
    const perMinute = (taken: number) => (rows * 60_000) / taken
    return [
      {
        what: `rows pruned, ${count(rows)} past`,
        unit: 'per minute',
        figure: figure([perMinute(ms)]),
        goal: ['median', 'at least', 90_000],
      },
      { what: 'the same deleted by one bare statement', unit: 'per minute', figure: figure([perMinute(bareMs)]) },
      { what: 'pruning beside the bare statement', unit: 'ratio', figure: figure([bareMs / ms]) },
    ]
  }
}

function keep(times: number[] | undefined, round: number, ms: number): void {
  if (round >= 0) {
    times?.push(ms)
  }
}

function ratios(times: readonly number[], beside: readonly number[]): number[] {
  return times.map((ms, n) => ms / (beside[n] ?? Number.NaN))
}
