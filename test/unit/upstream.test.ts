import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { errors } from 'jose'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { parseConfig } from '../../relay/config/config.ts'
import { openPost } from '../../relay/delivery/post.ts'
import type { UpstreamOutcome, UpstreamWord } from '../../relay/domain/model.ts'
import { RelayError } from '../../relay/errors.ts'
import { keysOfUpstream } from '../../relay/upstream/keys.ts'
import { type RevocationPorts, revocationRoute } from '../../relay/upstream/revocation.ts'
import { inTurn } from '../../relay/upstream/turn.ts'
import type { Upstream } from '../../relay/upstream/upstream.ts'
import { verifyJwt } from '../../guard/jwt.ts'
import { settle } from './fake-clock.ts'
import { temporaryFolder } from './given.ts'
import { type Realm, realm } from './signed.ts'

const OKTA = 'https://example.okta.com'
const ENDPOINT = 'https://logout-relay.example.org/global-token-revocation'
const NOBODY: UpstreamOutcome = { contained: 0, held: 0, known: 0 }

let okta: Realm
let stranger: Realm
beforeAll(async () => {
  okta = await realm(OKTA)
  stranger = await realm('https://evil.example.org')
})

const nowSeconds = () => Math.floor(Date.now() / 1000)

/** As Okta's documentation of Universal Logout has it. */
const claims = (more: object = {}) => ({
  jti: '5b2a',
  iss: OKTA,
  sub: OKTA,
  aud: ENDPOINT,
  iat: nowSeconds(),
  nbf: nowSeconds() - 300,
  exp: nowSeconds() + 300,
  ...more,
})
const HEADER = { typ: 'global-token-revocation+jwt' }
const BODY = { sub_id: { format: 'iss_sub', iss: OKTA, sub: '00u1dnq5S0CfjlkpABCD' } }

