import { decodeJwt, decodeProtectedHeader, UnsecuredJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { examine, judgeRefusal, tokensToRefuse } from '../../relay/delivery/backchannel/probe.ts'
import type { Answer, TokenNames } from '../../relay/domain/model.ts'
import { RelayError } from '../../relay/errors.ts'
import { backchannelAt } from '../../relay/delivery/backchannel/target.ts'
import type { Genuine } from '../../relay/delivery/port.ts'
import { ISSUER, NOW_MS } from './given.ts'

const TARGET = backchannelAt('https://orders.example.org/logout')
const PARTY = { issuer: ISSUER, clientId: 'orders', target: TARGET, enabled: true }
const POLICY = { http: 'never', allowAddresses: [], timeoutMs: 1, concurrency: 1 } as const
const status = (code: number): Answer => ({ kind: 'response', status: code })

/** What a receiver looks at. */
interface Seen {
  readonly alg: string
  readonly sub: boolean
  readonly sid: boolean
  /** A stand-in for the realm's signature: the receivers here are what the real ones were measured to be. */
  readonly signed: boolean
}

function seen(token: string): Seen {
  const { sub, sid } = decodeJwt(token)
  const { alg = '', kid } = decodeProtectedHeader(token)
  return { alg, sub: sub !== undefined, sid: sid !== undefined, signed: kid === 'realm' }
}

const genuine =
  (...shapes: TokenNames[]): Genuine =>
  () => {
    const header = Buffer.from('{"alg":"RS256","kid":"realm"}').toString('base64url')
    const token = (names: TokenNames) => {
      const claims = { ...(names === 'sub' ? {} : { sid: 'x' }), ...(names === 'sid' ? {} : { sub: 'y' }) }
      return `${header}.${new UnsecuredJWT(claims).encode().split('.')[1] ?? ''}.c2ln`
    }
    return Promise.resolve({ tokens: new Map(shapes.map((names) => [names, token(names)])) })
  }
const BOTH = genuine('sid+sub', 'sid')

/** What is found of a receiver that answers so. */
async function found(receiver: (token: Seen) => number, made: Genuine = BOTH) {
  const tokens: Seen[] = []
  const send = (_: string, token: string) => {
    tokens.push(seen(token))
    return Promise.resolve(status(receiver(seen(token))))
  }
  const { finding } = await examine(PARTY, POLICY, send, NOW_MS, made)
  return { ...finding, tokens }
}

describe('a relying party that is sent tokens which it must refuse', () => {
  test.each([
    [200, /accepts anything/],
    [204, /accepts anything/],
    [302, /redirects, most likely to a login page/],
    [401, /asks for a login/],
    [403, /CSRF protection/],
    [404, /check its path/],
    [405, /takes no POST/],
    [500, /It failed/],
  ])('and answers %i is told apart', (code, says) => {
    expect(judgeRefusal(PARTY, status(code))).toMatchObject({ ok: false, says: expect.stringMatching(says) as string })
  })

  test('and refuses them is well', () => {
    expect(judgeRefusal(PARTY, status(400)).ok).toBe(true)
  })

  test.each<[Extract<Answer, { kind: 'failure' }>['code'], RegExp]>([
    ['http_not_allowed', /plain http/],
    ['address_not_allowed', /not public/],
    ['name_not_found', /cannot be resolved/],
    ['tls', /TLS certificate/],
    ['connection_refused', /Nothing listens/],
  ])('and cannot be reached (%s) says so, and is asked no more', async (code, says) => {
    let asked = 0
    const send = () => {
      asked++
      return Promise.resolve<Answer>({ kind: 'failure', code })
    }
    expect((await examine(PARTY, POLICY, send, NOW_MS, BOTH)).finding).toMatchObject({
      ok: false,
      says: expect.stringMatching(says) as string,
    })
    expect(asked).toBe(1)
  })

  test('gets some that are right in all but the signature, each for a session and a subject that nobody has', () => {
    const tokens = [...tokensToRefuse(PARTY, 1_790_000_000_000), ...tokensToRefuse(PARTY, 1_790_000_000_000)]
    for (const token of tokens) {
      expect(decodeJwt(token)).toMatchObject({ iss: ISSUER, aud: 'orders', iat: 1_790_000_000, exp: 1_790_000_060 })
      expect(decodeProtectedHeader(token)).toEqual({ alg: expect.any(String) as string, typ: 'logout+jwt' })
    }
    expect(tokens.slice(0, 3).map(seen)).toMatchObject([
      { alg: 'none', sub: false },
      { alg: 'none', sub: true },
      { alg: 'RS256', sub: true },
    ])
    const names = tokens.map((token) => decodeJwt(token)).flatMap(({ sid, sub, jti }) => [sid, sub ?? jti, jti])
    expect(new Set(names).size).toBe(new Set(tokens).size * 2 + 4)
  })

  test.each<[string, (token: Seen) => number]>([
    ['where it has a sub, and fails otherwise', ({ signed, sub }) => (signed || sub ? 200 : 500)],
    ['where it has the sid alone', ({ signed, sub }) => (signed || !sub ? 200 : 400)],
    ['where it is signed by anybody', ({ alg }) => (alg === 'none' ? 400 : 200)],
  ])('and takes one %s accepts anything', async (_, receiver) => {
    expect(await found(receiver)).toMatchObject({
      ok: false,
      says: expect.stringMatching(/accepts anything/) as string,
    })
  })

  test('and fails at one of them does not refuse it as it must', async () => {
    expect(await found(({ signed, sub }) => (signed ? 200 : sub ? 500 : 400))).toMatchObject({
      ok: false,
      says: expect.stringMatching(/answers 500/) as string,
    })
  })
})

describe('a relying party that is sent tokens which the realm has signed', () => {
  const refusing = (takes: (token: Seen) => number) => (token: Seen) => (token.signed ? takes(token) : 400)

  test('and takes them, as it does for a session that has ended already, is well', async () => {
    const { ok, says, tokens } = await found(refusing(() => 200))
    expect([ok, says]).toEqual([true, 'refuses what the realm has not signed, as it must, and takes what it has'])
    expect(tokens.filter(({ signed }) => signed)).toMatchObject([
      { sid: true, sub: true },
      { sid: true, sub: false },
    ])
  })

  test('and refuses every one is not well, and the likely causes are named', async () => {
    const { ok, says } = await found(() => 400)
    expect(ok).toBe(false)
    expect(says).toMatch(/400 also to a token that the realm has signed.*200 is right/)
    expect(says).toMatch(/is off.*audience.*typ logout\+jwt.*token\.typ.*no longer has/)
  })

  test('and needs a sub is told so, with what to set', async () => {
    const { ok, says } = await found(refusing(({ sub }) => (sub ? 200 : 400)))
    expect([ok, says]).toEqual([false, expect.stringMatching(/^needs sub.*token\.shape to sid\+sub.*receivers\.md/)])
  })

  test('and refuses a subject that it has never seen is well', async () => {
    expect((await found(refusing(({ sub }) => (sub ? 400 : 200)))).ok).toBe(true)
  })

  test('and answers something else to them is told what that means', async () => {
    const { ok, says } = await found(refusing(() => 500))
    expect([ok, says]).toEqual([
      false,
      expect.stringMatching(/^answers 500 to a token that the realm has signed. It failed/),
    ])
  })

  test('of the one shape that its client may be sent is judged by that alone', async () => {
    expect(
      (
        await found(
          refusing(({ sid }) => (sid ? 400 : 200)),
          genuine('sub'),
        )
      ).ok,
    ).toBe(true)
    expect(
      (
        await found(
          refusing(({ sub }) => (sub ? 200 : 400)),
          genuine('sid+sub'),
        )
      ).ok,
    ).toBe(true)
  })

  test.each<[string, Genuine, boolean, RegExp]>([
    ['makes none', () => Promise.resolve({ tokens: new Map() }), true, /could not be tried/],
    [
      'makes none for its client',
      () => Promise.resolve({ tokens: new Map(), refusal: 'hmac_algorithm' }),
      false,
      /not known: no token is made \(hmac_algorithm\)/,
    ],
    [
      'has no key to encrypt its tokens with',
      () => Promise.resolve({ tokens: new Map(), refusal: 'no_encryption_key' }),
      false,
      /no token is made \(no_encryption_key\). Its client wants its tokens encrypted.*JWKS/,
    ],
    [
      'does not answer',
      () => Promise.reject(new RelayError('idp_unavailable', 'the realm answers 503')),
      false,
      /not known: the realm answers 503/,
    ],
  ])('by an extension that %s is judged by the half that is known', async (_, made, ok, says) => {
    expect(await found(() => 400, made)).toMatchObject({ ok, says: expect.stringMatching(says) as string })
  })
})
