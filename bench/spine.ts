import { setTimeout as delay } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { startWorld, type Twin, type World } from '../scripts/demo/world.ts'
import { copyLedger } from '../scripts/stage/ledger.ts'
import { type Postgres, startPostgres } from '../scripts/stage/postgres.ts'
import { until } from '../scripts/stage/process.ts'
import { type Recorder, startRecorder } from '../test/real/recorder.ts'
import { addedTo } from './in-turn.ts'
import { figure, type Line, type Size } from './stats.ts'

const RELYING_PARTIES = 10
const WARM_UP = 15
/** Of those with thousands of sessions. */
const MANY_ROUNDS = 5

const progress = (what: string) => void process.stderr.write(`· ${what}\n`)
const recorders: Recorder[] = []

/**
 * What the spine costs and how fast it is, on real parts. Pairs are measured in turn within one run, stock Keycloak beside
 * Keycloak with the extension in the same server, so that the noise of the machine is in both.
 */
export async function spine({ rounds }: Size): Promise<Line[]> {
  const postgres = await startPostgres()
  try {
    const world = await startWorld(progress, undefined, postgres)
    try {
      return [
        ...(await timeToDead(world, rounds)),
        ...(await addedToReset(world, postgres, rounds)),
        ...(await addedToLogin(world, rounds)),
        ...(await addedToRefresh(world, rounds)),
        ...(await addedToClientCredentials(world, rounds)),
      ]
    } finally {
      recorders.splice(0).forEach((recorder) => recorder.close())
      await world.stop()
    }
  } finally {
    await postgres.stop()
  }
}

/** From the administrator's request to the last of ten relying parties having been told, and the median of the first. */
async function timeToDead({ keycloak, demo }: World, rounds: number): Promise<Line[]> {
  progress(`Reset to last session told, ${RELYING_PARTIES} relying parties, signed by Keycloak`)
  for (let n = 0; n < RELYING_PARTIES; n++) {
    const recorder = await startRecorder()
    recorders.push(recorder)
    await keycloak.admin.must('POST', '/demo/clients', {
      clientId: `bench-${n}`,
      publicClient: true,
      directAccessGrantsEnabled: true,
      attributes: { 'backchannel.logout.url': recorder.logoutUri },
    })
  }
  const user = await keycloak.admin.createUser('demo', 'bench', 'password')
  const told = () => recorders.reduce((sum, recorder) => sum + recorder.tokens.length, 0)
  const last: number[] = []
  for (let round = -WARM_UP; round < rounds; round++) {
    for (let n = 0; n < RELYING_PARTIES; n++) {
      await demo.tokens.directGrant(`bench-${n}`, 'bench', 'password')
    }
    await delay(1100)
    const owed = told() + RELYING_PARTIES
    const began = performance.now()
    await keycloak.admin.resetPassword('demo', user, 'password')
    await until('all are told', () => told() >= owed, { seconds: 30, everyMs: 1 })
    if (round >= 0) {
      last.push(performance.now() - began)
    }
    // A login within the second of the reset counts as one from before it.
    await delay(1100)
  }
  return [
    {
      what: `reset to last of ${RELYING_PARTIES} relying parties told`,
      unit: 'ms',
      figure: figure(last),
      goal: ['median', 'at most', 150],
    },
  ]
}

