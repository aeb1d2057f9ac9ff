import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { readAccess } from '../../relay/idp/keycloak/claims.ts'
import { plan } from '../../relay/domain/plan.ts'
import { WatermarkStream } from '../../relay/watermarks/stream.ts'
import type { WatermarkLog } from '../../relay/store/watermark-log.ts'
import { guardRoutes } from '../../relay/api/guard.ts'
import { securityEvent } from './given.ts'
import { type GuardWorld, guardWorld, makeStreamKey, NONCE, until } from './guard-world.ts'

let world: GuardWorld
beforeEach(async () => {
  world = await guardWorld()
})

const nowSeconds = () => Math.floor(Date.now() / 1000)
const old = (sub: string, more: object = {}) => world.old(sub, more)

test(
  '10,000 guards that come at once after a restart share what is read and signed for them',
  { timeout: 60_000 },
  async () => {
    const events = Array.from({ length: 100 }, (_, n) =>
      securityEvent(1000 + n, [], { issuer: world.issuer, subject: `user-${n}` }),
    )
    await Promise.all(events.map((event) => world.store.accept(event, plan(event, Date.now()))))
    let reads = 0
    let signed = 0
    const log = {
      ...world.store,
      watermarks: (...asked: Parameters<WatermarkLog['watermarks']>) => {
        reads++
        return world.store.watermarks(...asked)
      },
    }
    const sign = () => Promise.resolve(`signature ${++signed}`)
    const stream = new WatermarkStream({
      issuer: world.issuer,
      log,
      key: { ...world.key, sign },
      nowMs: () => Date.now(),
    })
    const guards = Array.from({ length: 10_000 }, (_, n) =>
      Array.fromAsync(stream.catchUp(`client-${n % 3}`, 0, 'nonce')),
    )
    const answers = await Promise.all(guards)
    expect(answers.every((lines) => lines.length === 2)).toBe(true)
    // One answer to each nonce; everything else once for each client.
    expect(signed).toBe(10_000 + 3)
    expect(reads).toBeLessThanOrEqual(2 + 3)
  },
)

test('what was read for guards that started together is let go soon after, though no other starts', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const held = () => {
    collect()
    return process.memoryUsage().heapUsed
  }
  const changes = Array.from({ length: 8000 }, (_, n) => {
    return { kind: 'sub', name: `user-${n}`, watermarkMs: 1000, untilMs: Date.now() + 1e6, seq: n + 1 } as const
  })
  const log = { watermarks: (_: string, after: number) => Promise.resolve(changes.slice(after)) }
  let nowMs = Date.now()
  const stream = new WatermarkStream({ issuer: world.issuer, log, key: world.key, nowMs: () => nowMs })
  await stream.advance()
  const before = held()
  for (let n = 0; n < 150; n++) {
    await Array.fromAsync(stream.catchUp(`client-${n}`, 0, 'nonce'))
  }
  expect(held() - before).toBeGreaterThan(2 ** 24)
  nowMs += 10_000
  await stream.advance()
  expect(held() - before).toBeLessThan(2 ** 22)
})

test('10,000 guards that come back with the same cursor share what they have missed', { timeout: 60_000 }, async () => {
  let head = 100
  let reads = 0
  let signed = 0
  const log: WatermarkLog = {
    watermarks: (_, after) => {
      reads++
      const change = { kind: 'sub', name: 'alice', watermarkMs: 1000, untilMs: Date.now() + 1e6, seq: head } as const
      return Promise.resolve(after < head ? [change] : [])
    },
    watermarksOf: () => Promise.resolve([]),
  }
  const sign = () => Promise.resolve(`signature ${++signed}`)
  const stream = new WatermarkStream({
    issuer: world.issuer,
    log,
    key: { ...world.key, sign },
    nowMs: () => Date.now(),
  })
  await stream.advance()
  head = 200
  reads = 0
  const guards = Array.from({ length: 10_000 }, (_, n) =>
    Array.fromAsync(stream.catchUp(`client-${n % 3}`, 100, 'nonce')),
  )
  expect((await Promise.all(guards)).every((lines) => lines.length === 2)).toBe(true)
  expect(signed).toBe(10_000 + 3)
  expect(reads).toBeLessThanOrEqual(2 + 3)
})

