import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { KINDS } from '../../scripts/matrix/access.ts'
import { ACTS } from '../../scripts/matrix/acts.ts'
import { asItShouldBe, type Cell } from '../../scripts/matrix/play.ts'
import { PARTS, replaced } from '../../scripts/matrix/coverage.ts'
import { asMarkdown } from '../../scripts/matrix/table.ts'
import { ALIVE, DEAD, LAST_WORKLOAD_ACTS, WORKLOAD_ACTS } from '../../scripts/matrix/workload-acts.ts'
import { type WorkloadRow, workloadsAreRight, workloadsAsMarkdown } from '../../scripts/matrix/workloads.ts'

const KEYCLOAK = join(import.meta.dirname, '..', '..', 'extension-config/src/main/java/org/logoutrelay/keycloak')
const TRIGGERS = [
  ...readFileSync(join(KEYCLOAK, 'trigger', 'Trigger.java'), 'utf8').matchAll(/new Trigger\("([\w-]+)"/g),
]

const OF_CLIENTS = TRIGGERS.flatMap(([, id = '']) => (id.startsWith('client-') ? [id] : []))

test('the matrix plays every trigger of people that the extension has, and no other', () => {
  const ofPeople = TRIGGERS.map(([, id = '']) => id).filter((id) => !OF_CLIENTS.includes(id))
  expect(ofPeople.length).toBeGreaterThan(15)
  expect([...new Set(ACTS.map(({ trigger }) => trigger))].sort()).toEqual(ofPeople.sort())
})

test('every trigger of clients is played by the matrix of workloads, or by their test where it is somebody’s word', () => {
  const played = new Set([...WORKLOAD_ACTS, ...LAST_WORKLOAD_ACTS].flatMap(({ trigger }) => trigger ?? []))
  const test = readFileSync(join(import.meta.dirname, '..', 'real', 'workloads.test.ts'), 'utf8')
  expect(OF_CLIENTS.length).toBeGreaterThan(5)
  expect(OF_CLIENTS.filter((id) => !played.has(id))).toEqual(['client-contained'])
  expect(test).toContain("'client-contained'")
})

test('the matrix has a control, in which Logout Relay does not listen and every kind of access must live', () => {
  const controls = ACTS.filter(({ withoutListener }) => withoutListener)
  expect(controls.map(({ trigger, ends }) => ({ trigger, ends }))).toEqual([
    { trigger: 'admin-reset-password', ends: [] },
  ])
})

const cell: Cell = { trigger: 'operator', access: 'sso', aliveBefore: true, aliveAfter: false, expected: 'dead' }

test.each<[string, Cell, boolean]>([
  ['what is dead and must be', cell, true],
  ['what lives on and must not', { ...cell, aliveAfter: true }, false],
  ['what is dead and should have been left alone', { ...cell, expected: 'alive' }, false],
  ['what was never alive: its death proves nothing', { ...cell, aliveBefore: false }, false],
  ['what nobody came by, although the version has it', { ...cell, aliveBefore: false, failed: 'no page' }, false],
  ['what the version does not have', { ...cell, aliveBefore: false, absent: 'a preview' }, true],
])('a cell tells %s', (_, one, ok) => {
  expect(asItShouldBe(one)).toBe(ok)
})

test('the tables have a line for every kind of access, and do not hide a cell that was not played', () => {
  const lines = asMarkdown([
    { keycloak: '26.5.0', seconds: 1, cells: [{ ...cell, deadAfterMs: 12 }] },
    { keycloak: '26.7.3', seconds: 1, cells: [{ ...cell, deadAfterMs: 34 }] },
  ]).split('\n')
  expect(lines).toHaveLength(KINDS.length + 2)
  expect(lines[2]).toBe('| browser session at Keycloak | 12 · 34 |')
  expect(lines[3]).toBe('| session at mod_auth_openidc | WRONG |')
})

test('the tables say which kind of access a version does not have, and why', () => {
  const absent: Cell = { ...cell, access: 'assertion', aliveBefore: false, absent: 'it is a preview' }
  const text = asMarkdown([
    { keycloak: '26.5.0', seconds: 1, cells: [absent, { ...absent, trigger: 'admin-logout' }] },
    { keycloak: '26.7.3', seconds: 1, cells: [{ ...cell, access: 'assertion' }] },
  ])
  expect(text).toContain('| assertion of an identity provider | not there · dead | not there · WRONG |')
  expect(text.split('it is a preview')).toHaveLength(2)
  expect(text).toMatch(/`not there`: assertion of an identity provider, on 26\.5\.0: it is a preview\.$/)
})

/** What must be seen of each act of a client. */
function rowsAsTheyMust(): WorkloadRow[] {
  return [...WORKLOAD_ACTS, ...LAST_WORKLOAD_ACTS].map(({ what, back, stock, livesBecause }) => {
    const meanwhile = back ? { meanwhile: DEAD } : {}
    const listening = { ...meanwhile, lives: livesBecause === undefined ? DEAD : stock }
    return { what, stock: { ...meanwhile, lives: stock }, listening }
  })
}

const ofWorkloads = (rows: readonly WorkloadRow[]) => ({ keycloak: '26.7.3', seconds: 1, rows })

test('in the table of workloads nothing that comes back is hidden, and whatever lives with the extension says why', () => {
  const right = ofWorkloads(rowsAsTheyMust())
  expect(workloadsAreRight(right)).toBe(true)
  const lines = workloadsAsMarkdown([right, right]).split('\n').slice(2)
  expect(lines).toHaveLength(WORKLOAD_ACTS.length + LAST_WORKLOAD_ACTS.length)
  expect(lines).toContain(
    '| a client that is disabled, and enabled again | `client-disabled` | lives again | dead | lives again | dead | lives again | dead |  |',
  )
  for (const cells of lines.map((line) => line.split('|').map((cell) => cell.trim()))) {
    const withIt = [4, 6, 8].map((n) => cells[n])
    expect([cells[1], withIt.includes('lives'), withIt.includes('lives again')]).toEqual([
      cells[1],
      cells[9] !== '',
      false,
    ])
  }
})

test.each<[string, (row: WorkloadRow) => WorkloadRow]>([
  ['what lives with the extension', (row) => ({ ...row, listening: { lives: ALIVE } })],
  [
    'what a stock Keycloak ends as well, so that its death proves nothing',
    (row) => ({ ...row, stock: { lives: DEAD } }),
  ],
  ['what could not be played', ({ what }) => ({ what })],
])('the table of workloads tells %s', (_, broken) => {
  const [first, ...others] = rowsAsTheyMust()
  const run = ofWorkloads([...(first ? [broken(first)] : []), ...others])
  expect(workloadsAreRight(run)).toBe(false)
  expect(workloadsAsMarkdown([run]).split('\n')[2]).toContain('WRONG')
})

test('each table is written between marks of its own, and leaves the other as it was', () => {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'coverage.md'), 'utf8')
  const both = replaced(replaced(text, 'people', 'PEOPLE'), 'workloads', 'WORKLOADS')
  expect(both).toBe(replaced(replaced(text, 'workloads', 'WORKLOADS'), 'people', 'PEOPLE'))
  expect(both.match(/PEOPLE|WORKLOADS|## .*/g)).toEqual([
    'PEOPLE',
    '## Workloads',
    'WORKLOADS',
    '## What is left alive, and for how long',
  ])
  expect(() => replaced(text.replace(PARTS.people[1], ''), 'people', '')).toThrow('has lost its marks')
})