/** A reset with the extension less the same reset on stock Keycloak, in turn; the user has this many sessions in both. */
async function addedToReset({ keycloak, demo, stock }: World, postgres: Postgres, rounds: number): Promise<Line[]> {
  const lines: Line[] = []
  for (const sessions of [0, 50, 200, 5000, 20_000]) {
    progress(`What the extension adds to a reset request, ${sessions} sessions`)
    const times: Record<'demo' | 'stock', number[]> = { demo: [], stock: [] }
    const pairs = sessions > 200 ? Math.min(rounds, MANY_ROUNDS) : rounds
    for (let round = -2; round < pairs; round++) {
      // Somebody new each time: the ledger of the one before is not empty, nobody has answered for it.
      const name = `bench-${sessions}-${round + 2}`
      const users = {
        demo: await keycloak.admin.createUser('demo', name, 'password'),
        stock: await keycloak.admin.createUser('stock', name, 'password'),
      }
      for (const realm of sessions > 0 ? [demo, stock] : []) {
        const { access_token } = await realm.tokens.directGrant('mobile-app', name, 'password')
        multiply(
          postgres,
          String(decodeJwt(access_token)['sid']),
          sessions - 1,
          `${realm.name}-${sessions}-${round + 2}`,
        )
      }
      await delay(1100)
      for (const realm of round % 2 === 0 ? (['demo', 'stock'] as const) : (['stock', 'demo'] as const)) {
        const began = performance.now()
        await keycloak.admin.resetPassword(realm, users[realm], 'password')
        if (round >= 0) {
          times[realm].push(performance.now() - began)
        }
      }
      if (sessions > 200) {
        // What follows a reset, in the background, must not be in the next one's time.
        await until(
          'it is cleaned up',
          () => postgres.psql(`select count(*) from logout_relay_outbox where removed_ms is null`) === '0',
          {
            seconds: 300,
            everyMs: 250,
          },
        )
      }
    }
    const added = times.demo.map((ms, n) => ms - (times.stock[n] ?? Number.NaN))
    lines.push({ what: `reset of ${sessions} sessions, stock`, unit: 'ms', figure: figure(times.stock) })
    lines.push({ what: `reset of ${sessions} sessions, with the extension`, unit: 'ms', figure: figure(times.demo) })
    lines.push({
      what: `added to a reset with ${sessions} sessions`,
      unit: 'ms',
      figure: figure(added),
      goal: ['median', 'at most', 15],
    })
  }
  return lines
}

/** More sessions like that one, where Keycloak keeps its sessions and in the ledger. */
function multiply(postgres: Postgres, sid: string, times: number, prefix: string): void {
  for (const table of ['offline_user_session', 'offline_client_session']) {
    postgres.psql(`insert into ${table} select copy.* from ${table} one, generate_series(1, ${times}) n,
      jsonb_populate_record(one, jsonb_build_object('user_session_id', '${prefix}-' || n)) copy
      where one.user_session_id = '${sid}' and one.offline_flag = '0'`)
  }
  postgres.psql(
    copyLedger(`'${prefix}-' || n`, `logout_relay_ledger l, generate_series(1, ${times}) n where sid = '${sid}'`),
  )
}

async function addedToLogin({ keycloak, demo, stock }: World, rounds: number): Promise<Line[]> {
  progress('What the extension adds to a login')
  for (const realm of ['demo', 'stock']) {
    await keycloak.admin.createUser(realm, 'bench-login', 'password')
  }
  const login = ({ tokens }: Twin) => tokens.directGrant('mobile-app', 'bench-login', 'password')
  const size = { rounds: rounds * 40, warmUp: WARM_UP, atMost: 2 }
  return addedTo('a login', size, { demo: () => login(demo), stock: () => login(stock) })
}

async function addedToRefresh({ keycloak, demo, stock }: World, rounds: number): Promise<Line[]> {
  progress('What the extension adds to a refresh')
  const held = new Map<string, string>()
  for (const realm of [demo, stock]) {
    await keycloak.admin.createUser(realm.name, 'bench-refresh', 'password')
    held.set(realm.name, (await realm.tokens.directGrant('mobile-app', 'bench-refresh', 'password')).refresh_token)
  }
  const refresh = async ({ name, tokens }: Twin) => {
    const refresh_token = held.get(name) ?? ''
    const answer = await tokens.ask({ grant_type: 'refresh_token', client_id: 'mobile-app', refresh_token })
    held.set(name, answer.json().refresh_token)
  }
  const size = { rounds: rounds * 40, warmUp: 10 * WARM_UP, atMost: 1 }
  return addedTo('a refresh', size, { demo: () => refresh(demo), stock: () => refresh(stock) })
}

/** Shortly after a new secret, when the gate asks the most. */
async function addedToClientCredentials({ keycloak, demo, stock }: World, rounds: number): Promise<Line[]> {
  progress('What the extension adds to a request by client credentials')
  const secrets = new Map<string, string>()
  for (const { name } of [demo, stock]) {
    const job = { clientId: 'bench-job', serviceAccountsEnabled: true, standardFlowEnabled: false }
    await keycloak.admin.createClient(name, job)
    const path = `/${name}/clients/${await keycloak.admin.clientUuid(name, job.clientId)}/client-secret`
    secrets.set(name, (await keycloak.admin.must<{ value: string }>('POST', path)).json().value)
  }
  await delay(1100)
  const request = ({ name, tokens }: Twin) => tokens.serviceAccount('bench-job', secrets.get(name) ?? '')
  const size = { rounds: rounds * 40, warmUp: 10 * WARM_UP, atMost: 2 }
  return addedTo('client credentials', size, { demo: () => request(demo), stock: () => request(stock) })
}
