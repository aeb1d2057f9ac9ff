import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Described } from '../../scripts/attack/attack.ts'
import { clusterAttacks } from '../../scripts/attack/cluster.ts'
import { ATTACKS } from '../../scripts/attack/list.ts'
import { asItShouldBe, type Result, type Tries, verdictOn } from '../../scripts/attack/play.ts'
import { asMarkdown } from '../../scripts/attack/table.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGE = readFileSync(join(ROOT, 'docs', 'attacks.md'), 'utf8')

const ALL: readonly Described[] = [...ATTACKS, ...clusterAttacks]

test('every attack has a name of its own, a file of its family, and something that it is after', () => {
  expect(new Set(ALL.map(({ id }) => id)).size).toBe(ALL.length)
  const without = ALL.filter(({ family }) => !existsSync(join(ROOT, 'scripts', 'attack', `${family}.ts`)))
  expect(without).toEqual([])
  expect(ALL.filter(({ loot, noControl }) => loot.length === 0 && noControl === undefined)).toEqual([])
})

test('every attack is in docs/attacks.md, and none that is gone or succeeds', () => {
  const rows = [...PAGE.matchAll(/^\| `([\w-]+)`.*$/gm)]
  expect(rows.map(([, id]) => id).sort()).toEqual(ALL.map(({ id }) => id).sort())
  expect(rows.filter(([row]) => /LIVES|FAILED|NO ATTACK/.test(row))).toEqual([])
})

const attack: Described = { id: 'a', family: 'storm', title: 'It holds', tries: 'tries', loot: ['refresh', 'cookie'] }
const none: Tries = { tries: 2, survivors: [], failures: [] }
const all: Tries = { tries: 1, survivors: [['refresh'], ['cookie']], failures: [] }

test.each<[string, Result, ReturnType<typeof verdictOn>]>([
  ['where nothing lives on, and all does in the stock realm', { id: 'a', guarded: none, stock: all }, 'held'],
  ['where something lives on', { id: 'a', guarded: { ...none, survivors: [['other']] }, stock: all }, 'lives'],
  ['where a try could not be carried out', { id: 'a', guarded: { ...none, failures: ['x'] }, stock: all }, 'failed'],
  ['that nobody tried', { id: 'a', guarded: { ...none, tries: 0 }, stock: all }, 'failed'],
  [
    'that keeps less than all in the stock realm',
    { id: 'a', guarded: none, stock: { ...all, survivors: [['refresh']] } },
    'no attack',
  ],
  ['without the control that it has', { id: 'a', guarded: none }, 'no attack'],
  ['that is not to be had on a version', { id: 'a', absent: 'a preview' }, 'absent'],
])('the verdict on an attack %s', (_, result, verdict) => {
  expect(verdictOn(attack, result)).toBe(verdict)
  expect(asItShouldBe(attack, result)).toBe(verdict === 'held' || verdict === 'absent')
})

test('an attack that a stock realm cannot show needs no control', () => {
  expect(verdictOn({ ...attack, noControl: 'there is none' }, { id: 'a', guarded: none })).toBe('held')
})

test('the page does not hide an attack that lives, or that was not played', () => {
  const page = (result: Result[]) => asMarkdown([attack], [{ keycloak: '26.7.3', seconds: 1, results: result }])
  expect(page([{ id: 'a', guarded: none, stock: all }])).toContain('| 0 of 2 |')
  expect(page([{ id: 'a', guarded: { ...none, survivors: [['x']] }, stock: all }])).toContain('| LIVES: 1 of 2 |')
  expect(page([])).toContain('| NOT PLAYED |')
})
