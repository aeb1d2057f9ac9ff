import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { checkRedis } from '../../relay/check/redis.ts'
import type { Claim } from '../../relay/domain/model.ts'
import type { Store } from '../../relay/store/port.ts'
import { openRedisStore, type RedisOptions } from '../../relay/store/redis/redis.ts'
import { VERSION } from '../../relay/version.ts'
import { startBalancer } from '../../scripts/stage/balancer.ts'
import { type RedisServer, startRedis } from '../../scripts/stage/redis.ts'
import { freePort, ROOT, start, until, untilUp } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { securityFeedContract } from '../unit/security-feed-contract.ts'
import { acceptInto, DAY_MS, ISSUER, NOW_MS, securityEvent, session, uuid } from '../unit/given.ts'
import { notesContract } from '../unit/notes-contract.ts'
import { retentionContract } from '../unit/retention-contract.ts'
import { outcome, storeContract } from '../unit/store-contract.ts'
import { watermarkContract } from '../unit/watermark-contract.ts'

let redis: RedisServer

beforeAll(async () => {
  // The contract does not depend on it, and the disk of a busy machine is slow.
  redis = await startRedis(['--appendfsync', 'everysec'])
})
beforeEach(() => redis.ask('FLUSHALL'))
afterAll(() => redis.stop())

const META = '{logout-relay}:meta'
const CONFIG = () => ({ where: { nodes: [{ host: '127.0.0.1', port: redis.port }] }, access: {}, replicas: 0 })
const open = (more: Partial<RedisOptions> = {}): Promise<Store> =>
  openRedisStore({
    ...CONFIG(),
    nowMs: () => NOW_MS,
    trouble: () => undefined,
    ...more,
  })
const oneEach = () => ({ privileged: 1, others: 1, latest: 0 })
const keys = async () =>
  ((await redis.ask('KEYS', '*')) as string[]).map((key) => key.replace('{logout-relay}:', '')).sort()
/** The outbox has been read again. */
const filled = async ({ shared }: Store) => {
  const gap = shared?.gap()
  expect(gap).toBeDefined()
  await (gap && shared?.closeGap(gap))
  expect(shared?.gap()).toBeUndefined()
}
const accept = (store: Store, n: number, clients: readonly string[] = ['orders'], nowMs = NOW_MS) => {
  const event = securityEvent(n, clients)
  return acceptInto(store, event, nowMs)
}

const makeStore = async () => {
  const store = await open()
  return {
    store,
    reopen: async () => {
      await store.close()
      return open()
    },
  }
}
storeContract('Redis', makeStore)
watermarkContract('Redis', makeStore)
securityFeedContract('Redis', makeStore)
notesContract('Redis', makeStore)
retentionContract('Redis', makeStore)

test('what was pruned leaves nothing behind in Redis, neither a key nor its place in a list', async () => {
  const store = await open()
  onTestFinished(() => store.close())
  await accept(store, 1, ['orders', 'wiki'])
  const claims = await store.claim(NOW_MS, 30_000, 10, oneEach)
  expect(claims).toHaveLength(2)
  for (const claim of claims) {
    await store.record(claim, outcome(claim, 'delivered', NOW_MS))
  }
  await store.addChange({ issuer: ISSUER, kind: 'listener_on', atMs: NOW_MS, data: {} })
  const silent = { ...session(uuid(9), 0, 'legacy'), named: { kind: 'backchannel' } }
  await acceptInto(store, securityEvent(9, [], { sessions: [silent] }))
  const before = await keys()
  expect(before).toEqual(
    expect.arrayContaining([`unreported:${ISSUER}`, 'named', 'unreachable', `containments-of:${ISSUER} user-1`]),
  )
  const past = NOW_MS + 31 * DAY_MS
  await store.prune({ nowMs: past, endedBeforeMs: past, fed: [], limit: 1000 })
  // The journal is empty and keeps its last place, so that none comes twice.
  expect(await redis.ask('XLEN', `{logout-relay}:journal:${ISSUER}`)).toBe(0)
  const ofAll = ['change-seq', 'issuers', `journal:${ISSUER}`, 'leader', 'members', 'meta', `months:${ISSUER}`]
  expect((await keys()).filter((key) => !ofAll.includes(key))).toEqual([])
})

