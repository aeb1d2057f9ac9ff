import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Reach } from '../../relay/delivery/port.ts'
import { checkUpstream } from '../../relay/check/upstream.ts'
import { parseConfig } from '../../relay/config/config.ts'
import { openPost } from '../../relay/delivery/post.ts'
import type { UpstreamOutcome, UpstreamWord } from '../../relay/domain/model.ts'
import { RelayError } from '../../relay/errors.ts'
import { newest } from '../../relay/upstream/life.ts'
import { makeMetrics } from '../../relay/telemetry/metrics.ts'
import type { Parts } from '../../relay/run/connect.ts'
import { openUpstreams } from '../../relay/run/upstreams.ts'
import { heardIn } from '../../relay/upstream/set.ts'
import { pollStream, type StreamPorts, streamRoute, verifyStream } from '../../relay/upstream/stream.ts'
import { Transmitter } from '../../relay/upstream/transmitter.ts'
import type { Stream, Upstream } from '../../relay/upstream/upstream.ts'
import { settle } from './fake-clock.ts'
import { NOW_MS } from './given.ts'
import { type Realm, realm } from './signed.ts'

const ISSUER = 'https://example.okta.com'
const AUDIENCE = 'https://logout-relay.example.org/upstreams/okta/events'
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type'
const SSF = 'https://schemas.openid.net/secevent/ssf/event-type'
const NOW = NOW_MS / 1000
const CONTAINED: UpstreamOutcome = { contained: 1, held: 0, known: 0 }

let okta: Realm
let stranger: Realm
beforeAll(async () => {
  okta = await realm(ISSUER)
  stranger = await realm('https://evil.example.org')
})

type WithStream = Upstream & { readonly stream: Stream }

function upstream(more: Partial<WithStream> = {}): WithStream {
  return {
    ...{ name: 'okta', issuer: ISSUER, linkIssuer: ISSUER, audience: AUDIENCE, revokes: false },
    stream: { delivery: 'push', pollMs: 5000, verifyMs: 0 },
    keys: () => Promise.resolve(okta.keys),
    hear: () => Promise.resolve(CONTAINED),
    ...more,
  }
}

const SUBJECT = { format: 'iss_sub', iss: ISSUER, sub: '00u1' }

/** The claims of a right SET. */
const claims = (more: object = {}, event: object = {}, type = `${CAEP}/session-revoked`) => ({
  ...{ iss: ISSUER, aud: AUDIENCE, iat: NOW, jti: 'jti-1', txn: 'txn-1', sub_id: SUBJECT },
  events: { [type]: { event_timestamp: NOW - 5, ...event } },
  ...more,
})
const heard = async (payload: unknown, header?: object, of = upstream()) =>
  heardIn(await okta.sign(payload, header), of)
const wordOf = async (payload: unknown, of = upstream()): Promise<UpstreamWord | undefined> =>
  (await heard(payload, {}, of)).words[0]

