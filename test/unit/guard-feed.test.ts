import { beforeEach, describe, expect, test } from 'vitest'
import { FeedError, readBatch } from '../../guard/batch.ts'
import { FeedState, StaleError } from '../../guard/feed.ts'
import { readLines } from '../../guard/lines.ts'
import { ENTRY } from '../../guard/watermarks.ts'
import { RelayError } from '../../relay/errors.ts'
import { WatermarkStream } from '../../relay/watermarks/stream.ts'
import { session, uuid } from './given.ts'
import { type GuardWorld, guardWorld, NONCE, until } from './guard-world.ts'
import { realm } from './signed.ts'

let world: GuardWorld
beforeEach(async () => {
  world = await guardWorld()
})

const old = (sub: string, more: object = {}) => world.old(sub, more)
const ask = async (query: string, token?: string, accept = 'application/jsonl') =>
  world.app.request(`/guard/feed${query}`, {
    headers: { accept, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
  })

describe('a guard refuses what is older than the reset', () => {
  test('at a pairwise client, which knows the subject under another sub than anybody else', async () => {
    const guard = world.guard('pairwise-app')
    await guard.ready()
    const [pairwise, other] = [old('pairwise-1'), old('pairwise-2', { sid: 'other' })]
    expect([guard.check(pairwise), guard.check(other)]).toEqual(['ok', 'ok'])
    await world.reset('alice', { sessions: [session(uuid(1), 0, 'pairwise-app', { sub: 'pairwise-1' })] })
    await until(() => guard.check(pairwise) === 'revoked')
    expect(guard.check(other)).toBe('ok')
  })

  test('also at a client that was never listed for the subject', async () => {
    const guard = world.guard('orders')
    await guard.ready()
    await world.reset('alice')
    await until(() => guard.check(old('alice')) === 'revoked')
    expect(guard.check(old('bob'))).toBe('ok')
  })

  test('and by the session alone, under a sub that nobody has listed', async () => {
    const guard = world.guard('orders')
    await guard.ready()
    await world.reset('alice', { sessions: [session(uuid(1), 0, 'mobile-app', { sid: 'stolen' })] })
    await until(() => guard.check(old('exchanged', { sid: 'stolen' })) === 'revoked')
  })

  test('and of another issuer everything', async () => {
    const guard = world.guard('orders')
    await guard.ready()
    expect(guard.check({ ...old('bob'), iss: 'https://elsewhere.example.org' })).toBe('revoked')
    expect(guard.check({ ...old('bob'), iss: undefined })).toBe('revoked')
  })
})

describe('a guard comes to know', () => {
  test('what happened before it started, over many batches', { timeout: 60_000 }, async () => {
    for (let n = 0; n < 17; n++) {
      const sessions = Array.from({ length: 500 }, (_, at) =>
        session(uuid(n + 1), at, 'app', { sub: `sub-${n}-${at}` }),
      )
      await world.reset(`user-${n}`, { sessions })
    }
    const guard = world.guard('orders')
    await guard.ready()
    expect(guard.size).toBe(17 * (1 + 500 + 500))
    expect(guard.check(old('sub-16-499'))).toBe('revoked')
  })

  test('by polling too', async () => {
    const guard = world.guard('orders', { pollMs: 100 })
    await guard.ready()
    await world.reset('alice')
    await until(() => guard.check(old('alice')) === 'revoked')
  })

  test('what it missed while its connection was gone, from where it was', async () => {
    await world.reset('before')
    const guard = world.guard('orders')
    await guard.ready()
    await until(() => world.stream.subscribers === 1)
    const asked: string[] = []
    const right = world.wire
    let cut = true
    world.wire = (request, answer) => {
      asked.push(new URL(request.url).searchParams.get('cursor') ?? '')
      return cut ? new Response(null, { status: 502 }) : right(request, answer)
    }
    world.stream.end()
    await until(() => asked.length > 0)
    await world.reset('alice')
    expect(guard.check(old('alice'))).toBe('ok')
    cut = false
    await until(() => guard.check(old('alice')) === 'revoked')
    expect(asked.every((cursor) => Number(cursor) > 0)).toBe(true)
  })

  test('everything again when the relay’s store was restored from before its cursor; what it knew stays', async () => {
    await world.reset('alice')
    const guard = world.guard('orders')
    await guard.ready()
    const trouble = await ask(`${NONCE}&cursor=${Number.MAX_SAFE_INTEGER}`, await world.token('orders'))
    expect(trouble.status).toBe(409)
    const state = new FeedState(() => 0, 30_000, 'refuse')
    const keys = { issuer: world.issuer, clientId: 'orders' }
    const read = async () => {
      state.open({ nonce: 'bm9uY2Utb2YtYS10ZXN0', askedMs: 0 })
      const answer = await ask(`${NONCE}&cursor=${state.cursor}`, await world.token('orders'))
      for (const line of (await answer.text()).trim().split('\n')) {
        state.take(await readBatch(line, await relayKeys(), keys))
      }
    }
    await read()
    state.rewind()
    expect(state.check(old('alice'))).toBe('revoked')
    await read()
    expect(state.check(old('alice'))).toBe('revoked')
  })
})

describe('what a subscriber gets', () => {
  test.each([
    ['no token', undefined, 401],
    ['a token without the role guard', { resource_access: { 'logout-relay': { roles: ['view'] } } }, 403],
    ['a token for another audience', { aud: 'orders' }, 401],
    ['an expired token', { exp: 1_700_000_000 }, 401],
    ['a token that names no client', { azp: undefined }, 400],
    ['no nonce', {}, 400],
  ])('is an error for %s', async (what, claims, status) => {
    const token = claims === undefined ? undefined : await world.token('orders', claims)
    expect((await ask(what === 'no nonce' ? '' : NONCE, token)).status).toBe(status)
    expect((await ask(what === 'no nonce' ? '?nonce=short' : `${NONCE}&cursor=-1`, token)).status).toBe(
      status === 401 || status === 403 ? status : 400,
    )
  })

  test('shows nobody, not even by comparison with the feed of another client', async () => {
    await world.reset('alice', { sessions: [session(uuid(1), 0, 'orders', { sub: 'pairwise-1', sid: 'the-sid' })] })
    const seen = async (clientId: string) => (await ask(NONCE, await world.token(clientId))).text()
    const [orders, wiki] = [await seen('orders'), await seen('wiki')]
    for (const name of ['alice', 'pairwise-1', 'the-sid']) {
      expect(decoded(orders)).not.toContain(name)
    }
    const hashes = (text: string) =>
      entriesOf(text).flatMap((all) =>
        Array.from({ length: all.length / 20 }, (_, n) => all.toString('hex', n * 20, n * 20 + 8)),
      )
    expect(hashes(orders)).toHaveLength(3)
    expect(hashes(orders).filter((hash) => hashes(wiki).includes(hash))).toEqual([])
  })

  test('is refused by the guard of another client, and by one that trusts another relay', async () => {
    await world.reset('alice')
    const text = await (await ask(NONCE, await world.token('orders'))).text()
    const line = text.split('\n')[0] ?? ''
    const issuer = world.issuer
    await expect(readBatch(line, await relayKeys(), { issuer, clientId: 'wiki' })).rejects.toThrow(FeedError)
    const stranger = (await realm()).keys
    await expect(readBatch(line, stranger, { issuer, clientId: 'orders' })).rejects.toThrow('not signed by the relay')
    expect((await readBatch(line, await relayKeys(), { issuer, clientId: 'orders' })).claims.aud).toBe('orders')
  })
})

describe('a guard without news', () => {
  test('refuses to judge when the feed is older than the limit, and judges on only where it is set open', () => {
    let nowMs = 1000
    for (const whenStale of ['refuse', 'open'] as const) {
      const state = new FeedState(() => nowMs, 30_000, whenStale)
      const check = () => state.check(old('bob'))
      if (whenStale === 'refuse') {
        expect(check).toThrow(StaleError)
      } else {
        expect(check()).toBe('ok')
      }
      nowMs += 1
    }
  })

  test('is not fooled by a line that is held back: its age counts from when the relay signed it', () => {
    let nowMs = 0
    const state = new FeedState(() => nowMs, 30_000, 'refuse')
    const batch = (at_ms: number, nonce?: string) => ({
      claims: {
        ...{ iss: '', aud: '', after: 0, seq: 0, head: 0, at_ms, entries_sha256: '' },
        ...(nonce === undefined ? {} : { nonce, hash_key: 'AAECAwQFBgc' }),
      },
      entries: new Uint8Array(),
    })
    state.open({ nonce: 'n', askedMs: 0 })
    nowMs = 10_000
    // The relay's clock is 5 minutes off; only how it moves counts.
    state.take(batch(1_790_000_300_000, 'n'))
    expect(state.ageMs).toBe(10_000)
    nowMs = 40_000
    state.take(batch(1_790_000_305_000))
    expect(state.ageMs).toBe(35_000)
    expect(() => state.check({ sub: 'bob', iat: 1_790_000_000 })).toThrow(StaleError)
    state.take(batch(1_790_000_338_000))
    expect(state.check({ sub: 'bob', iat: 1_790_000_000 })).toBe('ok')
    nowMs = 41_000
    state.take(batch(1_790_900_000_000))
    expect(state.ageMs).toBe(0)
  })

  test('goes stale when the relay cannot read its store, and is told nothing that would make it look fresh', async () => {
    const guard = world.guard('orders', { limitMs: 1000 })
    await guard.ready()
    world.log = { ...world.store, watermarks: () => Promise.reject(new RelayError('store_unavailable', 'gone')) }
    await until(() => guard.ageMs > 1000)
    expect(() => guard.check(old('bob'))).toThrow(StaleError)
    expect((await ask(NONCE, await world.token('orders'))).status).toBe(503)
  })

  test.each<[string, (text: string) => string]>([
    ['stops in mid-line', (text) => text.slice(0, -10)],
    ['is another answer, replayed', () => replayed],
    ['is empty', () => ''],
    ['is no feed at all', () => '<html>'],
    ['never ends a line', () => 'x'.repeat(5_000_000)],
  ])('does not become ready when the answer %s', async (_, spoil) => {
    replayed = await (await ask(NONCE, await world.token('orders'))).text()
    const right = world.wire
    world.wire = async (request, answer) => {
      const { pathname } = new URL(request.url)
      return pathname === '/guard/feed' ? new Response(spoil(await answer.text())) : right(request, answer)
    }
    const troubles: string[] = []
    const guard = world.guard('orders', { pollMs: 100, onTrouble: ({ message }) => troubles.push(message) })
    let asked = 0
    world.wire = ((inner) => (request, answer) => {
      asked++
      return inner(request, answer)
    })(world.wire)
    await until(() => asked > 3)
    expect(guard.ageMs).toBe(Infinity)
    expect(() => guard.check(old('bob'))).toThrow(StaleError)
    expect(troubles.join(' ')).not.toContain('eyJ')
  })
  let replayed = ''
})

test('a guard that comes back after watermarks were pruned lacks none that counts, also where none is left', async () => {
  const endMs = Date.now() + 90 * 86_400_000
  const late = session('late', 0, 'orders', { latestEndMs: endMs })
  const read = async (cursor: number) => {
    const lines: string[] = []
    const stream = new WatermarkStream({
      issuer: world.issuer,
      log: world.store,
      key: world.key,
      nowMs: () => Date.now(),
    })
    const catching = stream.catchUp('orders', cursor, 'nonce')
    let part = await catching.next()
    for (; !part.done; part = await catching.next()) {
      lines.push(part.value)
    }
    return { at: part.value, entries: Buffer.concat(lines.flatMap(entriesOf)).length / ENTRY }
  }
  const prune = (nowMs: number) => world.store.prune({ nowMs, endedBeforeMs: 0, fed: [], limit: 1000 })
  await world.reset('alice')
  const { at: cursor = 0 } = await read(0)
  await world.reset('bob')
  await world.reset('carol', { sessions: [late] })
  await prune(endMs - 1)
  const back = await read(cursor)
  expect(back.at).toBeGreaterThan(cursor)
  // Carol and her session; Bob's is past, as is Alice's.
  expect(back.entries).toBe(2)
  await prune(endMs + 1)
  // A relay that started since knows nothing of this place: it has the guard begin anew.
  expect(await read(cursor)).toEqual({ at: undefined, entries: 0 })
  expect(await read(0)).toEqual({ at: 0, entries: 0 })
})

test('lines are put together whatever the chunks are, and the last counts only with its end', async () => {
  const bytes = Buffer.from(': comment\ndata: {"é":1}\n\nevent: x\r\ndata:{"b":2}\r\n\r\n{"c":3}\n{"d"')
  async function* chunks(size: number) {
    for (let at = 0; at < bytes.length; at += size) {
      yield await Promise.resolve(bytes.subarray(at, at + size))
    }
  }
  for (const size of [1, 2, 7, 1000]) {
    expect(await Array.fromAsync(readLines(chunks(size)))).toEqual(['{"é":1}', '{"b":2}', '{"c":3}'])
  }
})

test('a line that never ends is given up before it fills the memory', async () => {
  let given = 0
  async function* endless() {
    for (; given < 100; given++) {
      yield await Promise.resolve(Buffer.alloc(2 ** 20, 'x'))
    }
  }
  await expect(Array.fromAsync(readLines(endless()))).rejects.toThrow('too long')
  expect(given).toBeLessThan(6)
})

test('a guard cannot be made with options that would leave it open or asking without end', () => {
  const right = { relay: 'https://r.example.org', issuer: 'https://i.example.org', clientId: 'a', clientSecret: 'b' }
  for (const [wrong, says] of [
    [{ relay: 'http://r.example.org' }, /relay must be an https URL/],
    [{ issuer: 'nonsense' }, /issuer must be an https URL/],
    [{ limitMs: Number.NaN }, /limitMs must be at least 1000/],
    [{ pollMs: 20_000 }, /half of limitMs/],
    [{ clientSecret: '' }, /clientSecret must be given/],
    [{ relayKey: 'abc' }, /relayKey must be the kid/],
  ] as const) {
    expect(() => world.guard('x', { ...right, ...wrong })).toThrow(says)
  }
})

async function relayKeys() {
  const { createLocalJWKSet } = await import('jose')
  return createLocalJWKSet((await (await world.app.request('/guard/jwks')).json()) as never)
}

const entriesOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => Buffer.from((JSON.parse(line) as { entries: string }).entries, 'base64'))
const decoded = (text: string) =>
  text +
  entriesOf(text)
    .map((entries) => entries.toString('latin1'))
    .join(' ')
