import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { UnsecuredJWT } from 'jose'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { judge } from '../../relay/delivery/global-token-revocation/judge.ts'
import { named, openKinds } from '../../relay/delivery/kinds.ts'
import type { Post, TokenMaker, WayTo } from '../../relay/delivery/port.ts'
import { openPost } from '../../relay/delivery/post.ts'
import type { Delivery, FailureCode, LanePolicy } from '../../relay/domain/model.ts'
import { plan } from '../../relay/domain/plan.ts'
import { isProvider, partiesIn, providerName, REVOCATION } from '../../relay/domain/provider.ts'
import { watermarksOf } from '../../relay/domain/watermark.ts'
import { RelyingParties } from '../../relay/registry/registry.ts'
import { ISSUER, NOW_MS, securityEvent, session, uuid } from './given.ts'

const STAFF = 'https://login.example.com/realms/staff'
const NAME = providerName(STAFF)
const ENDPOINT = 'https://relay.example.com/global-token-revocation'
const LANE: LanePolicy = { http: 'loopback', allowAddresses: ['127.0.0.0/8'], timeoutMs: 4000, concurrency: 4 }
const WAY: WayTo = () => ({ audience: ENDPOINT, subject: 'iss_sub' })

const token = (sub_id: unknown = { format: 'iss_sub', iss: STAFF, sub: 'of-anna' }) =>
  new UnsecuredJWT({ sub_id, txn: 'first' }).setIssuer(ISSUER).setAudience(ENDPOINT).encode()

function delivery(n = 1, clientId = NAME): Delivery {
  return {
    ...{ id: `${uuid(n)}.0`, containmentId: 'first', issuer: ISSUER, clientId, sid: 'first' },
    target: { kind: REVOCATION, uri: ENDPOINT },
    ...{ latestEndMs: NOW_MS, privileged: false, state: 'open', attempts: 0, dueMs: NOW_MS, createdMs: NOW_MS },
  }
}

const makerOf = (made: string, refused: ReadonlyMap<string, string> = new Map()) => {
  const mint = vi.fn<TokenMaker['mint']>((some) =>
    Promise.resolve({ tokens: new Map(some.map(({ id }) => [id, made])), refused }),
  )
  return { mint }
}

function opened(post: Post, wayTo: WayTo = WAY) {
  const ports = { nowMs: () => NOW_MS, sleep: () => Promise.resolve(), trouble: () => undefined }
  const deliverer = openKinds({ ...ports, post, wayTo }).get(REVOCATION)
  if (!deliverer) {
    throw new Error('There is no such kind')
  }
  return deliverer
}