describe('what a Security Event Token says', () => {
  test('is told as the realm knows the upstream, with what it calls the event and when that was', async () => {
    const payload = claims({}, { credential_type: 'password', change_type: 'update' }, `${CAEP}/credential-change`)
    expect(await heard(payload, {}, upstream({ linkIssuer: `${ISSUER}/oauth2/default` }))).toEqual({
      words: [
        {
          issuer: `${ISSUER}/oauth2/default`,
          subjects: [{ sub: '00u1' }],
          type: `${CAEP}/credential-change`,
          credentialType: 'password',
          atMs: NOW_MS - 5000,
          id: `okta ${CAEP}/credential-change 0 jti-1`,
          txn: 'txn-1',
        },
      ],
      madeMs: NOW_MS,
    })
  })

  test.each<[string, object, UpstreamWord['subjects']]>([
    ['by issuer and subject', { sub_id: SUBJECT }, [{ sub: '00u1' }]],
    ['by an address', { sub_id: { format: 'email', email: 'a@b.c' } }, [{ email: 'a@b.c' }]],
    [
      'by several names at once',
      { sub_id: { format: 'aliases', identifiers: [SUBJECT, { format: 'email', email: 'a@b.c' }, SUBJECT] } },
      [{ sub: '00u1' }, { email: 'a@b.c' }],
    ],
    [
      'as the user of a session',
      { sub_id: { format: 'complex', session: { format: 'opaque', id: 's' }, user: SUBJECT } },
      [{ sub: '00u1' }],
    ],
    [
      'as the user, without a format',
      { sub_id: { user: SUBJECT, device: { format: 'opaque', id: 'd' } } },
      [{ sub: '00u1' }],
    ],
    ['of another issuer', { sub_id: { ...SUBJECT, iss: 'https://accounts.google.com' } }, []],
    ['of its issuer with a slash', { sub_id: { ...SUBJECT, iss: `${ISSUER}/` } }, []],
    ['by a telephone', { sub_id: { format: 'phone_number', phone_number: '+1' } }, []],
    ['by an account', { sub_id: { format: 'account', uri: 'acct:a@b.c' } }, []],
    ['by a DID', { sub_id: { format: 'did', url: 'did:example:1' } }, []],
    ['by something opaque', { sub_id: { format: 'opaque', id: '00u1' } }, []],
    ['by a session alone', { sub_id: { format: 'complex', session: SUBJECT } }, []],
    ['by a format that is not known', { sub_id: { format: 'constructor', sub: '00u1' } }, []],
    ['by nothing', { sub_id: undefined }, []],
    ['by text', { sub_id: '00u1' }, []],
    ['by null', { sub_id: null }, []],
    ['by an empty name', { sub_id: { ...SUBJECT, sub: ' ' } }, []],
    ['by a name that is no text', { sub_id: { ...SUBJECT, sub: '\ud800' } }, []],
    ['by a name with NUL', { sub_id: { ...SUBJECT, sub: 'a\0' } }, []],
    ['by a name of a megabyte', { sub_id: { ...SUBJECT, sub: 'x'.repeat(500_000) } }, []],
    ['by a number', { sub_id: { ...SUBJECT, sub: 7 } }, []],
    [
      'by names within names',
      {
        sub_id: {
          format: 'aliases',
          identifiers: [{ format: 'aliases', identifiers: [{ format: 'aliases', identifiers: [SUBJECT] }] }],
        },
      },
      [],
    ],
  ])('is about whom it names %s', async (_, more, subjects) => {
    expect((await heard(claims(more))).words.flatMap((word) => word.subjects)).toEqual(subjects)
  })

  test.each<[string, string, object, object]>([
    [
      'a lower assurance',
      'assurance-level-change',
      { namespace: 'NIST-AAL', current_level: 'nist-aal1', previous_level: 'nist-aal2', change_direction: 'decrease' },
      { changeDirection: 'decrease' },
    ],
    [
      'an assurance of which it does not say in which direction it goes',
      'assurance-level-change',
      { namespace: 'Retinal Scan', current_level: 'hi-res-scan', change_direction: 7 },
      {},
    ],
    [
      'a device that is not as it must be',
      'device-compliance-change',
      { current_status: 'not-compliant', previous_status: 'compliant' },
      { currentStatus: 'not-compliant' },
    ],
    ['other claims, of which none is passed on', 'token-claims-change', { claims: { role: 'ro-admin' } }, {}],
  ])('tells the realm of %s, with what says whether that is for the better', async (_, event, members, said) => {
    const sub_id = { format: 'complex', user: SUBJECT, device: { format: 'iss_sub', iss: ISSUER, sub: 'e9297990' } }
    const { atMs, id, ...word } = (await wordOf(claims({ sub_id }, members, `${CAEP}/${event}`))) ?? {}
    expect([typeof atMs, typeof id]).toEqual(['number', 'string'])
    expect(word).toEqual({
      ...{ issuer: ISSUER, subjects: [{ sub: '00u1' }], type: `${CAEP}/${event}`, txn: 'txn-1' },
      ...said,
    })
  })

  test('is of nobody where it names a device alone, as CAEP’s own example has it', async () => {
    const sub_id = { format: 'complex', device: { format: 'iss_sub', iss: ISSUER, sub: 'e9297990' } }
    const members = { current_status: 'not-compliant', previous_status: 'compliant' }
    expect((await heard(claims({ sub_id }, members, `${CAEP}/device-compliance-change`))).words).toEqual([])
  })

  test('names many in as many words as the realm takes at once', async () => {
    const identifiers = Array.from({ length: 45 }, (_, n) => ({ ...SUBJECT, sub: `${n}` }))
    const { words } = await heard(claims({ sub_id: { format: 'aliases', identifiers } }))
    expect(words.map(({ subjects }) => subjects.length)).toEqual([20, 20, 5])
    expect(new Set(words.map(({ id }) => id)).size).toBe(3)
  })

  test.each<[string, object, object, number]>([
    ['the event', {}, { event_timestamp: NOW - 60 }, NOW_MS - 60_000],
    ['toe', { toe: NOW - 60 }, { event_timestamp: undefined }, NOW_MS - 60_000],
    ['when it was made', {}, { event_timestamp: undefined }, NOW_MS],
    ['when it was made, where the event is of milliseconds', {}, { event_timestamp: NOW_MS }, NOW_MS],
    ['when it was made, where the event is of 1970', {}, { event_timestamp: 0 }, NOW_MS],
    ['1970, where it was made then, and no time before it', { iat: 0, toe: -5 }, { event_timestamp: undefined }, 0],
    ['when it was made, where the event’s time is text', {}, { event_timestamp: 'now' }, NOW_MS],
  ])('is dated by %s', async (_, more, event, atMs) => {
    expect((await wordOf(claims(more, event)))?.atMs).toBe(atMs)
  })

  test('is heard from a transmitter whose clock is ahead: what is refused would never come again', async () => {
    expect(await wordOf(claims({ iat: NOW + 3600 }, { event_timestamp: NOW + 3599 }))).toMatchObject({
      subjects: [{ sub: '00u1' }],
      atMs: NOW_MS + 3_599_000,
    })
  })

  test('is called by its jti where it has no txn, or none that can be kept', async () => {
    expect((await wordOf(claims({ txn: undefined })))?.txn).toBe('jti-1')
    expect((await wordOf(claims({ txn: 'x'.repeat(1000) })))?.txn).toBe('jti-1')
  })

  test('is several words where it has several events, each with an id of its own', async () => {
    const events = { [`${CAEP}/session-revoked`]: {}, [`${RISC}/account-disabled`]: {} }
    const { words } = await heard(claims({ events }))
    expect(words.map(({ type }) => type)).toEqual(Object.keys(events))
    expect(new Set(words.map(({ id }) => id)).size).toBe(2)
  })

  test('is of the stream, and of nobody, where it verifies the stream or says how that is', async () => {
    const sub_id = { format: 'opaque', id: 'stream-1' }
    const verification = claims({ sub_id }, { state: 'x' }, `${SSF}/verification`)
    expect(await heard(verification)).toEqual({ words: [], madeMs: NOW_MS })
    const updated = claims({ sub_id }, { status: 'paused' }, `${SSF}/stream-updated`)
    expect(await heard(updated)).toEqual({ words: [], madeMs: NOW_MS, status: 'paused' })
    const ofOne = claims({}, { status: 'paused', subject: SUBJECT }, `${SSF}/stream-updated`)
    expect(await heard(ofOne)).toEqual({ words: [], madeMs: NOW_MS })
  })

  // Written after what these document of themselves; none was received from them.
  test.each<[string, object, object]>([
    [
      'Okta',
      {
        ...{ iss: ISSUER, aud: AUDIENCE, iat: NOW, jti: '24c63fb56f', sub_id: SUBJECT },
        events: {
          [`${CAEP}/credential-change`]: {
            change_type: 'update',
            credential_type: 'password',
            event_timestamp: NOW - 1,
            initiating_entity: 'admin',
            reason_admin: { en: 'PASSWORD_RESET' },
            subject: SUBJECT,
          },
        },
      },
      { subjects: [{ sub: '00u1' }], credentialType: 'password', txn: '24c63fb56f' },
    ],
    [
      'Google, which has the subject in the event by its old name',
      {
        ...{ iss: ISSUER, aud: AUDIENCE, iat: NOW, jti: '756E69717565' },
        events: {
          [`${RISC}/account-disabled`]: {
            subject: { ...SUBJECT, format: undefined, subject_type: 'iss-sub' },
            reason: 'hijacking',
          },
        },
      },
      { subjects: [{ sub: '00u1' }], type: `${RISC}/account-disabled`, atMs: NOW_MS },
    ],
    [
      'Keycloak, which names a session as well',
      claims({
        aud: `receiver/stream-1`,
        sub_id: { format: 'complex', user: SUBJECT, session: { format: 'opaque', id: 'ALL' } },
      }),
      { subjects: [{ sub: '00u1' }], type: `${CAEP}/session-revoked` },
    ],
  ])('in the shape of %s is understood', async (who, payload, word) => {
    const of = who.startsWith('Keycloak')
      ? upstream({ stream: { delivery: 'poll', pollMs: 1, verifyMs: 0, audience: 'receiver/stream-1' } })
      : upstream()
    expect(await wordOf(payload, of)).toMatchObject(word)
  })
})

