import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import express from 'express'
import { Hono } from 'hono'
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Logout, LogoutReceiver, nodeLogout } from '../../guard/index.ts'
import { ISSUER, NOW_MS, uuid } from './given.ts'
import { type Realm, realm } from './signed.ts'

const NOW = NOW_MS / 1000
const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
let demo: Realm
let nowMs: number
let fail: boolean
let ended: Logout[]
let receiver: LogoutReceiver
let count = 0

beforeAll(async () => {
  demo = await realm()
})
beforeEach(() => {
  nowMs = NOW_MS
  fail = false
  ended = []
  receiver = new LogoutReceiver({
    issuer: ISSUER,
    clientId: 'orders',
    keys: demo.keys,
    nowMs: () => nowMs,
    endSession: (logout) => {
      if (fail) {
        throw new Error('the database is down')
      }
      ended.push(logout)
    },
  })
})

const claims = (more: object = {}) => ({
  ...{ iss: ISSUER, aud: 'orders', iat: NOW, exp: NOW + 120, jti: uuid(++count), sub: 'alice', sid: 'sid-1' },
  events: { [EVENT]: {} },
  ...more,
})
const token = (more: object = {}, header: object = { typ: 'logout+jwt' }) => demo.sign(claims(more), header)
const post = (body: string, type = 'application/x-www-form-urlencoded') =>
  receiver.receive(new Request('https://app/', { method: 'POST', headers: { 'content-type': type }, body }))
const tell = async (jwt: string) => (await post(`logout_token=${jwt}`)).status

test.each([{ typ: 'logout+jwt' }, { typ: 'JWT' }, { typ: undefined }])(
  'a right token ends its session: %o',
  async (header) => {
    const answer = await post(`logout_token=${await token({}, header)}`)
    expect([answer.status, answer.headers.get('cache-control'), await answer.text()]).toEqual([200, 'no-store', ''])
    expect(ended).toEqual([{ issuer: ISSUER, sub: 'alice', sid: 'sid-1', beforeMs: NOW_MS }])
  },
)

describe('a token is refused with 400 and ends nothing', () => {
  test.each<[string, object]>([
    ['of another issuer', { iss: 'https://elsewhere.example.org' }],
    ['for another client', { aud: 'wiki' }],
    ['that is expired', { iat: NOW - 500, exp: NOW - 61 }],
    ['from the future', { iat: NOW + 61 }],
    ['without iat', { iat: undefined }],
    ['whose iat is a string', { iat: String(NOW) }],
    ['whose exp is a string', { exp: String(NOW + 100) }],
    ['without exp', { exp: undefined }],
    ['without jti', { jti: undefined }],
    ['with a jti that is no name', { jti: 7 }],
    ['with a nonce', { nonce: 'n' }],
    ['with no subject and no session', { sub: undefined, sid: undefined }],
    ['with a sid that is no name', { sid: 7 }],
    ['without events', { events: undefined }],
    ['with another event', { events: { 'https://example.org/event': {} } }],
    ['whose event is true', { events: { [EVENT]: true } }],
    ['whose event is null', { events: { [EVENT]: null } }],
  ])('%s', async (_, more) => {
    expect(await tell(await token(more))).toBe(400)
    expect(ended).toEqual([])
  })

  test('with another typ, another signature, none, or an HMAC with the public key', async () => {
    const [header, payload, signature] = (await token()).split('.')
    const { CompactSign } = await import('jose')
    const hmac = await new CompactSign(new TextEncoder().encode(JSON.stringify(claims())))
      .setProtectedHeader({ alg: 'HS256', typ: 'logout+jwt' })
      .sign(new TextEncoder().encode(demo.publicPem))
    const none = Buffer.from('{"alg":"none","typ":"logout+jwt"}').toString('base64url')
    const wrong = [
      await token({}, { typ: 'secevent+jwt' }),
      `${header}.${payload}.${signature?.slice(0, -6)}AAAAAA`,
      `${none}.${payload}.`,
      await (await realm()).sign(claims(), { typ: 'logout+jwt' }),
      hmac,
      'garbage',
    ]
    for (const jwt of wrong) {
      expect(await tell(jwt)).toBe(400)
    }
    expect(ended).toEqual([])
  })

  test('that is not in one form parameter of a POST, or is too long', async () => {
    const jwt = await token()
    expect((await post(`logout_token=${jwt}&logout_token=${jwt}`)).status).toBe(400)
    expect((await post(JSON.stringify({ logout_token: jwt }), 'application/json')).status).toBe(400)
    expect((await post(`logout_token=${jwt}&x=${'x'.repeat(70_000)}`)).status).toBe(400)
    expect((await receiver.receive(new Request(`https://app/?logout_token=${jwt}`))).status).toBe(400)
    expect(ended).toEqual([])
  })

  test('that was received before, until it would be refused as expired', async () => {
    const jwt = await token()
    expect([await tell(jwt), await tell(jwt)]).toEqual([200, 400])
    nowMs += 179_000
    expect(await tell(jwt)).toBe(400)
    expect(ended).toHaveLength(1)
  })
})

