import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLocalJWKSet, type JSONWebKeySet } from 'jose'
import { describe, expect, test } from 'vitest'
import { FeedError, readBatch } from '../../guard/batch.ts'
import { FeedState } from '../../guard/feed.ts'
import { KIND } from '../../guard/hash.ts'
import { type Claims, ENTRY, Watermarks } from '../../guard/watermarks.ts'

interface Named {
  kind: keyof typeof KIND
  name: string
  watermark_ms: number
  until: number
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'guard', 'vectors', name), 'utf8'))

describe('check answers as the vector says, and otherwise to its mutation:', () => {
  const { watermarks, vectors } = read('check.json') as {
    watermarks: Named[]
    vectors: { title: string; now_ms: number; claims: Claims; expect: string; mutation: Claims }[]
  }
  const known = new Watermarks(Buffer.alloc(8, 9))
  for (const { kind, name, watermark_ms, until } of watermarks) {
    known.add(KIND[kind], name, watermark_ms, until)
  }
  test.each(vectors)('$title', ({ now_ms, claims, expect: expected, mutation }) => {
    expect(known.check(claims, now_ms)).toBe(expected)
    expect(known.check({ ...claims, ...mutation }, now_ms)).not.toBe(expected)
  })
})

describe('an entry is as the vector says, and every bit of it counts:', () => {
  const { key, vectors } = read('entries.json') as { key: string; vectors: (Named & { entry: string })[] }
  test.each(vectors)('$kind $name', ({ kind, name, watermark_ms, until, entry }) => {
    const known = new Watermarks(Buffer.from(key, 'hex'))
    const encode = (what: Named) => {
      const out = new Uint8Array(20)
      known.encode(KIND[what.kind], what.name, what.watermark_ms, what.until, new DataView(out.buffer), 0)
      return Buffer.from(out).toString('hex')
    }
    const vector = { kind, name, watermark_ms, until }
    expect(encode(vector)).toBe(entry)
    const mutations: Partial<Named>[] = [
      { kind: kind === 'sub' ? 'sid' : 'sub' },
      { name: `${name.slice(0, -1)}!` },
      { watermark_ms: watermark_ms + 1 },
      { until: until + 1 },
    ]
    for (const mutation of mutations) {
      expect(encode({ ...vector, ...mutation })).not.toBe(entry)
    }
  })

  test('the hash is HalfSipHash as its authors define it, with one round a word and three at the end', () => {
    const known = new Watermarks(Buffer.from(key, 'hex'))
    for (const { kind, name, entry } of vectors) {
      const message = Buffer.concat([Buffer.from(name), Buffer.from([KIND[kind]])])
      expect(entry.slice(0, 16)).toBe(halfSipHash(Buffer.from(key, 'hex'), message, 1, 3))
    }
    expect(known.size).toBe(0)
    // From the reference implementation's own vectors, for 2-4: the key 00 to 07 and the messages 00 and 00 01.
    const reference = (bytes: number[]) => halfSipHash(Buffer.from('0001020304050607', 'hex'), Buffer.from(bytes), 2, 4)
    expect([reference([]), reference([0]), reference([0, 1])]).toEqual([
      '218d1f59b9b83cc8',
      'be552412f8387315',
      '064f39ef7c50eb57',
    ])
  })
})

