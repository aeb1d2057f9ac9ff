import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Admin, RealmAdmin } from '../../scripts/stage/admin.ts'

const TEST = join(import.meta.dirname, '..')
const FILES = ['real', 'nightly'].flatMap((folder) =>
  readdirSync(join(TEST, folder))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => ({ name: file.replace('.test.ts', ''), source: readFileSync(join(TEST, folder, file), 'utf8') })),
)

/** The names of the realms that a file brings into the Keycloak that all share, or asks for there. */
const REALMS = /(?:startSharedWorld|startPeople|shareDemoRealm|\.make|\.bring)\((?:'(?:demo|stock)', )?'([^']+)'/g

/** What these do in the realm of the server's administrators is made undone, or changes nothing. */
const IN_MASTER = ['containment', 'triggers']

test('a test file’s realms on the shared Keycloak bear its own name, so that no two files have one in common', () => {
  const named = FILES.flatMap(({ name, source }) =>
    [...source.matchAll(REALMS)].map(([, realm = '']) => ({ name, realm })),
  )
  expect(named.length).toBeGreaterThan(5)
  expect(named.filter(({ name, realm }) => realm !== name && !realm.startsWith(`${name}-`))).toEqual([])
})

test('no test file but those two touches the realm of the server’s administrators', () => {
  const touching = FILES.filter(({ source }) => /\bmaster\b.*\bshared\(\)|\bshared\(\)\)?\.master/.test(source))
  expect(touching.map(({ name }) => name)).toEqual(IN_MASTER)
})

test.each(['/../master', '/users/../../master', 'users', '-of-another'])(
  'the administrator of one realm asks for nothing outside of it, as %s would be',
  (path) => {
    const admin = new RealmAdmin(new Admin('http://127.0.0.1:9', 'admin', 'password'), 'one')
    expect(() => admin.must('GET', path)).toThrow(/is no path within a realm/)
  },
)
