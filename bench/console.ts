import { join } from 'node:path'
import { startRedis } from '../scripts/stage/redis.ts'
import { temporary } from '../scripts/stage/temporary.ts'
import { backchannelAt } from '../relay/delivery/backchannel/target.ts'
import type { Claim } from '../relay/domain/model.ts'
import type { Store } from '../relay/store/port.ts'
import { openRedisStore } from '../relay/store/redis/redis.ts'
import { openSqliteStore } from '../relay/store/sqlite/sqlite.ts'
import { consoleWorld } from '../test/unit/console-world.ts'
import { acceptInto, ISSUER, NOW_MS, securityEvent } from '../test/unit/given.ts'
import { figure, type Line, scaled, type Size } from './stats.ts'

const PARTIES = 1000
const DELIVERIES = 100_000
const OF_ONE_EVENT = 20
/** How much of it is there first; a page that is flat takes as long then. */
const LESS = 0.1
const AT_ONCE = 1000
const REASONS = ['timeout', 'connection_refused', 'tls', 'rejected', 'unavailable', 'unknown_there:sid'] as const
/** An event of user-7. */
const OF_USER = 'txn-140'
const PAGES: Readonly<Record<string, string>> = {
  now: '',
  containments: '/containments',
  'containments of a user': `/containments?of=${OF_USER}`,
  'containments by a reason that none has': '/containments?trigger=account-deleted',
  'containments by a client': '/containments?client=party-0001',
  'open deliveries': '/deliveries',
  'open deliveries that cannot be reached': '/deliveries?wrong=unreachable',
  'open deliveries of a relying party': '/deliveries?client_id=party-0001',
  'open deliveries of a user': `/deliveries?of=${OF_USER}`,
  'open deliveries of a day or longer': '/deliveries?age=1d',
  'relying parties': '/relying-parties',
  'relying parties, the last page': '/relying-parties?page=20',
}

/** The console's pages with 1,000 relying parties that owe 100,000 logouts, all open, beside a tenth of that; nothing is sent. */
export async function pages({ rounds, share }: Size): Promise<Line[]> {
  const redis = await startRedis(['--appendfsync', 'everysec'])
  const onRedis = await openRedisStore({
    ...{ where: { nodes: [{ host: '127.0.0.1', port: redis.port }] }, access: {}, replicas: 0 },
    ...{ nowMs: () => NOW_MS, trouble: () => undefined },
  })
  try {
    return [
      ...(await measure('SQLite', openSqliteStore(join(temporary('console'), 'relay.db')), rounds, share)),
      ...(await measure('Redis', onRedis, rounds, share)),
    ]
  } finally {
    await onRedis.close()
    await redis.stop()
  }
}

async function measure(name: string, store: Store, rounds: number, share: number): Promise<Line[]> {
  const world = consoleWorld({}, store)
  const all = scaled(DELIVERIES, share)
  const few = Math.round(all * LESS)
  await owe(world, 0, few)
  const before = await timesOf(world, rounds)
  await owe(world, few, all)
  const after = await timesOf(world, rounds)
  const slowest = (open: number, times: Times): Line => {
    const [page = '', values = []] = [...times.cpu].sort((a, b) => figure(b[1]).median - figure(a[1]).median)[0] ?? []
    return {
      what: `processor time of the slowest page (${page}), ${open} open, ${name}`,
      unit: 'ms',
      figure: figure(values),
    }
  }
  return [
    ...[...after.wall].map(([page, values]): Line => ({
      what: `${page}, ${all} open, ${name}`,
      unit: 'ms',
      figure: figure(values),
      goal: ['median', 'at most', 200],
    })),
    slowest(few, before),
    slowest(all, after),
  ]
}

/** By page, in milliseconds; that of the processor is the relay's alone. */
interface Times {
  readonly wall: ReadonlyMap<string, readonly number[]>
  readonly cpu: ReadonlyMap<string, readonly number[]>
}

type ConsoleWorld = ReturnType<typeof consoleWorld>

/** Takes up and attempts deliveries from one number on to another, in events of as many sessions each. */
async function owe(world: ConsoleWorld, from: number, to: number): Promise<void> {
  const { store, relyingParties } = world
  const clientOf = (n: number) => `party-${String(n % PARTIES).padStart(4, '0')}`
  relyingParties.replace(
    ISSUER,
    Array.from({ length: PARTIES }, (_, n) => ({
      ...{ issuer: ISSUER, clientId: clientOf(n), enabled: true },
      target: backchannelAt(`https://${clientOf(n)}.example.org/logout`),
    })),
  )
  for (let at = from; at < to; at += AT_ONCE) {
    const events = Array.from({ length: Math.ceil(Math.min(AT_ONCE, to - at) / OF_ONE_EVENT) }, (_, n) => {
      const first = at + n * OF_ONE_EVENT
      const clients = Array.from({ length: OF_ONE_EVENT }, (__, m) => clientOf(first + m))
      return securityEvent(first, clients, { subject: `user-${(first / OF_ONE_EVENT) % 500}` })
    })
    await Promise.all(events.map((event, n) => acceptInto(store, event, NOW_MS - 3 * 86_400_000 + at + n)))
    const room = () => ({ privileged: AT_ONCE, others: AT_ONCE, latest: 0 })
    const claims = await store.claim(NOW_MS, 60_000, AT_ONCE, room)
    await Promise.all(claims.map((claim) => fail(store, claim)))
  }
}

async function fail(store: Store, claim: Claim): Promise<void> {
  const { clientId, target } = claim.delivery
  const reason = REASONS[Number(clientId.slice(-4)) % REASONS.length] ?? REASONS[0]
  await store.record(claim, {
    ...{ state: 'open', atMs: NOW_MS, dueMs: NOW_MS + 3_600_000, attempts: 1, reason, target },
    evidence: { kind: 'attempt', atMs: NOW_MS, data: { client_id: clientId, outcome: 'retry', says: reason } },
  })
}

async function timesOf(world: ConsoleWorld, rounds: number): Promise<Times> {
  const olivia = await world.logIn()
  const pages = Object.keys(PAGES)
  const [wall, cpu] = [
    new Map(pages.map((page) => [page, [] as number[]])),
    new Map(pages.map((page) => [page, [] as number[]])),
  ]
  for (let round = -1; round < rounds; round++) {
    for (const [page, path] of Object.entries(PAGES)) {
      const [began, used] = [performance.now(), process.cpuUsage()]
      const answer = await olivia.get(path)
      await answer.text()
      const [ms, { user, system }] = [performance.now() - began, process.cpuUsage(used)]
      if (answer.status !== 200) {
        throw new Error(`${path} answers ${answer.status}`)
      }
      if (round >= 0) {
        wall.get(page)?.push(ms)
        cpu.get(page)?.push((user + system) / 1000)
      }
    }
  }
  return { wall, cpu }
}