test('a Redis that may forget is refused, and the refusal names the setting', async () => {
  onTestFinished(async () => {
    await redis.ask('CONFIG', 'SET', 'appendonly', 'yes', 'maxmemory-policy', 'noeviction')
    await until('the file is rewritten', async () => /aof_rewrite_in_progress:0/.test(String(await redis.ask('INFO'))))
  })
  await redis.ask('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  const policy = { code: 'config_invalid', message: expect.stringContaining('maxmemory-policy noeviction') as string }
  await expect(open()).rejects.toMatchObject(policy)
  await redis.ask('CONFIG', 'SET', 'maxmemory-policy', 'noeviction', 'appendonly', 'no')
  const appendonly = { code: 'config_invalid', message: expect.stringContaining('appendonly yes') as string }
  await expect(open()).rejects.toMatchObject(appendonly)
})

test('a store that a newer relay has brought into another form is refused, naming both versions and what to do', async () => {
  await (await open()).close()
  await redis.ask('HSET', META, 'layout', '1000', 'version', '9.9.9')
  const says = new RegExp(`Logout Relay 9\\.9\\.9 \\(layout 1000\\).*${VERSION}.*start 9\\.9\\.9`)
  await expect(open()).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringMatching(says) as string,
  })
  expect((await checkRedis(CONFIG())).says).toMatch(says)
})

test('a relay beside which a newer one changes the form of the store writes nothing from then on, and says why', async () => {
  const older = await open()
  onTestFinished(() => older.close())
  await accept(older, 1)
  const held = await older.claim(NOW_MS, 30_000, 10, oneEach)
  // What the meeting of a newer relay does, and no connection breaks by it.
  await redis.ask('HSET', META, 'layout', '1000', 'version', '9.9.9')
  const before = await redis.ask('DBSIZE')
  const refused = { code: 'store_unavailable', message: expect.stringContaining('9.9.9') as string }
  await Promise.allSettled([accept(older, 2), held[0] && older.record(held[0], outcome(held[0], 'delivered', NOW_MS))])
  expect(await redis.ask('DBSIZE')).toBe(before)
  await until('it says why', () => /9\.9\.9.*start 9\.9\.9/.test(older.shared?.problem() ?? ''))
  await expect(accept(older, 2)).rejects.toMatchObject(refused)
})

test('a relay whose form of the store is newer works on with what an older one has written there', async () => {
  const older = await open()
  await filled(older)
  await accept(older, 1)
  await older.close()
  await redis.ask('HSET', META, 'layout', '0', 'version', '0.0.9')
  const newer = await open()
  onTestFinished(() => newer.close())
  expect(await redis.ask('HMGET', META, 'layout', 'version')).toEqual(['1', VERSION])
  expect(newer.shared?.gap()).toBeUndefined()
  const [claim] = await newer.claim(NOW_MS, 30_000, 10, oneEach)
  expect(claim && (await newer.record(claim, outcome(claim, 'delivered', NOW_MS)))).toBe(true)
})

test('how safely an event is kept is said as the server keeps it', async () => {
  const weaker = await open()
  expect(weaker.shared?.promised()).toBe('everysec')
  await weaker.close()
  await redis.ask('CONFIG', 'SET', 'appendfsync', 'always')
  onTestFinished(async () => {
    await redis.ask('CONFIG', 'SET', 'appendfsync', 'everysec')
  })
  const store = await open()
  expect(store.shared?.promised()).toBe('always')
  await store.close()
})