describe('a feed is taken in as the vector says, and not when one character of it is another:', () => {
  const { issuer, client_id, jwks, vectors } = read('batches.json') as {
    issuer: string
    client_id: string
    jwks: JSONWebKeySet
    vectors: { title: string; nonce: string; lines: string[]; expect: object }[]
  }
  const keys = createLocalJWKSet(jwks)
  async function run(lines: readonly string[], nonce: string) {
    const state = new FeedState(() => 1000, 30_000, 'refuse')
    state.open({ nonce, askedMs: 1000 })
    let accepted = 0
    try {
      for (const line of lines) {
        state.take(await readBatch(line, keys, { issuer, clientId: client_id }))
        accepted++
      }
    } catch (cause) {
      expect(cause).toBeInstanceOf(FeedError)
    }
    return { accepted, cursor: state.cursor, size: state.size, fresh: Number.isFinite(state.ageMs) }
  }
  test.each(vectors)('$title', async ({ lines, nonce, expect: expected }) => {
    expect(await run(lines, nonce)).toEqual(expected)
  })
  test.each(vectors.filter(({ expect: expected }) => 'accepted' in expected && expected.accepted !== 0))(
    '$title, mutated',
    async ({ lines, nonce, expect: expected }) => {
      for (const [n, line] of lines.entries()) {
        const at = line.indexOf('.') + 20
        const other = line.slice(0, at) + (line[at] === 'A' ? 'B' : 'A') + line.slice(at + 1)
        const outcome = await run(lines.with(n, other), nonce)
        expect(outcome.accepted).toBeLessThanOrEqual(n)
        if (n < (expected as { accepted: number }).accepted) {
          expect(outcome).not.toEqual(expected)
        }
      }
    },
  )
})

/** Word by word from the paper's appendix, for comparison. */
function halfSipHash(key: Buffer, message: Buffer, c: number, d: number): string {
  const [k0, k1] = [key.readInt32LE(0), key.readInt32LE(4)]
  const v = Int32Array.of(k0, k1 ^ 0xee, k0 ^ 0x6c796765, k1 ^ 0x74656462)
  const rotate = (x: number, by: number) => (x << by) | (x >>> (32 - by))
  const at = (n: number) => v[n] ?? 0
  const mix = (a: number, b: number, by: number) => {
    v[a] = at(a) + at(b)
    v[b] = rotate(at(b), by) ^ at(a)
  }
  const rounds = (count: number) => {
    for (; count > 0; count--) {
      mix(0, 1, 5)
      v[0] = rotate(at(0), 16)
      mix(2, 3, 8)
      mix(0, 3, 7)
      mix(2, 1, 13)
      v[2] = rotate(at(2), 16)
    }
  }
  const padded = Buffer.alloc((message.length & ~3) + 4)
  message.copy(padded)
  padded[padded.length - 1] = message.length & 0xff
  for (let n = 0; n < padded.length; n += 4) {
    v[3] = at(3) ^ padded.readInt32LE(n)
    rounds(c)
    v[0] = at(0) ^ padded.readInt32LE(n)
  }
  const out = Buffer.alloc(8)
  v[2] = at(2) ^ 0xee
  rounds(d)
  out.writeInt32LE(at(1) ^ at(3), 0)
  v[1] = at(1) ^ 0xdd
  rounds(d)
  out.writeInt32LE(at(1) ^ at(3), 4)
  return out.toString('hex')
}

describe('a table holds what may still count, however long it runs:', () => {
  const DAYS = 60
  const A_DAY = 1000
  const names = (day: number) => Array.from({ length: A_DAY }, (_, n) => `${day}/${n}`)

  test.each<[string, (table: Watermarks, day: number) => void]>([
    [
      'where names are added one by one',
      (table, day) => names(day).forEach((name) => table.add(KIND.sub, name, 1000, day + 3, day * 1000)),
    ],
    [
      'where they come as entries',
      (table, day) => {
        const entries = new Uint8Array(A_DAY * ENTRY)
        const view = new DataView(entries.buffer)
        names(day).forEach((name, n) => table.encode(KIND.sub, name, 1000, day + 3, view, n * ENTRY))
        table.apply(entries, day * 1000)
      },
    ],
  ])('%s', (_, take) => {
    const table = new Watermarks(new Uint8Array(8))
    let most = 0
    for (let day = 1; day <= DAYS; day++) {
      take(table, day)
      most = Math.max(most, table.size)
      expect(names(day).every((name) => table.watermarkMs(name) === 1000)).toBe(true)
    }
    // Four days' names count at a time.
    expect(most).toBeLessThan(12 * A_DAY)
  })
})
