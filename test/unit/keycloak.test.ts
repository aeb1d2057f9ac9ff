import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Delivery } from '../../relay/domain/model.ts'
import { judgesOf } from '../../relay/idp/keycloak/check/realm.ts'
import { Keycloak } from '../../relay/idp/keycloak/keycloak.ts'
import { pushRoute } from '../../relay/ingest/push.ts'
import { verifySet } from '../../relay/ingest/set.ts'
import { systemClock } from '../../relay/run/open.ts'
import { NOW_MS } from './given.ts'
import { realm, setClaims } from './signed.ts'

/** A realm that answers so whatever it is asked: a stand-in, since a real one does not lie. */
async function realmThatSays(anything: object, status = 200): Promise<string> {
  const server: Server = createServer((question, response) => {
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/lying`
    const answer = question.url?.includes('.well-known')
      ? { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }
      : question.url?.endsWith('/token')
        ? { access_token: 'a-token', token_type: 'Bearer', expires_in: 300 }
        : anything
    response
      .writeHead(answer === anything ? status : 200, { 'Content-Type': 'application/json' })
      .end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/lying`
}

/** A realm that has a new key as soon as it is asked to, like one whose administrator answers an incident. */
async function rotatingRealm() {
  const [old, next] = [await realm(), await realm()]
  let keys = [{ ...old.jwks.keys[0], kid: 'old' }]
  const server: Server = createServer((question, response) => {
    const { port } = server.address() as AddressInfo
    const issuer = `http://127.0.0.1:${port}/realms/demo`
    const answer = question.url?.includes('.well-known')
      ? { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }
      : { keys }
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
  const claims = { ...setClaims(1, ['orders'], issuer), iat: Math.floor(Date.now() / 1000) }
  return {
    issuer,
    oldSet: await old.sign(claims, { kid: 'old' }),
    newSet: await next.sign(claims, { kid: 'new' }),
    rotate: () => (keys = [{ ...next.jwks.keys[0], kid: 'new' }, ...keys]),
  }
}

test('an event signed with a key that was changed a moment ago is pushed, waited for, and taken', async () => {
  const { issuer, oldSet, newSet, rotate } = await rotatingRealm()
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  const verify = (set: string) => verifySet(set, () => keycloak.keys(), 'logout-relay', Date.now())
  // The keys have just been fetched, so that they may not be fetched again yet.
  await verify(oldSet)
  rotate()
  await expect(verify(newSet)).rejects.toMatchObject({ code: 'key_unknown' })
  const app = pushRoute({
    verify,
    receive: () => Promise.resolve('accepted'),
    refused: () => undefined,
    clock: systemClock,
  })
  const headers = { 'content-type': 'application/secevent+jwt' }
  const began = performance.now()
  expect((await app.request('/events', { method: 'POST', headers, body: newSet })).status).toBe(202)
  // Keycloak waits for five seconds.
  expect(performance.now() - began).toBeLessThan(4500)
})

test.each([
  [
    'asks for them by client',
    [200, { tokens: { 'sid+sub': 'a', sid: 'b' } }],
    {
      tokens: new Map([
        ['sid+sub', 'a'],
        ['sid', 'b'],
      ]),
    },
  ],
  ['is told why there are none', [200, { tokens: {}, refused: 'no_key' }], { tokens: new Map(), refusal: 'no_key' }],
  ['has none of an older extension', [404, {}], { tokens: new Map() }],
] as const)('of genuine tokens for nobody the relay %s', async (_, [status, body], made) => {
  const asked: string[] = []
  const server: Server = createServer((question, response) => {
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
    const path = question.url ?? ''
    const metadata = { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }
    const grant = { access_token: 'a-token', token_type: 'Bearer', expires_in: 300 }
    const [code, answer] = path.includes('.well-known')
      ? [200, metadata]
      : path.endsWith('/token')
        ? [200, grant]
        : [status, body]
    question.on('data', (part: Buffer) => asked.push(`${path} ${String(part)}`))
    question.on('end', () =>
      response.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer)),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  expect(await keycloak.genuine('orders')).toEqual(made)
  expect(asked.at(-1)).toBe('/realms/demo/logout-relay/logout-tokens/probe {"client_id":"orders"}')
})

test.each<[string, string, RegExp]>([
  ['that is not there', 'none', /has no metadata there: is the realm there and enabled/],
  [
    'that has another name',
    'other',
    /calls itself something else: write that in issuers\.issuer, or set Keycloak’s --hostname/,
  ],
  ['that is a page', 'page', /has no metadata there: is it Keycloak that answers/],
  ['that takes another secret', 'ok', /gives the relay no token \(401 unauthorized_client\).*is this its secret\?$/],
])('of a realm %s the start says what to mend, not that it cannot be reached', async (_, name, says) => {
  const server: Server = createServer((question, response) => {
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/ok`
    const path = question.url ?? ''
    const answer = (status: number, body: object) =>
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
    if (path.startsWith('/realms/page')) {
      response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>')
    } else if (path.startsWith('/realms/none')) {
      answer(404, { error: 'Realm does not exist' })
    } else if (path.endsWith('/token')) {
      answer(401, { error: 'unauthorized_client', error_description: 'canary-text of the other side' })
    } else {
      answer(200, { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/${name}`
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  const failure = await keycloak.connect().catch((cause: unknown) => cause)
  expect(failure).toMatchObject({ code: 'idp_unavailable', message: expect.stringMatching(says) as string })
  expect((failure as Error).message).not.toMatch(/cannot be reached|canary/)
})

test('a realm that is away cannot be reached', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
  await new Promise((resolve) => server.close(resolve))
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  await expect(keycloak.connect()).rejects.toThrow(/cannot be reached \(ECONNREFUSED\)/)
})

test('a realm has no word on ends that it was not told: those of another realm stay unreported', async () => {
  const issuer = await realmThatSays({
    recorded: ['told.0', 'another-realms.0'],
    refused: { 'another-realms.1': 'unknown' },
  })
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  const delivery = { id: 'told.0', state: 'delivered', createdMs: NOW_MS, endedMs: NOW_MS } as Delivery
  expect(await keycloak.report([delivery])).toEqual(['told.0'])
})

test.each<[string, number, string]>([
  ['will never take is refused', 400, 'invalid_request'],
  ['cannot take now waits', 503, 'idp_unavailable'],
  ['may not be told yet waits', 403, 'idp_unavailable'],
  ['does not know how to take waits', 404, 'idp_unavailable'],
])('a word of an upstream that the realm %s', async (_, status, code) => {
  const issuer = await realmThatSays({}, status)
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  const word = { issuer: 'https://login.example.com', subjects: [{ sub: '\u001c' }], type: 't', id: 'i', txn: 't' }
  await expect(keycloak.hear(word)).rejects.toMatchObject({ code })
})

test('a logout token is passed on unread, with what the realm says of it, since it may be encrypted', async () => {
  const minted = { tokens: { 'told.0': 'a.b.c.d.e' }, names: { 'told.0': 'sid' }, refused: {} }
  const [told, silent] = [await realmThatSays(minted), await realmThatSays({ ...minted, names: undefined })]
  const mint = (issuer: string) =>
    new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true }).mint([
      { id: 'told.0' } as Delivery,
    ])
  expect(await mint(told)).toEqual({
    tokens: new Map([['told.0', 'a.b.c.d.e']]),
    names: new Map([['told.0', 'sid']]),
    refused: new Map(),
  })
  expect((await mint(silent)).names).toEqual(new Map())
})

test('a realm whose access tokens are opaque has no complaint about its signatures, since there is none to look at', async () => {
  const issuer = await realmThatSays({})
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  expect(await keycloak.signatureComplaint()).toBeUndefined()
})

test('a role that is given counts within seconds, not only when the token from before has ended', async () => {
  let tokens = 0
  const server: Server = createServer((question, response) => {
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/main`
    response.setHeader('Content-Type', 'application/json')
    if (question.url?.includes('.well-known') === true) {
      response.end(JSON.stringify({ issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }))
    } else if (question.url?.endsWith('/token') === true) {
      response.end(JSON.stringify({ access_token: `token-${++tokens}`, token_type: 'Bearer', expires_in: 300 }))
    } else {
      // The role was given after the first token was made.
      const may = question.headers.authorization !== 'Bearer token-1'
      response.writeHead(may ? 200 : 403).end(JSON.stringify(may ? { sets: {} } : {}))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/main`
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true })
  onTestFinished(() => keycloak.close())
  const poll = () =>
    keycloak.poll(1, [], {}).then(
      () => 'taken',
      () => 'refused',
    )
  let now = 1000
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  expect([await poll(), await poll(), tokens]).toEqual(['refused', 'refused', 1])
  now += 10_001
  expect([await poll(), await poll(), tokens]).toEqual(['refused', 'taken', 2])
})

test('what the realm says of itself is judged as it says it: a directory that fails, a logout that waits', async () => {
  const issuer = await realmThatSays({
    relying_parties: [],
    realm: {
      ...{ listener: true, push: true, audience: 'logout-relay', keycloak: '26.7.3', policy: {} },
      outbox: { waiting: 0, refused: 0 },
      directories: [
        {
          ...{ id: '0d1c', name: 'ad', provider: 'ldap', state: 'watched', users: 1, without_clock: 0, held: 0 },
          ...{ looked_ms: NOW_MS, failing_since_ms: NOW_MS, failure: 'CommunicationException' },
        },
      ],
      upstreams: [{ id: '9b1c', issuer: 'https://login.example.com', held: 7 }],
      realm_logouts: [{ id: '5f0c', at_ms: NOW_MS, state: 'held' }],
    },
  })
  const judges = judgesOf({ issuer, identifier: 'logout-relay' }, () => NOW_MS)
  const keycloak = new Keycloak({ issuer, clientId: 'logout-relay', clientSecret: 'secret', allowHttp: true, judges })
  const { findings } = await keycloak.look()
  expect(findings.filter(({ ok }) => !ok).map(({ check, says }) => `${check}: ${says}`)).toEqual([
    expect.stringMatching(/^upstream words: 7 of .*held confirm 9b1c/),
    expect.stringMatching(/^realm logout: of \d{4}-.* ends no session .*held confirm 5f0c/),
    expect.stringMatching(/^directory: ad cannot be looked at since/),
  ])
})

describe('a relay whose client has just been changed', () => {
  const COME_AGAIN = { error: 'temporarily_unavailable' }

  /** A realm that gives a token after so many refusals; what it was asked, and for how long the relay waited. */
  async function realmPuttingOff(times: number, headers: Record<string, string> = {}, refusal: object = COME_AGAIN) {
    let asked = 0
    const waited: number[] = []
    const server: Server = createServer((question, response) => {
      const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
      const isToken = question.url?.endsWith('/token') === true
      const [status, answer] = question.url?.includes('.well-known')
        ? [200, { issuer, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/certs` }]
        : isToken && asked++ < times
          ? [503, refusal]
          : [200, isToken ? { access_token: 'a-token', token_type: 'Bearer', expires_in: 300 } : { sets: {} }]
      response
        .writeHead(status, { 'Content-Type': 'application/json', ...(status === 503 ? headers : {}) })
        .end(JSON.stringify(answer))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realms/demo`
    const sleep = (ms: number) => Promise.resolve(waited.push(ms))
    const keycloak = new Keycloak({ issuer, clientId: 'c', clientSecret: 's', allowHttp: true, sleep })
    onTestFinished(async () => {
      await keycloak.close()
      server.closeAllConnections()
      server.close()
    })
    return { keycloak, issuer, waited, asked: () => asked }
  }

  test.each<[string, Record<string, string>, number]>([
    ['a second, where it is not said', {}, 1000],
    ['as long as is said', { 'retry-after': '2' }, 2000],
    ['never longer than 5 seconds', { 'retry-after': '3600' }, 5000],
    ['a second, where a date is said', { 'retry-after': 'Mon, 30 Nov 2026 08:00:00 GMT' }, 1000],
  ])('has its token with the same request, after %s', async (_, headers, waitMs) => {
    const { keycloak, waited, asked } = await realmPuttingOff(1, headers)
    expect(await keycloak.poll(1, [], {})).toEqual({ sets: {} })
    expect([asked(), waited]).toEqual([2, [waitMs]])
  })

  test('and that is put off for good gives up, and says what it was told', async () => {
    const { keycloak, issuer, waited, asked } = await realmPuttingOff(99)
    await expect(keycloak.poll(1, [], {})).rejects.toMatchObject({
      code: 'idp_unavailable',
      message: `${issuer} gives the client no token now (503): try again, and see Keycloak’s log`,
    })
    expect([asked(), waited]).toEqual([3, [1000, 1000]])
  })

  test('is told nothing of coming again by a realm that fails otherwise, and asks once', async () => {
    const { keycloak, waited, asked } = await realmPuttingOff(99, {}, { error: 'unknown_error' })
    await expect(keycloak.poll(1, [], {})).rejects.toThrow(/gives the client no token now \(503\)/)
    expect([asked(), waited]).toEqual([1, []])
  })
})