test('it is used over TLS as a user who may do what docs/operate.md lists and nothing else', async () => {
  const { port, ca, password } = await startWithTls()
  const access = { username: 'logout-relay', password, tls: { ca } }
  const where = { nodes: [{ host: 'localhost', port }] }
  const store = await open({ where, access })
  expect(await accept(store, 1)).toBe('accepted')
  const [claim] = await store.claim(NOW_MS, 30_000, 10, oneEach)
  expect(claim && (await store.record(claim, outcome(claim, 'delivered', NOW_MS)))).toBe(true)
  expect(await store.unreported(ISSUER, 10)).toHaveLength(1)
  expect(store.shared?.promised()).toBe('everysec')
  await store.close()
  const wrong = { ...access, password: 'another' }
  await expect(open({ where, access: wrong })).rejects.toMatchObject({ code: 'config_invalid' })
  const untrusted = open({ where, access: { ...access, tls: {} }, trouble: (_, cause) => said.push(String(cause)) })
  const said: string[] = []
  await until('it says that it does not trust it', () => /self.signed certificate/.test(said.join()))
  untrusted.catch(() => undefined)
})

test('an event that the replicas asked for do not have is not accepted', async () => {
  const replica = await startRedis(['--replicaof', '127.0.0.1', String(redis.port)])
  onTestFinished(() => replica.stop())
  await until('it follows', async () => /connected_slaves:1/.test(String(await redis.ask('INFO', 'replication'))))
  const store = await open({ replicas: 1 })
  onTestFinished(() => store.close())
  expect(await accept(store, 1)).toBe('accepted')
  expect(
    await replica.ask('EXISTS', `{logout-relay}:delivery:${securityEvent(1, ['orders']).sessions[0]?.id ?? ''}`),
  ).toBe(1)
  replica.signal('SIGSTOP')
  onTestFinished(() => replica.signal('SIGCONT'))
  const short = { code: 'store_unavailable', message: expect.stringContaining('0 of 1 replicas') as string }
  await expect(accept(store, 2)).rejects.toMatchObject(short)
  // Nor may the one that is there already be taken for kept when it comes again.
  await expect(accept(store, 2)).rejects.toMatchObject(short)
  replica.signal('SIGCONT')
  expect(await accept(store, 2)).toBe('duplicate')
})

test('a process that dies loses its claims to another, which does not wait for their leases', async () => {
  const way = await startBalancer([redis.port])
  onTestFinished(() => way.stop())
  const where = { nodes: [{ host: '127.0.0.1', port: way.port }] }
  const dead = await open({ memberLeaseMs: 3000, where })
  const alive = await open({ memberLeaseMs: 3000 })
  onTestFinished(() => alive.close())
  await accept(dead, 1)
  const [held] = await dead.claim(NOW_MS, 30_000, 10, oneEach)
  expect(await alive.claim(NOW_MS, 30_000, 10, oneEach)).toEqual([])
  expect(dead.shared?.leads()).toBe(true)
  // For Redis a process that is gone and one that cannot be heard are the same.
  way.cut()
  let freed: Claim[] = []
  const isFree = async () => (freed = await alive.claim(NOW_MS, 30_000, 10, oneEach)).length === 1
  await until('it is free', isFree)
  await until('the other leads', () => alive.shared?.leads())
  expect(dead.shared?.leads()).toBe(false)
  way.join()
  await until('it is heard again', () => dead.shared?.problem() === undefined)
  // A stale outcome of a process that comes back counts for nothing.
  expect(held && (await dead.record(held, outcome(held, 'delivered', NOW_MS)))).toBe(false)
  expect(freed[0] && (await alive.record(freed[0], outcome(freed[0], 'delivered', NOW_MS)))).toBe(true)
  await dead.close()
})

test('a process that dies before its first sign of life in an emptied store loses its claims as well', async () => {
  const way = await startBalancer([redis.port])
  onTestFinished(() => way.stop())
  const dead = await open({ memberLeaseMs: 5000, where: { nodes: [{ host: '127.0.0.1', port: way.port }] } })
  const alive = await open({ memberLeaseMs: 1000 })
  onTestFinished(() => alive.close())
  await accept(dead, 1)
  // Nobody is known; `alive` shows itself again at once, `dead` would only after a second.
  await redis.ask('DEL', '{logout-relay}:members')
  expect(await dead.claim(NOW_MS, 30_000, 10, oneEach)).toHaveLength(1)
  way.cut()
  onTestFinished(() => dead.close())
  const isFree = async () => (await alive.claim(NOW_MS, 30_000, 10, oneEach)).length === 1
  await until('it is free', isFree)
})

