import { describe, expect, test } from 'vitest'
import { retryDelayMs, slowDelayMs } from '../../relay/domain/backoff.ts'
import { plan } from '../../relay/domain/plan.ts'
import { isSameTarget, targetAt } from '../../relay/domain/target.ts'
import { isLoopback } from '../../relay/domain/uri.ts'
import { NOW_MS, securityEvent, session, uuid } from './given.ts'

const CAP_MS = 900_000

describe('back-off', () => {
  test.each([
    [1, 1000],
    [2, 2000],
    [3, 5000],
    [4, 10_000],
    [5, 30_000],
    [6, 60_000],
    [7, 120_000],
    [8, 300_000],
    [9, 600_000],
    [10, CAP_MS],
    [1000, CAP_MS],
  ])('after %i attempts it waits at most %i ms and at least four fifths of it', (attempts, ms) => {
    expect(retryDelayMs(attempts, 1)).toBe(ms)
    expect(retryDelayMs(attempts, 0)).toBe(ms * 0.8)
  })

  test('the first attempt waits for nothing', () => {
    expect(retryDelayMs(0, 0.5)).toBe(0)
  })

  test('jitter spreads under the delay, never over it, and the delay is a whole number', () => {
    for (let attempts = 1; attempts < 15; attempts++) {
      for (const random of [0, 0.123456, 0.5, 0.999999]) {
        const delay = retryDelayMs(attempts, random)
        expect(delay).toBeLessThanOrEqual(retryDelayMs(attempts, 1))
        expect(delay).toBeLessThanOrEqual(CAP_MS)
        expect(Number.isInteger(delay)).toBe(true)
      }
    }
  })

  test.each([
    ['longer than our own delay is honoured', 1, 7000, 7000],
    ['shorter than our own delay does not hurry us', 5, 1000, 30_000],
    ['of zero does not hurry us', 3, 0, 5000],
    ['beyond the cap is cut to it', 1, 999_999_000, CAP_MS],
  ])('a Retry-After %s', (_, attempts, retryAfterMs, delay) => {
    expect(retryDelayMs(attempts, 1, retryAfterMs)).toBe(delay)
  })
})

test('what is attempted slowly is attempted again after as long as it has been owed, from a quarter of an hour to six hours', () => {
  const minutes = [0, 10, 60, 180, 10_000].map((owed) => slowDelayMs(owed * 60_000, 1) / 60_000)
  expect(minutes).toEqual([15, 15, 60, 180, 360])
  expect(slowDelayMs(3_600_000, 0)).toBe(2_880_000)
})