describe('a token', () => {
  const refusal = async (token: string | Promise<string>) =>
    heardIn(await token, upstream()).then(
      () => 'taken',
      (cause: unknown) => (cause as RelayError).code,
    )
  const unsigned = (payload: object, header: object) =>
    `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.`

  test.each<[string, () => string | Promise<string>, string]>([
    ['is no JWT', () => 'hello', 'invalid_request'],
    ['has two parts', () => 'e30.e30', 'invalid_request'],
    ['is not signed', () => unsigned(claims(), { alg: 'none', typ: 'secevent+jwt' }), 'invalid_key'],
    ['is signed by a stranger', () => stranger.sign(claims(), { kid: `key of ${ISSUER}` }), 'invalid_key'],
    ['is of a stranger', () => stranger.sign(claims({ iss: 'https://evil.example.org' })), 'invalid_issuer'],
    ['is of its issuer with a slash', () => okta.sign(claims({ iss: `${ISSUER}/` })), 'invalid_issuer'],
    ['is for somebody else', () => okta.sign(claims({ aud: 'https://elsewhere.example.org' })), 'invalid_audience'],
    ['is for nobody', () => okta.sign(claims({ aud: undefined })), 'invalid_audience'],
    ['is an access token by its type', () => okta.sign(claims(), { typ: 'at+jwt' }), 'invalid_request'],
    ['is a logout token by its type', () => okta.sign(claims(), { typ: 'logout+jwt' }), 'invalid_request'],
    ['has no type', () => okta.sign(claims(), { typ: undefined as unknown as string }), 'invalid_request'],
    ['has a sub', () => okta.sign(claims({ sub: 'x' })), 'invalid_request'],
    ['has an end', () => okta.sign(claims({ exp: NOW + 3600 })), 'invalid_request'],
    ['is from the next century', () => okta.sign(claims({ iat: NOW + 3_000_000_000 })), 'invalid_request'],
    ['has no iat', () => okta.sign(claims({ iat: undefined })), 'invalid_request'],
    ['has an iat that is text', () => okta.sign(claims({ iat: 'x' })), 'invalid_request'],
    ['has no jti', () => okta.sign(claims({ jti: undefined })), 'invalid_request'],
    ['has an empty jti', () => okta.sign(claims({ jti: '' })), 'invalid_request'],
    ['has a jti without end', () => okta.sign(claims({ jti: 'x'.repeat(300) })), 'invalid_request'],
    ['has no events', () => okta.sign(claims({ events: {} })), 'invalid_request'],
    ['has events that are none', () => okta.sign(claims({ events: null })), 'invalid_request'],
    ['has a list of events', () => okta.sign(claims({ events: [{}] })), 'invalid_request'],
    ['has an event that is text', () => okta.sign(claims({ events: { a: 'b' } })), 'invalid_request'],
    [
      'has more events than anybody has',
      () => okta.sign(claims({ events: Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`e${n}`, {}])) })),
      'invalid_request',
    ],
  ])('that %s is refused', async (_, token, code) => {
    expect(await refusal(token())).toBe(code)
  })
})

