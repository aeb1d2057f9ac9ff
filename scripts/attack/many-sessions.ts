import { copyLedger } from '../stage/ledger.ts'
import type { Attack } from './attack.ts'
import { nextSecond, type Target } from './target.ts'
import { PASSWORD, Victim } from './victim.ts'

const SESSIONS = 12_000
/** What a reset may take more than one of somebody with a single session, at a machine that has other things to do too. */
const MORE_MS = 500

/** Makes many of the one session that the user has, as Keycloak and the ledger store them. */
function multiply({ target: { parts }, id }: Victim, times: number): void {
  const psql = (sql: string) => parts.postgres.psql(sql)
  const columnsOf = (table: string) =>
    psql(
      `select string_agg(column_name, ',' order by ordinal_position) from information_schema.columns where table_name = '${table}'`,
    ).split(',')
  const copy = (table: string, where: string, renamed: Record<string, string>) => {
    const columns = columnsOf(table)
    const values = columns.map((column) => renamed[column] ?? column)
    psql(
      `insert into ${table} (${columns.join(',')}) select ${values.join(',')} from ${table}, generate_series(1, ${times - 1}) g where ${where}`,
    )
  }
  const sessions = `select user_session_id from offline_user_session where user_id = '${id}' and user_session_id not like 'x%'`
  const renamed = (column: string) => ({ [column]: `'x' || g || '-' || left(${column}, 24)` })
  copy('offline_client_session', `user_session_id in (${sessions})`, renamed('user_session_id'))
  copy('offline_user_session', `user_id = '${id}'`, renamed('user_session_id'))
  psql(
    copyLedger(
      `'x' || g || '-' || left(sid, 24)`,
      `logout_relay_ledger l, generate_series(1, ${times - 1}) g where user_id = '${id}'`,
    ),
  )
  // As many that came one by one would have been counted long ago.
  psql('analyze')
}

async function resetOf(target: Target, name: string, sessions: number) {
  const victim = await Victim.create(target, name)
  const tokens = await target.tokens.directGrant('flows-app', name, PASSWORD)
  if (sessions > 1) {
    multiply(victim, sessions)
  }
  await nextSecond()
  const began = performance.now()
  const failed = await victim.resetNow().then(
    () => [],
    () => ['a reset that fails'],
  )
  const ms = Math.round(performance.now() - began)
  return { ms, lives: [...failed, ...(await target.livesOf(tokens))] }
}

export const MANY_SESSIONS: readonly Attack[] = [
  {
    id: 'many-sessions',
    family: 'many-sessions',
    title: `A reset of somebody with ${SESSIONS} sessions takes no longer than one with a single session`,
    tries: `has ${SESSIONS} sessions made by the password, so that the reset fails or takes long`,
    loot: ['a slow reset'],
    noControl: 'a reset of stock Keycloak ends no session, so that none makes it slow',
    run: async (target, name) => {
      const few = [await resetOf(target, `${name}-a`, 1), await resetOf(target, `${name}-b`, 1)]
      const many = await resetOf(target, `${name}-c`, SESSIONS)
      const least = Math.min(...few.map(({ ms }) => ms))
      const lives = [...many.lives, ...(many.ms > least + MORE_MS ? ['a slow reset'] : [])]
      return { lives, says: `${many.ms} ms, and ${least} ms with one session` }
    },
  },
]
