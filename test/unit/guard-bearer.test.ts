import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import express from 'express'
import { Hono } from 'hono'
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { bearer, type Claims, expressGuard, honoGuard, nodeGuard, StaleError, type Verdict } from '../../guard/index.ts'
import { ISSUER } from './given.ts'
import { type Realm, realm } from './signed.ts'

let demo: Realm
let verdict: Verdict | Error
let asked: Claims[]

beforeAll(async () => {
  demo = await realm()
})
beforeEach(() => {
  verdict = 'ok'
  asked = []
})

const guard = {
  issuer: ISSUER,
  check: (claims: Claims) => {
    asked.push(claims)
    if (verdict instanceof Error) {
      throw verdict
    }
    return verdict
  },
  maxAgeSeconds: () => 42,
}
const options = (more = {}) => ({ guard, audience: 'orders', keys: demo.keys, ...more })
const seconds = () => Math.floor(Date.now() / 1000)
const token = (more: object = {}) =>
  demo.sign(
    {
      iss: ISSUER,
      aud: ['account', 'orders'],
      sub: 'alice',
      typ: 'Bearer',
      iat: seconds(),
      exp: seconds() + 60,
      ...more,
    },
    { typ: 'JWT' },
  )
const challengeOf = async (authorization: string | undefined, more = {}) => {
  const judgement = await bearer(options(more))(authorization)
  return 'status' in judgement ? [judgement.status, judgement.headers['www-authenticate']] : judgement.claims['sub']
}

test.each<[string, Verdict | Error, object, number, Record<string, RegExp>]>([
  ['ok', 'ok', {}, 200, {}],
  ['revoked', 'revoked', {}, 401, { 'www-authenticate': /^Bearer error="invalid_token", / }],
  [
    'step-up',
    'step-up',
    { acrValues: 'gold silver' },
    401,
    {
      'www-authenticate': /^Bearer error="insufficient_user_authentication", .*max_age="42", acr_values="gold silver"$/,
    },
  ],
  ['stale', new StaleError(3), {}, 503, { 'retry-after': /^3$/ }],
])('every binding answers alike to %s', async (_, given, more, status, headers) => {
  verdict = given
  const guarded = nodeGuard(options(more))
  const hono = new Hono<{ Variables: { claims: Claims } }>()
  hono.use(honoGuard(options(more)))
  hono.get('/', (c) => c.text(String(c.get('claims')['sub'])))
  const app = express()
  app.use(expressGuard(options(more)))
  app.get('/', (_request, response) => void response.end(String((response.locals['claims'] as Claims)['sub'])))
  const servers = [
    createServer((request, response) => {
      void guarded(request, response).then((claims) => claims && response.end(String(claims['sub'])))
    }).listen(0, '127.0.0.1'),
    app.listen(0, '127.0.0.1'),
    serve({ fetch: hono.fetch, hostname: '127.0.0.1', port: 0 }),
  ]
  for (const server of servers) {
    onTestFinished(() => void server.close())
    if (!server.listening) {
      await new Promise((resolve) => server.once('listening', resolve))
    }
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, {
      headers: { authorization: `Bearer ${await token()}` },
    })
    const body = await answer.text()
    expect(answer.status).toBe(status)
    for (const [name, value] of Object.entries(headers)) {
      expect(answer.headers.get(name)).toMatch(value)
    }
    if (status === 200) {
      expect(body).toBe('alice')
    } else {
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(body).not.toContain('alice')
    }
  }
  expect(asked).toHaveLength(3)
})

describe('what is no good token never reaches the guard', () => {
  test.each<[string, string | undefined, unknown]>([
    ['no header', undefined, [401, 'Bearer']],
    ['another scheme', 'Basic YTpi', [401, 'Bearer']],
    ['a header with two tokens', 'Bearer a b', [400, expect.stringMatching(/error="invalid_request"/)]],
    ['an empty token', 'Bearer ', [400, expect.stringMatching(/error="invalid_request"/)]],
    ['garbage', 'Bearer garbage', [401, expect.stringMatching(/error="invalid_token"/)]],
  ])('%s', async (_, authorization, expected) => {
    expect(await challengeOf(authorization)).toEqual(expected)
    expect(asked).toEqual([])
  })

  test.each<[string, object]>([
    ['another audience', { aud: 'wiki' }],
    ['another issuer', { iss: 'https://elsewhere.example.org' }],
    ['expired', { exp: 1_700_000_000 }],
    ['no exp', { exp: undefined }],
    ['an ID token', { typ: 'ID' }],
    ['a refresh token', { typ: 'Refresh' }],
  ])('%s', async (_, more) => {
    expect(await challengeOf(`Bearer ${await token(more)}`)).toMatchObject([401, /error="invalid_token"/])
    expect(asked).toEqual([])
  })

  test('one signed by somebody else, and one that anybody could sign', async () => {
    const stranger = await realm()
    const claims = { iss: ISSUER, aud: 'orders', sub: 'alice', exp: seconds() + 60 }
    const [, payload] = (await token()).split('.')
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`
    for (const wrong of [await stranger.sign(claims, { typ: 'JWT' }), none]) {
      expect(await challengeOf(`Bearer ${wrong}`)).toMatchObject([401, /error="invalid_token"/])
    }
    expect(asked).toEqual([])
  })
})

test('a token passes with the scheme in any case', async () => {
  expect(await challengeOf(`bearer ${await token()}`)).toBe('alice')
})

test('when the keys of the realm cannot be had it is 503, so that nobody is sent to log in in vain', async () => {
  const keys = () => Promise.reject(new TypeError('fetch failed'))
  const judgement = await bearer(options({ keys }))(`Bearer ${await token()}`)
  expect(judgement).toMatchObject({ status: 503, headers: { 'retry-after': '5', 'cache-control': 'no-store' } })
})

test('a fault of the guard is not taken for a verdict', async () => {
  verdict = new RangeError('a fault')
  await expect(bearer(options())(`Bearer ${await token()}`)).rejects.toThrow(RangeError)
})

test('it cannot be made without an audience, or with acr values that would break the header', () => {
  expect(() => bearer(options({ audience: '' }))).toThrow(TypeError)
  expect(() => bearer(options({ acrValues: 'a", error="x' }))).toThrow(TypeError)
})
