import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { codeOf, networkCodeOf } from '../../relay/errors.ts'
import { exchange } from '../../relay/http.ts'

const DEADLINE_MS = 60_000

async function served(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

test('an exchange is a POST where it has a body, and its answer is the status and the JSON', async () => {
  const url = await served((request, response) => response.end(JSON.stringify({ method: request.method })))
  expect(await exchange(url, { timeoutMs: DEADLINE_MS })).toEqual({ status: 200, json: { method: 'GET' } })
  const posted = await exchange(url, { timeoutMs: DEADLINE_MS, body: 'x' })
  expect(posted).toEqual({ status: 200, json: { method: 'POST' } })
})

test('an answer that is no JSON has none, and a redirect is not followed', async () => {
  let asked = 0
  const url = await served((_, response) => {
    asked++
    response.writeHead(302, { location: 'http://127.0.0.1:1/elsewhere' }).end('<html>')
  })
  const answer = { status: 302, json: undefined, location: 'http://127.0.0.1:1/elsewhere' }
  expect(await exchange(url, { timeoutMs: DEADLINE_MS })).toEqual(answer)
  expect(asked).toBe(1)
})

test('the deadline holds for a body that never ends, however much of it comes', async () => {
  const url = await served((_, response) => {
    const drip = setInterval(() => response.write(' '), 20)
    response.on('close', () => clearInterval(drip))
  })
  await expect(exchange(url, { timeoutMs: 300 })).rejects.toSatisfy(
    (cause) => networkCodeOf(cause) === 'no answer in time',
  )
})

test('an answer that is larger than its bound is let go', async () => {
  const closed = Promise.withResolvers<unknown>()
  const url = await served((_, response) => {
    response.on('close', () => closed.resolve(true))
    const flood = () => {
      while (response.writable && response.write('x'.repeat(65_536)));
      response.once('drain', flood)
    }
    flood()
  })
  await expect(exchange(url, { timeoutMs: DEADLINE_MS, mostBytes: 1_000_000 })).rejects.toSatisfy(
    (cause) => codeOf(cause) === 'too large an answer',
  )
  await closed.promise
})

test.each([
  [Object.assign(new Error('x'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
  [new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'ENOTFOUND' }) }), 'ENOTFOUND'],
  [Object.assign(new Error('x', { cause: new Error('y') }), { code: 'EPIPE' }), 'EPIPE'],
  [new DOMException('The operation timed out', 'TimeoutError'), undefined],
  [new Error('no code'), undefined],
  ['nothing thrown by a system', undefined],
])('the code of %s is %s', (cause, code) => {
  expect(codeOf(cause)).toBe(code)
})