test('a claim whose answer was lost on its way is free again with the next one, not after its lease', async () => {
  const way = await startBalancer([redis.port])
  onTestFinished(() => way.stop())
  const store = await open({ where: { nodes: [{ host: '127.0.0.1', port: way.port }] } })
  onTestFinished(() => store.close())
  await accept(store, 1, ['orders', 'wiki'])
  const [kept] = await store.claim(NOW_MS, 30_000, 1, oneEach)
  // It is asked for room when all has been read, just before the claim is sent.
  const lost = store.claim(NOW_MS, 30_000, 1, () => {
    way.deafen()
    return oneEach()
  })
  lost.catch(() => undefined)
  const count = "return redis.call('SCARD', redis.call('KEYS', '{logout-relay}:claims:*')[1])"
  await until('it has come there', async () => (await redis.ask('EVAL', count, '0')) === 2)
  way.cut()
  await expect(lost).rejects.toMatchObject({ code: 'store_unavailable' })
  way.join()
  await until('it is connected again', () => store.shared?.problem() === undefined)
  const again = await store.claim(NOW_MS, 30_000, 10, oneEach)
  expect(again.map(({ delivery }) => delivery.id)).toHaveLength(1)
  expect(again[0]?.delivery.id).not.toBe(kept?.delivery.id)
  expect(kept && (await store.record(kept, outcome(kept, 'delivered', NOW_MS)))).toBe(true)
})

test('a store that was emptied is noticed, and the outbox is to be read from its beginning', async () => {
  const store = await open({ memberLeaseMs: 1000 })
  onTestFinished(() => store.close())
  await filled(store)
  await store.shared?.stored(ISSUER, NOW_MS)
  await redis.ask('FLUSHALL')
  await until('it is noticed', () => store.shared?.gap()?.sinceMs === 0)
  await until('it is used again', () => store.shared?.problem() === undefined)
  expect(await accept(store, 1)).toBe('accepted')
})

/** One process takes what is due, the store loses all of it, and a millisecond later another takes the same. */
async function takenAroundFlush<T>(take: (store: Store, nowMs: number) => Promise<T>) {
  const takes = async (nowMs: number) => {
    const store = await open({ nowMs: () => nowMs })
    onTestFinished(() => store.close())
    await accept(store, 1)
    return [store, await take(store, nowMs)] as const
  }
  const [one, lost] = await takes(NOW_MS)
  await filled(one)
  await redis.ask('FLUSHALL')
  await until('it is noticed', () => one.shared?.gap() !== undefined)
  await until('it is used again', () => one.shared?.problem() === undefined)
  const [other, current] = await takes(NOW_MS + 1)
  return { one, lost, other, current }
}

test('a claim that went with the store does not count for the one that another process has after it', async () => {
  const { one, lost, other, current } = await takenAroundFlush(async (store, nowMs) => {
    const [claim] = await store.claim(nowMs, 30_000, 10, oneEach)
    return claim as Claim
  })
  expect(current.delivery.id).toBe(lost.delivery.id)
  expect(await one.record(lost, outcome(lost, 'open', NOW_MS))).toBe(false)
  expect(await other.record(current, outcome(current, 'delivered', NOW_MS))).toBe(true)
})

test('a lease of the security feed that went with the store does not count for the one that another process has after it', async () => {
  const { one, lost, other, current } = await takenAroundFlush((store, nowMs) =>
    store.takeSecurityFeed(ISSUER, nowMs, 30_000, 500),
  )
  expect(lost && (await one.settleSecurityFeed(lost, true))).toBe(false)
  expect(await one.takeSecurityFeed(ISSUER, NOW_MS + 1, 30_000, 500)).toBeUndefined()
  expect(current && (await other.settleSecurityFeed(current, true))).toBe(true)
})