function relay(more: Partial<Upstream> = {}, others: readonly Partial<Upstream>[] = []) {
  const heard: UpstreamWord[] = []
  const counted = vi.fn<RevocationPorts['heard']>()
  const refused = vi.fn<RevocationPorts['refused']>()
  const upstream: Upstream = {
    ...{ name: 'okta', issuer: OKTA, linkIssuer: OKTA, audience: ENDPOINT, revokes: true },
    keys: () => Promise.resolve(okta.keys),
    hear: (word) => {
      heard.push(word)
      return Promise.resolve({ ...NOBODY, contained: 1 })
    },
    ...more,
  }
  const app = revocationRoute({
    upstreams: [upstream, ...others.map((other) => ({ ...upstream, ...other }))],
    heard: counted,
    refused,
  })
  const ask = async (token: string | Promise<string> | undefined, body: unknown = BODY) => {
    const given = await token
    return app.request('/global-token-revocation', {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(given ? { authorization: `Bearer ${given}` } : {}) },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  }
  return { heard, counted, refused, ask }
}

describe('Global Token Revocation', () => {
  test('of a user is told to the realm as its identity provider knows the user, and then answered with 204', async () => {
    const { ask, heard, counted } = relay({ linkIssuer: `${OKTA}/oauth2/default` })
    const answer = await ask(okta.sign(claims(), HEADER))
    expect([answer.status, await answer.text(), answer.headers.get('cache-control')]).toEqual([204, '', 'no-store'])
    expect(heard).toEqual([
      {
        issuer: `${OKTA}/oauth2/default`,
        subjects: [{ sub: '00u1dnq5S0CfjlkpABCD' }],
        type: 'global-token-revocation',
        id: 'okta global-token-revocation 5b2a',
        txn: '5b2a',
      },
    ])
    expect(counted.mock.calls).toEqual([['okta', 'contained']])
  })

  test.each<[string, UpstreamOutcome]>([
    ['contained', { ...NOBODY, contained: 1 }],
    ['held', { ...NOBODY, held: 1 }],
    ['known', { ...NOBODY, known: 1 }],
    ['nobody', NOBODY],
  ])('is answered alike where it is %s', async (outcome, done) => {
    const { ask, counted } = relay({ hear: () => Promise.resolve(done) })
    const answer = await ask(okta.sign(claims(), HEADER))
    const { date: _, ...headers } = Object.fromEntries(answer.headers)
    expect([answer.status, await answer.text(), headers]).toEqual([204, '', { 'cache-control': 'no-store' }])
    expect(counted.mock.calls).toEqual([['okta', outcome]])
  })

  test('reaches the one of two realms that knows the sender by the name in it', async () => {
    const other = `${OKTA}/oauth2/default`
    const { ask, counted } = relay({}, [{ name: 'okta-staff', linkIssuer: other }])
    const of = async (iss: string) =>
      (await ask(okta.sign(claims(), HEADER), { sub_id: { ...BODY.sub_id, iss } })).status
    expect(await of(other)).toBe(204)
    expect(counted.mock.calls.map(([name]) => name)).toEqual(['okta-staff'])
    expect(await of('https://accounts.google.com')).toBe(400)
  })

  test('that is made again for the same event, as its txn has it, is another word: an attacker may have come back', async () => {
    const { ask, heard } = relay()
    await ask(okta.sign(claims({ jti: 'one', txn: 'INC-4711' }), HEADER))
    await ask(okta.sign(claims({ jti: 'two', txn: 'INC-4711' }), HEADER))
    const again = await okta.sign(claims({ jti: 'three', txn: 'INC-4711' }), HEADER)
    await ask(again)
    await ask(again)
    expect(heard.map(({ txn }) => txn)).toEqual(['INC-4711', 'INC-4711', 'INC-4711', 'INC-4711'])
    const ids = heard.map(({ id }) => id)
    expect([new Set(ids).size, ids[3]]).toEqual([3, ids[2]])
  })

  test('of a sender whose clock is behind is dated by the clock here, or logins before the event would live on', async () => {
    const { ask, heard } = relay()
    const iat = nowSeconds() - 90
    const beforeMs = Date.now()
    expect((await ask(okta.sign(claims({ iat, toe: iat - 1 }), HEADER))).status).toBe(204)
    expect(heard[0]?.atMs).toBeGreaterThanOrEqual(beforeMs - 1000)
    expect(heard[0]?.atMs).toBeLessThanOrEqual(Date.now() - 1000)
  })

  test('of a sender whose clock is ahead is dated no earlier than it says', async () => {
    const { ask, heard } = relay()
    const iat = nowSeconds() + 30
    expect((await ask(okta.sign(claims({ iat, toe: iat - 1 }), HEADER))).status).toBe(204)
    expect(heard[0]?.atMs).toBe((iat - 1) * 1000)
  })

  test('names a user by an address, too', async () => {
    const { ask, heard } = relay()
    expect((await ask(okta.sign(claims(), HEADER), { sub_id: { format: 'email', email: 'a@b.c' } })).status).toBe(204)
    expect(heard[0]?.subjects).toEqual([{ email: 'a@b.c' }])
  })

  test('reaches each realm that the upstream is configured for', async () => {
    const { ask, counted } = relay({}, [{ name: 'okta-staff' }, { name: 'silent', revokes: false }])
    expect((await ask(okta.sign(claims(), HEADER))).status).toBe(204)
    expect(counted.mock.calls.map(([name]) => name)).toEqual(['okta', 'okta-staff'])
  })

  test.each<[string, () => string | Promise<string> | undefined]>([
    ['nothing', () => undefined],
    ['no JWT', () => 'abc'],
    ['two parts', () => 'e30.e30'],
    ['the signature of a stranger', () => stranger.sign(claims(), HEADER)],
    ['the key of another issuer', () => stranger.sign(claims(), { ...HEADER, kid: `key of ${OKTA}` })],
    ['another issuer', () => okta.sign(claims({ iss: 'https://evil.example.org' }), HEADER)],
    ['its issuer with a slash', () => okta.sign(claims({ iss: `${OKTA}/` }), HEADER)],
    ['another audience', () => okta.sign(claims({ aud: 'https://elsewhere.example.org/' }), HEADER)],
    ['no audience', () => okta.sign(claims({ aud: undefined }), HEADER)],
    ['the type of another token', () => okta.sign(claims(), { typ: 'JWT' })],
    ['no type', () => okta.sign(claims(), { typ: undefined as unknown as string })],
    ['a time that is past', () => okta.sign(claims({ exp: nowSeconds() - 120 }), HEADER)],
    ['no end', () => okta.sign(claims({ exp: undefined }), HEADER)],
    [
      'one that was made long ago',
      () => okta.sign(claims({ iat: nowSeconds() - 7200, exp: nowSeconds() + 300 }), HEADER),
    ],
    ['no jti', () => okta.sign(claims({ jti: undefined }), HEADER)],
    ['a jti without end', () => okta.sign(claims({ jti: 'x'.repeat(10_000) }), HEADER)],
    ['a jti that is a number', () => okta.sign(claims({ jti: 7 }), HEADER)],
    [
      'no signature',
      () =>
        `${Buffer.from(JSON.stringify({ ...HEADER, alg: 'none' })).toString('base64url')}.${Buffer.from(JSON.stringify(claims())).toString('base64url')}.`,
    ],
  ])('with %s is refused with 401, and ends nothing', async (_, token) => {
    const { ask, heard, refused } = relay()
    const answer = await ask(token())
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"'])
    expect(heard).toEqual([])
    expect(refused.mock.calls.map(([code]) => code)).toEqual(['authentication_failed'])
    expect(await answer.text()).not.toContain('eyJ')
  })

  test('of an upstream that may not ask for it is refused', async () => {
    const { ask, heard } = relay({ revokes: false })
    expect((await ask(okta.sign(claims(), HEADER))).status).toBe(401)
    expect(heard).toEqual([])
  })

  test.each<[string, unknown]>([
    ['nothing', ''],
    ['no JSON', '{'],
    ['no sub_id', {}],
    ['a list', []],
    ['a format that is not known', { sub_id: { format: 'phone_number', phone_number: '+1' } }],
    ['an opaque one', { sub_id: { format: 'opaque', id: '1' } }],
    ['no sub', { sub_id: { format: 'iss_sub', iss: OKTA } }],
    ['a sub without end', { sub_id: { format: 'iss_sub', iss: OKTA, sub: 'x'.repeat(1000) } }],
    ['the user of another issuer', { sub_id: { format: 'iss_sub', iss: 'https://accounts.google.com', sub: '1' } }],
    ['nesting without end', `{"sub_id":${'['.repeat(20_000)}`],
  ])('with %s in its body is refused with 400, and ends nothing', async (_, body) => {
    const { ask, heard } = relay()
    const answer = await ask(okta.sign(claims(), HEADER), body)
    expect(answer.status).toBe(400)
    expect(heard).toEqual([])
  })

  test('with a body that is larger than 64 KiB is refused with 413', async () => {
    const { ask, heard } = relay()
    expect((await ask(okta.sign(claims(), HEADER), `{"x":"${'x'.repeat(65_536)}"}`)).status).toBe(413)
    expect(heard).toEqual([])
  })

  test.each<[string, Partial<Upstream>]>([
    ['the realm does not answer', { hear: () => Promise.reject(new RelayError('idp_unavailable', 'down')) }],
    ['the keys cannot be had', { keys: () => Promise.reject(new RelayError('idp_unavailable', 'down')) }],
    ['the keys do not come in time', { keys: () => Promise.resolve(() => Promise.reject(new errors.JWKSTimeout())) }],
    ['the keys are none', { keys: () => Promise.resolve(() => Promise.reject(new errors.JWKSInvalid())) }],
    ['something else breaks', { hear: () => Promise.reject(new Error('secret word')) }],
  ])('is not answered as done while %s: 503, to be sent again', async (_, more) => {
    const { ask, counted } = relay(more)
    const answer = await ask(okta.sign(claims(), HEADER))
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await answer.text()).not.toContain('secret word')
    expect(counted).not.toHaveBeenCalled()
  })
})