function ports(more: Partial<WithStream> = {}) {
  const words: UpstreamWord[] = []
  const calls = {
    heard: vi.fn<StreamPorts['heard']>(),
    alive: vi.fn<StreamPorts['alive']>(),
    status: vi.fn<StreamPorts['status']>(),
    refused: vi.fn<StreamPorts['refused']>(),
    trouble: vi.fn<StreamPorts['trouble']>(),
  }
  const hear = (word: UpstreamWord) => {
    words.push(word)
    return Promise.resolve(CONTAINED)
  }
  // The time of the tokens of these tests; and what waits, waits a moment.
  const clock = {
    nowMs: () => NOW_MS,
    monotonicMs: () => performance.now(),
    sleep: (ms: number, signal?: AbortSignal) =>
      delay(Math.min(ms, 5), undefined, signal ? { signal } : {}).catch(() => undefined),
  }
  return { ...calls, words, ports: { ...calls, clock, upstream: upstream({ hear, ...more }) } }
}

describe('a pushed token', () => {
  const SECEVENT = { 'content-type': 'application/secevent+jwt' }
  const post = (given: ReturnType<typeof ports>, body: string, headers: Record<string, string> = {}) =>
    streamRoute(given.ports).request('/events', { method: 'POST', headers: { ...SECEVENT, ...headers }, body })

  test('is 202 once the realm has what it says, and a sign of life', async () => {
    const given = ports()
    const answer = await post(given, await okta.sign(claims()))
    expect([answer.status, await answer.text()]).toEqual([202, ''])
    expect(given.words).toHaveLength(1)
    expect(given.heard.mock.calls).toEqual([['contained']])
    expect(given.alive.mock.calls).toEqual([[NOW_MS]])
  })

  test('is not acknowledged while the realm does not have it: 503', async () => {
    const given = ports({ hear: () => Promise.reject(new RelayError('idp_unavailable', 'down')) })
    const answer = await post(given, await okta.sign(claims()))
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
    expect(given.alive).not.toHaveBeenCalled()
  })

  test('that a stranger has signed is 400, tells nobody anything and is no sign of life', async () => {
    const given = ports()
    const answer = await post(given, await stranger.sign(claims(), { kid: `key of ${ISSUER}` }))
    expect([answer.status, (await answer.json()) as object]).toMatchObject([400, { err: 'invalid_key' }])
    expect(given.words).toEqual([])
    expect(given.alive).not.toHaveBeenCalled()
    expect(given.refused.mock.calls.map(([code]) => code)).toEqual(['invalid_key'])
  })

  test('of more than a megabyte is 413', async () => {
    const given = ports()
    expect((await post(given, 'x'.repeat(2 ** 20 + 1))).status).toBe(413)
    expect(given.words).toEqual([])
  })

  test('counts only with the Authorization that its transmitter was given, where it was given one', async () => {
    const stream = { delivery: 'push', pollMs: 1, verifyMs: 0, pushAuthorization: 'Bearer agreed' } as const
    const given = ports({ stream })
    const set = await okta.sign(claims())
    for (const authorization of [{}, { authorization: 'Bearer other' }]) {
      const answer = await post(given, set, authorization)
      expect([answer.status, (await answer.json()) as object]).toMatchObject([400, { err: 'authentication_failed' }])
    }
    expect(given.words).toEqual([])
    expect((await post(given, set, { authorization: 'Bearer agreed' })).status).toBe(202)
  })

  test('that says that the stream is paused is passed on', async () => {
    const given = ports()
    const updated = claims({ sub_id: { format: 'opaque', id: 's' } }, { status: 'paused' }, `${SSF}/stream-updated`)
    expect((await post(given, await okta.sign(updated))).status).toBe(202)
    expect(given.status.mock.calls).toEqual([['paused', NOW_MS]])
  })
})

