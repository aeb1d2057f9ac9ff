import { appendFileSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Change, ChangeKind } from '../../relay/domain/change.ts'
import { RelayError } from '../../relay/errors.ts'
import { lineOf, SecurityFeedLine } from '../../relay/security-feed/line.ts'
import { tellSecurityFeed } from '../../relay/security-feed/feed.ts'
import { fileSink, httpSink, type Sink } from '../../relay/security-feed/sink.ts'
import type { EvidenceLine, Store } from '../../relay/store/port.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { FakeClock } from './fake-clock.ts'
import { acceptInto, ISSUER, NOW_MS, securityEvent, temporaryFolder } from './given.ts'

const LINE: EvidenceLine = {
  containmentId: 'txn-1',
  trigger: 'admin-reset-password',
  evidence: { kind: 'attempt', atMs: NOW_MS, data: { client_id: 'orders', outcome: 'delivered', status: 200 } },
}

async function openStore(events: number): Promise<Store> {
  const store = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  onTestFinished(() => store.close())
  for (let n = 1; n <= events; n++) {
    const event = securityEvent(n, ['orders', 'wiki'])
    await acceptInto(store, event)
  }
  return store
}

function tell(store: Store, sink: Sink, leads = true, named = false) {
  const clock = new FakeClock(NOW_MS)
  const stop = new AbortController()
  const told = { delivered: 0, failed: [] as number[], troubles: [] as string[] }
  void tellSecurityFeed(
    ISSUER,
    {
      store,
      sink,
      named,
      clock,
      random: () => 1,
      leads: () => leads,
      delivered: (lines) => (told.delivered += lines),
      failed: () => told.failed.push(clock.nowMs() - NOW_MS),
      trouble: (what) => told.troubles.push(what),
    },
    stop.signal,
  )
  onTestFinished(() => stop.abort())
  return { clock, told }
}

const parsed = (line: string) => SecurityFeedLine.parse(JSON.parse(line))

test('a line holds to its schema, and its id is that of its content: the same again, another for another', () => {
  const line = parsed(lineOf(ISSUER, LINE))
  expect(line).toMatchObject({ issuer: ISSUER, containment: 'txn-1', kind: 'attempt', data: { status: 200 } })
  expect(parsed(lineOf(ISSUER, LINE)).id).toBe(line.id)
  expect(parsed(lineOf(ISSUER, { ...LINE, containmentId: 'txn-2' })).id).not.toBe(line.id)
})

test('no line says whose identity it was, unless relay.yaml says so, and then only while that is kept', async () => {
  const lines: string[] = []
  const { clock, told } = tell(await openStore(2), (batch) => Promise.resolve(void lines.push(...batch)))
  await clock.until(() => told.delivered > 0)
  expect(lines.length).toBeGreaterThan(4)
  expect(lines.join('')).not.toContain('user-1')
  const store = await openStore(1)
  const named: string[] = []
  const other = tell(store, (batch) => Promise.resolve(void named.push(...batch)), true, true)
  await other.clock.until(() => other.told.delivered > 0)
  expect(named.map((line) => parsed(line).subject)).toEqual(['user-1', 'user-1', 'user-1'])
  await acceptInto(store, securityEvent(2, [], { sessions: [] }))
  await store.forgetSubjects(Number.MAX_SAFE_INTEGER, 10)
  await other.clock.until(() => other.told.delivered > 3)
  expect(named.slice(3).map((line) => parsed(line).subject)).toEqual([undefined, undefined, undefined, undefined])
})

test('while nobody takes them lines wait and are tried again, ever more slowly; then each comes once and in order', async () => {
  const store = await openStore(100)
  const lines: string[] = []
  let down = true
  const { clock, told } = tell(store, (batch) =>
    down ? Promise.reject(new RelayError('security_feed_refused', 'down')) : Promise.resolve(void lines.push(...batch)),
  )
  await clock.advance(9_000)
  expect(told.failed).toEqual([0, 1000, 3000, 8000])
  down = false
  await clock.until(() => lines.length >= 300)
  const wanted = Array.from({ length: 100 }, (_, n) =>
    ['upstream_sessions_ended', 'received', 'planned'].map((kind) => `txn-${n + 1} ${kind}`),
  ).flat()
  expect(lines.map(parsed).map(({ containment, kind }) => `${containment} ${kind}`)).toEqual(wanted)
  await clock.advance(5000)
  expect([told.delivered, told.troubles]).toEqual([300, []])
})

test('what was taken and not confirmed when the process died is told by the next', async () => {
  const store = await openStore(1)
  const hung: string[] = []
  const again: string[] = []
  tell(store, (batch) => new Promise(() => hung.push(...batch)))
  const next = tell(store, (batch) => Promise.resolve(void again.push(...batch)))
  await next.clock.advance(10_000)
  expect(again).toEqual([])
  await next.clock.until(() => again.length > 0, 120_000)
  expect(again).toEqual(hung)
})

const change = (kind: ChangeKind, n: number): Change => ({
  ...{ issuer: ISSUER, kind, atMs: NOW_MS + n, clientId: 'wiki', by: 'olivia-1', reason: 'moved' },
  data: { was: `${n}` },
})

