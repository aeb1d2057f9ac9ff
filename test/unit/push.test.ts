import { beforeAll, expect, test, vi } from 'vitest'
import type { SecurityEvent } from '../../relay/domain/model.ts'
import { RelayError, type RelayErrorCode } from '../../relay/errors.ts'
import { type PushPorts, pushRoute } from '../../relay/ingest/push.ts'
import { verifySet } from '../../relay/ingest/set.ts'
import { FakeClock, settle } from './fake-clock.ts'
import { ISSUER, NOW_MS, securityEvent } from './given.ts'
import { type Realm, realm, setClaims } from './signed.ts'

const SECEVENT = { 'content-type': 'application/secevent+jwt', accept: 'application/json' }
let demo: Realm

beforeAll(async () => {
  demo = await realm()
})

function route(ports: Partial<PushPorts<SecurityEvent>> = {}) {
  const refused = vi.fn<PushPorts<SecurityEvent>['refused']>()
  const app = pushRoute({
    verify: () => Promise.resolve(securityEvent(1, ['orders'])),
    receive: () => Promise.resolve('accepted'),
    refused,
    clock: { sleep: () => Promise.resolve() },
    ...ports,
  })
  const post = async (
    body: string | ReadableStream<Uint8Array> = 'a.b.c',
    headers: Record<string, string> = SECEVENT,
  ) => app.request('/events', { method: 'POST', headers, body, duplex: 'half' })
  return { post, refused }
}

test('202 has an empty body, and is answered only after the event is durable', async () => {
  let durable: (value: unknown) => void = () => undefined
  let answered = false
  const { post } = route({ receive: () => new Promise((resolve) => (durable = resolve)) })
  const answer = post().then((response) => {
    answered = true
    return response
  })
  await settle()
  expect(answered).toBe(false)
  durable('accepted')
  const response = await answer
  expect(response.status).toBe(202)
  expect(await response.text()).toBe('')
  expect(response.headers.get('cache-control')).toBe('no-store')
})

test('a SET that is known already is 202 again', async () => {
  const response = await route({ receive: () => Promise.resolve('duplicate') }).post()
  expect(response.status).toBe(202)
  expect(await response.text()).toBe('')
})

test('what is received is what was verified, without the white space around it', async () => {
  const event = securityEvent(7, [])
  const verify = vi.fn((_: string) => Promise.resolve(event))
  const receive = vi.fn((_: SecurityEvent) => Promise.resolve('accepted'))
  await route({ verify, receive }).post(' a.b.c\r\n')
  expect(verify).toHaveBeenCalledExactlyOnceWith('a.b.c')
  expect(receive).toHaveBeenCalledExactlyOnceWith(event)
})

test.each<RelayErrorCode>([
  'invalid_request',
  'invalid_key',
  'invalid_issuer',
  'invalid_audience',
  'authentication_failed',
  'access_denied',
])('%s is told as RFC 8935 has it and nothing is received', async (code) => {
  const receive = vi.fn(() => Promise.resolve('accepted'))
  const { post, refused } = route({ verify: () => Promise.reject(new RelayError(code, 'Because.')), receive })
  const response = await post()
  expect(response.status).toBe(400)
  expect(response.headers.get('content-type')).toMatch(/^application\/json/)
  expect(response.headers.get('content-language')).toBe('en')
  expect(await response.json()).toEqual({ err: code, description: 'Because.' })
  expect(receive).not.toHaveBeenCalled()
  expect(refused).toHaveBeenCalledExactlyOnceWith(code, 'Because.')
})

test.each(['application/json', 'application/jwt', 'text/plain', 'application/x-www-form-urlencoded', ''])(
  'the content type %j is an invalid request and nothing is verified',
  async (type) => {
    const verify = vi.fn(() => Promise.resolve(securityEvent(1, [])))
    const response = await route({ verify }).post('a.b.c', { 'content-type': type })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ err: 'invalid_request' })
    expect(verify).not.toHaveBeenCalled()
  },
)

test('a content type with a parameter and in capitals is taken', async () => {
  const response = await route().post('a.b.c', { 'content-type': 'Application/SecEvent+JWT; charset=utf-8' })
  expect(response.status).toBe(202)
})

