import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose'
import { readBatch } from '../guard/batch.ts'
import { FeedState } from '../guard/feed.ts'
import { KIND } from '../guard/hash.ts'
import { Watermarks } from '../guard/watermarks.ts'
import { endedBy } from '../relay/guard/ended.ts'
import { RealmFeed } from '../relay/guard/feed.ts'
import { feedKey } from '../relay/guard/key.ts'
import type { Change } from '../relay/guard/port.ts'
import { guardRoutes } from '../relay/guard/routes.ts'
import { figure } from './stats.ts'

/**
 * The guard's figures, without a Keycloak. Relay, guards and what they are compared with share one process and so one core,
 * which flatters none of them.
 */
const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean' },
    watermarks: { type: 'string', default: '1000000' },
    guards: { type: 'string', default: '1000' },
  },
})
const WATERMARKS = Number(options.watermarks)
const GUARDS = Number(options.guards)
const ISSUER = 'https://idp.example.org/realms/bench'
const CLIENT = 'orders'
const NONCE = 'bm9uY2Utb2YtYS1iZW5jaA'
const atMs = Date.now() - 60_000
const untilMs = atMs + 30 * 86_400_000

const changes: Change[] = Array.from({ length: WATERMARKS }, (_, n) => ({
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
const key = await feedKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
const isEnded = endedBy(log, () => Date.now())
const feed = new RealmFeed({ issuer: ISSUER, log, key, nowMs: () => Date.now() })
/** Milliseconds of processor time: on a machine that others use too, what one core to itself would take. */
const busyMs = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
const lines: { what: string; value: number; unit: string; goal: string }[] = []
const note = (what: string, value: number, unit: string, goal: string) =>
  lines.push({ what, value: Math.round(value * 100) / 100, unit, goal })

await snapshot()
checks()
await toRefusal()
await besides()
if (options.json) {
  process.stdout.write(`${JSON.stringify({ node: process.version, lines })}\n`)
} else {
  console.table(lines)
}
process.exit(0)

async function snapshot(): Promise<void> {
  const batches: string[] = []
  const reading = feed.catchUp(CLIENT, 0, NONCE)
  const began = performance.now()
  for (let next = await reading.next(); !next.done; next = await reading.next()) {
    batches.push(next.value)
  }
  note(
    `snapshot of ${WATERMARKS} made by the relay, once for all guards of a client`,
    performance.now() - began,
    'ms',
    '',
  )
  const keys = createLocalJWKSet({ keys: [...key.jwks.keys] })
  globalThis.gc?.()
  const before = process.memoryUsage().arrayBuffers
  const state = new FeedState(() => performance.now(), 30_000, 'refuse')
  state.open({ nonce: NONCE, askedMs: performance.now() })
  const [started, startedBusy] = [performance.now(), busyMs()]
  for (const line of batches) {
    state.take(await readBatch(line, keys, { issuer: ISSUER, clientId: CLIENT }))
  }
  note('ready from the lines of that snapshot', performance.now() - started, 'ms', '<= 2000')
  note('the same, processor time', busyMs() - startedBusy, 'ms', '')
  batches.length = 0
  globalThis.gc?.()
  const memory = (process.memoryUsage().arrayBuffers - before) / 2 ** 20
  note(`memory that these ${state.size} watermarks take`, memory, 'MiB', '<= 96 (run with --expose-gc)')
}

function checks(): void {
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
    sub: n % 10 === 0 ? changes[(n * 97) % WATERMARKS]?.name : randomUUID(),
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
    perSecond.push((claims.length * 20) / ((busyMs() - began) / 1000) / 1e6)
  }
  const { median, max } = figure(perSecond)
  note('check, a second of one core, median of 30 rounds', median, 'million/s', '>= 2')
  note('check, best of 30 rounds', max, 'million/s', '')
}

/** From the change in the log to the last of the guards having it, over real connections. */
async function toRefusal(): Promise<void> {
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
    feeds: new Map([[ISSUER, feed]]),
    isEnded,
    key,
    keysOf: () => Promise.resolve(keys),
    audience: 'relay',
  }
  const app = guardRoutes({ ...ports, nowMs: () => Date.now() })
  const url = await new Promise<string>((resolve) =>
    serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => resolve(`http://127.0.0.1:${port}`)),
  )
  const relayKeys = createLocalJWKSet({ keys: [...key.jwks.keys] })
  let arrived = 0
  const cursor = atMs * 1000 + WATERMARKS - 1
  const follow = async (): Promise<void> => {
    const answer = await fetch(`${url}/guard/feed?cursor=${cursor}&nonce=${NONCE}`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
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
  for (let n = 0; n < GUARDS; n++) {
    void follow()
  }
  while (feed.subscribers < GUARDS) {
    await delay(5)
  }
  note(`${GUARDS} guards connected at once`, performance.now() - began, 'ms', '')
  const times: number[] = []
  for (let round = 0; round < 30; round++) {
    await delay(50)
    arrived = 0
    const last = changes.at(-1)
    const started = performance.now()
    changes.push({ kind: 'sub', name: randomUUID(), watermarkMs: Date.now(), untilMs, seq: (last?.seq ?? 0) + 1 })
    await feed.advance()
    while (arrived < GUARDS) {
      await delay(1)
    }
    times.push(performance.now() - started)
  }
  const { median, p99 } = figure(times)
  note(`change in the store to the last of ${GUARDS} guards refusing, median`, median, 'ms', '')
  note(`the same, p99 of ${times.length}`, p99, 'ms', '<= 100')
}

/** The check over HTTP beside the same server that only verifies the token; in turn, without a network. */
async function besides(): Promise<void> {
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
    feeds: new Map([[ISSUER, feed]]),
    isEnded,
    key,
    keysOf: () => Promise.resolve(keys),
    audience: 'relay',
  }
  const guarded = guardRoutes({ ...ports, nowMs: () => Date.now() })
  const plain = new Hono()
  plain.get('/verify', async (c) => {
    const jws = c.req.header('authorization')?.slice(7) ?? ''
    const { payload } = await jwtVerify(jws, keys, { issuer: ISSUER, audience: CLIENT })
    return c.body(null, 200, { 'x-subject': payload.sub ?? '' })
  })
  await feed.advance()
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
  note('/guard/check', figure(checks).median, 'requests/s', '')
  note('a Hono server that only verifies with jose', figure(verifies).median, 'requests/s', '')
  note('of it', figure(checks.map((check, n) => check / (verifies[n] ?? 1))).median, 'times', '>= 0.8')
}