test(
  'a guard that does not take in what it is sent is let go before it fills the memory',
  { timeout: 60_000 },
  async () => {
    let seq = 0
    const log: WatermarkLog = {
      watermarks: () => {
        const change = { kind: 'sub', name: 'alice', watermarkMs: 1000, untilMs: Date.now() + 1e6 } as const
        // Less than a full batch, so that each reading ends.
        return Promise.resolve(Array.from({ length: seq === 0 ? 0 : 8000 }, () => ({ ...change, seq: ++seq })))
      },
      watermarksOf: () => Promise.resolve([]),
    }
    const stream = new WatermarkStream({ issuer: world.issuer, log, key: world.key, nowMs: () => Date.now() })
    const keysOf = () => Promise.resolve(world.realm.keys)
    const isEnded = () => Promise.resolve(false)
    const ports = {
      streams: new Map([[world.issuer, stream]]),
      key: world.key,
      keysOf,
      readAccess,
      audience: 'logout-relay',
      isEnded,
    }
    const answer = await guardRoutes({ ...ports, nowMs: () => Date.now() }).request(`/guard/feed${NONCE}`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${await world.token('orders')}` },
    })
    expect(answer.status).toBe(200)
    const reader = answer.body?.getReader()
    await reader?.read()
    await until(() => stream.subscribers === 1)
    let lines = 0
    for (seq = 1; stream.subscribers === 1 && lines < 200; lines++) {
      await stream.advance()
    }
    // 16 MiB of lines of 210 kB each.
    expect(lines).toBeGreaterThan(70)
    expect(lines).toBeLessThan(100)
  },
)

test('a clock that is 5 minutes off at the application changes no verdict', async () => {
  const guard = world.guard('orders')
  await guard.ready()
  await world.reset('alice')
  await until(() => guard.check(old('alice')) === 'revoked')
  const now = Date.now()
  const fresh = old('alice', { iat: nowSeconds() + 2, auth_time: nowSeconds() + 2 })
  const future = old('bob', { iat: nowSeconds() + 200 })
  for (const off of [-300_000, 300_000]) {
    vi.spyOn(Date, 'now').mockReturnValue(now + off)
    expect([fresh, old('alice'), old('bob'), future].map((claims) => guard.check(claims))).toEqual([
      'ok',
      'revoked',
      'ok',
      'revoked',
    ])
  }
})

describe('whoever answers in the relay’s name', () => {
  const keyOfRelay = async () => {
    const { keys } = (await (await world.app.request('/guard/jwks')).json()) as { keys: { kid: string }[] }
    return keys[0]?.kid ?? ''
  }

  test('is believed with the key that the guard was given', async () => {
    const guard = world.guard('orders', { relayKey: await keyOfRelay() })
    await guard.ready()
    expect(guard.check(old('bob'))).toBe('ok')
  })

  test('is not believed with another, though he publishes it himself under that name', async () => {
    const kid = await keyOfRelay()
    const forged = await makeStreamKey()
    const [jwk] = forged.jwks.keys
    const lie = new WatermarkStream({ issuer: world.issuer, log: world.store, key: forged, nowMs: () => Date.now() })
    const right = world.wire
    world.wire = async (request, answer) => {
      const { pathname, searchParams } = new URL(request.url)
      if (pathname === '/guard/jwks') {
        return Response.json({
          keys: [
            { ...jwk, kid: jwk?.kid },
            { ...jwk, kid },
          ],
        })
      }
      if (pathname === '/guard/feed') {
        const lines = await Array.fromAsync(lie.catchUp('orders', 0, searchParams.get('nonce') ?? ''))
        return new Response(lines.map((line) => `data: ${line}\n\n`).join(''))
      }
      return right(request, answer)
    }
    const deceived = world.guard('orders')
    await deceived.ready()
    const troubles: string[] = []
    const pinned = world.guard('orders', { relayKey: kid, onTrouble: ({ message }) => troubles.push(message) })
    await until(() => troubles.length > 1)
    expect(troubles[0]).toBe('The relay has another key than the one in relayKey')
    expect(pinned.ageMs).toBe(Infinity)
  })
})

test('a guard whose token is refused asks for another: the role, or the realm’s keys, have come since', async () => {
  const right = world.token
  world.token = (clientId, claims) => right(clientId, { ...claims, resource_access: {} })
  const troubles: string[] = []
  const guard = world.guard('orders', { onTrouble: ({ message }) => troubles.push(message) })
  await until(() => troubles.length > 0)
  expect(troubles[0]).toContain('403')
  world.token = right
  await until(() => Number.isFinite(guard.ageMs))
  expect(guard.check(old('bob'))).toBe('ok')
})

test('a relay under a path of its host is asked there', async () => {
  const asked: string[] = []
  const right = world.wire
  world.wire = (request, answer) => {
    asked.push(new URL(request.url).pathname)
    return right(request, answer)
  }
  const guard = world.guard('orders', { relay: `${world.url}/guard/` })
  await until(() => asked.length > 0)
  expect(asked[0]).toBe('/guard/guard/feed')
  await guard.close()
})
