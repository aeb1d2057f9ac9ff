import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const JAVA = join(ROOT, 'extension-config', 'src', 'main', 'java', 'org', 'logoutrelay', 'keycloak')
const SOURCES = new Map(
  readdirSync(JAVA, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.java'))
    .map((file) => [file, readFileSync(join(JAVA, file), 'utf8')]),
)
const source = [...SOURCES.values()].join('\n')
const read = (file: string) => readFileSync(join(ROOT, 'docs', file), 'utf8')
const protocol = read('protocol.md')
const policy = read('policy.md')
const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, found = '']) => found)

/** The rows of the tables of a document, by the words in code in their first cell. */
function rows(document: string): Map<string, string> {
  return new Map(
    all(document, /^(\| `.*)$/gm).flatMap((line) =>
      all(line.split('|')[1] ?? '', /`([^`]+)`/g).map((name) => [name, line] as const),
    ),
  )
}

test('every server option that the extension reads is in docs/protocol.md, with its default', () => {
  const options = [...source.matchAll(/\bconfig\.get\w*\("([^"]+)"(?:, ([^)]+))?\)/g)]
  expect(options.length).toBeGreaterThan(3)
  const documented = rows(protocol)
  for (const [, name = '', otherwise] of options) {
    const row = documented.get(name) ?? `${name} is not in docs/protocol.md`
    expect(row).toContain(`| \`${name}\` |`)
    expect(row).toContain(otherwise?.replaceAll('"', '') ?? 'none')
  }
})

test('every attribute of a client that the extension reads is in docs/protocol.md', () => {
  const constants = [...SOURCES].flatMap(([file, text]) =>
    [...text.matchAll(/String (\w+) = "(logout-relay\.[^"]+)"/g)].map(([, name = '', value = '']) => {
      const used = new RegExp(`\\b(getAttribute|getNote|getAuthNote)\\(${name}\\)`).exec(text)?.[1] ?? 'nothing'
      return { file, value, used }
    }),
  )
  const attributes = constants.filter(({ used }) => used === 'getAttribute').map(({ value }) => value)
  // What is neither an attribute nor a note of a session is something that this test does not know how to look up.
  expect(constants.filter(({ used, value }) => used === 'nothing' && value !== 'logout-relay.')).toEqual([])
  expect(attributes.length).toBeGreaterThan(2)
  expect(attributes.filter((name) => !rows(protocol).has(name))).toEqual([])
  // Nor is there one that is written out where it is used.
  expect(all(source, /\w+\("(logout-relay\.[^"]+)"/g)).toEqual([])
})

test('every attribute of a realm that the extension reads is in docs/policy.md, with its default', () => {
  const text = SOURCES.get('trigger/Policy.java') ?? ''
  const names = [...text.matchAll(/String (\w+) = PREFIX \+ "([^"]+)"/g)]
  expect(names.length).toBeGreaterThan(6)
  for (const [, constant = '', name = ''] of names) {
    expect(policy).toContain(`logout-relay.${name}`)
    const otherwise = new RegExp(`String ${constant}_DEFAULT = "(\\d+)"`).exec(text)?.[1]
    const near = policy.split('\n').find((line) => line.includes(`logout-relay.${name}`)) ?? ''
    expect(near).toContain(otherwise ?? '')
  }
})

test('every trigger is in docs/policy.md with what it causes by default, and no other is', () => {
  const text = SOURCES.get('trigger/Trigger.java') ?? ''
  const steps: Readonly<Record<string, string>> = {
    ALL_ACCESS: 'sessions, consents, shares, broker-tokens, recent-factors, step-up',
    SESSIONS_ONLY: 'sessions',
    CLIENT_TOKENS: 'sessions, people',
    ALL_OF_A_CLIENT: 'sessions, people, registration-token',
    OFF: 'off',
  }
  const words = all(/ALL_ACCESS = Set\.of\(([^)]+)\)/.exec(text)?.[1] ?? '', /(\w+)/g)
  expect(steps['ALL_ACCESS']).toBe(
    ['sessions', ...words.map((word) => word.toLowerCase().replace('_', '-'))].join(', '),
  )
  const triggers = new Map(
    [
      ...text.matchAll(/new Trigger\("([^"]+)"[^]*?\b(ALL_ACCESS|SESSIONS_ONLY|CLIENT_TOKENS|ALL_OF_A_CLIENT|OFF)\)/g),
    ].map(([, id = '', what = '']) => [id, id === 'realm-logout' ? 'ask' : (steps[what] ?? '')]),
  )
  const table = /## The triggers\n([^]*?)\n## /.exec(policy)?.[1] ?? ''
  let above = ''
  const documented = new Map(
    [...rows(table)].map(([id, row]) => {
      const cell = row.split('|')[3] ?? ''
      above = cell.trim() === 'the same' ? above : (/`([^`]+)`/.exec(cell)?.[1] ?? '')
      return [id, above]
    }),
  )
  expect(triggers.size).toBeGreaterThan(15)
  expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(triggers))
})

test('every step is in docs/policy.md, and no other is', () => {
  const enumeration = /enum Step \{([^]*?);/.exec(SOURCES.get('trigger/Policy.java') ?? '')?.[1] ?? ''
  const steps = all(enumeration, /^\s+([A-Z_]+)[,;]?$/gm).map((word) => word.toLowerCase().replace('_', '-'))
  const table = /After it any of:\n([^]*?)\n\n`spare-offline`/.exec(policy)?.[1] ?? ''
  expect(steps.length).toBeGreaterThan(5)
  expect([...rows(table).keys()].sort()).toEqual(steps.sort())
})