/** An identity provider that answers so, and what it is asked. */
async function provider(status: number) {
  const asked: { headers: IncomingHttpHeaders; body: string }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      asked.push({ headers: request.headers, body })
      response.writeHead(status).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const way = openPost()
  onTestFinished(async () => {
    await way.close()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/global-token-revocation`
  return { asked, url, post: way.post }
}

/** One request, made and sent. */
async function tell(url: string, post: Post, wayTo: WayTo = WAY, policy = LANE) {
  const deliverer = opened(post, wayTo)
  const one = delivery()
  const { tokens } = await deliverer.mint(makerOf(token()), [one])
  return deliverer.send({ ...one.target, uri: url }, tokens.get(one.id) ?? '', policy)
}

describe('a request to an identity provider', () => {
  test('is as the draft has it: JSON with the subject that the realm names, proven by the realm’s own JWT', async () => {
    const { asked, url, post } = await provider(204)
    expect(await tell(url, post)).toEqual({ kind: 'response', status: 204 })
    expect(asked).toHaveLength(1)
    expect(asked[0]?.headers).toMatchObject({ 'content-type': 'application/json', authorization: `Bearer ${token()}` })
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual({ sub_id: { format: 'iss_sub', iss: STAFF, sub: 'of-anna' } })
  })

  test('names the user by the id alone, with the credential of relay.yaml and not the JWT, where that says so', async () => {
    const { asked, url, post } = await provider(204)
    await tell(url, post, () => ({ audience: ENDPOINT, subject: 'opaque', authorization: 'SSWS 00token' }))
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual({ sub_id: { format: 'opaque', id: 'of-anna' } })
    expect(asked[0]?.headers.authorization).toBe('SSWS 00token')
    expect(JSON.stringify(asked)).not.toContain(token().slice(0, 20))
  })

  test('is signed for the audience of each identity provider', async () => {
    const other = providerName('https://other.example.com')
    const wayTo: WayTo = (_, clientId) => ({
      audience: clientId === other ? 'https://other.example.com/revoke' : ENDPOINT,
      subject: 'iss_sub',
    })
    const maker = makerOf(token())
    const some = [delivery(1), delivery(2, other), delivery(3)]
    const { tokens } = await opened(vi.fn(), wayTo).mint(maker, some)
    expect(tokens.size).toBe(3)
    expect(maker.mint.mock.calls.map(([those, audience]) => [those.map(({ id }) => id), audience])).toEqual([
      [[`${uuid(1)}.0`, `${uuid(3)}.0`], ENDPOINT],
      [[`${uuid(2)}.0`], 'https://other.example.com/revoke'],
    ])
  })

  test.each<[string, string]>([
    ['no JWT', 'abc'],
    ['a JWT of nobody', token(null)],
    ['one whose subject is another’s form', token({ format: 'email', email: 'a@b.c' })],
  ])('is not made of %s', async (_, made) => {
    const { tokens, refused } = await opened(vi.fn()).mint(makerOf(made), [delivery()])
    expect([tokens.size, refused.size]).toEqual([0, 0])
  })

  test('is not made where the realm refuses, with its reason', async () => {
    const id = `${uuid(1)}.0`
    const maker = { mint: () => Promise.resolve({ tokens: new Map(), refused: new Map([[id, 'no_key']]) }) }
    expect((await opened(vi.fn()).mint(maker, [delivery()])).refused).toEqual(new Map([[id, 'no_key']]))
    expect(opened(vi.fn()).notMinted('no_key')).toMatchObject({ outcome: 'retry', reason: 'not_minted:no_key' })
  })

  test('goes to no address that is not allowed, and not in clear to another machine', async () => {
    const { asked, url, post } = await provider(204)
    const inside = { ...LANE, allowAddresses: [] }
    expect(await tell(url, post, WAY, inside)).toEqual({ kind: 'failure', code: 'address_not_allowed' })
    expect(await tell('http://login.example.com/', post)).toEqual({ kind: 'failure', code: 'http_not_allowed' })
    expect(await tell('https://169.254.169.254/', post, WAY, { ...LANE, allowAddresses: ['0.0.0.0/0'] })).toEqual({
      ...{ kind: 'failure', code: 'address_not_allowed' },
    })
    expect(asked).toEqual([])
  })
})

describe('the judgement of an identity provider’s answer', () => {
  test.each([200, 204])('%i says that it has taken it', (status) => {
    expect(judge({ kind: 'response', status })).toMatchObject({ outcome: 'delivered', reason: 'confirmed' })
  })

  test.each([
    [202, 'unexpected_status', false],
    [302, 'redirect', false],
    [400, 'rejected', true],
    [401, 'login_required', false],
    [403, 'forbidden', false],
    [404, 'not_found', true],
    [405, 'method_not_allowed', false],
    [408, 'timeout_there', false],
    [422, 'unprocessable', true],
    [429, 'throttled', false],
    [500, 'server_error', false],
    [503, 'unavailable', false],
  ])('%i is tried again as %s, less and less often: %s', (status, reason, slowly) => {
    const { outcome, reason: found, says, slowly: isSlow = false } = judge({ kind: 'response', status })
    expect([outcome, found, isSlow]).toEqual(['retry', reason, slowly])
    expect(says).toMatch(/\.$/)
    expect(says).not.toMatch(/relying party|logout/i)
  })

  test('that does not take the proof names all that may be wrong with it', () => {
    expect(judge({ kind: 'response', status: 401 }).says).toMatch(/keys.*audience.*clock.*authorization_file/)
  })

  test.each<FailureCode>([
    'timeout',
    'connection_refused',
    'http_not_allowed',
    'address_not_allowed',
    'bad_url',
    'tls',
  ])('no answer because of %s is tried again, and nobody is told of a logout URL', (code) => {
    const verdict = judge({ kind: 'failure', code })
    expect(verdict).toMatchObject({ outcome: 'retry', reason: code })
    expect(verdict.says).not.toMatch(/logout URL|relying party/)
  })
})

describe('the look at an identity provider', () => {
  const party = (uri: string) => ({ issuer: ISSUER, clientId: NAME, target: { kind: REVOCATION, uri }, enabled: true })

  test.each([
    [401, true, /refuses a request that nobody has signed/],
    [403, true, /refuses/],
    [204, false, /accepts anything/],
    [404, false, /answers 404/],
  ])('at one that answers %i to what nobody has signed', async (status, ok, says) => {
    const { asked, url, post } = await provider(status)
    const { finding } = await opened(post).probe(party(url), LANE)
    expect([finding.ok, finding.about]).toEqual([ok, NAME])
    expect(finding.says).toMatch(says)
    expect(JSON.parse(asked[0]?.body ?? '')).toMatchObject({ sub_id: { format: 'opaque' } })
  })
})

describe('an event that an identity provider is to be told of', () => {
  const told = named({ kind: REVOCATION, client_id: NAME, backchannel_logout_uri: 'https://evil.example.org/' }, ISSUER)
  const withProvider = () =>
    securityEvent(1, ['orders'], {
      sessions: [session(uuid(1), 0, 'orders'), session(uuid(1), 1, NAME, { sid: 'txn-1', named: told })],
    })
  const registry = (url = ENDPOINT) =>
    new RelyingParties({
      ...{ allowHttpOnLoopback: false, allowAddresses: [], timeoutMs: 1000, concurrency: 4, overrides: [] },
      told: [{ issuer: ISSUER, clientId: NAME, url, allowAddresses: ['10.0.0.0/8'] }],
    })

  test('never says itself where', () => {
    expect(told).toEqual({ kind: REVOCATION })
  })

  test('is told where relay.yaml says, with what that allows, and nowhere else', () => {
    const parties = registry()
    expect(parties.target(ISSUER, NAME, told, NOW_MS)).toEqual({ kind: REVOCATION, uri: ENDPOINT })
    expect(parties.lane(ISSUER, NAME)).toMatchObject({ http: 'never', allowAddresses: ['10.0.0.0/8'] })
    expect(parties.lane(ISSUER, 'orders').allowAddresses).toEqual([])
    expect(parties.target(ISSUER, providerName('https://other.example.com'), told, NOW_MS)).toBeUndefined()
  })

  test('is not sent to a client that has taken its name', () => {
    const parties = new RelyingParties({
      ...{ allowHttpOnLoopback: false, allowAddresses: [], timeoutMs: 1000, concurrency: 4, overrides: [] },
    })
    const target = { kind: 'backchannel', uri: 'https://evil.example.org/' }
    parties.replace(ISSUER, [{ issuer: ISSUER, clientId: NAME, target, enabled: true }], NOW_MS)
    expect(parties.target(ISSUER, NAME, told, NOW_MS - 1)).toBeUndefined()
  })

  test('is told although a client has its name, in any way, and that client has none of what it is allowed', () => {
    const evil = { kind: 'backchannel', uri: 'http://10.0.0.5/' }
    const parties = registry()
    parties.replace(ISSUER, [{ issuer: ISSUER, clientId: NAME, target: evil, enabled: true }], NOW_MS)
    parties.keep(ISSUER, NAME, { registered: { by: 'olivia', atMs: NOW_MS, logoutUri: evil.uri } })
    for (const sinceMs of [NOW_MS - 1, NOW_MS]) {
      expect(parties.target(ISSUER, NAME, told, sinceMs)).toEqual({ kind: REVOCATION, uri: ENDPOINT })
      expect(parties.target(ISSUER, NAME, evil, sinceMs)).toBeUndefined()
    }
    expect(parties.list(ISSUER)).toMatchObject([{ clientId: NAME, target: { kind: REVOCATION }, outvoted: [] }])
    expect(parties.find(ISSUER, NAME)?.target.uri).toBe(ENDPOINT)
  })

  test('is not told under the name of a client', () => {
    const parties = registry()
    const target = { kind: 'backchannel', uri: 'https://orders.example.org/logout' }
    parties.replace(ISSUER, [{ issuer: ISSUER, clientId: 'orders', target, enabled: true }], NOW_MS)
    expect(parties.target(ISSUER, 'orders', told, NOW_MS - 1)).toBeUndefined()
  })

  test('goes where relay.yaml says today, wherever it waited, and also before the first look at the realm', () => {
    const before = { kind: REVOCATION, uri: 'https://gone.example.com/' }
    expect(registry().target(ISSUER, NAME, before, NOW_MS)?.uri).toBe(ENDPOINT)
    const none = new RelyingParties({
      ...{ allowHttpOnLoopback: false, allowAddresses: [], timeoutMs: 1000, concurrency: 4, overrides: [] },
    })
    expect(none.target(ISSUER, NAME, before, NOW_MS)).toBeUndefined()
  })

  test('counts a client that has taken the name as the client that it is, and tells guards of its session', () => {
    const event = securityEvent(1, [NAME])
    const received = plan(event, NOW_MS).evidence.find(({ kind }) => kind === 'received')
    expect(received?.data).toMatchObject({ sessions: 1 })
    expect(watermarksOf(event).map(({ name }) => name)).toContain(event.sessions[0]?.sid)
  })

  test('owes it a delivery, counts it as no session, and tells guards nothing of it', () => {
    const event = withProvider()
    const planned = plan(event, NOW_MS, ({ clientId, named: by }) => registry().target(ISSUER, clientId, by, NOW_MS))
    expect(planned.deliveries.map(({ clientId, sid }) => [clientId, sid])).toEqual([
      ['orders', `sid-${uuid(1)}-0`],
      [NAME, 'txn-1'],
    ])
    expect(planned.evidence.find(({ kind }) => kind === 'received')?.data).toMatchObject({ sessions: 1 })
    expect(watermarksOf(event).map(({ name }) => name)).not.toContain('txn-1')
  })

  test('says in its evidence that relay.yaml does not say where', () => {
    const planned = plan(withProvider(), NOW_MS)
    expect(planned.unreachable.map(({ clientId }) => clientId)).toEqual([NAME])
    expect(planned.evidence.find(({ kind }) => kind === 'no_logout_uri')?.data).toMatchObject({ client_id: NAME })
  })
})

test('those who are told are counted by what they are', () => {
  expect([isProvider(NAME), isProvider('orders')]).toEqual([true, false])
  expect(partiesIn([])).toBe('0 relying parties')
  expect(partiesIn(['orders'])).toBe('1 relying party')
  expect(partiesIn([NAME])).toBe('1 identity provider')
  expect(partiesIn(['orders', NAME, 'wiki'])).toBe('2 relying parties and 1 identity provider')
})