test('a body over 1 MiB is 413 and nothing of it is verified', async () => {
  const verify = vi.fn(() => Promise.resolve(securityEvent(1, [])))
  const body = 'a'.repeat(1024 * 1024 + 1)
  const response = await route({ verify }).post(body, { ...SECEVENT, 'content-length': String(body.length) })
  expect(response.status).toBe(413)
  expect(await response.json()).toMatchObject({ err: 'invalid_request' })
  expect(verify).not.toHaveBeenCalled()
})

test.each([
  ['hides its length', {}],
  ['gives a length that does not hold beside its encoding', { 'content-length': '3' }],
])('a body over 1 MiB that %s is 413 too', async (_, headers) => {
  const verify = vi.fn(() => Promise.resolve(securityEvent(1, [])))
  const chunk = new TextEncoder().encode('a'.repeat(64 * 1024))
  let left = 17
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (left-- > 0) {
        controller.enqueue(chunk)
      } else {
        controller.close()
      }
    },
  })
  const response = await route({ verify }).post(body, { ...SECEVENT, 'transfer-encoding': 'chunked', ...headers })
  expect(response.status).toBe(413)
  expect(verify).not.toHaveBeenCalled()
})

test('a body of exactly 1 MiB is read', async () => {
  const body = 'a'.repeat(1024 * 1024)
  expect((await route().post(body, { ...SECEVENT, 'content-length': String(body.length) })).status).toBe(202)
})

test.each([
  ['a store that fails', new RelayError('store_unavailable', 'disk full at /secret/path')],
  ['an issuer whose keys cannot be had', new RelayError('idp_unavailable', 'down')],
  ['a key that is still not known', new RelayError('key_unknown', 'no key of that name')],
  ['a failure that nobody foresaw', new TypeError('x is not a function')],
])('%s is 503 with Retry-After and no inner words', async (_, failure) => {
  const response = await route({ receive: () => Promise.reject(failure) }).post()
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
  expect(await response.text()).not.toContain(failure.message)
})

test('a key that the realm has just changed to is looked for once more, so that the same push is taken', async () => {
  const clock = new FakeClock()
  let known = false
  const verify = vi.fn(() =>
    known
      ? Promise.resolve(securityEvent(1, ['orders']))
      : Promise.reject(new RelayError('key_unknown', 'no key of that name')),
  )
  const { post, refused } = route({ verify, clock })
  const answer = post()
  await clock.advance(1000)
  known = true
  await clock.advance(2000)
  expect((await answer).status).toBe(202)
  expect(verify).toHaveBeenCalledTimes(2)
  expect(refused).not.toHaveBeenCalled()
})

test('of many pushes that name no known key only some wait for it', async () => {
  const clock = new FakeClock()
  const verify = () => Promise.reject(new RelayError('key_unknown', 'no key of that name'))
  const { post, refused } = route({ verify, clock })
  const answers = Array.from({ length: 60 }, () => post())
  await settle()
  expect(refused).toHaveBeenCalledTimes(10)
  await clock.advance(3000)
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(60).fill(503))
})

test('nothing of a refused token comes back in the answer or goes into the record of the refusal', async () => {
  const claims = setClaims(1)
  const sets = await Promise.all([
    demo.sign({ ...claims, aud: 'canary-audience' }),
    demo.sign({ ...claims, iss: 'https://canary-issuer.example.org' }),
    demo.sign({ ...claims, sub: 'canary-sub' }),
    demo.sign(claims, { typ: 'canary-typ' }),
    Promise.resolve('canary-no-token'),
  ])
  const { post, refused } = route({
    verify: (set) =>
      verifySet(set, (issuer) => (issuer === ISSUER ? Promise.resolve(demo.keys) : undefined), 'logout-relay', NOW_MS),
  })
  for (const set of sets) {
    const response = await post(set)
    expect(response.status).toBe(400)
    const shown = `${await response.text()} ${JSON.stringify([...response.headers])} ${JSON.stringify(refused.mock.calls)}`
    expect(shown).not.toContain('canary')
    for (const part of set.split('.')) {
      expect(shown).not.toContain(part)
    }
  }
})
