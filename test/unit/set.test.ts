import {
  CompactSign,
  createLocalJWKSet,
  errors,
  exportJWK,
  generateKeyPair,
  type JWTVerifyGetKey,
  SignJWT,
  UnsecuredJWT,
} from 'jose'
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { RelayError, type RelayErrorCode } from '../../relay/errors.ts'
import type { KeySet } from '../../guard/jwt.ts'
import { verifySet } from '../../relay/ingest/set.ts'
import { RealmKeys } from '../../relay/signing/realm-keys.ts'
import type { ListedSession } from '../../relay/domain/model.ts'
import { ISSUER, NOW_MS, uuid } from './given.ts'
import {
  containment,
  CREDENTIAL_CHANGE,
  edwards448Realm,
  hmacRealm,
  type OddRealm,
  type Realm,
  realm,
  setClaims,
  shortRealm,
} from './signed.ts'

const text = new TextEncoder()
let demo: Realm
let stranger: Realm
let fetched = 0

beforeAll(async () => {
  demo = await realm()
  stranger = await realm('https://evil.example.org/realms/demo')
})

function verify(set: string, keys: KeySet = demo.keys) {
  fetched = 0
  const counted: JWTVerifyGetKey = (...asked) => {
    fetched++
    return keys(...asked)
  }
  return verifySet(
    set,
    (issuer) =>
      issuer === ISSUER ? Promise.resolve<KeySet>(Object.assign(counted, { jwks: () => keys.jwks?.() })) : undefined,
    'logout-relay',
    NOW_MS,
  )
}

async function refusalOf(set: string | Promise<string>, keys?: KeySet): Promise<RelayErrorCode> {
  try {
    await verify(await set, keys)
  } catch (cause) {
    if (cause instanceof RelayError) {
      return cause.code
    }
    throw cause
  }
  throw new Error('The SET was taken')
}

const right = setClaims(1)
const relayPart = containment(uuid(1), ['orders'])
const withPart = (part: object) => ({ ...right, events: { [CREDENTIAL_CHANGE]: { 'logout-relay': part } } })