/** What of the changes is told within some seconds, one relay after the other. */
async function toldOf(store: Store, leads = true) {
  const lines: string[] = []
  const { clock, told } = tell(store, (batch) => Promise.resolve(void lines.push(...batch)), leads)
  await clock.advance(5000)
  expect(told.troubles).toEqual([])
  return { lines: lines.map(parsed), clock, more: lines }
}

test('changes are told with who and why, and whether they weaken, once, also across a restart, and by the leader alone', async () => {
  const store = await openStore(0)
  await store.addChange(change('relying_party_paused', 1))
  await store.addChange(change('relying_party_resumed', 2))
  expect((await toldOf(store, false)).lines).toEqual([])
  const { lines, clock, more } = await toldOf(store)
  expect(lines).toMatchObject([
    { kind: 'relying_party_paused', data: { weakening: true, client_id: 'wiki', by: 'olivia-1', reason: 'moved' } },
    { kind: 'relying_party_resumed', time: new Date(NOW_MS + 2).toISOString(), data: { weakening: false } },
  ])
  await store.addChange(change('listener_off', 3))
  await clock.advance(5000)
  expect(more.map((line) => parsed(line).kind).slice(2)).toEqual(['listener_off'])
  expect((await toldOf(store)).lines).toEqual([])
})

test('many changes come oldest first and each once, though an endpoint refuses some batches', async () => {
  const store = await openStore(0)
  for (let n = 0; n < 450; n++) {
    await store.addChange(change('relying_party_paused', n))
  }
  const lines: string[] = []
  let asked = 0
  const { clock } = tell(store, (batch) =>
    asked++ % 2 === 0
      ? Promise.reject(new RelayError('security_feed_refused', 'down'))
      : Promise.resolve(void lines.push(...batch)),
  )
  await clock.until(() => lines.length >= 450, 120_000)
  expect(lines.map((line) => parsed(line).data['was'])).toEqual(Array.from({ length: 450 }, (_, n) => `${n}`))
})

test('where a store that was put back gives a number out again, changes are told anew and none is left out', async () => {
  const store = await openStore(0)
  await store.addChange(change('relying_party_paused', 1))
  await toldOf(store)
  const note = (await store.notes())[0]
  const other = await openStore(0)
  await other.replaceNote({ issuer: ISSUER, name: note?.name ?? '' }, undefined, note?.text, [])
  await other.addChange(change('listener_off', 7))
  expect((await toldOf(other)).lines.map(({ kind }) => kind)).toEqual(['listener_off'])
})

test('two batches for one file are written one after the other', async () => {
  const file = join(temporaryFolder(), 'security.jsonl')
  const sink = fileSink(file)
  const batch = (n: number) => Array.from({ length: 200 }, () => `{"batch":${n},"text":"${'x'.repeat(2000)}"}`)
  await Promise.all([1, 2, 3, 4].map((n) => sink(batch(n))))
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  expect(lines.map((line) => (JSON.parse(line) as { batch: number }).batch)).toEqual(
    [1, 2, 3, 4].flatMap((n) => Array<number>(200).fill(n)),
  )
})

test('a file gets whole lines: one that a crash has cut off is ended first, and one that was moved away begins anew', async () => {
  const file = join(temporaryFolder(), 'security.jsonl')
  const sink = fileSink(file)
  await sink(['{"a":1}', '{"a":2}'])
  appendFileSync(file, '{"cut o')
  await sink(['{"a":3}'])
  expect(readFileSync(file, 'utf8')).toBe('{"a":1}\n{"a":2}\n{"cut o\n{"a":3}\n')
  renameSync(file, `${file}.1`)
  await sink(['{"a":4}'])
  expect(readFileSync(file, 'utf8')).toBe('{"a":4}\n')
  expect(statSync(file).mode & 0o077).toBe(0)
})

test('a file that cannot be written is an error that names it', async () => {
  const blocker = join(temporaryFolder(), 'file')
  writeFileSync(blocker, '')
  await expect(fileSink(join(blocker, 'security.jsonl'))(['{}'])).rejects.toMatchObject({
    code: 'security_feed_refused',
    message: expect.stringMatching(/security\.jsonl cannot be written \(ENOTDIR\)/) as string,
  })
})

test('an endpoint gets JSON lines with its header; anything but 2xx is a refusal, in which neither header nor path shows', async () => {
  const asked: (IncomingMessage & { text?: string })[] = []
  let status = 204
  const server = createServer((question: IncomingMessage & { text?: string }, response) => {
    question.setEncoding('utf8').on('data', (part: string) => (question.text = (question.text ?? '') + part))
    question.on('end', () => {
      asked.push(question)
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret-path`
  const sink = httpSink({ url, authorization: 'Bearer canary' })
  await sink(['{"a":1}', '{"a":2}'])
  expect(asked[0]?.text).toBe('{"a":1}\n{"a":2}\n')
  expect(asked[0]?.headers).toMatchObject({
    authorization: 'Bearer canary',
    'content-type': 'application/x-ndjson',
  })
  for (status of [302, 401, 500]) {
    const failure = await sink(['{}']).catch((cause: unknown) => cause)
    expect(failure).toMatchObject({
      code: 'security_feed_refused',
      message: expect.stringContaining(String(status)) as string,
    })
    expect(String(failure)).not.toMatch(/canary|secret-path/)
  }
  expect(asked).toHaveLength(4)
  server.closeAllConnections()
  server.close()
  await expect(sink(['{}'])).rejects.toMatchObject({ message: expect.stringContaining('does not answer') as string })
})
