import { inspect } from 'node:util'
import { type Job, type Place, startJob, startPlace } from '../../test/real/jobs.ts'
import { nextSecond } from '../attack/target.ts'
import { RealmAdmin } from '../stage/admin.ts'
import { DEMO_REALM, demoRealm } from '../stage/demo-realm.ts'
import { EXTENSION_JAR, type KeycloakServer, startKeycloak } from '../stage/keycloak.ts'
import { startPostgres } from '../stage/postgres.ts'
import { DEAD, LAST_WORKLOAD_ACTS, type Lives, WORKLOAD_ACTS, type WorkloadAct } from './workload-acts.ts'

/** The realm in which Logout Relay listens, and one in which it does not. */
export interface Places {
  readonly demo: Place
  readonly stock: Place
}

/** On a Keycloak with the demo realm. */
export async function startPlaces(keycloak: KeycloakServer): Promise<Places> {
  const { admin } = keycloak
  await admin.must('POST', '', { realm: 'stock', enabled: true })
  const place = (realm: string) => startPlace(new RealmAdmin(admin, realm), keycloak.issuer(realm))
  return { demo: await place('demo'), stock: await place('stock') }
}

export interface Seen {
  readonly job: Job
  /** What lived before the act was taken back. */
  readonly meanwhile?: Lives
  readonly lives: Lives
}

/** Somebody new does it to a workload of its own. */
export async function playWorkload({ act, back }: WorkloadAct, place: Place, isStock: boolean): Promise<Seen> {
  const job = await startJob(place)
  if (isStock) {
    // Keycloak's own not-before is in whole seconds. Ours ends what is of the very second, too.
    await nextSecond()
  }
  await act(job)
  const lives = await job.alive()
  if (back === undefined) {
    return { job, lives }
  }
  await back(job)
  return { job, meanwhile: lives, lives: await job.alive() }
}

/** One act on one version of Keycloak. Without what was seen it could not be played, which is wrong. */
export interface WorkloadRow {
  readonly what: string
  readonly stock?: Omit<Seen, 'job'>
  readonly listening?: Omit<Seen, 'job'>
}

export interface WorkloadRun {
  readonly keycloak: string
  readonly seconds: number
  readonly rows: readonly WorkloadRow[]
}

const ALL = [...WORKLOAD_ACTS, ...LAST_WORKLOAD_ACTS]
const TOKENS = ['access token without a session', 'access token of a session', 'refresh token'] as const
const WHERE = ['stock', 'listening'] as const

/** Every act of clients, without Logout Relay and with it, on a Keycloak of its own. */
export async function playWorkloads(
  keycloak: string,
  progress: (what: string) => void,
  keep: (part: { stop(): Promise<void> }) => void,
): Promise<WorkloadRow[]> {
  const postgres = await startPostgres()
  keep(postgres)
  progress(`Starting Keycloak ${keycloak} with the extension (up to a minute)`)
  const env = demoRealm('of-the-matrix')
  const server = await startKeycloak({
    ...{ version: keycloak, postgres, jars: [EXTENSION_JAR], realms: [DEMO_REALM], env },
  })
  keep(server)
  const { demo, stock } = await startPlaces(server)
  const rows: WorkloadRow[] = []
  for (const [n, one] of ALL.entries()) {
    progress(`${n + 1} of ${ALL.length}: ${one.what}`)
    try {
      const row = {
        what: one.what,
        stock: withoutJob(await playWorkload(one, stock, true)),
        listening: withoutJob(await playWorkload(one, demo, false)),
      }
      rows.push(row)
      if (!isRight(one, row)) {
        progress(`      WRONG ${inspect(row)}`)
      }
    } catch (cause) {
      // The other acts have workloads of their own.
      progress(`      FAILED ${inspect(cause)}`)
    }
  }
  return rows
}

function withoutJob({ meanwhile, lives }: Seen): Omit<Seen, 'job'> {
  return { ...(meanwhile ? { meanwhile } : {}), lives }
}

export function workloadsAreRight({ rows }: WorkloadRun): boolean {
  return ALL.every((one) => isRight(one, find(rows, one)))
}

/** For docs/coverage.md: the versions side by side in each cell where they differ. */
export function workloadsAsMarkdown(runs: readonly WorkloadRun[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const head = ['', 'trigger', ...TOKENS.flatMap((token) => [token, 'with Logout Relay']), 'why it lives']
  return [
    line(head),
    line(head.map(() => '---')),
    ...ALL.map((one) => {
      const cells = TOKENS.flatMap((_, n) =>
        WHERE.map((where) => {
          const words = runs.map(({ rows }) => word(one, find(rows, one), where, n))
          return new Set(words).size === 1 ? (words[0] ?? '') : words.join(' · ')
        }),
      )
      return line([one.what, one.trigger === undefined ? '' : `\`${one.trigger}\``, ...cells, one.livesBecause ?? ''])
    }),
  ].join('\n')
}

function find(rows: readonly WorkloadRow[], { what }: WorkloadAct): WorkloadRow | undefined {
  return rows.find((row) => row.what === what)
}

function isRight(act: WorkloadAct, row: WorkloadRow | undefined): boolean {
  return TOKENS.every((_, n) => WHERE.every((where) => word(act, row, where, n) !== 'WRONG'))
}

function word(act: WorkloadAct, row: WorkloadRow | undefined, where: (typeof WHERE)[number], token: number): string {
  const seen = row?.[where]
  const must = where === 'stock' || act.livesBecause !== undefined ? act.stock : DEAD
  const diedMeanwhile = act.back === undefined || seen?.meanwhile?.[token] === false
  if (seen === undefined || !diedMeanwhile || seen.lives[token] !== must[token]) {
    return 'WRONG'
  }
  return !seen.lives[token] ? 'dead' : act.back === undefined ? 'lives' : 'lives again'
}
