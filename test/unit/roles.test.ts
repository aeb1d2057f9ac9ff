import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { judgeRoles } from '../../relay/idp/keycloak/check/roles.ts'
import { OF_RELAY, ROLES } from '../../relay/idp/keycloak/setup/parts.ts'
import { ISSUER } from './given.ts'

const ROOT = join(import.meta.dirname, '..', '..')

interface Role {
  readonly name: string
  readonly description: string
}
interface Realm {
  readonly roles: { readonly client: { readonly 'logout-relay': readonly Role[] } }
  readonly users: readonly {
    readonly serviceAccountClientId?: string
    readonly clientRoles?: Readonly<Record<string, readonly string[]>>
  }[]
}

const demo = JSON.parse(readFileSync(join(ROOT, 'realm-export', 'demo-realm.json'), 'utf8')) as Realm
const roles = demo.roles.client['logout-relay'].map(({ name, description }) => ({ name, description }))
const sources = (folder: string, ending: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => readFileSync(join(ROOT, folder, file), 'utf8'))
    .join('\n')

test('the roles that setup makes are those of the demo realm', () => {
  expect(ROLES.map(([name, description]) => ({ name, description }))).toEqual(roles)
})

test('each role is asked for by Keycloak or by the relay, and none that is asked for is left out', () => {
  const atKeycloak = sources('extension-config/src/main/java', '.java').matchAll(
    /(?:(?:requireRelay|require|has)\((?:caller, )?|ROLE = )"([a-z-]+)"/g,
  )
  const atRelay = sources('relay', '.ts').matchAll(/require(?:Role|Token)\('([a-z-]+)'/g)
  const asked = new Set([...atKeycloak, ...atRelay].map(([, name]) => name))
  expect([...asked].sort()).toEqual(roles.map(({ name }) => name).sort())
})

test('the roles that setup gives the relay are those that it needs and no other, as in the demo realm', () => {
  const account = demo.users.find(({ serviceAccountClientId }) => serviceAccountClientId === 'logout-relay')
  expect(OF_RELAY).toEqual(account?.clientRoles?.['logout-relay'])
  const claims = { resource_access: { 'logout-relay': { roles: OF_RELAY } } }
  const token = `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`
  expect(judgeRoles(ISSUER, token).filter(({ ok }) => !ok)).toEqual([])
})

test('the role to tell what identity providers say is asked for only of a relay that hears one, and too much for any other', () => {
  const token = (...names: string[]) => {
    const claims = { resource_access: { 'logout-relay': { roles: names } } }
    return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`
  }
  const four = ['outbox', 'logout-tokens', 'answers', 'relying-parties']
  const todos = (names: string[], hears: boolean) =>
    judgeRoles(ISSUER, token(...names), hears)
      .filter(({ ok }) => !ok)
      .map(({ check }) => check)
  expect(todos(four, false)).toEqual([])
  expect(todos(four, true)).toEqual(['roles'])
  expect(todos([...four, 'upstream-events'], true)).toEqual([])
  expect(todos([...four, 'upstream-events'], false)).toEqual(['roles it must not have'])
})

test('docs/security.md says of each role that is not the relay’s what it can do', () => {
  const relays = ['outbox', 'logout-tokens', 'answers', 'relying-parties', 'upstream-events']
  const told = [
    ...readFileSync(join(ROOT, 'docs', 'security.md'), 'utf8').matchAll(/a token with the role `([a-z]+)`/g),
  ]
  const names = roles.map(({ name }) => name).filter((name) => !relays.includes(name))
  expect(told.map(([, name]) => name).sort()).toEqual(names.sort())
})