describe('a request of a realm behind', () => {
  const STAFF = 'https://idp.example.org/realms/staff'
  const MAIN = 'https://idp.example.org/realms/main'
  const sub_id = { format: 'iss_sub', iss: STAFF, sub: 'user-1' }
  const toe = () => nowSeconds() - 60
  /** As the extension makes them. */
  const behind = (more: object = {}) =>
    claims({ iss: MAIN, sub: undefined, jti: 'fresh', txn: 'first', toe: toe(), sub_id, ...more })
  let main: Realm
  beforeAll(async () => {
    main = await realm(MAIN)
  })
  const known = () =>
    relay({
      ...{ name: 'main', issuer: MAIN, linkIssuer: MAIN, keys: () => Promise.resolve(main.keys) },
      behind: { client: 'main', realms: [STAFF, 'https://old.example.org/realms/staff'] },
    })

  test('is of users of the realm that it takes its logins from, by its client, as of when it happened there', async () => {
    const { ask, heard } = known()
    const iat = nowSeconds()
    expect((await ask(main.sign(behind({ iat, toe: iat - 60 }), HEADER), { sub_id })).status).toBe(204)
    expect(heard).toEqual([
      {
        ...{ issuer: MAIN, client: 'main', subjects: [{ sub: 'user-1' }], type: 'global-token-revocation' },
        ...{ atMs: expect.any(Number) as number, id: `main global-token-revocation first ${iat - 60}`, txn: 'first' },
      },
    ])
    expect(heard[0]?.atMs).toBeGreaterThanOrEqual((iat - 60) * 1000)
  })

  test('that is sent again until it is answered is the same word, with another jti and at another time', async () => {
    const { ask, heard } = known()
    const at = { toe: toe() }
    await ask(main.sign(behind({ ...at, jti: 'one', iat: nowSeconds() - 50 }), HEADER), { sub_id })
    await ask(main.sign(behind({ ...at, jti: 'two' }), HEADER), { sub_id })
    expect(heard).toHaveLength(2)
    expect(new Set(heard.map(({ id }) => id)).size).toBe(1)
  })

  test('of a later time under the same txn is another word', async () => {
    const { ask, heard } = known()
    await ask(main.sign(behind({ toe: nowSeconds() - 60 }), HEADER), { sub_id })
    await ask(main.sign(behind({ toe: nowSeconds() - 20 }), HEADER), { sub_id })
    expect(new Set(heard.map(({ id }) => id)).size).toBe(2)
  })

  test('may have the name that the realm had when the link was made', async () => {
    const old = { ...sub_id, iss: 'https://old.example.org/realms/staff' }
    const { ask, heard } = known()
    expect((await ask(main.sign(behind({ sub_id: old }), HEADER), { sub_id: old })).status).toBe(204)
    expect(heard).toHaveLength(1)
  })

  test.each<[string, object, object?]>([
    ['its own users', { ...sub_id, iss: MAIN }, { sub_id: { ...sub_id, iss: MAIN } }],
    ['users of a third', { ...sub_id, iss: OKTA }, { sub_id: { ...sub_id, iss: OKTA } }],
    ['an address', { format: 'email', email: 'a@b.c' }, { sub_id: undefined }],
    ['another than the JWT is of', { ...sub_id, sub: 'user-2' }],
  ])('that names %s is refused with 400, and ends nothing', async (_, named, more = {}) => {
    const { ask, heard } = known()
    expect((await ask(main.sign(behind(more), HEADER), { sub_id: named })).status).toBe(400)
    expect(heard).toEqual([])
  })

  test.each<[string, unknown]>([
    ['is yet to come', () => nowSeconds() + 3600],
    ['is long past', () => nowSeconds() - 40 * 86_400],
    ['is none', () => 'yesterday'],
  ])('whose time %s is one of now', async (_, at) => {
    const { ask, heard } = known()
    expect((await ask(main.sign(behind({ toe: (at as () => unknown)() }), HEADER), { sub_id })).status).toBe(204)
    expect(heard[0]).not.toHaveProperty('atMs')
  })

  test.each<[string, object]>([
    ['a txn without end', { txn: 'x'.repeat(1000) }],
    ['a subject that is none', { sub_id: 'user-1' }],
  ])('with %s in its JWT is refused with 401', async (_, more) => {
    const { ask, heard } = known()
    expect((await ask(main.sign(behind(more), HEADER), { sub_id })).status).toBe(401)
    expect(heard).toEqual([])
  })
})