describe('a notification of Sign in with Apple, in the shape of its documentation', () => {
  const APPLE = 'https://appleid.apple.com'
  const APP = 'com.example.shop'
  const SUB = '820417.faa325acbc78e1be1668ba852d492d8a.0219'
  let apple: Realm
  beforeAll(async () => {
    apple = await realm(APPLE)
  })
  const given = () =>
    ports({
      ...{ name: 'apple', issuer: APPLE, linkIssuer: APPLE, audience: APP },
      keys: () => Promise.resolve(apple.keys),
    })
  const notification = (event: object = {}, more: object = {}) => ({
    ...{ iss: APPLE, aud: APP, iat: NOW, exp: 4_000_000_000, jti: 'abede.67890' },
    events: JSON.stringify({ type: 'consent-revoked', sub: SUB, event_time: NOW - 5, ...event }),
    ...more,
  })
  /** Apple's tokens have no type. */
  const signed = (payload: object) => apple.sign(payload, { typ: undefined as unknown as string })
  const post = async (to: ReturnType<typeof ports>, token: string, body = JSON.stringify({ payload: token })) =>
    streamRoute(to.ports).request('/events', { method: 'POST', headers: { 'content-type': 'application/json' }, body })

  test.each([
    ['consent-revoked', NOW - 5, 'sessions-revoked'],
    ['account-delete', (NOW - 5) * 1000, 'account-purged'],
    ['account-deleted', NOW - 5, 'account-purged'],
  ])('%s is told to the realm of the user, by its own time, and answered 200', async (type, event_time, means) => {
    const to = given()
    const answer = await post(to, await signed(notification({ type, event_time })))
    expect([answer.status, await answer.text()]).toEqual([200, ''])
    const word = { issuer: APPLE, subjects: [{ sub: SUB }], type: `${RISC}/${means}`, txn: 'abede.67890' }
    expect(to.words).toEqual([{ ...word, atMs: NOW_MS - 5000, id: `apple ${RISC}/${means} 0 abede.67890` }])
  })

  test('of mail forwarding means nothing, and is answered 200', async () => {
    const to = given()
    expect(
      (await post(to, await signed(notification({ type: 'email-disabled', email: 'a@example.org' })))).status,
    ).toBe(200)
    expect(to.words).toEqual([])
  })

  test('with a time of another age counts as of when it was made', async () => {
    const to = given()
    await post(to, await signed(notification({ event_time: 1 })))
    expect(to.words[0]?.atMs).toBe(NOW_MS)
  })

  test.each<[string, () => Promise<string>, string]>([
    ['is Apple’s ID token', () => signed(notification({}, { events: undefined, sub: SUB })), 'invalid_request'],
    ['is for another app', () => signed(notification({}, { aud: 'com.example.other' })), 'invalid_audience'],
    ['is over', () => signed(notification({}, { exp: 1 })), 'invalid_request'],
    [
      'is signed by a stranger',
      () => stranger.sign(notification(), { kid: `key of ${APPLE}`, typ: undefined as unknown as string }),
      'invalid_key',
    ],
    ['is an access token by its type', () => apple.sign(notification(), { typ: 'at+jwt' }), 'invalid_request'],
    ['has events that are no text', () => signed(notification({}, { events: {} })), 'invalid_request'],
    ['has events that are no JSON', () => signed(notification({}, { events: '{' })), 'invalid_request'],
    ['names nobody', () => signed(notification({ sub: '' })), 'invalid_request'],
  ])('that %s is refused, and tells nobody anything', async (_, token, code) => {
    const to = given()
    const answer = await post(to, await token())
    expect([answer.status, ((await answer.json()) as { err: string }).err]).toEqual([400, code])
    expect(to.words).toEqual([])
  })

  test('that is not wrapped is refused, and no other upstream may wrap', async () => {
    const to = given()
    const token = await signed(notification())
    expect((await post(to, token, token)).status).toBe(400)
    const other = ports()
    expect((await post(other, await okta.sign(claims()))).status).toBe(400)
    expect([...to.words, ...other.words]).toEqual([])
  })
})

describe('a token that comes again', () => {
  const life = () => {
    const shown: (string | number)[] = []
    const port = newest({ alive: (atMs) => shown.push(atMs), status: (status) => shown.push(status) }, () => NOW_MS)
    return { shown, port }
  }

  test('is no sign of life', () => {
    const { shown, port } = life()
    port.alive(NOW_MS - 2000)
    port.alive(NOW_MS - 3000)
    port.alive(NOW_MS - 2000)
    port.alive(NOW_MS - 1000)
    expect(shown).toEqual([NOW_MS - 2000, NOW_MS - 1000])
  })

  test('says nothing of how the stream is now', () => {
    const { shown, port } = life()
    port.status('paused', NOW_MS - 2000)
    port.status('enabled', NOW_MS - 1000)
    port.status('paused', NOW_MS - 2000)
    expect(shown).toEqual(['paused', 'enabled'])
  })

  test('with a time that is yet to come hides nothing that comes then', () => {
    const { shown, port } = life()
    port.status('paused', NOW_MS + 9_000_000)
    port.status('enabled', NOW_MS)
    port.alive(NOW_MS + 9_000_000)
    expect(shown).toEqual(['paused', 'enabled', NOW_MS])
  })
})

