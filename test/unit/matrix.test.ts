import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { KINDS } from '../../scripts/matrix/access.ts'
import { ACTS } from '../../scripts/matrix/acts.ts'
import { asItShouldBe, type Cell } from '../../scripts/matrix/play.ts'
import { asMarkdown } from '../../scripts/matrix/table.ts'

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

test('every trigger of clients is played by the test of workloads', () => {
  const test = readFileSync(join(import.meta.dirname, '..', 'real', 'workloads.test.ts'), 'utf8')
  expect(OF_CLIENTS.length).toBeGreaterThan(5)
  expect(OF_CLIENTS.filter((id) => !test.includes(`'${id}'`))).toEqual([])
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