describe('a right SET', () => {
  test('says what has been seen of a privileged subject since', async () => {
    const watched = { logins: 1, failed_logins: 2, refused_refreshes: 3 }
    const event = await verify(await demo.sign(withPart({ ...relayPart, sessions: [], watched })))
    expect(event.watched).toEqual({ logins: 1, failedLogins: 2, refusedRefreshes: 3 })
  })

  test('says what Keycloak has refused since, where and how often', async () => {
    const refused_after = [{ kind: 'refresh_token', client_id: 'orders', address: '192.0.2.7', count: 40 }]
    const event = await verify(await demo.sign(withPart({ ...relayPart, sessions: [], refused_after })))
    expect(event.refusedAfter).toEqual([{ use: 'refresh_token', clientId: 'orders', address: '192.0.2.7', count: 40 }])
  })

  test('says at which clients an offline token is spared', async () => {
    const event = await verify(await demo.sign(withPart({ ...relayPart, spared_offline: ['backup'] })))
    expect(event.sparedOffline).toEqual(['backup'])
  })

  test('says which identity provider has said so, and what that calls it', async () => {
    const upstream = { iss: 'https://login.example.com', txn: 'theirs' }
    const event = await verify(await demo.sign(withPart({ ...relayPart, upstream })))
    expect(event.upstream).toEqual({ issuer: 'https://login.example.com', txn: 'theirs' })
  })

  test('says of which client its subject is the account, and whether anything that it was issued lives on', async () => {
    const client = { client_id: 'nightly-export', all_tokens: true }
    const event = await verify(await demo.sign(withPart({ ...relayPart, client })))
    expect(event.client).toEqual({ clientId: 'nightly-export', allTokens: true })
  })

  test('says how that account had got tokens, and is taken without it where it makes no sense', async () => {
    const used = { kinds: ['client_credentials'], addresses: ['192.0.2.7'], last_ms: 1_790_000_000_000 }
    const taken = async (part: unknown) => {
      const client = { client_id: 'nightly-export', all_tokens: true, used: part }
      return (await verify(await demo.sign(withPart({ ...relayPart, client })))).client
    }
    expect((await taken(used))?.used).toEqual({
      ...{ kinds: ['client_credentials'], addresses: ['192.0.2.7'], lastMs: 1_790_000_000_000 },
    })
    expect(await taken({ ...used, addresses: 7 })).toEqual({ clientId: 'nightly-export', allTokens: true })
  })

  test('says to which identity providers its subject is still linked', async () => {
    const event = await verify(await demo.sign(withPart({ ...relayPart, identity_providers: ['google', 'partner'] })))
    expect(event.identityProviders).toEqual(['google', 'partner'])
  })

  test('says what happened to whom, with its sessions', async () => {
    expect(await verify(await demo.sign(right))).toEqual({
      issuer: ISSUER,
      jti: uuid(1),
      txn: 'txn-1',
      type: CREDENTIAL_CHANGE,
      trigger: 'admin-reset-password',
      subject: 'user-1',
      watermarkMs: NOW_MS + 123,
      removedAtMs: NOW_MS + 140,
      part: 1,
      parts: 1,
      scope: 'subject',
      privileged: false,
      shadow: false,
      survivors: 0,
      steps: {},
      sessions: [
        {
          id: `${uuid(1)}.0`,
          clientId: 'orders',
          sid: 'sid-0',
          sub: 'user-1',
          named: { kind: 'backchannel', uri: 'https://orders.example.org/logout', alg: 'RS256' },
          latestEndMs: NOW_MS + 2_592_000_000,
        },
      ],
    })
  })

  test('of a session without a logout URL has none in its event either', async () => {
    const [first] = relayPart.sessions
    const { backchannel_logout_uri: _, ...silent } = first ?? {}
    const { sessions } = await verify(await demo.sign(withPart({ ...relayPart, sessions: [silent] })))
    expect(sessions[0]?.named).toEqual({ kind: 'backchannel', alg: 'RS256' })
  })

  test.each([
    ['no session', containment(uuid(1), [])],
    ['500 sessions', containment(uuid(1), Array<string>(500).fill('orders'))],
  ])('may list %s', async (_, part) => {
    expect((await verify(await demo.sign(withPart(part)))).sessions).toHaveLength(part.sessions.length)
  })

  test('may be weeks old, since an outbox waits', async () => {
    await expect(verify(await demo.sign({ ...right, iat: right.iat - 40 * 86_400 }))).resolves.toBeDefined()
  })

  test('may be a minute ahead of our clock', async () => {
    await expect(verify(await demo.sign({ ...right, iat: right.iat + 60 }))).resolves.toBeDefined()
  })

  test('may say its typ as a media type', async () => {
    await expect(verify(await demo.sign(right, { typ: 'application/secevent+jwt' }))).resolves.toBeDefined()
  })

  test('may nest a claim that nobody reads 100,000 deep', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    await expect(
      verify(await demo.sign(JSON.stringify({ ...right, x: 0 }).replace('"x":0', `"x":${deep}`))),
    ).resolves.toBeDefined()
  })
})