/** A transmitter as SSF 1.0 has it, over HTTP. */
async function transmitter(more: { path?: string; place?: 'before' | 'behind' | 'nowhere'; metadata?: object } = {}) {
  const { path = '/realms/a', place = 'before' } = more
  const asked: { method: string; path: string; body: string; authorization: string }[] = []
  const state = {
    streams: [] as object[],
    sets: {} as Record<string, string>,
    status: 'enabled',
    token: 1,
    accepted: 1,
    polled: [] as { ack: string[]; setErrs: Record<string, unknown> }[],
    down: false,
    /** What every endpoint answers that is no longer there; 0 while they are. */
    gone: 0,
  }
  const wellKnown = {
    before: `/.well-known/ssf-configuration${path}`,
    behind: `${path}/.well-known/ssf-configuration`,
    nowhere: '/nowhere',
  }[place]
  const answer = (request: IncomingMessage, body: string): [number, unknown] => {
    const at = request.url ?? ''
    if (at === wellKnown) {
      const endpoints = {
        configuration_endpoint: `${url}/streams`,
        status_endpoint: `${url}/status`,
        verification_endpoint: `${url}/verify`,
      }
      return [200, { issuer: `${url}${path}`, ...endpoints, ...more.metadata }]
    }
    if (at === '/jwks') {
      return [200, okta.jwks]
    }
    if (at.endsWith('/.well-known/openid-configuration')) {
      return [200, { token_endpoint: `${url}/token` }]
    }
    if (at === '/token') {
      return [200, { access_token: `token-${state.token}`, expires_in: 300 }]
    }
    if (request.headers.authorization !== `Bearer token-${state.accepted}`) {
      return [401, {}]
    }
    if (state.down || state.gone > 0) {
      return [state.gone || 500, {}]
    }
    if (at.startsWith('/status')) {
      return [200, { status: state.status }]
    }
    if (at === '/verify') {
      return [204, '']
    }
    if (at === '/poll') {
      const poll = JSON.parse(body) as { ack: string[]; setErrs: Record<string, unknown> }
      state.polled.push(poll)
      for (const jti of [...poll.ack, ...Object.keys(poll.setErrs)]) {
        Reflect.deleteProperty(state.sets, jti)
      }
      return [200, { sets: state.sets }]
    }
    if (request.method === 'DELETE') {
      state.streams = []
      return [204, '']
    }
    if (request.method === 'POST') {
      const { delivery } = JSON.parse(body) as { delivery: { method: string; endpoint_url?: string } }
      const made = {
        stream_id: 's1',
        aud: 'receiver/s1',
        delivery: { endpoint_url: `${url}/poll`, ...delivery },
        events_delivered: ['x'],
      }
      state.streams = [made]
      return [201, made]
    }
    return [200, state.streams]
  }
  const http = createServer((request, response) => {
    void text(request).then((body) => {
      const { method = '', url: at = '', headers } = request
      asked.push({ method, path: at, body, authorization: headers.authorization ?? '' })
      const [status, json] = answer(request, body)
      response.writeHead(status, { 'content-type': 'application/json' }).end(json === '' ? '' : JSON.stringify(json))
    })
  }).listen(0, '127.0.0.1')
  await once(http, 'listening')
  const way = openPost()
  onTestFinished(async () => {
    await way.close()
    http.closeAllConnections()
    http.close()
  })
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const reach = { http: 'loopback', allowAddresses: ['127.0.0.0/8'] } as const
  const client = (options: Partial<{ issuer: string; reach: Reach }> = {}) =>
    new Transmitter({
      ...{ ask: way.ask, issuer: `${url}${path}`, reach, monotonicMs: () => performance.now() },
      client: { id: 'receiver', secret: 'a secret&', scope: 'ssf.read ssf.manage' },
      ...options,
    })
  return { asked, state, url, client, ask: way.ask }
}

describe('at a transmitter', () => {
  test.each(['before', 'behind'] as const)(
    'the metadata are found with the well-known path %s the issuer’s own',
    async (place) => {
      const { client } = await transmitter({ place })
      expect(await client().streams()).toEqual([])
    },
  )

  test('of another issuer’s metadata, or none, nothing is asked', async () => {
    for (const more of [{ metadata: { issuer: ISSUER } }, { place: 'nowhere' as const }]) {
      const { client, asked } = await transmitter(more)
      await expect(client().streams()).rejects.toMatchObject({
        code: 'idp_unavailable',
        message: expect.stringContaining('has no SSF metadata of that name') as string,
      })
      expect(asked.every(({ path }) => path.includes('.well-known'))).toBe(true)
    }
  })

  test('metadata that lead to an address which is not allowed are not followed, and no token goes there', async () => {
    const inner = await transmitter()
    const { client } = await transmitter({
      metadata: { configuration_endpoint: inner.url.replace('127.0.0.1', 'localhost.') },
    })
    const reach = { http: 'always', allowAddresses: ['127.0.0.1/32'] } as const
    const hostile = await transmitter({
      metadata: { configuration_endpoint: 'http://169.254.169.254/latest/meta-data' },
    })
    await expect(hostile.client({ reach }).streams()).rejects.toThrow('cannot be reached (ADDRESS_NOT_ALLOWED)')
    await expect(client().streams()).rejects.toThrow('cannot be reached (http_not_allowed)')
    expect(inner.asked).toEqual([])
  })

  test('a stream is made, seen, verified and removed', async () => {
    const { client, asked, url } = await transmitter()
    const one = client()
    const push = { url: AUDIENCE, authorization: 'Bearer agreed' }
    expect(await one.create(push)).toEqual({
      id: 's1',
      delivery: 'push',
      url: AUDIENCE,
      audiences: ['receiver/s1'],
      events: ['x'],
    })
    expect(JSON.parse(asked.at(-1)?.body ?? '')).toMatchObject({
      delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: AUDIENCE, authorization_header: 'Bearer agreed' },
      events_requested: expect.arrayContaining([
        ...[`${CAEP}/credential-change`, `${CAEP}/device-compliance-change`],
        ...[`${RISC}/account-disabled`, `${RISC}/identifier-changed`],
      ]) as string[],
    })
    expect(await one.streams()).toHaveLength(1)
    await one.verify('s1', 'state-1')
    expect(JSON.parse(asked.at(-1)?.body ?? '')).toEqual({ stream_id: 's1', state: 'state-1' })
    expect(await one.status('s1')).toBe('enabled')
    await one.remove('s1')
    expect([asked.at(-1)?.method, asked.at(-1)?.path]).toEqual(['DELETE', '/streams?stream_id=s1'])
    expect(await one.create()).toMatchObject({ delivery: 'poll', url: `${url}/poll` })
  })

  test.each([404, 410, 500])('the metadata are read again after an endpoint has answered %d', async (status) => {
    const { client, asked, state } = await transmitter()
    const one = client()
    await one.create()
    const read = () => asked.filter(({ path }) => path.startsWith('/.well-known/ssf')).length
    await one.streams()
    expect(read()).toBe(1)
    state.gone = status
    await one.streams().catch(() => undefined)
    state.gone = 0
    expect(await one.streams()).toHaveLength(1)
    expect(read()).toBe(2)
  })

  test('an access token is asked for once, by the client’s secret, and again where it counts no more', async () => {
    const { client, asked, state } = await transmitter()
    const one = client()
    await one.streams()
    await one.streams()
    const tokens = () => asked.filter(({ path }) => path === '/token')
    expect(tokens().map(({ authorization }) => authorization)).toEqual([
      `Basic ${Buffer.from('receiver:a%20secret%26').toString('base64')}`,
    ])
    state.token = state.accepted = 2
    expect(await one.streams()).toEqual([])
    expect(tokens()).toHaveLength(2)
  })

  test('what fails says where and with what, and holds no token', async () => {
    const { client, state } = await transmitter()
    const one = client()
    await one.streams()
    state.down = true
    const why = await one.streams().catch((cause: unknown) => cause as RelayError)
    expect(why).toMatchObject({
      code: 'idp_unavailable',
      message: expect.stringMatching(/answered 500 to its streams$/) as string,
    })
  })
})

