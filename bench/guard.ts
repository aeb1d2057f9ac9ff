import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import { readBatch } from '../guard/batch.ts'
import { FeedState } from '../guard/feed.ts'
import { KIND } from '../guard/hash.ts'
import { Watermarks } from '../guard/watermarks.ts'
import { readAccess } from '../relay/idp/keycloak/claims.ts'
import { endedBy } from '../relay/watermarks/ended.ts'
import { WatermarkStream } from '../relay/watermarks/stream.ts'
import { streamKey } from '../relay/watermarks/key.ts'
import type { WatermarkChange } from '../relay/store/watermark-log.ts'
import { guardRoutes } from '../relay/api/guard.ts'
import { figure, type Line, scaled, type Size } from './stats.ts'

const WATERMARKS = 1_000_000
const GUARDS = 1000
const ISSUER = 'https://idp.example.org/realms/bench'
const CLIENT = 'orders'
const NONCE = 'bm9uY2Utb2YtYS1iZW5jaA'

type Bench = Awaited<ReturnType<typeof prepare>>

/**
 * The guard's figures, without a Keycloak. Relay, guards and what they are compared with share one process and so one core,
 * which flatters none of them.
 */
export async function guard({ share }: Size): Promise<Line[]> {
  const bench = await prepare(scaled(WATERMARKS, share))
  return [
    ...(await snapshot(bench)),
    ...checks(bench),
    ...(await toRefusal(bench, scaled(GUARDS, share))),
    ...(await besides(bench)),
  ]
}

/** A log of so many watermarks, and the relay's stream of it. */
async function prepare(watermarks: number) {
  const atMs = Date.now() - 60_000
  const untilMs = atMs + 30 * 86_400_000
  const changes: WatermarkChange[] = Array.from({ length: watermarks }, (_, n) => ({
    kind: 'sub',
    name: randomUUID(),
    watermarkMs: atMs - n,
    untilMs,
    seq: atMs * 1000 + n,
  }))
  const log = {
    watermarks: (_issuer: string, after: number, limit: number) => {
      const from = after < atMs * 1000 ? 0 : after - atMs * 1000 + 1
      return Promise.resolve(changes.slice(from, from + limit))
    },
    watermarksOf: () => Promise.resolve([]),
  }
  const key = await streamKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
  const isEnded = endedBy(log, () => Date.now())
  const stream = new WatermarkStream({ issuer: ISSUER, log, key, nowMs: () => Date.now() })
  return { atMs, untilMs, changes, key, isEnded, stream }
}

/** Milliseconds of processor time: on a machine that others use too, what one core to itself would take. */
function busyMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Bytes of the buffers that are still in use. */
function held(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().arrayBuffers
}

async function snapshot({ stream, key, changes }: Bench): Promise<Line[]> {
  const batches: string[] = []
  const reading = stream.catchUp(CLIENT, 0, NONCE)
  const began = performance.now()
  for (let next = await reading.next(); !next.done; next = await reading.next()) {
    batches.push(next.value)
  }
  const made = performance.now() - began
  const keys = createLocalJWKSet({ keys: [...key.jwks.keys] })
  const before = held()
  const state = new FeedState(() => performance.now(), 30_000, 'refuse')
  state.open({ nonce: NONCE, askedMs: performance.now() })
  const [started, startedBusy] = [performance.now(), busyMs()]
  for (const line of batches) {
    state.take(await readBatch(line, keys, { issuer: ISSUER, clientId: CLIENT }))
  }
  const [ready, busy] = [performance.now() - started, busyMs() - startedBusy]
  batches.length = 0
  const memory = (held() - before) / 1e6
  if (state.size !== changes.length) {
    throw new Error(`The guard has ${state.size} of ${changes.length} watermarks`)
  }
  return [
    {
      what: `guard: snapshot of ${changes.length} made by the relay, once for all guards of a client`,
      unit: 'ms',
      figure: figure([made]),
    },
    {
      what: 'guard: ready from the lines of that snapshot',
      unit: 'ms',
      figure: figure([ready]),
      goal: ['median', 'at most', 2000],
    },
    { what: 'guard: the same, processor time', unit: 'ms', figure: figure([busy]) },
    {
      what: `guard: memory of ${state.size} watermarks`,
      unit: 'MB',
      figure: figure([memory]),
      goal: ['median', 'at most', 96],
    },
  ]
}

function checks({ changes, atMs, untilMs }: Bench): Line[] {
  const known = new Watermarks(Buffer.alloc(8, 5))
  for (const { name, watermarkMs } of changes) {
    known.add(KIND.sub, name, watermarkMs, Math.floor(untilMs / 1000))
  }
  known.add(KIND.sid, 'an ended session', atMs, Math.floor(untilMs / 1000))
  // Older than the watermarks, so that both names are looked up; one in ten has a watermark. Kept small: the claims of a
  // request have just been read, and are not what is measured.
  const iat = Math.floor(atMs / 1000) - 5000
  const claims = Array.from({ length: 10_000 }, (_, n) => ({
    iss: ISSUER,
    sub: n % 10 === 0 ? changes[(n * 97) % changes.length]?.name : randomUUID(),
    sid: randomUUID(),
    iat,
    auth_time: iat,
  }))
  const perSecond: number[] = []
  for (let round = 0; round < 30; round++) {
    const began = busyMs()
    for (let turn = 0; turn < 20; turn++) {
      for (const each of claims) {
        known.check(each, atMs)
      }
    }
    perSecond.push((claims.length * 20) / ((busyMs() - began) / 1000))
  }
  return [
    {
      what: 'guard: check, in a second of one core',
      unit: 'per second',
      figure: figure(perSecond),
      goal: ['median', 'at least', 2_000_000],
    },
  ]
}

