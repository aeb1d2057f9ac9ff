import { describe, expect, test } from 'vitest'
import { judgeToken } from '../../relay/delivery/backchannel/judge.ts'
import type { Answer, TokenNames } from '../../relay/domain/model.ts'
import { isAlone, standingOf, type Streak, streakAfter } from '../../relay/delivery/backchannel/refusal.ts'
import { NOW_MS } from './given.ts'

const REFUSED: Answer = { kind: 'response', status: 400 }
const OK: Answer = { kind: 'response', status: 200 }
const FAILS: Answer = { kind: 'response', status: 500 }
const DOWN: Answer = { kind: 'failure', code: 'timeout' }
const streak = (more: Partial<Streak> = {}): Streak => ({ names: 'sid+sub', count: 8, firstMs: NOW_MS, ...more })
const look = (more: Partial<Record<TokenNames, Answer>>) => new Map(Object.entries(more) as [TokenNames, Answer][])

describe('refusals in a row', () => {
  test('are counted while each is a 400 to a token of the same shape', () => {
    const first = streakAfter(undefined, REFUSED, 'sid', NOW_MS)
    expect(first).toEqual({ names: 'sid', count: 1, firstMs: NOW_MS })
    expect(streakAfter(first, REFUSED, 'sid', NOW_MS + 5)).toEqual({ names: 'sid', count: 2, firstMs: NOW_MS })
    expect(streakAfter(first, REFUSED, 'sid+sub', NOW_MS + 5)).toMatchObject({ count: 1, firstMs: NOW_MS + 5 })
  })

  test.each<[string, Answer, TokenNames | undefined]>([
    ['anything else that is answered', FAILS, 'sid'],
    ['no answer', DOWN, 'sid'],
    ['a success', OK, 'sid'],
    ['a token of which nobody knows whom it names', REFUSED, undefined],
  ])('end with %s', (_, answer, names) => {
    expect(streakAfter(streak(), answer, names, NOW_MS)).toBeUndefined()
  })
})

describe('a session is refused alone', () => {
  test.each<[string, Partial<Streak>, number | undefined, boolean]>([
    ['where another was taken since the first refusal', {}, NOW_MS + 1, true],
    ['where another was taken just before it', {}, NOW_MS - 59_000, true],
    ['not where another was taken long before: the relying party may have broken since', {}, NOW_MS - 60_000, false],
    ['not where none was ever taken', {}, undefined, false],
    ['not after a few refusals: a new key takes a while', { count: 7 }, NOW_MS + 1, false],
    ['not where the token names none', { names: 'sub' }, NOW_MS + 1, false],
  ])('%s', (_, more, confirmedMs, alone) => {
    expect(isAlone(streak(more), confirmedMs)).toBe(alone)
  })
})

test.each<[string, TokenNames, boolean, Partial<Record<TokenNames, Answer>>, string | undefined]>([
  ['is not known there', 'sid+sub', true, { 'sid+sub': REFUSED }, 'unknown_there'],
  ['is of another subject there', 'sid+sub', true, { 'sid+sub': OK }, 'another_subject'],
  ['is refused alone, as far as is known', 'sid+sub', true, {}, 'refused_alone'],
  ['is refused alone where the look fails', 'sid+sub', true, { 'sid+sub': FAILS }, 'refused_alone'],
  ['is refused alone where the look was of another shape', 'sid', true, { 'sid+sub': REFUSED }, 'refused_alone'],
  ['needs a sub', 'sid', false, { 'sid+sub': OK, sid: REFUSED }, 'needs_sub'],
  ['may be anything where both are refused', 'sid', false, { 'sid+sub': REFUSED, sid: REFUSED }, undefined],
  ['may be anything where both are taken', 'sid', false, { 'sid+sub': OK, sid: OK }, undefined],
  ['may be anything where nobody looked', 'sid', false, {}, undefined],
])('a session that is refused %s by a second look', (_, names, alone, looked, standing) => {
  expect(standingOf(names, alone, look(looked))).toBe(standing)
})

test('only what is shown not to be known is given up, and only on a refusal', () => {
  const outcome = (answer: Answer, standing: Parameters<typeof judgeToken>[2], givesUp = true) =>
    judgeToken(answer, 'sid+sub', standing, givesUp).outcome
  expect(outcome(REFUSED, 'unknown_there')).toBe('given_up')
  expect(outcome(REFUSED, 'unknown_there', false)).toBe('retry')
  for (const standing of ['refused_alone', 'another_subject', 'needs_sub', undefined] as const) {
    expect(outcome(REFUSED, standing)).toBe('retry')
  }
  expect([outcome(OK, 'unknown_there'), outcome(FAILS, 'unknown_there')]).toEqual(['delivered', 'retry'])
})

test('only what is refused alone, as far as is known, is attempted slowly', () => {
  const slowly = ([standing]: [Parameters<typeof judgeToken>[2]]) =>
    judgeToken(REFUSED, 'sid+sub', standing, false).slowly ?? false
  expect(
    (['unknown_there', 'refused_alone', 'another_subject', 'needs_sub', undefined] as const).map((s) => slowly([s])),
  ).toEqual([true, true, false, false, false])
})

test('a confirmed token that names a session ends it, and one that names nobody or a subject alone ends no other', () => {
  const ends = (names: TokenNames | undefined) => judgeToken(OK, names, undefined, false).endsSession
  expect([ends('sid'), ends('sid+sub'), ends('sub'), ends(undefined)]).toEqual([true, true, false, false])
  expect(judgeToken(REFUSED, 'sid', undefined, false).endsSession).toBeUndefined()
})