describe('the check of an upstream', () => {
  async function checked(
    stream: object | undefined,
    prepare: (state: Awaited<ReturnType<typeof transmitter>>['state']) => void = () => undefined,
    more: object = {},
  ) {
    const { url, state, ask } = await transmitter()
    prepare(state)
    const entry = {
      ...{ name: 'okta', issuer: `${url}/realms/a`, realm: 'https://idp.example.org/realms/main', audience: AUDIENCE },
      ...{ jwks_uri: `${url}/jwks`, allow_addresses: ['127.0.0.0/8'], ...(stream ? { stream } : {}), ...more },
    }
    const issuers = [{ issuer: 'https://idp.example.org/realms/main', client_secret: 'x' }]
    const [upstreamConfig] = parseConfig(JSON.stringify({ issuers, upstreams: [entry] }), 'relay.yaml', {}).upstreams
    if (!upstreamConfig) {
      throw new Error('There is no upstream')
    }
    return (await checkUpstream(upstreamConfig, ask)).map(
      ({ check, ok, says }) => `${ok ? 'ok' : 'TO DO'} ${check}: ${says}`,
    )
  }
  const polled = { delivery: 'poll', client_id: 'receiver', client_secret: 'x' }
  const made = (more: object = {}) => ({
    ...{ stream_id: 's1', aud: AUDIENCE, delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: 'x' }, ...more },
  })

  test('is well where its keys can be had and its stream is there, enabled and for this relay', async () => {
    expect(await checked(polled, (state) => (state.streams = [made()]))).toEqual([
      'ok upstream keys: can be had',
      'ok upstream stream: can be had',
    ])
  })

  test.each<[string, Parameters<typeof checked>, string]>([
    ['may say nothing', [undefined], 'TO DO upstream: may say nothing'],
    ['has no stream', [polled], 'TO DO upstream stream: make the stream: logout-relay streams add okta'],
    [
      'has paused its stream',
      [polled, (state) => ((state.streams = [made()]), (state.status = 'paused'))],
      'TO DO upstream stream: have its administrator enable the stream: it is paused',
    ],
    [
      'has a stream for another audience',
      [polled, (state) => (state.streams = [made({ aud: ['a/b'] })])],
      'TO DO upstream stream: write upstreams.stream.audience: a/b',
    ],
    [
      'pushes to another place',
      [
        { ...polled, delivery: 'push', push_url: 'https://relay.example.org/upstreams/okta/events' },
        (state) =>
          (state.streams = [
            made({ delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://old.example.org/' } }),
          ]),
      ],
      'TO DO upstream stream: it pushes to https://old.example.org/',
    ],
    ['has no keys there', [polled, () => undefined, { jwks_uri: 'http://127.0.0.1:9/' }], 'TO DO upstream keys: '],
    [
      'cannot be asked of its stream',
      [{ delivery: 'push' }],
      'ok upstream stream: is not looked at, since the relay has no client there',
    ],
  ])('says so where it %s', async (_, given, says) => {
    expect((await checked(...given)).some((line) => line.startsWith(says))).toBe(true)
  })
})

describe('a stream that is polled', () => {
  const polled = { delivery: 'poll', pollMs: 5000, verifyMs: 0 } as const
  function follow(given: ReturnType<typeof ports>, transmitterOf: Transmitter, leads = () => true) {
    const stop = new AbortController()
    const done = pollStream({ ...given.ports, transmitter: transmitterOf, leads }, stop.signal)
    onTestFinished(async () => {
      stop.abort()
      await done
    })
    return stop
  }
  const eventually = (what: () => void) => vi.waitFor(what, { timeout: 5000, interval: 10 })

  test('is acknowledged once the realm has what it says, and refused with a reason where it is not genuine', async () => {
    const { client, state } = await transmitter()
    const one = client()
    await one.create()
    state.sets = {
      good: await okta.sign(claims({ jti: 'good' })),
      bad: await stranger.sign(claims(), { kid: `key of ${ISSUER}` }),
    }
    const given = ports({ stream: polled })
    follow(given, one)
    await eventually(() => {
      expect(state.polled.length).toBeGreaterThan(1)
    })
    expect(given.words.map(({ id }) => id)).toEqual([`okta ${CAEP}/session-revoked 0 good`])
    expect(state.polled[0]).toMatchObject({ ack: [], setErrs: {} })
    expect(state.polled[1]).toMatchObject({ ack: ['good'], setErrs: { bad: { err: 'invalid_key' } } })
  })

  test('is not acknowledged while the realm does not have it, and asked for again', async () => {
    const { client, state } = await transmitter()
    const one = client()
    await one.create()
    state.sets = { good: await okta.sign(claims()) }
    let down = true
    const heard: string[] = []
    const given = ports({
      stream: polled,
      hear: (word) => {
        heard.push(word.id)
        return down ? Promise.reject(new RelayError('idp_unavailable', 'down')) : Promise.resolve(CONTAINED)
      },
    })
    follow(given, one)
    await eventually(() => {
      expect(given.trouble).toHaveBeenCalled()
    })
    expect(state.polled.flatMap(({ ack }) => ack)).toEqual([])
    down = false
    await eventually(() => {
      expect(state.polled.flatMap(({ ack }) => ack)).toEqual(['good'])
    })
    expect(heard.length).toBeGreaterThan(1)
  })

  test('that is not there is said, with what to do, and polled once it is', async () => {
    const { client, state } = await transmitter()
    const one = client()
    const given = ports({ stream: polled })
    follow(given, one)
    await eventually(() => {
      expect(given.trouble).toHaveBeenCalled()
    })
    expect((given.trouble.mock.calls[0]?.[1] as Error).message).toContain('logout-relay streams add okta')
    await one.create()
    await eventually(() => {
      expect(state.polled.length).toBeGreaterThan(0)
    })
  })

  test('is taken in parts where it sends more than was asked for, all of it', async () => {
    const { client, state } = await transmitter()
    const one = client()
    await one.create()
    const all = Array.from({ length: 45 }, (_, n) => `jti-${n}`)
    state.sets = Object.fromEntries(
      await Promise.all(all.map(async (jti) => [jti, await okta.sign(claims({ jti }))] as const)),
    )
    const given = ports({ stream: polled })
    follow(given, one)
    await eventually(() => {
      expect(state.polled.flatMap(({ ack }) => ack)).toEqual(all)
    })
    expect(state.polled.map(({ ack }) => ack.length).slice(0, 4)).toEqual([0, 20, 20, 5])
  })

  test('is left to the process that leads', async () => {
    const { client, asked } = await transmitter()
    const given = ports({ stream: polled })
    follow(given, client(), () => false)
    await settle()
    expect(asked).toEqual([])
  })

  test('a verification says how the stream is, and has the transmitter send', async () => {
    const { client, state, asked } = await transmitter()
    const one = client()
    await one.create()
    state.status = 'paused'
    const given = ports({ stream: polled })
    await verifyStream(given.ports, one, 'state-7')
    expect(given.status.mock.calls).toEqual([['paused', NOW_MS]])
    expect(asked.at(-1)).toMatchObject({ path: '/verify', body: JSON.stringify({ stream_id: 's1', state: 'state-7' }) })
  })
})

describe('of several processes', () => {
  test('the one that leads shows whether a stream is enabled, and none that was told it once, or led', async () => {
    const { url, state, ask, client } = await transmitter()
    await client().create()
    const stream = { delivery: 'poll', client_id: 'receiver', client_secret: 'x', verify_s: 1, poll_interval_s: 1 }
    const entry = {
      ...{ name: 'okta', issuer: `${url}/realms/a`, realm: 'https://idp.example.org/realms/main', audience: AUDIENCE },
      ...{ jwks_uri: `${url}/jwks`, allow_addresses: ['127.0.0.0/8'], stream },
    }
    const issuers = [{ issuer: 'https://idp.example.org/realms/main', client_secret: 'x' }]
    const config = parseConfig(JSON.stringify({ issuers, upstreams: [entry] }), 'relay.yaml', {})
    const { clock } = ports().ports
    const metrics = makeMetrics()
    let leads = true
    const log = { warn: () => undefined }
    const parts = { config, metrics, log, clock, ask, providers: new Map(), leads: () => leads }
    const { follow } = openUpstreams({ ...parts, observer: { trouble: () => undefined } } as unknown as Parts)
    const stop = new AbortController()
    const done = follow(stop.signal)
    onTestFinished(async () => {
      stop.abort()
      await Promise.all(done)
    })
    const shown = async () => /logout_relay_upstream_stream_enabled\{.*/.exec(await metrics.registry.metrics())?.[0]
    await vi.waitFor(async () => expect(await shown()).toMatch(/ 1$/))
    state.status = 'paused'
    await vi.waitFor(async () => expect(await shown()).toMatch(/ 0$/))
    leads = false
    await vi.waitFor(async () => expect(await shown()).toBeUndefined())
  })
})