describe('the words of an upstream', () => {
  const word = (id: string): UpstreamWord => ({ issuer: OKTA, subjects: [{ sub: id }], type: 't', id, txn: id })

  test('come to the realm one after the other, also after one that it did not take', async () => {
    const begun: { id: string; end: PromiseWithResolvers<UpstreamOutcome> }[] = []
    const hear = inTurn(({ id }) => {
      const end = Promise.withResolvers<UpstreamOutcome>()
      begun.push({ id, end })
      return end.promise
    })
    const answers = Promise.allSettled(['one', 'two', 'three'].map((id) => hear(word(id))))
    await settle()
    expect(begun.map(({ id }) => id)).toEqual(['one'])
    begun[0]?.end.reject(new RelayError('idp_unavailable', 'down'))
    await settle()
    expect(begun.map(({ id }) => id)).toEqual(['one', 'two'])
    begun[1]?.end.resolve(NOBODY)
    await settle()
    begun[2]?.end.resolve(NOBODY)
    expect((await answers).map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
  })

  test('that are more than can wait are sent back, to be sent again', async () => {
    const first = Promise.withResolvers<UpstreamOutcome>()
    const hear = inTurn(() => first.promise, 2)
    const waiting = ['one', 'two'].map((id) => hear(word(id)))
    await expect(hear(word('three'))).rejects.toMatchObject({ code: 'idp_unavailable' })
    first.resolve(NOBODY)
    await Promise.all(waiting)
    await expect(hear(word('three'))).resolves.toEqual(NOBODY)
  })
})

describe('the keys of an upstream', () => {
  async function server(answer: RequestListener) {
    const asked: string[] = []
    const http = createServer((request, response) => {
      asked.push(request.url ?? '')
      answer(request, response)
    }).listen(0, '127.0.0.1')
    await once(http, 'listening')
    onTestFinished(() => {
      http.closeAllConnections()
      http.close()
    })
    return { asked, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
  }
  const HERE = { http: 'loopback', allowAddresses: ['127.0.0.0/8'] } as const
  function way() {
    const opened = openPost()
    onTestFinished(() => opened.close())
    return opened.ask
  }
  const used = async (keys: ReturnType<typeof keysOfUpstream>) =>
    verifyJwt(await okta.sign({ iss: 'x' }), await keys(), {}).then(
      () => 'verified',
      (cause: unknown) => (cause instanceof Error ? cause.message : String(cause)),
    )

  test('are where its metadata say, and are asked for once', async () => {
    const { asked, url } = await server((request, response) =>
      response.end(
        JSON.stringify(
          request.url?.startsWith('/tenant/.well-known')
            ? { issuer: `${url}/tenant`, jwks_uri: `${url}/keys` }
            : okta.jwks,
        ),
      ),
    )
    const keys = keysOfUpstream({ ask: way(), issuer: `${url}/tenant`, reach: HERE })
    expect([await used(keys), await used(keys)]).toEqual(['verified', 'verified'])
    expect(asked).toEqual(['/tenant/.well-known/openid-configuration', '/keys'])
  })

  test('that cannot be had are asked for once at a time, however many strangers name the issuer', async () => {
    const { asked, url } = await server((_, response) => response.writeHead(503).end())
    const keys = keysOfUpstream({ ask: way(), issuer: url, reach: HERE })
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => keys()))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set(['rejected']))
    expect(asked).toEqual(['/.well-known/openid-configuration'])
    await expect(keys()).rejects.toMatchObject({ code: 'idp_unavailable' })
    expect(asked).toHaveLength(2)
  })

  test('are where the config says, without a look at its metadata', async () => {
    const { asked, url } = await server((_, response) => response.end(JSON.stringify(okta.jwks)))
    expect(await used(keysOfUpstream({ ask: way(), issuer: OKTA, jwksUri: `${url}/keys`, reach: HERE }))).toBe(
      'verified',
    )
    expect(asked).toEqual(['/keys'])
  })

  test.each<[string, (url: string) => unknown]>([
    ['of another issuer', (url) => ({ issuer: OKTA, jwks_uri: `${url}/keys` })],
    ['without keys', (url) => ({ issuer: url })],
    ['that are none', () => 'hello'],
  ])('are not had by metadata %s, and may be had later', async (_, metadata) => {
    const wrong = vi.fn(() => true)
    const { url } = await server((request, response) =>
      response.end(
        JSON.stringify(
          request.url === '/keys' ? okta.jwks : wrong() ? metadata(url) : { issuer: url, jwks_uri: `${url}/keys` },
        ),
      ),
    )
    const keys = keysOfUpstream({ ask: way(), issuer: url, reach: HERE })
    await expect(keys()).rejects.toMatchObject({ code: 'idp_unavailable' })
    wrong.mockReturnValue(false)
    expect(await used(keys)).toBe('verified')
  })

  test('are not asked for at an address that is not allowed, whoever names it', async () => {
    const { asked, url } = await server((_, response) => response.end('{}'))
    const inside = keysOfUpstream({ ask: way(), issuer: url, reach: { http: 'always', allowAddresses: [] } })
    await expect(inside()).rejects.toMatchObject({
      code: 'idp_unavailable',
      message: expect.stringContaining('ADDRESS_NOT_ALLOWED') as string,
    })
    const named = keysOfUpstream({
      ask: way(),
      issuer: OKTA,
      jwksUri: `${url}/keys`,
      reach: { http: 'always', allowAddresses: [] },
    })
    expect(await used(named)).toContain('cannot be reached (ADDRESS_NOT_ALLOWED)')
    const unencrypted = keysOfUpstream({
      ask: way(),
      issuer: OKTA,
      jwksUri: 'http://login.example.com/keys',
      reach: HERE,
    })
    expect(await used(unencrypted)).toContain('cannot be reached (http_not_allowed)')
    expect(asked).toEqual([])
  })

  test('are not fetched from where a redirect leads', async () => {
    const { asked, url } = await server((request, response) => {
      response
        .writeHead(request.url === '/keys' ? 302 : 200, { location: `${url}/other` })
        .end(JSON.stringify(okta.jwks))
    })
    expect(await used(keysOfUpstream({ ask: way(), issuer: OKTA, jwksUri: `${url}/keys`, reach: HERE }))).not.toBe(
      'verified',
    )
    expect(asked).toEqual(['/keys'])
  })

  test('are not read without end', async () => {
    const { url } = await server((_, response) => {
      response.end(`{"keys":[],"x":"${'x'.repeat(2 ** 20)}"}`)
    })
    expect(await used(keysOfUpstream({ ask: way(), issuer: OKTA, jwksUri: `${url}/keys`, reach: HERE }))).toContain(
      'too large an answer',
    )
  })

  test('a server that answers nothing is given up', async () => {
    const { url } = await server(() => undefined)
    const asked = way()(url, { timeoutMs: 50 }, HERE)
    await expect(asked).rejects.toThrow()
  })
})