describe('whose SET it is', () => {
  test('an unknown issuer is refused before any key is fetched, however well it is signed', async () => {
    expect(await refusalOf(stranger.sign(setClaims(1, ['orders'], stranger.issuer)))).toBe('invalid_issuer')
    expect(fetched).toBe(0)
  })

  test.each([`${ISSUER}/`, ISSUER.toUpperCase(), 'https://idp.example.org/realms/demo2', '', 7, null, [ISSUER]])(
    'the issuer %j is not ours',
    async (iss) => {
      expect(await refusalOf(demo.sign({ ...right, iss }))).toBe('invalid_issuer')
      expect(fetched).toBe(0)
    },
  )

  test('a SET without an issuer is refused', async () => {
    const { iss: _, ...rest } = right
    expect(await refusalOf(demo.sign(rest))).toBe('invalid_issuer')
  })

  test("our issuer with a stranger's key is refused", async () => {
    expect(await refusalOf(stranger.sign(right))).toBe('key_unknown')
    expect(await refusalOf(stranger.sign(right, { kid: `key of ${ISSUER}` }))).toBe('invalid_key')
  })

  test('a subject of another issuer is refused', async () => {
    expect(await refusalOf(demo.sign({ ...right, sub_id: { ...right.sub_id, iss: stranger.issuer } }))).toBe(
      'invalid_request',
    )
  })

  test.each(['someone-else', ['a', 'b'], '', undefined])('the audience %j is not us', async (aud) => {
    expect(await refusalOf(demo.sign({ ...right, aud }))).toBe('invalid_audience')
  })
})

describe('the signature', () => {
  test('may be with Ed448, which is judged like any other', async () => {
    const edwards = await edwards448Realm()
    await expect(verify(await edwards.sign(right), edwards.keys)).resolves.toMatchObject({ jti: uuid(1) })
    expect(await refusalOf((await edwards448Realm()).sign(right), edwards.keys)).toBe('invalid_key')
    expect(await refusalOf(edwards.sign(right, { kid: 'unheard of' }), edwards.keys)).toBe('key_unknown')
    expect(await refusalOf(edwards.sign({ ...right, aud: 'someone-else' }), edwards.keys)).toBe('invalid_audience')
    expect(await refusalOf(edwards.sign({ ...right, iss: stranger.issuer }), edwards.keys)).toBe('invalid_issuer')
    expect(await refusalOf(edwards.sign({ ...right, exp: right.iat - 1000 }), edwards.keys)).toBe('invalid_request')
    expect(await refusalOf(edwards.sign(right, { crit: ['b64'], b64: false }), edwards.keys)).toBe('invalid_key')
    const [header, payload, signature] = (await edwards.sign(right)).split('.')
    expect(await refusalOf(`${header ?? ''}.${payload ?? ''}.${signature ?? ''}=`, edwards.keys)).toBe('invalid_key')
    const other = Buffer.from(JSON.stringify(setClaims(2))).toString('base64url')
    expect(await refusalOf(`${header ?? ''}.${other}.${signature ?? ''}`, edwards.keys)).toBe('invalid_key')
  })

  test.each<[string, () => Promise<OddRealm>, RegExp]>([
    ['an algorithm that only the realm can verify', hmacRealm, /with a secret of its own.*RS256/],
    ['a key that is too short', shortRealm, /less than 2048 bits/],
  ])('with %s is refused in words that say what to do', async (_, made, says) => {
    const odd = await made()
    await expect(verify(await odd.sign(right), odd.keys)).rejects.toMatchObject({
      code: 'invalid_key',
      message: expect.stringMatching(says) as string,
    })
  })

  test.each(['none', 'None', 'NONE', 'nOnE'])('alg %s is refused', async (alg) => {
    const [, payload] = new UnsecuredJWT(right).encode().split('.')
    const header = Buffer.from(JSON.stringify({ alg, typ: 'secevent+jwt' })).toString('base64url')
    expect(await refusalOf(`${header}.${payload ?? ''}.`)).toBe('invalid_key')
  })

  test('HS256 with the public key as the secret is refused', async () => {
    const set = await new SignJWT(right)
      .setProtectedHeader({ alg: 'HS256', typ: 'secevent+jwt' })
      .sign(text.encode(demo.publicPem))
    expect(await refusalOf(set)).toBe('invalid_key')
    // Also where the key lookup itself would hand out the secret.
    expect(await refusalOf(set, () => text.encode(demo.publicPem))).toBe('invalid_key')
  })

  test('a changed payload is refused', async () => {
    const [header, , signature] = (await demo.sign(right)).split('.')
    const other = Buffer.from(JSON.stringify(setClaims(2))).toString('base64url')
    expect(await refusalOf(`${header ?? ''}.${other}.${signature ?? ''}`)).toBe('invalid_key')
  })

  test('a key in the header is ignored', async () => {
    const mine = await generateKeyPair('RS256', { extractable: true })
    const set = await new CompactSign(text.encode(JSON.stringify(right)))
      .setProtectedHeader({ alg: 'RS256', typ: 'secevent+jwt', jwk: await exportJWK(mine.publicKey) })
      .sign(mine.privateKey)
    expect(await refusalOf(set)).toBe('invalid_key')
  })

  test.each([
    { jku: 'https://evil.example.org/keys' },
    { x5u: 'https://evil.example.org/cert' },
    { kid: '../../etc/passwd' },
    { kid: 'k'.repeat(10_000) },
  ])('the header %j makes nothing else fetched and finds no other key', async (header) => {
    if ('kid' in header) {
      expect(await refusalOf(demo.sign(right, header))).toBe('key_unknown')
    } else {
      await expect(verify(await demo.sign(right, header))).resolves.toBeDefined()
      expect(await refusalOf(stranger.sign(right, { ...header, kid: `key of ${ISSUER}` }))).toBe('invalid_key')
    }
  })

  test('a crit that we do not understand is refused', async () => {
    const header = Buffer.from(
      JSON.stringify({ alg: 'RS256', typ: 'secevent+jwt', crit: ['x'], x: 1, kid: `key of ${ISSUER}` }),
    ).toString('base64url')
    const [, payload, signature] = (await demo.sign(right)).split('.')
    expect(await refusalOf(`${header}.${payload ?? ''}.${signature ?? ''}`)).toBe('invalid_key')
  })

  test.each([
    ['empty', ''],
    ['words', 'not a token'],
    ['two parts', 'e30.e30'],
    ['five parts', 'e30.e30.e30.e30.e30'],
    ['not base64url', '!!.??.**'],
    ['a JSON array', 'W10.W10.W10'],
  ])('what is no JWS (%s) is an invalid request', async (_, set) => {
    expect(await refusalOf(set)).toBe('invalid_request')
  })
})

