import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { generate } from 'selfsigned'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { LookupAll } from '../../relay/delivery/address.ts'
import { judge } from '../../relay/delivery/backchannel/judge.ts'
import { sender } from '../../relay/delivery/backchannel/send.ts'
import { openPost, type PostOptions } from '../../relay/delivery/post.ts'
import type { LanePolicy } from '../../relay/domain/model.ts'

const TOKEN = 'eyJh.eyJz.c2ln'
const DAY_MS = 86_400_000
/** Longer than any of these tests should take, so that only a hang reaches it. */
const LONG_MS = 4000

const policy = (more: Partial<LanePolicy> = {}): LanePolicy => ({
  http: 'loopback',
  allowAddresses: ['127.0.0.0/8'],
  timeoutMs: LONG_MS,
  concurrency: 4,
  ...more,
})

function open(options: PostOptions = {}) {
  const way = openPost(options)
  onTestFinished(() => way.close())
  return { send: sender(way.post), close: () => way.close() }
}

/** Resolves as this table says: each look-up of a name takes its next list of addresses and stays with the last. */
function names(table: Readonly<Record<string, readonly (readonly string[])[]>>) {
  const asked: string[] = []
  const lookupAll: LookupAll = (hostname, _, callback) => {
    const answers = table[hostname]
    const addresses = answers?.[Math.min(asked.filter((name) => name === hostname).length, answers.length - 1)]
    asked.push(hostname)
    setImmediate(() => {
      if (addresses) {
        callback(
          null,
          addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        )
      } else {
        callback(Object.assign(new Error('not found'), { code: 'ENOTFOUND' }))
      }
    })
  }
  return { asked, lookupAll }
}

async function listen(server: Server, host = '127.0.0.1'): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket.on('error', () => undefined))
  })
  server.listen(0, host)
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    sockets.forEach((socket) => socket.destroy())
  })
  return (server.address() as AddressInfo).port
}

/** A relying party on plain TCP that does as it likes once the whole request is there. */
async function rawParty(answer: (socket: Socket, requestNumber: number) => void) {
  const seen = { connections: 0, requests: 0, closed: 0, text: '' }
  const port = await listen(
    createServer((socket) => {
      seen.connections++
      socket.on('close', () => seen.closed++)
      socket.on('data', (data) => {
        seen.text += data.toString('latin1')
        if (data.includes(TOKEN)) {
          answer(socket, seen.requests++)
        }
      })
    }),
  )
  return { uri: `http://127.0.0.1:${port}/logout`, port, seen }
}

async function httpParty(listener: RequestListener) {
  return `http://127.0.0.1:${await listen(createHttpServer(listener))}/logout`
}

/** undici looks whether the other side closes a connection before it uses it again. */
const nextTurn = () => new Promise((resolve) => setImmediate(resolve))

/** Far above what it takes: a busy machine is no finding. */
const WITHIN = { interval: 5, timeout: 30_000 }
const isClosed = (seen: { closed: number }) => expect.poll(() => seen.closed, WITHIN).toBeGreaterThan(0)