test('another server in the place of the one before is noticed, and the outbox is to be read from before it', async () => {
  const store = await open()
  onTestFinished(() => store.close())
  await filled(store)
  await store.shared?.stored(ISSUER, NOW_MS)
  await accept(store, 1)
  const before = (await store.watermarks(ISSUER, 0, 100)).at(-1)?.seq ?? 0
  await redis.kill9()
  await expect(store.open()).rejects.toMatchObject({ code: 'store_unavailable' })
  redis = await redis.restart()
  await until('it is noticed', () => store.shared?.gap()?.sinceMs === NOW_MS - 600_000)
  await until('it is used again', () => store.shared?.problem() === undefined)
  // What guards have seen and the store has lost shall not hide what is stored now, whatever the clock of the relay says.
  expect(await accept(store, 2)).toBe('accepted')
  expect((await store.watermarks(ISSUER, before + 59_000_000, 100)).length).toBeGreaterThan(0)
  await filled(store)
})

test('what a master that was cut off has acknowledged is missed when its relay finds the new one, also after others have', async () => {
  const old = await startRedis(['--appendfsync', 'everysec'])
  const replica = await startRedis(['--appendfsync', 'everysec', '--replicaof', '127.0.0.1', String(old.port)])
  onTestFinished(async () => {
    await Promise.all([old.stop(), replica.stop()])
  })
  const isFollowed = async () => /slave0:.*state=online/.test(String(await old.ask('INFO', 'replication')))
  await until('it follows', isFollowed)
  const way = await startBalancer([old.port, replica.port])
  onTestFinished(() => way.stop())
  let nowMs = NOW_MS
  const alone = await open({ nowMs: () => nowMs, where: { nodes: [{ host: '127.0.0.1', port: way.port }] } })
  onTestFinished(() => alone.close())
  await filled(alone)
  await alone.shared?.stored(ISSUER, NOW_MS)
  await until('it has all', async () => (await replica.ask('HGET', '{logout-relay}:stored', ISSUER)) === String(NOW_MS))
  await replica.ask('REPLICAOF', 'NO', 'ONE')
  const others = await open({ where: { nodes: [{ host: '127.0.0.1', port: replica.port }] } })
  onTestFinished(() => others.close())
  await filled(others)
  await others.shared?.stored(ISSUER, NOW_MS + 3_600_000)
  expect(await accept(others, 2)).toBe('accepted')
  nowMs += 600_000
  expect(await accept(alone, 1, ['orders'], nowMs)).toBe('accepted')
  expect(alone.shared?.gap()).toBeUndefined()
  const seen = (await alone.watermarks(ISSUER, 0, 100)).at(-1)?.seq ?? 0
  expect((await others.watermarks(ISSUER, 0, 100)).every(({ seq }) => seq < seen)).toBe(true)
  await old.stop()
  await until(
    'it has found the new one',
    () => alone.shared?.problem() === undefined && alone.shared?.gap() !== undefined,
  )
  expect(alone.shared?.gap()?.sinceMs).toBe(NOW_MS - 600_000)
  const { jti } = securityEvent(1, ['orders'])
  expect(await alone.unknown(ISSUER, [jti])).toEqual([jti])
  // Else a guard that has followed this relay would never hear of them.
  expect((await alone.watermarks(ISSUER, seen, 100)).length).toBe((await alone.watermarks(ISSUER, 0, 100)).length)
  await filled(alone)
})

test('a master that has become a replica is left for the one that is master now, for events as well', async () => {
  const old = await startRedis()
  const now = await startRedis(['--replicaof', '127.0.0.1', String(old.port)])
  onTestFinished(async () => {
    await Promise.all([old.stop(), now.stop()])
  })
  const nodes = [old, now].map(({ port }) => ({ host: '127.0.0.1', port }))
  const store = await open({ where: { nodes } })
  onTestFinished(() => store.close())
  await now.ask('REPLICAOF', 'NO', 'ONE')
  await old.ask('REPLICAOF', '127.0.0.1', String(now.port))
  await expect(accept(store, 1)).rejects.toMatchObject({ code: 'store_unavailable' })
  await until('it takes events', async () => (await accept(store, 1)) === 'accepted')
  expect(await now.ask('EXISTS', `{logout-relay}:event:${ISSUER} ${securityEvent(1, []).jti}`)).toBe(1)
})

