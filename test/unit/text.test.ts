import { expect, test } from 'vitest'
import { duration, many, plain } from '../../relay/text.ts'

test.each([
  [0, '0 ms'],
  [999, '999 ms'],
  [1000, '1 s'],
  [1250, '1.3 s'],
  [60_000, '1 min'],
  [61_001, '1 min 2 s'],
  [3_599_500, '1 h'],
  [3_661_000, '1 h 2 min'],
  [90_000_000, '1 d 1 h'],
  [86_401_000, '1 d 1 h'],
  [30 * 86_400_000, '30 d'],
  [Infinity, 'no end'],
])('%s ms are said as %s, from a minute on never less than they are', (ms, text) => {
  expect(duration(ms)).toBe(text)
})

test('a number goes with its noun', () => {
  const delivery = (count: number) => many(count, 'delivery', 'deliveries')
  expect([many(1, 'session'), many(0, 'session'), delivery(1), delivery(12_000)]).toEqual([
    ...['1 session', '0 sessions', '1 delivery', '12,000 deliveries'],
  ])
})

test('what drives a terminal or turns a text around is no part of a plain one', () => {
  expect(plain('a\u001b[2Jb\u202ec\n\u2028d é')).toBe('a?[2Jb?c??d é')
})
