import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { commandsIn } from '../../scripts/stage/documented.ts'

const CLI = join(import.meta.dirname, '..', '..', 'relay', 'cli.ts')

/** Runs the command against a stand-in for a relay, which gives this answer to all. */
async function run(answer: object, ...args: string[]): Promise<{ code: number; out: string }> {
  const server = createServer((_, response) => response.end(JSON.stringify(answer)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const env = { ...process.env, LOGOUT_RELAY_URL: url, LOGOUT_RELAY_TOKEN: 'token' }
  return promisify(execFile)(process.execPath, [CLI, ...args], { env }).then(
    ({ stdout }) => ({ code: 0, out: stdout }),
    (cause: unknown) => {
      const { code, stdout } = cause as { code: number; stdout: string }
      return { code, out: stdout }
    },
  )
}

const delivery = (id: string, client_id: string, created_at_ms: number) => ({
  ...{ id, client_id, created_at_ms, containment_id: 'txn-1', sid: 'sid-1', state: 'open', attempts: 2 },
  ...{ last_reason: 'timeout', latest_end_ms: 2_000_000_000_000 },
})
const CALM = { deliveries: [], unreachable: [], to_do: [] }

const party = (client_id: string, enabled = true) => ({
  ...{ client_id, backchannel_logout_uri: 'https://o.example.org', enabled, source: 'realm', outvoted: [] },
})

test('status names who has not answered, oldest first, and its exit status says that something is open', async () => {
  const deliveries = [delivery('a', 'wiki', 200), delivery('b', 'orders', 100), delivery('c', 'wiki', 150)]
  const { code, out } = await run({ ...CALM, deliveries }, 'status', '--json')
  expect(code).toBe(3)
  expect(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([
    { client_id: 'orders', open: 1, oldest_at_ms: 100, last_reason: 'timeout' },
    { client_id: 'wiki', open: 2, oldest_at_ms: 150, last_reason: 'timeout' },
  ])
  expect(await run(CALM, 'status')).toMatchObject({
    code: 0,
    out: expect.stringContaining('Nothing is open') as string,
  })
})

test('sessions that a relying party is shown not to know are said once by status, and nothing is open for them alone', async () => {
  const unknown = (id: string) => ({ ...delivery(id, 'wiki', 100), last_reason: 'unknown_there:sid+sub' })
  const { code, out } = await run({ ...CALM, deliveries: [unknown('a'), unknown('b')] }, 'status')
  expect([code, out.trim().split('\n')]).toEqual([
    0,
    [expect.stringMatching(/^wiki {2}2 sessions that it no longer has and says 400 to/), 'Nothing else is open'],
  ])
  const both = await run({ ...CALM, deliveries: [unknown('a'), delivery('b', 'wiki', 200)] }, 'status')
  expect([both.code, both.out]).toEqual([
    3,
    expect.stringMatching(/^wiki {2}1 open since .* {2}timeout {2}1 session that/),
  ])
})

test('status says whom nobody can be told about and what is to be done, each with an exit status of its own', async () => {
  const unreachable = [{ client_id: 'legacy', sessions: 2, until_ms: 1_790_000_000_000 }]
  const to_do = [{ check: 'listener', about: 'https://idp.example.org/realms/main', says: 'is OFF' }]
  const says = async (more: object, ...args: string[]) => run({ ...CALM, ...more }, 'status', ...args)
  expect(await says({ unreachable })).toEqual({
    code: 4,
    out: 'legacy  2 sessions that nobody can be told about: no logout URL  may live until 2026-09-21T14:13:20.000Z\n',
  })
  expect(await says({ to_do })).toEqual({
    code: 5,
    out: 'TO DO  listener  https://idp.example.org/realms/main  is OFF\n',
  })
  expect((await says({ unreachable, to_do })).code).toBe(4)
  const all = await says({ unreachable, to_do, deliveries: [{ ...delivery('a', 'wiki', 1), attempts: 0 }] })
  expect([all.code, all.out.split('\n')[0]]).toEqual([
    3,
    expect.stringMatching(/^wiki {2}1 open since .* {2}not asked yet$/),
  ])
  const { out } = await says({ unreachable, to_do }, '--json')
  expect(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toEqual([{ client_id: 'legacy', unreachable: 2, until_ms: 1_790_000_000_000 }, { to_do: to_do[0] }])
})

test('whoever reads only the first lines leaves no stack trace, and what one of is no more than one', async () => {
  const deliveries = Array.from({ length: 3000 }, (_, n) => ({ ...delivery(`delivery-${n}`, 'wiki', n), attempts: 1 }))
  const server = createServer((_, response) => response.end(JSON.stringify({ deliveries })))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const env = { ...process.env, LOGOUT_RELAY_URL: url, LOGOUT_RELAY_TOKEN: 'token' }
  const command = `"${process.execPath}" "${CLI}" deliveries list | head -n 2`
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', command], { env })
  expect(stdout.trim().split('\n')).toEqual([
    expect.stringMatching(/^delivery-0 .* {2}1 attempt {2}timeout$/),
    expect.stringMatching(/^delivery-1 /),
  ])
  expect(stderr).toBe('')
})

test('a name that would drive the terminal is shown without its power', async () => {
  const { out } = await run({ relying_parties: [party('\u001b[2Jorders', false)] }, 'relying-parties', 'list')
  expect(out).toBe('?[2Jorders  https://o.example.org  disabled\n')
})

test('relying-parties without another word lists them, and check ends with 1 if one accepts anything', async () => {
  const parties = ['wiki', 'shop'].map((clientId) => party(clientId))
  expect((await run({ relying_parties: parties }, 'relying-parties')).out).toBe(
    'wiki  https://o.example.org\nshop  https://o.example.org\n',
  )
  const answer = { relying_parties: parties, ok: false, says: 'accepts anything' }
  expect(await run(answer, 'relying-parties', 'check')).toEqual({
    code: 1,
    out: 'TO DO  wiki  accepts anything\nTO DO  shop  accepts anything\n',
  })
  expect(await run({ ...answer, ok: true }, 'relying-parties', 'check', 'wiki', '--json')).toEqual({
    code: 0,
    out: '{"client_id":"wiki","ok":true,"says":"accepts anything"}\n',
  })
})

test('relying parties are paused with a reason, resumed, registered and taken back, each said in a line', async () => {
  const answer = { paused: true, registered: true, check: { ok: true, says: 'refuses it' } }
  const act = (...args: string[]) => run(answer, 'relying-parties', ...args)
  expect((await act('pause', 'wiki', '--reason', 'being moved')).out).toMatch(
    /^wiki {2}is paused: its sessions live on/,
  )
  expect((await act('pause', 'wiki')).code).toBe(1)
  expect((await act('resume', 'wiki', '--json')).out).toBe('{"client_id":"wiki","paused":false}\n')
  const uri = ['--uri', 'https://shop.example.org/logout', '--reason', 'not in the realm']
  expect((await act('register', 'shop', ...uri)).out).toBe('shop  is registered  refuses it\n')
  expect((await run({ registered: false }, 'relying-parties', 'unregister', 'shop', '--reason', 'gone')).out).toContain(
    'is not registered here any more',
  )
})

test('changes names what is weaker, and by whom and why', async () => {
  const change = {
    seq: 1,
    at_ms: 0,
    kind: 'relying_party_paused',
    client_id: 'wiki',
    by: 'olivia-1',
    reason: 'moved',
    data: {},
  }
  const { out } = await run({ changes: [{ ...change, weakening: true }] }, 'changes')
  expect(out).toBe('1970-01-01T00:00:00.000Z  WEAKER  relying_party_paused  wiki  by olivia-1  moved\n')
})

test('a containment shows its evidence line by line', async () => {
  const one = {
    ...{
      id: 'txn-1',
      trigger: 't',
      event_at_ms: 1,
      received_at_ms: 2,
      deliveries: 3,
      open: 1,
      dismissed: 0,
      parts: 1,
      arrived: 1,
    },
    unreachable: 0,
  }
  const { out } = await run({ ...one, evidence: [{ at_ms: 0, kind: 'planned', data: { n: 3 } }] }, 'containments', 'x')
  expect(out).toBe('1970-01-01T00:00:00.000Z  planned  n=3\n')
  expect((await run({ containments: [one] }, 'containments')).out).toContain('txn-1  1970-01-01T00:00:00.001Z  t')
})

test('contain says what has ended for each user and what lives on, and what a dry run would have', async () => {
  const one = { subject: 'u', sessions: 3, relying_parties: 2, unreachable: 1, shadow: false, dry_run: false }
  const ended = { ...one, confirmation_required: true, containment_id: 'txn-1' }
  const dry = { ...ended, dry_run: true }
  const words = ['contain', 'alice', 'bob', '--reason', 'laptop stolen']
  const { code, out } = await run(ended, ...words)
  expect(code).toBe(0)
  expect(out.split('\n')).toEqual([
    'alice  ended 2 sessions at 2 relying parties; 1 session lives on at clients without a logout URL  txn-1',
    'bob  ended 2 sessions at 2 relying parties; 1 session lives on at clients without a logout URL  txn-1',
    '',
  ])
  expect((await run(dry, ...words, '--dry-run')).out.split('\n')[0]).toBe(
    'alice  would end 2 sessions at 2 relying parties; 1 session would live on at clients without a logout URL; takes --confirm  txn-1',
  )
})

test('every command in the documents is one that a shell can read', async () => {
  const documents = readdirSync(join(CLI, '..', '..', 'docs')).filter((file) => file.endsWith('.md'))
  const commands = documents.flatMap((file) => commandsIn(join('docs', file)))
  expect(commands.length).toBeGreaterThan(30)
  await promisify(execFile)('bash', ['-n', '-c', commands.map(({ text }) => `{\n${text}\n}`).join('\n')])
})

test('sixteen names that stall do not keep another from being looked up', async () => {
  // What stalls is work on the same threads: a name server that does not answer takes one for each name.
  const script = `
    await import(${JSON.stringify(CLI)})
    const { pbkdf2 } = await import('node:crypto')
    const { lookup } = await import('node:dns')
    const ended = []
    const end = (what) => ended.push(what) === 17 && console.log(ended.indexOf('name'))
    for (let n = 0; n < 16; n++) {
      pbkdf2('a', 'b', 300_000, 64, 'sha512', () => end('stalled'))
    }
    lookup('localhost', () => end('name'))`
  const { UV_THREADPOOL_SIZE: _, ...env } = process.env
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env })
  expect(Number(stdout)).toBe(0)
})