test('when the sessions cannot be ended the answer is 500, and the same token may come again', async () => {
  const jwt = await token()
  fail = true
  expect(await tell(jwt)).toBe(500)
  fail = false
  expect([await tell(jwt), ended.length]).toEqual([200, 1])
})

test('keys that cannot be had are 503, not a verdict', async () => {
  receiver = new LogoutReceiver({
    issuer: ISSUER,
    clientId: 'orders',
    keys: () => Promise.reject(new TypeError('fetch failed')),
    endSession: () => undefined,
  })
  const answer = await post(`logout_token=${await token()}`)
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
})

test('a later login revives nothing: what was ended stays ended, by sid and by sub, and the new login lives', async () => {
  const cookie = (sid: string, at: number) => ({ iss: ISSUER, sub: 'alice', sid, iat: at, auth_time: at })
  const stolen = cookie('sid-1', NOW - 3600)
  const other = cookie('sid-2', NOW - 3600)
  expect([receiver.check(stolen), receiver.check(other)]).toEqual(['ok', 'ok'])
  await tell(await token())
  expect([receiver.check(stolen), receiver.check(other)]).toEqual(['revoked', 'ok'])
  await tell(await token({ sid: undefined }))
  expect(receiver.check(other)).toBe('revoked')
  nowMs += 10_000
  expect(receiver.check(cookie('sid-3', NOW + 10))).toBe('ok')
  expect([receiver.check(stolen), receiver.check(other)]).toEqual(['revoked', 'revoked'])
})

const FRAMEWORKS = ['hono', 'express', 'node'] as const
const listening = async (framework: (typeof FRAMEWORKS)[number]): Promise<number> => {
  const handle = nodeLogout(receiver)
  const hono = new Hono().post('/logout', (c) => receiver.receive(c.req.raw))
  const server = {
    hono: () => createAdaptorServer(hono) as Server,
    express: () => createServer(express().post('/logout', handle)),
    node: () => createServer((request, response) => void handle(request, response)),
  }[framework]()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

test.each(FRAMEWORKS)('it is a handler of a few lines for %s', async (framework) => {
  const url = `http://127.0.0.1:${await listening(framework)}/logout`
  const body = new URLSearchParams({ logout_token: await token() })
  const answer = await fetch(url, { method: 'POST', body })
  expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store'])
  expect((await fetch(url, { method: 'POST', body })).status).toBe(400)
  expect(ended).toHaveLength(1)
})

test.each(['express', 'node'] as const)('who goes away in mid-request does not bring %s down', async (framework) => {
  const port = await listening(framework)
  const rejections: unknown[] = []
  const note = (cause: unknown) => void rejections.push(cause)
  process.on('unhandledRejection', note)
  onTestFinished(() => void process.off('unhandledRejection', note))
  const socket = connect(port, '127.0.0.1')
  const form = 'content-type: application/x-www-form-urlencoded\r\ncontent-length: 100'
  socket.write(`POST /logout HTTP/1.1\r\nhost: x\r\n${form}\r\n\r\nlogout_token=`)
  await new Promise((resolve) => setTimeout(resolve, 50))
  socket.destroy()
  await new Promise((resolve) => setTimeout(resolve, 50))
  const answer = await fetch(`http://127.0.0.1:${port}/logout`, {
    method: 'POST',
    body: new URLSearchParams({ logout_token: await token() }),
  })
  expect([answer.status, rejections]).toEqual([200, []])
})

test('a session of another issuer is none that it could vouch for', () => {
  const session = { sub: 'alice', sid: 'sid-1', iat: NOW - 10 }
  expect(receiver.check({ ...session, iss: 'https://elsewhere.example.org' })).toBe('revoked')
  expect(receiver.check({ ...session, iss: ISSUER })).toBe('ok')
})