test('a master that goes on without its replicas is told of, unless a replica is waited for', async () => {
  const replica = await startRedis(['--replicaof', '127.0.0.1', String(redis.port)])
  onTestFinished(() => replica.stop())
  await until('it follows', async () => /connected_slaves:1/.test(String(await redis.ask('INFO', 'replication'))))
  const weaknesses = async (replicas: number) => {
    const store = await open({ replicas })
    await store.close()
    return store.shared?.weaknesses().join() ?? ''
  }
  expect(await weaknesses(0)).toContain('min-replicas-to-write 1')
  expect(await weaknesses(1)).not.toContain('min-replicas-to-write')
  expect(await checkRedis(CONFIG())).toMatchObject({
    ok: false,
    says: expect.stringContaining('min-replicas-to-write 1') as string,
  })
  await redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '1')
  onTestFinished(async () => {
    await redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '0')
  })
  expect(await weaknesses(0)).not.toContain('min-replicas-to-write')
  expect(await checkRedis(CONFIG())).toMatchObject({ ok: true })
})

/** TLS alone, and besides the default user, which is off, the one of docs/operate.md. */
async function startWithTls() {
  const dir = temporary('redis-tls')
  const [cert, key, acl] = ['cert.pem', 'key.pem', 'users.acl'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ]
  const password = randomUUID()
  const made = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  })
  writeFileSync(cert, made.cert)
  writeFileSync(key, made.private, { mode: 0o600 })
  const rules = /^user logout-relay .*$/m.exec(readFileSync(join(ROOT, 'docs', 'operate.md'), 'utf8'))?.[0] ?? ''
  expect(rules).toContain('>')
  writeFileSync(acl, `user default off\n${rules.replace(/>\S+/, `>${password}`)}\n`)
  const port = await freePort()
  const args = ['--port', '0', '--bind', '127.0.0.1', '--tls-port', String(port), '--tls-cert-file', cert]
  const more = [
    '--tls-key-file',
    key,
    '--tls-auth-clients',
    'no',
    '--aclfile',
    acl,
    '--appendonly',
    'yes',
    '--save',
    '',
  ]
  const server = start('/usr/bin/redis-server', [...args, ...more, '--dir', dir], { logFile: join(dir, 'log') })
  onTestFinished(() => server.stop())
  await untilUp('Redis does not come up', server, () => listens(port), 30)
  return { port, ca: made.cert, password }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

test('in a Redis Cluster of three masters the one that owns its keys is found from any of them', async () => {
  const args = ['--cluster-enabled', 'yes', '--appendfsync', 'everysec']
  // Left to itself, a node takes its own port and 10,000, which may be that of somebody's connection.
  const buses = [await freePort(), await freePort(), await freePort()]
  const nodes = await Promise.all(buses.map((bus) => startRedis([...args, '--cluster-port', String(bus)])))
  onTestFinished(async () => {
    await Promise.all(nodes.map((node) => node.stop()))
  })
  const slots = [
    [0, 5460],
    [5461, 10_922],
    [10_923, 16_383],
  ]
  for (const [n, node] of nodes.entries()) {
    await node.ask('CLUSTER', 'ADDSLOTSRANGE', ...(slots[n] ?? []).map(String))
    await nodes[0]?.ask('CLUSTER', 'MEET', '127.0.0.1', String(node.port), String(buses[n]))
  }
  const isWhole = async (node: RedisServer) => /cluster_state:ok/.test(String(await node.ask('CLUSTER', 'INFO')))
  await until('the cluster is whole', async () => (await Promise.all(nodes.map(isWhole))).every(Boolean))
  for (const { port } of nodes) {
    const store = await open({ where: { nodes: [{ host: '127.0.0.1', port }] } })
    expect(await accept(store, port)).toBe('accepted')
    const [claim] = await store.claim(NOW_MS, 30_000, 10, oneEach)
    expect(claim && (await store.record(claim, outcome(claim, 'delivered', NOW_MS)))).toBe(true)
    await store.close()
  }
  const sizes = await Promise.all(nodes.map(async (node) => Number(await node.ask('DBSIZE'))))
  expect(sizes.filter((size) => size > 0)).toHaveLength(1)
})