/** From the change in the log to the last of the guards having it, over real connections. */
async function toRefusal(bench: Bench, guards: number): Promise<Line[]> {
  const { changes, stream, key, isEnded, untilMs } = bench
  const { publicKey, privateKey } = await generateKeyPair('RS256')
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: 'RS256' }] }
  const keys = createLocalJWKSet(jwks)
  const now = Math.floor(Date.now() / 1000)
  const token = await new SignJWT({ azp: CLIENT, typ: 'Bearer', resource_access: { relay: { roles: ['guard'] } } })
    .setProtectedHeader({ alg: 'RS256' })
    .setIssuer(ISSUER)
    .setSubject('service')
    .setAudience('relay')
    .setIssuedAt(now)
    .setExpirationTime(now + 3600)
    .sign(privateKey)
  const ports = {
    streams: new Map([[ISSUER, stream]]),
    isEnded,
    key,
    keysOf: () => Promise.resolve(keys),
    readAccess,
    audience: 'relay',
  }
  const app = guardRoutes({ ...ports, nowMs: () => Date.now() })
  const { server, url } = await new Promise<{ server: ReturnType<typeof serve>; url: string }>((resolve) => {
    const listening = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) =>
      resolve({ server: listening, url: `http://127.0.0.1:${port}` }),
    )
  })
  const relayKeys = createLocalJWKSet({ keys: [...key.jwks.keys] })
  let arrived = 0
  const cursor = changes.at(-1)?.seq ?? 0
  const over = new AbortController()
  const follow = async (): Promise<void> => {
    const answer = await fetch(`${url}/guard/feed?cursor=${cursor}&nonce=${NONCE}`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
      signal: over.signal,
    })
    for await (const chunk of answer.body ?? []) {
      const line = Buffer.from(chunk as Uint8Array)
        .toString()
        .slice(6)
      const { entries } = await readBatch(line, relayKeys, { issuer: ISSUER, clientId: CLIENT })
      arrived += entries.length > 0 ? 1 : 0
    }
  }
  const began = performance.now()
  const following = Array.from({ length: guards }, follow)
  // None ends before it is hung up on below; if one does, the count would never be reached.
  const failed = Promise.race(following).then(() => Promise.reject(new Error('A guard was hung up on')))
  const untilAll = async (have: () => number) => {
    while (have() < guards) {
      await Promise.race([delay(1), failed])
    }
  }
  await untilAll(() => stream.subscribers)
  const connected = performance.now() - began
  const times: number[] = []
  for (let round = 0; round < 30; round++) {
    await delay(50)
    arrived = 0
    const last = changes.at(-1)
    const started = performance.now()
    changes.push({ kind: 'sub', name: randomUUID(), watermarkMs: Date.now(), untilMs, seq: (last?.seq ?? 0) + 1 })
    await stream.advance()
    await untilAll(() => arrived)
    times.push(performance.now() - started)
  }
  over.abort()
  await Promise.allSettled([...following, failed])
  server.close()
  return [
    { what: `guard: ${guards} connected at once`, unit: 'ms', figure: figure([connected]) },
    {
      what: `guard: change in the store to the last of ${guards} refusing`,
      unit: 'ms',
      figure: figure(times),
      goal: ['p99', 'at most', 100],
    },
  ]
}

/** The check over HTTP beside the same server that only verifies the token; in turn, without a network. */
async function besides({ stream, key, isEnded }: Bench): Promise<Line[]> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256' }] })
  const now = Math.floor(Date.now() / 1000)
  const token = await new SignJWT({ typ: 'Bearer', azp: 'mobile-app', sid: randomUUID(), auth_time: now })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(ISSUER)
    .setSubject(randomUUID())
    .setAudience(CLIENT)
    .setIssuedAt(now)
    .setExpirationTime(now + 3600)
    .sign(privateKey)
  const headers = { authorization: `Bearer ${token}` }
  const ports = {
    streams: new Map([[ISSUER, stream]]),
    isEnded,
    key,
    keysOf: () => Promise.resolve(keys),
    readAccess,
    audience: 'relay',
  }
  const guarded = guardRoutes({ ...ports, nowMs: () => Date.now() })
  const plain = new Hono()
  plain.get('/verify', async (c) => {
    const jws = c.req.header('authorization')?.slice(7) ?? ''
    const { payload } = await jwtVerify(jws, keys, { issuer: ISSUER, audience: CLIENT })
    return c.body(null, 200, { 'x-subject': payload.sub ?? '' })
  })
  await stream.advance()
  const rate = async (ask: () => Response | Promise<Response>): Promise<number> => {
    const began = performance.now()
    for (let n = 0; n < 500; n++) {
      const { status } = await ask()
      if (status !== 200) {
        throw new Error(`answered ${status}`)
      }
    }
    return 500 / ((performance.now() - began) / 1000)
  }
  const [checks, verifies]: [number[], number[]] = [[], []]
  for (let round = -3; round < 15; round++) {
    const check = await rate(() => guarded.request(`/guard/check?audience=${CLIENT}`, { headers }))
    const verify = await rate(() => plain.request('/verify', { headers }))
    if (round >= 0) {
      checks.push(check)
      verifies.push(verify)
    }
  }
  return [
    { what: '/guard/check', unit: 'per second', figure: figure(checks) },
    { what: 'a Hono server that only verifies with jose', unit: 'per second', figure: figure(verifies) },
    {
      what: '/guard/check, share of a server that only verifies',
      unit: 'ratio',
      figure: figure(checks.map((check, n) => check / (verifies[n] ?? Number.NaN))),
      goal: ['median', 'at least', 0.8],
    },
  ]
}