describe('a logout token', () => {
  test('is posted as the only parameter of a form, to the URL with its query', async () => {
    const { uri, seen } = await rawParty((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'))
    expect(await open().send(`${uri}?logout=backchannel`, TOKEN, policy())).toEqual({ kind: 'response', status: 200 })
    const [head, body] = seen.text.split('\r\n\r\n')
    expect(head).toMatch(/^POST \/logout\?logout=backchannel HTTP\/1\.1\r\n/)
    expect(head).toMatch(/\r\ncontent-type: application\/x-www-form-urlencoded\r\n/i)
    expect(head).not.toMatch(/accept-encoding/i)
    expect(body).toBe(`logout_token=${TOKEN}`)
  })

  test('uses the connection of the one before, if the relying party has behaved', async () => {
    const { uri, seen } = await rawParty((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'))
    const { send } = open()
    await send(uri, TOKEN, policy())
    await nextTurn()
    await send(uri, TOKEN, policy())
    expect(seen).toMatchObject({ connections: 1, requests: 2 })
  })

  test.each([
    ['7', 7000],
    ['0', 0],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
    ['-1', undefined],
    ['1e9', undefined],
    ['99999999', undefined],
  ])('comes back with Retry-After: %s as %s ms', async (header, retryAfterMs) => {
    const uri = await httpParty((_, response) => response.writeHead(503, { 'retry-after': header }).end())
    expect(await open().send(uri, TOKEN, policy())).toEqual({
      kind: 'response',
      status: 503,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    })
  })
})

describe('a logout URL is not used', () => {
  test.each([
    ['http to another machine', 'http://orders.example.org/logout', 'http_not_allowed'],
    ['http to a name that only begins like this machine', 'http://localhost.example.org/', 'http_not_allowed'],
    ['http to localhost with a final dot', 'http://localhost./logout', 'http_not_allowed'],
    ['file:', 'file:///etc/passwd', 'bad_url'],
    ['gopher:', 'gopher://127.0.0.1:6379/_FLUSHALL', 'bad_url'],
    ['javascript:', 'javascript:alert(1)', 'bad_url'],
    ['userinfo', 'https://orders.example.org@127.0.0.1/logout', 'bad_url'],
    ['a password', 'https://:secret@orders.example.org/logout', 'bad_url'],
    ['a fragment', 'https://orders.example.org/logout#x', 'bad_url'],
    ['a backslash', 'https://orders.example.org\\@evil.example.org/', 'bad_url'],
    ['a tab', 'https://orders.exa\tmple.org/', 'bad_url'],
    ['a line break', 'https://orders.example.org/\r\nx: y', 'bad_url'],
    ['an IPv6 zone id', 'https://[fe80::1%25eth0]/logout', 'bad_url'],
    ['no URL', '/logout', 'bad_url'],
    ['nothing', '', 'bad_url'],
  ])('with %s', async (_, uri, code) => {
    const { asked, lookupAll } = names({})
    expect(await open({ lookupAll }).send(uri, TOKEN, policy())).toEqual({ kind: 'failure', code })
    expect(asked).toEqual([])
  })

  test('with http on this machine, unless that is allowed', async () => {
    const uri = await httpParty((_, response) => response.end())
    const code = 'http_not_allowed'
    expect(await open().send(uri, TOKEN, policy({ http: 'never' }))).toEqual({ kind: 'failure', code })
  })

  test('for a name that looks like another: the look-alike is asked for by its own name', async () => {
    const { asked, lookupAll } = names({})
    const answer = await open({ lookupAll }).send('https://ordеrs.example.org/logout', TOKEN, policy())
    expect(answer).toEqual({ kind: 'failure', code: 'name_not_found' })
    expect(asked).toEqual(['xn--ordrs-1we.example.org'])
  })
})

describe('the address that is connected to', () => {
  const refused = { kind: 'failure', code: 'address_not_allowed' }
  const nowhere = policy({ http: 'always', allowAddresses: [] })

  test.each([
    ['dotted', '127.0.0.1'],
    ['short', '127.1'],
    ['decimal', '2130706433'],
    ['octal', '0177.0.0.01'],
    ['hex', '0x7f.0x1'],
    ['hex in one', '0x7f000001'],
    ['full-width digits', '１２７.0.0.1'],
    ['circled digits', '①②⑦.0.0.1'],
    ['zero', '0'],
    ['IPv6', '[::1]'],
    ['IPv6 in full', '[0:0:0:0:0:0:0:1]'],
    ['IPv4-mapped', '[::ffff:127.0.0.1]'],
    ['IPv4-mapped in hex', '[::ffff:7f00:1]'],
    ['IPv4-compatible', '[::7f00:1]'],
    ['NAT64', '[64:ff9b::7f00:1]'],
    ['6to4', '[2002:7f00:1::]'],
    ['cloud metadata', '169.254.169.254'],
    ['cloud metadata as a number', '2852039166'],
    ['cloud metadata, IPv4-mapped', '[::ffff:a9fe:a9fe]'],
    ['cloud metadata on IPv6', '[fd00:ec2::254]'],
  ])('is judged when it stands in the URL, %s: %s', async (_, host) => {
    const { port, seen } = await rawParty((socket) => socket.end())
    for (const scheme of ['http', 'https']) {
      expect(await open().send(`${scheme}://${host}:${port}/`, TOKEN, nowhere)).toEqual(refused)
    }
    expect(seen.connections).toBe(0)
  })

  test.each([
    ['this machine', '127.0.0.1'],
    ['this machine on IPv6', '::1'],
    ['this machine, IPv4-mapped', '::ffff:127.0.0.1'],
    ['every address of this machine', '0.0.0.0'],
    ['a private address', '10.0.0.1'],
    ['cloud metadata', '169.254.169.254'],
  ])('is judged when a name resolves to %s', async (_, address) => {
    const { port, seen } = await rawParty((socket) => socket.end())
    const { send } = open(names({ 'orders.example.org': [[address]], 'localhost.': [[address]] }))
    expect(await send(`https://orders.example.org:${port}/`, TOKEN, nowhere)).toEqual(refused)
    expect(await send(`http://orders.example.org:${port}/`, TOKEN, nowhere)).toEqual(refused)
    expect(await send(`https://localhost.:${port}/`, TOKEN, nowhere)).toEqual(refused)
    expect(seen.connections).toBe(0)
  })

  test('is never that of cloud metadata, also when an allow list covers it', async () => {
    const everything = policy({ allowAddresses: ['0.0.0.0/0', '::/0'] })
    expect(await open().send('https://169.254.169.254/', TOKEN, everything)).toEqual(refused)
    const { lookupAll } = names({ 'orders.example.org': [['fd00:ec2::254']] })
    expect(await open({ lookupAll }).send('https://orders.example.org/', TOKEN, everything)).toEqual(refused)
  })

  test('is refused when only one of the addresses of a name is not allowed', async () => {
    const { port, seen } = await rawParty((socket) => socket.end())
    const { lookupAll } = names({ localhost: [['127.0.0.1', '10.0.0.1']] })
    expect(await open({ lookupAll }).send(`http://localhost:${port}/`, TOKEN, policy())).toEqual(refused)
    expect(seen.connections).toBe(0)
  })

  test('is the next one of a name when nobody listens at the first', async () => {
    const { port } = await rawParty((socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'))
    const { send } = open(names({ localhost: [['127.0.0.2', '127.0.0.1']] }))
    expect(await send(`http://localhost:${port}/`, TOKEN, policy())).toEqual({ kind: 'response', status: 204 })
  })

  test('is the one that was judged: a name that resolves differently the next time is not followed', async () => {
    const { port, seen } = await rawParty((socket) => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n'))
    const { asked, lookupAll } = names({ localhost: [['127.0.0.1'], ['169.254.169.254']] })
    const { send } = open({ lookupAll })
    expect(await send(`http://localhost:${port}/`, TOKEN, policy())).toEqual({ kind: 'response', status: 200 })
    expect(asked).toEqual(['localhost'])
    await isClosed(seen)
    expect(await send(`http://localhost:${port}/`, TOKEN, policy())).toEqual(refused)
    expect(asked).toEqual(['localhost', 'localhost'])
  })

  test('is judged for each relying party: two with one URL share no connection if only one may be there', async () => {
    const { uri, seen } = await rawParty((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'))
    const { send } = open()
    expect(await send(uri, TOKEN, policy())).toEqual({ kind: 'response', status: 200 })
    await nextTurn()
    expect(await send(uri, TOKEN, policy({ allowAddresses: ['127.0.0.2/32'] }))).toEqual(refused)
    expect(await send(uri, TOKEN, policy())).toEqual({ kind: 'response', status: 200 })
    expect(seen).toMatchObject({ connections: 1, requests: 2 })
  })

  test('may be this machine only if that is allowed, so the relay cannot be sent to itself', async () => {
    const itself = await httpParty((_, response) => response.end())
    expect(await open().send(itself, TOKEN, policy({ allowAddresses: ['10.0.0.0/8'] }))).toEqual(refused)
  })
})

describe('a name server that does not answer', () => {
  test('costs an attempt its deadline, others nothing, and is asked only once at a time', async () => {
    const { asked, lookupAll } = names({ localhost: [['127.0.0.1']] })
    const stalling: LookupAll = (hostname, options, callback) => {
      if (hostname === 'stalled.example.org') {
        asked.push(hostname)
      } else {
        lookupAll(hostname, options, callback)
      }
    }
    const { port } = await rawParty((socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'))
    const { send } = open({ lookupAll: stalling })
    const stalled = Array.from({ length: 8 }, () =>
      send('https://stalled.example.org/', TOKEN, policy({ timeoutMs: 300 })),
    )
    expect(await send(`http://localhost:${port}/`, TOKEN, policy())).toEqual({ kind: 'response', status: 204 })
    expect(await Promise.all(stalled)).toEqual(Array(8).fill({ kind: 'failure', code: 'timeout' }))
    expect(asked).toEqual(['stalled.example.org', 'localhost'])
  })
})

describe('a deadline that is over before the connection is made', () => {
  test('keeps the token from being sent later', async () => {
    const { uri, port, seen } = await rawParty((socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'))
    let resolveName: () => void = () => undefined
    const { send } = open({
      lookupAll: (_hostname, _options, callback) => {
        resolveName = () => callback(null, [{ address: '127.0.0.1', family: 4 }])
      },
    })
    const answer = await send(`http://localhost:${port}/late`, TOKEN, policy({ timeoutMs: 100 }))
    expect(answer).toEqual({ kind: 'failure', code: 'timeout' })
    resolveName()
    await expect.poll(() => seen.connections, WITHIN).toBe(1)
    expect(await send(uri, TOKEN, policy())).toEqual({ kind: 'response', status: 204 })
    expect(seen.text).not.toContain('/late')
  })
})

describe('TLS', () => {
  type Certificate = Awaited<ReturnType<typeof generate>>
  let authority: Certificate
  let stranger: Certificate
  let good: Certificate
  let expired: Certificate
  let otherHost: Certificate

  const certificate = (name: string, more: Parameters<typeof generate>[1] = {}) =>
    generate([{ name: 'commonName', value: name }], { keyType: 'ec', algorithm: 'sha256', ...more })
  beforeAll(async () => {
    const cA: Parameters<typeof generate>[1] = {
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, critical: true },
      ],
    }
    authority = await certificate('Our own CA', cA)
    stranger = await certificate('Somebody', cA)
    const ca = { key: authority.private, cert: authority.cert }
    good = await certificate('localhost', { ca })
    otherHost = await certificate('other.example.org', { ca })
    const past = { notBeforeDate: new Date(Date.now() - 3 * DAY_MS), notAfterDate: new Date(Date.now() - DAY_MS) }
    expired = await certificate('localhost', { ca, ...past })
  })

  async function tlsParty({ cert, private: key }: Certificate, more: TlsOptions = {}) {
    const seen = { text: '' }
    const server = createTlsServer({ cert, key, ...more }, (socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (data) => {
        seen.text += data.toString()
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
      })
    })
    server.on('tlsClientError', () => undefined)
    return { uri: `https://localhost:${await listen(server)}/logout`, seen }
  }
  const sendTo = (uri: string, ca?: string) =>
    open({ ...names({ localhost: [['127.0.0.1']] }), ...(ca === undefined ? {} : { ca }) }).send(uri, TOKEN, policy())

  test('with a certificate of the CA that the config names is trusted, also for an address', async () => {
    const { uri } = await tlsParty(good)
    expect(await sendTo(uri, authority.cert)).toEqual({ kind: 'response', status: 200 })
    expect(await sendTo(uri.replace('localhost', '127.0.0.1'), authority.cert)).toMatchObject({ status: 200 })
  })

  test('carries HTTP/1.1 also where HTTP/2 is offered', async () => {
    const { uri } = await tlsParty(good, { ALPNProtocols: ['h2', 'http/1.1'] })
    expect(await sendTo(uri, authority.cert)).toEqual({ kind: 'response', status: 200 })
  })

  test('with a certificate that nobody vouches for is refused', async () => {
    const { uri, seen } = await tlsParty(good)
    expect(await sendTo(uri)).toEqual({ kind: 'failure', code: 'tls' })
    expect(await sendTo(uri, stranger.cert)).toEqual({ kind: 'failure', code: 'tls' })
    expect(seen.text).toBe('')
  })

  test('is verified also when the environment says not to', async () => {
    const { uri } = await tlsParty(good)
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    onTestFinished(() => {
      vi.unstubAllEnvs()
    })
    expect(await sendTo(uri)).toEqual({ kind: 'failure', code: 'tls' })
  })

  test('with an expired certificate is refused', async () => {
    const { uri, seen } = await tlsParty(expired)
    expect(await sendTo(uri, authority.cert)).toEqual({ kind: 'failure', code: 'tls' })
    expect(seen.text).toBe('')
  })

  test('with a certificate for another host is refused', async () => {
    const { uri, seen } = await tlsParty(otherHost)
    expect(await sendTo(uri, authority.cert)).toEqual({ kind: 'failure', code: 'tls' })
    expect(seen.text).toBe('')
  })

  test('in version 1.0 is refused', async () => {
    const old: TlsOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }
    const { uri, seen } = await tlsParty(good, old)
    expect(await sendTo(uri, authority.cert)).toEqual({ kind: 'failure', code: 'tls' })
    expect(seen.text).toBe('')
  })

  test('whose handshake stalls costs the deadline', async () => {
    const port = await listen(createServer())
    const answer = await open().send(`https://127.0.0.1:${port}/`, TOKEN, policy({ timeoutMs: 200 }))
    expect(answer).toEqual({ kind: 'failure', code: 'timeout' })
  })

  test.each([
    ['SSH on port 22', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['mail on port 25', '220 mail.example.org ESMTP\r\n'],
    ['Redis on port 6379', '-ERR unknown command\r\n'],
  ])('keeps the token from what is no relying party: %s', async (_, greeting) => {
    const seen = { text: '' }
    const port = await listen(
      createServer((socket) => {
        socket.write(greeting)
        socket.on('data', (data) => (seen.text += data.toString('latin1')))
      }),
    )
    expect(await sendTo(`https://localhost:${port}/`)).toEqual({ kind: 'failure', code: 'tls' })
    expect(seen.text).not.toContain('logout_token')
  })
})

describe('an answer', () => {
  const ok = { kind: 'response', status: 200 }
  const head = 'HTTP/1.1 200 OK\r\n'

  test('of 200 with a login page counts as the word of the relying party, as the specification has it', async () => {
    const uri = await httpParty((_, response) => response.setHeader('content-type', 'text/html').end('<form>Log in'))
    const answer = await open().send(uri, TOKEN, policy())
    expect(judge(answer).outcome).toBe('delivered')
  })

  test('counts at once when its body never ends, and the connection is closed', async () => {
    const { uri, seen } = await rawParty((socket) => {
      socket.write(`${head}transfer-encoding: chunked\r\n\r\n`)
      const drip = setInterval(() => socket.write('1\r\nx\r\n'), 20)
      socket.on('close', () => {
        clearInterval(drip)
      })
    })
    // At the deadline it would be a timeout, not an answer.
    expect(await open().send(uri, TOKEN, policy())).toEqual(ok)
    await isClosed(seen)
  })

  test.each([
    ['plain', ''],
    ['said to be gzip', 'content-encoding: gzip\r\n'],
  ])('with gigabytes behind it, %s, is read for a few kilobytes and no more', async (_, header) => {
    const chunk = Buffer.alloc(65_536)
    let written = 0
    const { uri, seen } = await rawParty((socket) => {
      const flood = () => {
        while (!socket.destroyed && socket.write(chunk)) {
          written += chunk.length
        }
      }
      socket.on('drain', flood)
      socket.write(`${head}${header}content-length: 10000000000\r\n\r\n`)
      flood()
    })
    expect(await open().send(uri, TOKEN, policy())).toEqual(ok)
    await isClosed(seen)
    // What fits into the buffers of two sockets.
    expect(written).toBeLessThan(16_000_000)
  })

  test.each([
    ['longer than it says', 'content-length: 1\r\n\r\nxyz'],
    ['shorter than it says', 'content-length: 100\r\n\r\nxyz'],
    ['no chunk where one should be', 'transfer-encoding: chunked\r\n\r\nnonsense'],
    ['garbage said to be gzip', 'content-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x00\xff\x1f\x8b'],
  ])('counts by its status when its body is %s, and the connection is not used again', async (_, rest) => {
    const { uri, seen } = await rawParty((socket) => {
      socket.write(`${head}${rest}`)
      socket.end()
    })
    const { send } = open()
    expect(await send(uri, TOKEN, policy())).toEqual(ok)
    await isClosed(seen)
    expect(await send(uri, TOKEN, policy())).toEqual(ok)
    expect(seen.connections).toBe(2)
  })

  test('of 204 counts also with a body, which is not taken for the next answer', async () => {
    const { uri, seen } = await rawParty((socket, n) =>
      socket.write(n === 0 ? `HTTP/1.1 204 No Content\r\n\r\n${head}\r\n` : 'HTTP/1.1 503 Busy\r\n\r\n'),
    )
    const { send } = open()
    expect(await send(uri, TOKEN, policy())).toEqual({ kind: 'response', status: 204 })
    await isClosed(seen)
    expect(await send(uri, TOKEN, policy())).toMatchObject({ status: 503 })
  })

  test('counts when the connection is reset right after it', async () => {
    const { uri } = await rawParty((socket) => {
      socket.write(`${head}content-length: 100\r\n\r\nx`, () => socket.resetAndDestroy())
    })
    expect(await open().send(uri, TOKEN, policy())).toEqual(ok)
  })

  test('that ends before its status is a lost connection', async () => {
    const { uri } = await rawParty((socket) => socket.resetAndDestroy())
    expect(await open().send(uri, TOKEN, policy())).toEqual({ kind: 'failure', code: 'connection_lost' })
  })

  test.each([301, 302, 303, 307, 308])('of %i is not followed', async (status) => {
    const internal = await rawParty((socket) => socket.end(head))
    const uri = await httpParty((_, response) => response.writeHead(status, { location: internal.uri }).end())
    expect(await open().send(uri, TOKEN, policy())).toEqual({ kind: 'response', status })
    expect(internal.seen.connections).toBe(0)
  })

  test('of 999 is one that the specification does not know', async () => {
    const { uri } = await rawParty((socket) => socket.end('HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n'))
    const answer = await open().send(uri, TOKEN, policy())
    expect(answer).toEqual({ kind: 'response', status: 999 })
    expect(judge(answer).outcome).toBe('retry')
  })

  test.each([
    ['HTTP/0.9', '<html>logged out</html>'],
    ['no status line', 'content-length: 0\r\n\r\n'],
    ['no number for a status', 'HTTP/1.1 OK\r\n\r\n'],
    ['two lengths', `${head}content-length: 1\r\ncontent-length: 2\r\n\r\nxx`],
    ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'],
    ['only 100 Continue', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['a megabyte of header', `${head}x: ${'a'.repeat(1_000_000)}\r\n\r\n`],
    ['many headers', `${head}${'x: y\r\n'.repeat(10_000)}\r\n`],
  ])('that is %s is no answer', async (_, text) => {
    const { uri, seen } = await rawParty((socket) => socket.end(text))
    const answer = await open().send(uri, TOKEN, policy())
    expect(answer.kind).toBe('failure')
    expect(judge(answer).outcome).toBe('retry')
    await isClosed(seen)
  })

  test('that never begins is given up before the deadline, and the connection is closed', async () => {
    const { uri, seen } = await rawParty(() => undefined)
    const ended: string[] = []
    // The deadline itself, in the same process: how slow this machine is, both are told by.
    const deadline = delay(4000).then(() => ended.push('deadline'))
    expect(await open().send(uri, TOKEN, policy({ timeoutMs: 4000 }))).toEqual({ kind: 'failure', code: 'timeout' })
    ended.push('given up')
    await isClosed(seen)
    await deadline
    expect(ended).toEqual(['given up', 'deadline'])
  })

  test('that stops in its header is given up by the deadline, and the connection is closed', async () => {
    const { uri, seen } = await rawParty((socket) => socket.write(`${head}x: `))
    const answer = await open().send(uri, TOKEN, policy({ timeoutMs: 200 }))
    expect(answer).toEqual({ kind: 'failure', code: 'timeout' })
    await isClosed(seen)
  })

  test.each([
    ['drips its header', 'x'],
    ['is a flood of 1xx', 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n'.repeat(50)],
  ])('that %s costs the deadline, and the connection is closed', async (_, text) => {
    const { uri, seen } = await rawParty((socket) => {
      socket.write(text === 'x' ? `${head}x: ` : '')
      const drip = setInterval(() => socket.write(text), 5)
      socket.on('close', () => {
        clearInterval(drip)
      })
    })
    const answer = await open().send(uri, TOKEN, policy({ timeoutMs: 200 }))
    expect(answer).toEqual({ kind: 'failure', code: 'timeout' })
    await isClosed(seen)
  })

  test('leaves nothing behind but its status: no cookie, no header, no reason phrase, no body', async () => {
    const { uri, seen } = await rawParty((socket) => {
      const headers = 'set-cookie: a=b\r\nclear-site-data: "*"\r\nx: \x9b31m\r\ncontent-length: 6\r\n'
      socket.write(`HTTP/1.1 400 No \x1b[31mway\r\n${headers}\r\n\x1b[31m\r`, 'latin1')
    })
    const { send } = open()
    expect(await send(uri, TOKEN, policy())).toEqual({ kind: 'response', status: 400 })
    await nextTurn()
    expect(await send(uri, TOKEN, policy())).toEqual({ kind: 'response', status: 400 })
    expect(seen.requests).toBe(2)
    expect(seen.text).not.toMatch(/\r\ncookie:/i)
  })
})

describe('a connection', () => {
  test('that nobody takes is told apart from a lost one', async () => {
    const server = createServer()
    const port = await listen(server)
    server.close()
    await once(server, 'close')
    const answer = await open().send(`http://127.0.0.1:${port}/`, TOKEN, policy())
    expect(answer).toEqual({ kind: 'failure', code: 'connection_refused' })
  })
})