describe('the config of an upstream', () => {
  const REALM = 'https://idp.example.org/realms/main'
  const config = (...upstreams: object[]) =>
    JSON.stringify({ issuers: [{ issuer: REALM, client_secret: 'x' }], upstreams })
  const RIGHT = { name: 'okta', issuer: OKTA, realm: REALM, audience: ENDPOINT }
  const complaint = (...upstreams: object[]): string => {
    try {
      parseConfig(config(...upstreams), 'relay.yaml', {})
    } catch (cause) {
      return (cause as RelayError).message
    }
    return ''
  }

  test('lets it revoke nothing unless it says so', () => {
    const [upstream] = parseConfig(config(RIGHT), 'relay.yaml', {}).upstreams
    expect(upstream).toMatchObject({ ...RIGHT, global_token_revocation: false, allow_http: false, allow_addresses: [] })
    expect(parseConfig(config(), 'relay.yaml', {}).upstreams).toEqual([])
  })

  test('has the secrets of its stream from files', () => {
    const folder = temporaryFolder()
    const [secret, push] = [join(folder, 'secret'), join(folder, 'push')]
    writeFileSync(secret, 'hidden\n')
    writeFileSync(push, 'Bearer agreed\n')
    const files = { client_secret_file: secret, push_authorization_file: push }
    const stream = { delivery: 'push', client_id: 'relay', ...files }
    expect(parseConfig(config({ ...RIGHT, stream }), 'relay.yaml', {}).upstreams[0]?.stream).toEqual({
      ...{ delivery: 'push', client_id: 'relay', client_secret: 'hidden', push_authorization: 'Bearer agreed' },
      ...{ poll_interval_s: 5, verify_s: 600, scope: 'ssf.read ssf.manage' },
    })
  })

  test('may tell it alone, with the credential from a file', () => {
    const file = join(temporaryFolder(), 'credential')
    const { audience: _, ...silent } = RIGHT
    const tell = { url: ENDPOINT, authorization_file: file }
    writeFileSync(file, 'Bearer two\nlines\n')
    expect(complaint({ ...silent, tell })).toMatch(/upstreams\.tell\.authorization_file must hold one line/)
    writeFileSync(file, 'SSWS 00token\n')
    expect(parseConfig(config({ ...silent, tell }), 'relay.yaml', {}).upstreams[0]?.tell).toEqual({
      ...{ url: ENDPOINT, authorization: 'SSWS 00token', subject: 'iss_sub' },
    })
  })

  test.each<[string, object[], string]>([
    [
      'no audience',
      [{ ...RIGHT, audience: undefined, global_token_revocation: true }],
      'upstreams[0].audience is missing',
    ],
    ['a name that is no word', [{ ...RIGHT, name: '../x' }], 'upstreams[0].name'],
    ['a name twice', [RIGHT, RIGHT], 'upstreams[1].name is there twice'],
    [
      'a realm that the relay does not serve',
      [{ ...RIGHT, realm: `${REALM}2` }],
      'upstreams[0].realm is not one of issuers',
    ],
    [
      'an issuer on plain http',
      [{ ...RIGHT, issuer: 'http://login.example.com' }],
      'upstreams[0].issuer is plain http',
    ],
    ['keys on plain http', [{ ...RIGHT, jwks_uri: 'http://login.example.com' }], 'upstreams[0].jwks_uri is plain http'],
    [
      'a stream that is polled without a client',
      [{ ...RIGHT, stream: { delivery: 'poll' } }],
      'upstreams[0].stream.client_id',
    ],
    [
      'a client without a secret',
      [{ ...RIGHT, stream: { delivery: 'push', client_id: 'x' } }],
      'upstreams[0].stream.client_secret or client_secret_file',
    ],
    [
      'tokens from plain http',
      [{ ...RIGHT, stream: { delivery: 'push', token_url: 'http://login.example.com' } }],
      'upstreams[0].stream.token_url is plain http',
    ],
    [
      'a file that is not there',
      [{ ...RIGHT, stream: { delivery: 'push', push_authorization_file: '/nowhere/at/all' } }],
      'upstreams.stream.push_authorization_file: /nowhere/at/all cannot be read',
    ],
    [
      'a place to tell it that is plain http',
      [{ ...RIGHT, tell: { url: 'http://login.example.com/revoke' } }],
      'upstreams[0].tell.url is plain http',
    ],
    ...[
      'HTTPS://login.example.com/revoke',
      'https://login.example.com/a b',
      `https://a.example/${'x'.repeat(2000)}`,
    ].flatMap((url): [string, object[], string][] => [
      [
        `a place to tell it that the realm signs for nobody, ${url}`.slice(0, 100),
        [{ ...RIGHT, tell: { url } }],
        'upstreams[0].tell.url must',
      ],
      [
        `an audience that the realm does not sign for, ${url}`.slice(0, 100),
        [{ ...RIGHT, tell: { url: ENDPOINT, audience: url } }],
        'upstreams[0].tell.audience must',
      ],
    ]),
    [
      'an audience that is no URL',
      [{ ...RIGHT, tell: { url: ENDPOINT, audience: 'x' } }],
      'upstreams[0].tell.audience',
    ],
    [
      'another form of a subject',
      [{ ...RIGHT, tell: { url: ENDPOINT, subject: 'email' } }],
      'upstreams[0].tell.subject',
    ],
    [
      'a credential that is not there',
      [{ ...RIGHT, tell: { url: ENDPOINT, authorization_file: '/nowhere/at/all' } }],
      'upstreams.tell.authorization_file: /nowhere/at/all cannot be read',
    ],
    [
      'two ways to tell it',
      [
        { ...RIGHT, tell: { url: ENDPOINT } },
        { ...RIGHT, name: 'again', tell: { url: ENDPOINT } },
      ],
      'upstreams[1].tell is there twice for that identity provider',
    ],
    [
      'a realm behind that is told',
      [{ ...RIGHT, behind_client: 'main', tell: { url: ENDPOINT } }],
      'upstreams[0].behind_client goes with global_token_revocation alone',
    ],
    ['a network that is none', [{ ...RIGHT, allow_addresses: ['10.0.0.0'] }], 'upstreams[0].allow_addresses[0]'],
  ])('with %s is refused', (_, upstreams, says) => {
    expect(complaint(...upstreams)).toContain(says)
  })
})
