import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { heldOf } from '../../relay/idp/keycloak/held.ts'

type Reply = readonly [status: number, body: unknown]

/** A stand-in for a realm with the extension; the real one is asked in test/real/upstream.test.ts. */
async function realm(replies: Readonly<Record<string, Reply>>) {
  const seen: { asked: string; authorization: string | undefined; body: unknown }[] = []
  const server = createServer((question, response) => {
    void (async () => {
      const endpoint = question.url?.split('/').at(-1) ?? ''
      const body = question.method === 'POST' ? await json(question) : undefined
      seen.push({ asked: `${question.method} ${question.url}`, authorization: question.headers.authorization, body })
      const [status, answer] = replies[`${question.method} ${endpoint}`] ?? replies[endpoint] ?? [404, {}]
      response.writeHead(status).end(JSON.stringify(answer))
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return { seen, held: heldOf(`http://127.0.0.1:${port}/realms/main`, 'my-token'), stop: () => server.close() }
}

const LISTS: Record<string, Reply> = {
  'realm-logouts': [
    200,
    {
      realm_logouts: [
        { id: '5f0c', at_ms: 0, state: 'held', contained: 0, left: 1200 },
        { id: '5f0b', at_ms: 0, state: 'dismissed', contained: 0, left: 0, decided_by: 'a' },
      ],
    },
  ],
  directories: [
    200,
    {
      directories: [
        { id: '0d1c', name: 'ad', state: 'held', held: 300 },
        { id: '0d1d', name: 'other', state: 'watched', held: 0 },
      ],
    },
  ],
  upstreams: [
    200,
    {
      upstreams: [
        { id: '9b1c', issuer: 'https://okta.example.com', held: 7 },
        { id: '9b1d', issuer: 'https://login.example.com', held: 0, decided_by: 'a' },
      ],
    },
  ],
}

const DIRECTORY = { kind: 'directory', id: '0d1c', about: 'ad', held: 300 } as const

test('what waits of each kind is told, and nothing that does not wait', async () => {
  const { seen, held } = await realm(LISTS)
  expect(await held.list()).toEqual([
    { kind: 'realm logout', id: '5f0c', about: '1970-01-01T00:00:00.000Z', held: 1200 },
    DIRECTORY,
    { kind: 'upstream', id: '9b1c', about: 'https://okta.example.com', held: 7 },
  ])
  expect(seen.map(({ asked, authorization }) => [asked, authorization])).toEqual(
    ['realm-logouts', 'directories', 'upstreams'].map((list) => [
      `GET /realms/main/logout-relay/${list}`,
      'Bearer my-token',
    ]),
  )
})

test('a decision goes where such a thing is decided, with the reason and the caller’s token', async () => {
  const { seen, held } = await realm(Object.fromEntries(Object.keys(LISTS).map((list) => [`POST ${list}`, [200, {}]])))
  await held.decide(DIRECTORY, 'dismiss', 'CHG-42')
  await held.decide({ ...DIRECTORY, kind: 'realm logout' }, 'confirm', 'INC-1')
  await held.decide({ ...DIRECTORY, kind: 'upstream' }, 'confirm', 'INC-1')
  const asked = (list: string, decision: string, reason: string) => ({
    asked: `POST /realms/main/logout-relay/${list}`,
    authorization: 'Bearer my-token',
    body: { id: '0d1c', decision, reason },
  })
  expect(seen).toEqual([
    asked('directories', 'dismiss', 'CHG-42'),
    asked('realm-logouts', 'confirm', 'INC-1'),
    asked('upstreams', 'confirm', 'INC-1'),
  ])
})

test.each<[number, unknown, string, RegExp]>([
  [400, { error: 'invalid_request', error_description: 'id is not that of' }, 'invalid_request', /id is not that of/],
  [401, {}, 'access_denied', /\(401\).*has ended/],
  [403, { error: 'unauthorized_client', error_description: 'name wiki' }, 'access_denied', /\(403\).*name wiki/],
  [404, {}, 'idp_unavailable', /answered 404.*jar/],
  [500, {}, 'idp_unavailable', /answered 500/],
  [200, { realm_logouts: 'none' }, 'idp_unavailable', /docs\/protocol\.md/],
])('a %i with %j is the error %s', async (status, body, code, message) => {
  const { held } = await realm({ ...LISTS, 'realm-logouts': [status, body] })
  await expect(held.list()).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string })
})

test('a realm that is not there is said', async () => {
  const { held, stop } = await realm(LISTS)
  stop()
  await expect(held.list()).rejects.toMatchObject({ code: 'idp_unavailable' })
})
