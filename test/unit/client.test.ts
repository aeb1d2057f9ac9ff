import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { openApi } from '../../relay/api/client.ts'

interface Seen {
  readonly method: string
  readonly url: string
  readonly authorization: string
  readonly body: string
}

/** A stand-in for a relay, which answers in turn; the real one is in test/real. */
async function relayThatAnswers(...answers: readonly (readonly [status: number, body: unknown])[]) {
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      seen.push({ method, url, authorization: headers.authorization ?? '', body })
      const [status, answer] = answers[seen.length - 1] ?? [500, {}]
      response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(typeof answer === 'string' ? answer : JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

const delivery = (id: string) => ({
  id,
  containment_id: 'txn-1',
  client_id: 'orders',
  sid: 'sid-1',
  state: 'open',
  attempts: 1,
  latest_end_ms: 1_792_592_000_000,
  created_at_ms: 1_790_000_000_000,
})

test('a list is read to its last page', async () => {
  const { url, seen } = await relayThatAnswers(
    [200, { deliveries: [delivery('a')], next: 'a' }],
    [200, { deliveries: [delivery('b')] }],
  )
  const ids: string[] = []
  for await (const { id } of openApi(url, 'token').list({ state: 'open' })) {
    ids.push(id)
  }
  expect(ids).toEqual(['a', 'b'])
  expect(seen.map((request) => request.url)).toEqual([
    '/api/v1/deliveries?state=open&limit=500',
    '/api/v1/deliveries?state=open&limit=500&after=a',
  ])
})

test('a dismissal carries the selection, the reason and the token in its header', async () => {
  const { url, seen } = await relayThatAnswers([200, { changed: 3 }])
  expect(await openApi(url, 'token').dismiss({ client_id: 'orders' }, 'gone for good')).toBe(3)
  expect(seen).toEqual([
    {
      method: 'POST',
      url: '/api/v1/deliveries/dismiss',
      authorization: 'Bearer token',
      body: '{"deliveries":{"client_id":"orders"},"reason":"gone for good"}',
    },
  ])
})

test.each([
  [401, 'access_denied'],
  [403, 'access_denied'],
  [400, 'invalid_request'],
  [503, 'store_unavailable'],
])('a %i is the error %s with what the relay says', async (status, code) => {
  const { url } = await relayThatAnswers([status, { error_description: 'it takes the role operate' }])
  const failure: unknown = await openApi(url, 'token')
    .retry({ id: 'a' })
    .catch((cause: unknown) => cause)
  expect(failure).toMatchObject({ code })
  expect(String(failure)).toContain('it takes the role operate')
})

test.each<[string, number, object | string, RegExp]>([
  [
    'a login page',
    200,
    '<html>Log in</html>',
    /\/api\/v1\/deliveries\/retry answered 200, .*login page.*LOGOUT_RELAY_URL/,
  ],
  ['other JSON', 200, { status: 'up' }, /answered 200, and not with the JSON of a relay \(docs\/api\.md\)/],
  ['a redirect', 302, '', /answered 302, .*Let this path through/],
  ['a gateway without a relay', 502, '<html>Bad Gateway</html>', /answered 502, .*Is the relay behind that proxy up\?/],
  ['a page that is not found', 404, 'Not Found', /answered 404, .*Is that the relay’s address/],
])(
  '%s in place of a relay is told with the address, what was expected and what to do',
  async (_, status, body, says) => {
    const { url } = await relayThatAnswers([status, body])
    const failure: unknown = await openApi(url, 'token')
      .retry({ id: 'a' })
      .catch((cause: unknown) => cause)
    expect(failure).toMatchObject({ code: 'store_unavailable', message: expect.stringMatching(says) as string })
    expect(String(failure)).toContain(url)
    expect(String(failure)).not.toContain('html')
  },
)

test('what people decide of a relying party is sent as the API has it', async () => {
  const { url, seen } = await relayThatAnswers(
    [200, { ok: true, says: 'refuses it' }],
    [200, { registered: true, check: { ok: true, says: 'refuses it' } }],
    [200, { registered: false }],
    [200, { paused: true }],
    [200, { paused: false }],
    [200, { changes: [{ seq: 1, at_ms: 1, kind: 'relying_party_paused', weakening: true, data: {} }] }],
    [422, { error: 'check_failed', error_description: 'It is not registered: accepts anything' }],
  )
  const api = openApi(url, 'token')
  const shop = {
    client_id: 'shop',
    backchannel_logout_uri: 'https://shop.example.org/',
    reason: 'not in the realm',
    despite_check: false,
  }
  expect(await api.checkRelyingParty('shop')).toEqual({ ok: true, says: 'refuses it' })
  expect((await api.register(shop)).registered).toBe(true)
  await api.unregister('shop', 'gone')
  await api.pause('shop', 'moved')
  await api.resume('shop')
  expect((await api.changes('7'))[0]?.kind).toBe('relying_party_paused')
  await expect(api.register(shop)).rejects.toThrow('accepts anything')
  expect(
    seen.map((one) => [
      one.url.replace('/api/v1/', ''),
      one.body === '' ? undefined : (JSON.parse(one.body) as unknown),
    ]),
  ).toEqual([
    ['relying-parties/check', { client_id: 'shop' }],
    ['relying-parties', shop],
    ['relying-parties/unregister', { client_id: 'shop', reason: 'gone' }],
    ['relying-parties/pause', { client_id: 'shop', reason: 'moved' }],
    ['relying-parties/resume', { client_id: 'shop' }],
    ['changes?limit=7', undefined],
    ['relying-parties', shop],
  ])
})

test('no relay at the address is said with the address', async () => {
  await expect(openApi('http://127.0.0.1:9', 'token').retry({ id: 'a' })).rejects.toThrow(
    'No relay answers at http://127.0.0.1:9 (ECONNREFUSED)',
  )
})

test.each([
  ['plain http to another machine', 'http://relay.example.org', 'token', /must be https/],
  ['no URL', 'relay', 'token', /must be https/],
])('with %s nothing is sent', (_, url, token, expected) => {
  expect(() => openApi(url, token)).toThrow(expected)
})

test('containments, one with its evidence, and relying parties are asked for by their names', async () => {
  const one = {
    id: 'txn/1',
    trigger: 't',
    event_at_ms: 1,
    received_at_ms: 2,
    deliveries: 3,
    open: 1,
    parts: 1,
    arrived: 1,
    dismissed: 0,
    unreachable: 0,
  }
  const evidence = [{ at_ms: 1, kind: 'received', data: { part: 1 } }]
  const uri = 'https://orders.example.org'
  const paused = { by: 'olivia-1', since_ms: 1, reason: 'being moved' }
  const party = {
    client_id: 'orders',
    backchannel_logout_uri: uri,
    enabled: true,
    source: 'file',
    outvoted: [],
    paused,
  }
  const { url, seen } = await relayThatAnswers(
    [200, { containments: [one] }],
    [200, { ...one, evidence, next: 1 }],
    [200, { ...one, evidence }],
    [200, { relying_parties: [party] }],
  )
  const api = openApi(url, 'token')
  expect(await api.containments(7)).toEqual([one])
  expect(await Array.fromAsync(api.evidence('txn/1'))).toEqual([...evidence, ...evidence])
  expect(await api.relyingParties()).toEqual([party])
  expect(seen.map((request) => request.url)).toEqual([
    '/api/v1/containments?limit=7',
    '/api/v1/containments/txn%2F1?from=0',
    '/api/v1/containments/txn%2F1?from=1',
    '/api/v1/relying-parties',
  ])
})
