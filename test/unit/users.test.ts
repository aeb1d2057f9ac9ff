import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { isUserId, usersOf } from '../../relay/idp/keycloak/users.ts'
import { uuid } from './given.ts'

/** A stand-in for Keycloak's Admin API; the real one is asked in test/real/console.test.ts. */
async function adminApi(status: number, users: (query: URLSearchParams) => unknown) {
  const seen: { path: string; query: URLSearchParams; authorization: string | undefined }[] = []
  const server = createServer((question, response) => {
    const { pathname, searchParams } = new URL(question.url ?? '', 'http://x')
    seen.push({ path: pathname, query: searchParams, authorization: question.headers.authorization })
    response.writeHead(status).end(JSON.stringify(users(searchParams)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return { seen, users: usersOf(`http://127.0.0.1:${port}/auth/realms/main`), stop: () => server.close() }
}

test('names are asked for many at a time, with the caller’s token, and nothing else of a user is taken', async () => {
  const { seen, users } = await adminApi(200, (query) =>
    (query.get('search') ?? '')
      .slice(3)
      .split(' ')
      .map((id) => ({ id, username: `name-of-${id.slice(-2)}`, email: 'a@example.org' })),
  )
  const ids = Array.from({ length: 60 }, (_, n) => uuid(n))
  const names = await users.names('my-token', ids)
  expect([names.size, names.get(uuid(59))]).toEqual([60, 'name-of-59'])
  expect(seen.map(({ path, authorization }) => [path, authorization])).toEqual([
    ['/auth/admin/realms/main/users', 'Bearer my-token'],
    ['/auth/admin/realms/main/users', 'Bearer my-token'],
  ])
})

test('a user is found by exactly that name', async () => {
  const { seen, users } = await adminApi(200, () => [
    { id: 'x', username: 'alice2' },
    { id: 'y', username: 'alice' },
  ])
  expect(await users.find('t', 'Alice')).toBe('y')
  expect(await users.find('t', 'ali')).toBeUndefined()
  expect(seen[0]?.query.toString()).toBe('username=Alice&exact=true&max=2&briefRepresentation=true')
})

test('a user is found by the email address that they alone have', async () => {
  const people = [
    { id: 'x', username: 'alice', email: 'Alice@example.org' },
    { id: 'y', username: 'bob', email: 'both@example.org' },
    { id: 'z', username: 'carol', email: 'both@example.org' },
    { id: 'n', username: 'named@example.org', email: 'n@example.org' },
    { id: 's', username: 'same@example.org', email: 'same@example.org' },
  ]
  const { users } = await adminApi(200, (query) =>
    people.filter(
      ({ username, email }) => username === query.get('username') || email.toLowerCase() === query.get('email'),
    ),
  )
  expect(await users.find('t', 'alice@example.org')).toBe('x')
  expect(await users.find('t', 'both@example.org')).toBeUndefined()
  expect(await users.find('t', 'named@example.org')).toBe('n')
  expect(await users.find('t', 'same@example.org')).toBe('s')
  expect(await users.find('t', 'nobody@example.org')).toBeUndefined()
})

test('whoever takes another’s email address as a user name is not found in their place, and nobody is', async () => {
  const people = [
    { id: 'm', username: 'victor@example.org', email: 'mallory@example.org' },
    { id: 'v', username: 'victor', email: 'victor@example.org' },
  ]
  const { users } = await adminApi(200, (query) =>
    people.filter(({ username, email }) => username === query.get('username') || email === query.get('email')),
  )
  expect(await users.find('t', 'victor@example.org')).toBeUndefined()
  expect([await users.find('t', 'victor'), await users.find('t', 'mallory@example.org')]).toEqual(['v', 'm'])
})

test.each([
  [403, [], 'access_denied', /role view-users of realm-management/],
  [401, [], 'access_denied', /\(401\)/],
  [500, [], 'idp_unavailable', /answered 500/],
  [200, { users: 'none' }, 'idp_unavailable', /answered 200/],
])('a %i with %j is the error %s', async (status, body, code, message) => {
  const { users } = await adminApi(status, () => body)
  await expect(users.find('t', 'alice')).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message) as string,
  })
})

test('nobody there is said without the name that was looked for', async () => {
  const failure: unknown = await usersOf('http://127.0.0.1:9/realms/main')
    .find('t', 'alice')
    .catch((cause: unknown) => cause)
  expect(failure).toMatchObject({
    code: 'idp_unavailable',
    message:
      'No Keycloak answers at http://127.0.0.1:9 (ECONNREFUSED): is it up, and are host, port and path of the issuer right?',
  })
})

test.each<[string, boolean]>([
  ['5b2e1a52-0000-4000-8000-00000000a11c', true],
  ['f:5b2e1a52-0000-4000-8000-00000000a11c:alice', true],
  ['alice', false],
  ['f', false],
  ['alice@example.org', false],
])('%s is a user’s id: %s', (text, is) => {
  expect(isUserId(text)).toBe(is)
})