describe('the plan', () => {
  test('every session whose client can be told is one delivery, due now', () => {
    const event = securityEvent(1, ['orders', 'orders', 'wiki'])
    const { deliveries, containmentId } = plan(event, NOW_MS)
    expect(containmentId).toBe(event.txn)
    expect(deliveries.map(({ id, clientId, sid }) => [id, clientId, sid])).toEqual(
      event.sessions.map(({ id, clientId, sid }) => [id, clientId, sid]),
    )
    for (const delivery of deliveries) {
      expect(delivery).toMatchObject({ state: 'open', attempts: 0, dueMs: NOW_MS, createdMs: NOW_MS })
    }
  })

  test('each client is told where whoever plans says', () => {
    const { deliveries } = plan(securityEvent(1, ['orders', 'wiki', 'mail']), NOW_MS, ({ clientId, named }) =>
      clientId === 'orders'
        ? { kind: 'other', uri: 'https://new.example.org/' }
        : clientId === 'wiki'
          ? targetAt(named)
          : undefined,
    )
    expect(deliveries.map(({ target }) => target)).toEqual([
      { kind: 'other', uri: 'https://new.example.org/' },
      { kind: 'backchannel', uri: 'https://wiki.example.org/logout' },
    ])
  })

  test('a session that nobody can be told of is in the evidence with its worst end', () => {
    const jti = uuid(1)
    const silent = session(jti, 0, 'silent', { named: { kind: 'backchannel' }, latestEndMs: NOW_MS + 5999 })
    const { deliveries, unreachable, evidence } = plan(securityEvent(1, [], { sessions: [silent] }), NOW_MS)
    expect(deliveries).toEqual([])
    expect(unreachable).toEqual([{ clientId: 'silent', sid: silent.sid, untilMs: NOW_MS + 5999 }])
    expect(evidence).toContainEqual({ kind: 'planned', atMs: NOW_MS, data: { jti, deliveries: 0, unreachable: 1 } })
    const shadow = securityEvent(1, [], { sessions: [silent], shadow: true })
    expect(plan(shadow, NOW_MS).unreachable).toEqual([])
    expect(evidence).toContainEqual({
      kind: 'no_logout_uri',
      atMs: NOW_MS,
      data: { client_id: 'silent', sid: silent.sid, may_live_until_ms: NOW_MS + 5999 },
    })
  })

  test('a client that has nothing but tokens has no session that could live on', () => {
    const named = { kind: 'backchannel' }
    const browser = session(uuid(1), 0, 'browser', { named, tokensOnly: true })
    const { unreachable, evidence } = plan(securityEvent(1, [], { sessions: [browser] }), NOW_MS)
    expect(unreachable).toEqual([])
    const data = { client_id: 'browser', sid: browser.sid, tokens_only: true }
    expect(evidence).toContainEqual({ kind: 'no_logout_uri', atMs: NOW_MS, data })
  })

  test('the evidence tells when the event came and when the sessions at the identity provider had ended', () => {
    const event = securityEvent(1, ['orders'], { part: 2, parts: 3 })
    expect(plan(event, NOW_MS).evidence.map(({ kind, atMs }) => [kind, atMs])).toEqual([
      ['upstream_sessions_ended', event.removedAtMs],
      ['received', NOW_MS],
      ['planned', NOW_MS],
    ])
  })

  test('the evidence of a workload says how it had got tokens, where that is known', () => {
    const client = { clientId: 'export', allTokens: false }
    const used = { kinds: ['client_credentials', 'token-exchange'], addresses: ['192.0.2.7'], lastMs: NOW_MS - 5 }
    const received = (one: typeof client & { used?: typeof used }) =>
      plan(securityEvent(1, [], { client: one }), NOW_MS).evidence.find(({ kind }) => kind === 'received')?.data
    expect(received({ ...client, used })).toMatchObject({
      ...{ client_id: 'export', used_by: 'client_credentials, token-exchange', used_from: '192.0.2.7' },
      last_used_ms: NOW_MS - 5,
    })
    expect(Object.keys(received(client) ?? {}).filter((name) => name.includes('used'))).toEqual([])
  })

  test('the evidence is in the order in which it happened, though the relay learns of all at once', () => {
    const operator = { by: 'olivia-1', clientId: 'logout-relay-operator', reason: 'INC-4711' }
    const event = securityEvent(1, ['orders'], { operator, steps: { consents: 2 }, survivors: 1 })
    const { evidence, atMs } = plan(event, NOW_MS)
    expect(evidence.map(({ kind }) => kind)).toEqual([
      ...['asked', 'upstream_sessions_ended', 'step', 'survivors_ended', 'received', 'planned'],
    ])
    expect(atMs).toBe(NOW_MS)
    // Clocks differ: what Keycloak says of a minute from now was known all the same when it was taken.
    const ahead = plan({ ...event, removedAtMs: NOW_MS + 60_000 }, NOW_MS)
    expect([ahead.atMs, ahead.evidence.at(-1)?.kind]).toEqual([NOW_MS, 'survivors_ended'])
  })

  test('what each part of a large event repeats is in the evidence once', () => {
    const all = { parts: 2, steps: { consents: 2 }, sparedOffline: ['backup'], identityProviders: ['google'] }
    const kinds = [1, 2].map((part) =>
      plan(securityEvent(1, ['orders'], { ...all, part }), NOW_MS).evidence.map(({ kind }) => kind),
    )
    expect(kinds[0]).toEqual(expect.arrayContaining(['step', 'spared', 'linked', 'planned']))
    expect(kinds[1]).toEqual(['upstream_sessions_ended', 'received', 'planned'])
  })

  test('the evidence names each identity provider that the subject is still linked to', () => {
    const event = securityEvent(1, ['orders'], { identityProviders: ['google', 'partner'] })
    const linked = plan(event, NOW_MS).evidence.filter(({ kind }) => kind === 'linked')
    expect(linked.map(({ data }) => data['identity_provider'])).toEqual(['google', 'partner'])
  })

  test('the evidence names the identity provider that said so, by what it calls the event, once', () => {
    const upstream = { issuer: 'https://login.example.com', txn: 'theirs' }
    const told = [1, 2].flatMap((part) =>
      plan(securityEvent(1, ['orders'], { upstream, part, parts: 2 }), NOW_MS).evidence.filter(
        ({ kind }) => kind === 'told_by',
      ),
    )
    expect(told.map(({ data }) => data)).toEqual([upstream])
  })

  test('parts of one cause are one containment', () => {
    const first = plan(securityEvent(1, ['a'], { txn: 'one' }), NOW_MS)
    const second = plan(securityEvent(2, ['b'], { txn: 'one' }), NOW_MS)
    expect(first.containmentId).toBe(second.containmentId)
  })
})

describe('a target', () => {
  const target = { kind: 'one', uri: 'https://a.example.org/', binding: 'soap' }

  test('is what the realm names, at the logout URL of today, and is none without a logout URL', () => {
    expect(targetAt(target)).toEqual(target)
    expect(targetAt(target, 'https://b.example.org/')).toEqual({ ...target, uri: 'https://b.example.org/' })
    expect(targetAt({ kind: 'one' }, 'https://b.example.org/')).toEqual({ kind: 'one', uri: 'https://b.example.org/' })
    expect(targetAt({ kind: 'one' })).toBeUndefined()
  })

  test.each([
    ['another kind', { kind: 'other' }],
    ['another logout URL', { uri: 'https://b.example.org/' }],
    ['another word of its kind', { binding: 'post' }],
    ['one more word', { more: 'x' }],
  ])('with %s is another', (_, more) => {
    expect([isSameTarget(target, { ...target }), isSameTarget(target, { ...target, ...more })]).toEqual([true, false])
    expect(isSameTarget({ ...target, ...more }, target)).toBe(false)
  })
})

describe('what counts as loopback', () => {
  test.each(['http://localhost:8080/x', 'http://127.0.0.1/', 'http://127.8.9.10/', 'http://[::1]:1/', 'http://127.1/'])(
    '%s is this machine',
    (uri) => expect(isLoopback(uri)).toBe(true),
  )

  test.each([
    'http://10.0.0.1/',
    'http://0.0.0.0/',
    'http://localhost.example.org/',
    'http://127.0.0.1.example.org/',
    'http://127.0.0.1@evil.example.org/',
    'http://[::ffff:10.0.0.1]/',
    'localhost',
    '',
  ])('%s is not', (uri) => expect(isLoopback(uri)).toBe(false))
})