describe('the keys', () => {
  test('that have just been changed are not known yet, and those that are known and do not fit are wrong', async () => {
    const [kid, other] = [`key of ${ISSUER}`, await realm(ISSUER)]
    expect(await refusalOf(demo.sign(right, { kid: 'made a second ago' }))).toBe('key_unknown')
    expect(await refusalOf(other.sign(right, { kid }))).toBe('invalid_key')
    const [, ...rest] = (await demo.sign(right)).split('.')
    const header = Buffer.from(JSON.stringify({ alg: 'RS512', typ: 'secevent+jwt', kid })).toString('base64url')
    expect(await refusalOf([header, ...rest].join('.'))).toBe('invalid_key')
    // Keycloak names its keys: what has no name will have none later.
    const others = createLocalJWKSet({ keys: [] })
    expect(await refusalOf(demo.sign(right, { kid: undefined } as object), others)).toBe('invalid_key')
  })

  test('of the relay’s own are no keys of the realm’s, now or later', async () => {
    const own = new RealmKeys({ places: [], publishedForMs: 0, tell: () => undefined, trouble: () => undefined })
    expect(await refusalOf(demo.sign(right, { kid: undefined } as object), own.allBut(demo.keys))).toBe('invalid_key')
    expect(await refusalOf(demo.sign(right, { kid: 'unheard of' }), own.allBut(demo.keys))).toBe('key_unknown')
    expect(await refusalOf(stranger.sign(right, { kid: `key of ${ISSUER}` }), own.allBut(demo.keys))).toBe(
      'invalid_key',
    )
  })

  const reject =
    (cause: Error): JWTVerifyGetKey =>
    () => {
      throw cause
    }
  test.each([
    ['time out', reject(new errors.JWKSTimeout())],
    ['answer with an error', reject(new errors.JOSEError('Expected 200 OK from the JSON Web Key Set HTTP response'))],
    ['cannot be connected to', reject(new TypeError('fetch failed'))],
    ['are with an issuer that is down', reject(new RelayError('idp_unavailable', 'down'))],
  ])('that %s are the issuer’s trouble, not a bad SET', async (_, getKey) => {
    expect(await refusalOf(demo.sign(right), getKey)).toBe('idp_unavailable')
  })

  test('whose lookup fails before a key is asked for are the issuer’s trouble too', async () => {
    const down = () => Promise.reject(new RelayError('idp_unavailable', 'down'))
    await expect(verifySet(await demo.sign(right), down, 'logout-relay', NOW_MS)).rejects.toMatchObject({
      code: 'idp_unavailable',
    })
  })

  test('are not asked for in vain by a token of another kind: while the issuer is down that would end the process', async () => {
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    onTestFinished(() => void process.off('unhandledRejection', unhandled))
    const down = () => Promise.reject(new RelayError('idp_unavailable', 'down'))
    const other = demo.sign(right, { typ: 'JWT' })
    await expect(verifySet(await other, down, 'logout-relay', NOW_MS)).rejects.toMatchObject({
      code: 'invalid_request',
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(unhandled).not.toHaveBeenCalled()
  })
})

describe('the claims', () => {
  test.each(['JWT', 'at+jwt', 'logout+jwt', 'Bearer', '', undefined])(
    'typ %j is another kind of token',
    async (typ) => {
      expect(await refusalOf(demo.sign(right, { typ } as { typ: string }))).toBe('invalid_request')
      expect(fetched).toBe(0)
    },
  )

  const events = right.events
  const sessionsOf = (n: number) => containment(uuid(1), Array<string>(n).fill('orders')).sessions
  const first = sessionsOf(1)[0]
  test.each<[string, object]>([
    ['sub', { ...right, sub: 'user-1' }],
    ['exp in the future', { ...right, exp: right.iat + 1000 * 86_400 }],
    ['exp in the past', { ...right, exp: right.iat - 1000 }],
    ['iat two minutes ahead', { ...right, iat: right.iat + 120 }],
    ['iat in milliseconds', { ...right, iat: NOW_MS }],
    ['iat negative', { ...right, iat: -1 }],
    ['iat a fraction', { ...right, iat: right.iat + 0.5 }],
    ['iat a string', { ...right, iat: String(right.iat) }],
    ['no iat', { ...right, iat: undefined }],
    ['no jti', { ...right, jti: undefined }],
    ['an empty jti', { ...right, jti: '' }],
    ['a jti of 256 characters', { ...right, jti: 'j'.repeat(256) }],
    ['no txn', { ...right, txn: undefined }],
    ['no sub_id', { ...right, sub_id: undefined }],
    ['another format of subject', { ...right, sub_id: { format: 'email', email: 'a@example.org' } }],
    ['a subject of 1 MB', { ...right, sub_id: { ...right.sub_id, sub: 's'.repeat(1_000_000) } }],
    ['events null', { ...right, events: null }],
    ['events an array', { ...right, events: [] }],
    ['no event', { ...right, events: {} }],
    ['two events', { ...right, events: { ...events, 'https://example.org/x': { 'logout-relay': relayPart } } }],
    ['an unknown event type', { ...right, events: { 'https://example.org/x': { 'logout-relay': relayPart } } }],
    ['an event without our part', { ...right, events: { [CREDENTIAL_CHANGE]: {} } }],
    ['501 sessions', withPart({ ...relayPart, sessions: sessionsOf(501) })],
    ['a session id twice', withPart({ ...relayPart, sessions: [first, first] })],
    ['a session id that is none', withPart({ ...relayPart, sessions: [{ ...first, id: '../../x' }] })],
    ['a session without sid', withPart({ ...relayPart, sessions: [{ ...first, sid: '' }] })],
    ['a session without an end', withPart({ ...relayPart, sessions: [{ ...first, latest_end: undefined }] })],
    ['a part 0', withPart({ ...relayPart, part: 0 })],
    ['a negative watermark', withPart({ ...relayPart, watermark_ms: -1 })],
  ])('%s is an invalid request', async (_, claims) => {
    expect(await refusalOf(demo.sign(claims))).toBe('invalid_request')
  })

  const uri = 'https://orders.example.org/logout'
  test.each<[string, object, Partial<ListedSession>]>([
    [
      'a session.max-life in milliseconds',
      { latest_end: right.iat + 2_592_000_000 },
      { latestEndMs: 4_102_444_800_000 },
    ],
    ['tokens alone', { tokens_only: true }, { tokensOnly: true }],
    ['the longest session.max-life', { latest_end: 9.223e18 }, { latestEndMs: 4_102_444_800_000 }],
    [
      'a logout URL of 3,000 characters',
      { backchannel_logout_uri: `https://a/${'x'.repeat(2990)}` },
      { named: { kind: 'backchannel', alg: 'RS256' } },
    ],
    ['an algorithm that is none', { alg: 'seventeen letters' }, { named: { kind: 'backchannel', uri } }],
    ['an issuer that is no text', { iss: 7 }, { named: { kind: 'backchannel', uri } }],
    ['a sub of 256 characters', { sub: 's'.repeat(256) }, { sub: undefined } as object],
  ])('%s at one client keeps no other from being told', async (_, more, counts) => {
    const { sessions } = containment(uuid(1), ['orders', 'mail'])
    const [orders, mail] = sessions
    const event = await verify(await demo.sign(withPart({ ...relayPart, sessions: [{ ...orders, ...more }, mail] })))
    const [told] = (await verify(await demo.sign(withPart({ ...relayPart, sessions: [orders, mail] })))).sessions
    expect(event.sessions).toEqual([{ ...told, ...counts }, expect.objectContaining({ clientId: 'mail' })])
  })

  test('an infinite iat is an invalid request', async () => {
    const set = JSON.stringify({ ...right, iat: 1 }).replace('"iat":1', '"iat":1e400')
    expect(await refusalOf(demo.sign(set))).toBe('invalid_request')
  })

  test('a claim that is read and nested 100,000 deep is an invalid request', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const set = JSON.stringify({ ...right, jti: 0 }).replace('"jti":0', `"jti":${deep}`)
    expect(await refusalOf(demo.sign(set))).toBe('invalid_request')
  })

  test('no refusal repeats what the sender wrote', async () => {
    const canary = 'canary-7f3a'
    const sets = await Promise.all([
      demo.sign({ ...right, iss: `https://${canary}.example.org` }),
      demo.sign({ ...right, aud: canary }),
      demo.sign({ ...right, sub: canary }),
      demo.sign({ ...right, sub_id: { ...right.sub_id, iss: canary } }),
      demo.sign({ ...right, events: { [canary]: { 'logout-relay': relayPart } } }),
      demo.sign(right, { kid: canary }),
      demo.sign(right, { typ: canary }),
    ])
    for (const set of sets) {
      const refusal: unknown = await verify(set).catch((cause: unknown) => cause)
      expect(refusal).toBeInstanceOf(RelayError)
      expect((refusal as RelayError).message).not.toContain(canary)
    }
  })
})

test('a SET under a former name of the realm is taken with the keys of today, and keeps that name', async () => {
  const formerly = 'https://old.example.org/realms/demo'
  const keysOf = (issuer: string) => ([ISSUER, formerly].includes(issuer) ? Promise.resolve(demo.keys) : undefined)
  const claims = setClaims(1, ['orders'], formerly)
  const event = await verifySet(await demo.sign(claims), keysOf, 'logout-relay', NOW_MS)
  expect(event.issuer).toBe(formerly)
  const forged = stranger.sign(claims, { kid: `key of ${ISSUER}` })
  await expect(verifySet(await forged, keysOf, 'logout-relay', NOW_MS)).rejects.toMatchObject({
    code: 'invalid_key',
  })
})
