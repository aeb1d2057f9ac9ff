import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLocalJWKSet, decodeJwt, type JWK, jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import type { Delivery, TokenNames } from '../../relay/domain/model.ts'
import { plan } from '../../relay/domain/plan.ts'
import { RelayError } from '../../relay/errors.ts'
import type { Genuine } from '../../relay/delivery/port.ts'
import { keycloakComponent } from '../../relay/idp/keycloak/publish.ts'
import { createKey, importKey, keyStatus, rotateKey } from '../../relay/signing/acts.ts'
import { SIGNING_ALGORITHMS, type Algorithm, type KeyPlace, readRelayKey } from '../../relay/signing/key.ts'
import { nextOf, RealmKeys } from '../../relay/signing/realm-keys.ts'
import { relaySigned } from '../../relay/delivery/backchannel/signer.ts'
import { backchannelAt, SURE_OF_SID_MS } from '../../relay/delivery/backchannel/target.ts'
import { logoutToken } from '../../relay/delivery/backchannel/token.ts'
import { ISSUER, NOW_MS, securityEvent, session, temporaryFolder, uuid } from './given.ts'

const WAIT_MS = 300_000
const pem = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' })
const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

function place(alg: Algorithm = 'ES256'): KeyPlace {
  return { alg, file: join(temporaryFolder(), 'keys', `${alg}.pem`) }
}

/** As a realm publishes it. */
function published({ alg, file }: KeyPlace, kid?: string): JWK {
  const key = readRelayKey(file, alg)
  return { ...key.publicJwk, kid: kid ?? key.fingerprint, use: 'sig', alg }
}

function realmKeys(places: readonly KeyPlace[]) {
  const told: string[] = []
  const troubles: string[] = []
  const tell = (what: string) => void told.push(what)
  const keys = new RealmKeys({ places, publishedForMs: WAIT_MS, tell, trouble: (what) => void troubles.push(what) })
  return { keys, told, troubles }
}

function refusal(act: () => unknown): string {
  try {
    act()
  } catch (cause) {
    expect(cause).toBeInstanceOf(RelayError)
    return String(cause)
  }
  throw new Error('It was not refused')
}

describe('a logout token that the relay signs', () => {
  const claims = { iss: ISSUER, aud: 'orders', sid: 'sid-1' }

  test.each(SIGNING_ALGORITHMS)(
    'is one of the specification, with sid alone and two minutes to live, by %s',
    async (alg) => {
      const at = place(alg)
      createKey(at)
      const key = readRelayKey(at.file, alg)
      const token = await logoutToken(key, key.fingerprint, claims, NOW_MS)
      const { payload, protectedHeader } = await jwtVerify(token, createLocalJWKSet({ keys: [published(at)] }), {
        issuer: ISSUER,
        audience: 'orders',
        currentDate: new Date(NOW_MS),
      })
      expect(protectedHeader).toEqual({ alg, kid: key.fingerprint, typ: 'logout+jwt' })
      expect(payload).toEqual({
        ...claims,
        iat: NOW_MS / 1000,
        exp: NOW_MS / 1000 + 120,
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
        events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
      })
    },
  )

  test('has a jti that no other has, also at the same instant', async () => {
    const key = { alg: 'ES256' as const, key: ec() }
    const tokens = await Promise.all(Array.from({ length: 200 }, () => logoutToken(key, 'kid', claims, NOW_MS)))
    expect(new Set(tokens.map((token) => decodeJwt(token).jti)).size).toBe(200)
  })
})

describe('a key of the relay', () => {
  test('signs only once the realm has published it for long enough, and no longer than it does', () => {
    const at = place()
    createKey(at)
    const { keys, told } = realmKeys([at])
    keys.look([], NOW_MS)
    expect(keys.usable('ES256', NOW_MS + WAIT_MS)).toBeUndefined()
    keys.look([published(at, 'kid-1')], NOW_MS)
    expect(keys.usable('ES256', NOW_MS + WAIT_MS - 1)).toBeUndefined()
    expect(keys.usable('ES256', NOW_MS + WAIT_MS)?.kid).toBe('kid-1')
    expect(keys.usable('RS256', NOW_MS + WAIT_MS)).toBeUndefined()
    keys.look([], NOW_MS + WAIT_MS + 1)
    expect(keys.usable('ES256', NOW_MS + 2 * WAIT_MS)).toBeUndefined()
    keys.look([published(at, 'kid-1')], NOW_MS + 2 * WAIT_MS)
    expect(keys.usable('ES256', NOW_MS + 3 * WAIT_MS - 1)).toBeUndefined()
    expect(told).toHaveLength(3)
  })

  test('does not wait anew after a restart, also while the realm cannot be asked', () => {
    const at = place()
    createKey(at)
    realmKeys([at]).keys.look([published(at, 'kid-1')], NOW_MS)
    expect(realmKeys([at]).keys.usable('ES256', NOW_MS + WAIT_MS)?.kid).toBe('kid-1')
  })

  test('is not taken for published under another algorithm, nor for another use, nor for another key', () => {
    const at = place('RS256')
    createKey(at)
    const { keys } = realmKeys([at])
    const right = published(at)
    const other = { alg: 'RS256', file: join(temporaryFolder(), 'other.pem') } as const
    createKey(other)
    keys.look(
      [
        { ...right, alg: 'PS256' },
        { ...right, use: 'enc' },
        { ...published(other), kid: right.kid ?? '' },
      ],
      NOW_MS,
    )
    expect(keys.usable('RS256', NOW_MS + WAIT_MS)).toBeUndefined()
  })

  test('is changed for the next without a moment in which neither signs', () => {
    const at = place()
    createKey(at)
    const { keys } = realmKeys([at])
    const old = published(at, 'old')
    keys.look([old], NOW_MS)
    const made = rotateKey(at, WAIT_MS, NOW_MS)
    expect(made.did).toBe('made next')
    const next = published({ ...at, file: nextOf(at.file) }, 'next')
    const t1 = NOW_MS + WAIT_MS
    keys.look([old, next], t1)
    expect(keys.usable('ES256', t1 + WAIT_MS - 1)?.kid).toBe('old')
    expect(refusal(() => rotateKey(at, WAIT_MS, t1 + WAIT_MS - 1))).toMatch(/cannot take over: it is used from 20/)
    expect(keys.usable('ES256', t1 + WAIT_MS)?.kid).toBe('next')
    expect(rotateKey(at, WAIT_MS, t1 + WAIT_MS)).toMatchObject({ did: 'replaced current' })
    expect(existsSync(nextOf(at.file))).toBe(false)
    keys.look([old, next], t1 + WAIT_MS + 1)
    expect(keys.usable('ES256', t1 + WAIT_MS + 1)?.kid).toBe('next')
    keys.look([next], t1 + WAIT_MS + 2)
    expect(keys.usable('ES256', t1 + WAIT_MS + 2)?.kid).toBe('next')
  })

  test('that became readable by others while the relay runs is used no more, and that is said', () => {
    const at = place()
    createKey(at)
    const { keys, troubles } = realmKeys([at])
    keys.look([published(at)], NOW_MS)
    chmodSync(at.file, 0o644)
    keys.look([], NOW_MS + WAIT_MS)
    expect(keys.usable('ES256', NOW_MS + WAIT_MS)).toBeUndefined()
    expect(troubles).toHaveLength(1)
  })

  test('is no key of the realm’s for events and API tokens, nor is a token believed that names no key', async () => {
    const at = place()
    createKey(at)
    const { keys } = realmKeys([at])
    keys.look([published(at, 'ours')], NOW_MS)
    const all = createLocalJWKSet({ keys: [published(at, 'ours'), { ...published(at), kid: 'realm' }] })
    const token = { payload: '', signature: '' }
    await expect(keys.allBut(all)({ alg: 'ES256', kid: 'realm' }, token)).resolves.toBeDefined()
    await expect(keys.allBut(all)({ alg: 'ES256', kid: 'ours' }, token)).rejects.toMatchObject({
      code: 'ERR_JWKS_NO_MATCHING_KEY',
    })
    await expect(keys.allBut(all)({ alg: 'ES256' }, token)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' })
  })

  test('is none of the realm’s either once it was changed for the next, or while its file cannot be read', async () => {
    const at = place()
    createKey(at)
    const { keys } = realmKeys([at])
    const old = published(at, 'old')
    keys.look([old], NOW_MS)
    rotateKey(at, WAIT_MS, NOW_MS)
    const next = published({ ...at, file: nextOf(at.file) }, 'next')
    keys.look([old, next], NOW_MS)
    rotateKey(at, WAIT_MS, NOW_MS + WAIT_MS)
    keys.look([old, next], NOW_MS + WAIT_MS)
    const believed = (kid: string) =>
      keys.allBut(createLocalJWKSet({ keys: [old, next] }))({ alg: 'ES256', kid }, { payload: '', signature: '' })
    await expect(believed('old')).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' })
    chmodSync(at.file, 0o644)
    keys.look([old, next], NOW_MS + WAIT_MS + 1)
    await expect(believed('next')).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' })
  })
})

describe('a key file', () => {
  test.each([
    ['others may read', 0o644, /is open to others \(mode 0644\)\. Close it: chmod 600/],
    ['its group may read', 0o640, /is open to others \(mode 0640\)/],
    ['others may write', 0o602, /is open to others \(mode 0602\)/],
  ])('that %s is refused', (_, mode, says) => {
    const file = join(temporaryFolder(), 'key.pem')
    writeFileSync(file, pem(ec()))
    chmodSync(file, mode)
    expect(refusal(() => readRelayKey(file, 'ES256'))).toMatch(says)
  })

  test.each<[string, Algorithm, () => KeyObject]>([
    ['RSA for ES256', 'ES256', () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
    ['another curve for ES256', 'ES256', () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
    ['an elliptic curve for RS256', 'RS256', ec],
    ['short RSA for PS256', 'PS256', () => generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey],
  ])('with %s is refused', (_, alg, key) => {
    const file = join(temporaryFolder(), 'key.pem')
    writeFileSync(file, pem(key()), { mode: 0o600 })
    expect(refusal(() => readRelayKey(file, alg))).toMatch(`which ${alg} needs`)
  })

  test('that is missing or no key is refused with the command that makes one, and nothing of it is shown', () => {
    const file = join(temporaryFolder(), 'key.pem')
    expect(refusal(() => readRelayKey(file, 'ES256'))).toMatch(
      /cannot be read \(ENOENT\)\. Make one: logout-relay keys create/,
    )
    writeFileSync(file, 'canary', { mode: 0o600 })
    const says = refusal(() => readRelayKey(file, 'ES256'))
    expect(says).toMatch(/is not a private key in PEM/)
    expect(says).not.toContain('canary')
  })

  test('is made closed to others, once, and never overwritten', () => {
    const at = place()
    expect(createKey(at)).toBe(true)
    expect(statSync(at.file).mode & 0o777).toBe(0o600)
    const made = readFileSync(at.file, 'utf8')
    expect(createKey(at)).toBe(false)
    expect(readFileSync(at.file, 'utf8')).toBe(made)
  })

  test('is taken from elsewhere as the current key, then as the next, and not a third time', () => {
    const at = place()
    const from = join(temporaryFolder(), 'from.pem')
    writeFileSync(from, pem(ec()), { mode: 0o600 })
    expect(importKey(at, from)).toBe(at.file)
    expect(importKey(at, from)).toBe(nextOf(at.file))
    expect(refusal(() => importKey(at, from))).toMatch(/is there already/)
  })

  test('has a status that says what the realm publishes and which key signs', () => {
    const at = place()
    createKey(at)
    expect(keyStatus(at, undefined, WAIT_MS, NOW_MS)).toMatchObject([{ which: 'current', used: false }])
    expect(keyStatus(at, [], WAIT_MS, NOW_MS)).toMatchObject([{ published: false, used: false }])
    realmKeys([at]).keys.look([published(at)], NOW_MS)
    rotateKey(at, WAIT_MS, NOW_MS)
    expect(keyStatus(at, [published(at)], WAIT_MS, NOW_MS + WAIT_MS)).toMatchObject([
      { which: 'current', published: true, used: true, used_from: new Date(NOW_MS + WAIT_MS).toISOString() },
      { which: 'next', published: false, used: false },
    ])
  })

  test.each(SIGNING_ALGORITHMS)(
    'becomes a component for Keycloak that is passive and holds this very key, for %s',
    (alg) => {
      const at = place(alg)
      createKey(at)
      const key = readRelayKey(at.file, alg)
      const component = keycloakComponent(key) as { providerId: string; config: Record<string, [string]> }
      expect(component.config).toMatchObject({ active: ['false'], enabled: ['true'], priority: ['-100'] })
      const { privateKey, ecdsaPublicKey } = component.config
      const publicKey =
        alg === 'ES256'
          ? createPublicKey({ key: Buffer.from(ecdsaPublicKey?.[0] ?? '', 'base64'), format: 'der', type: 'spki' })
          : createPublicKey(privateKey?.[0] ?? '')
      expect(publicKey.export({ format: 'jwk' })).toEqual(key.publicJwk)
    },
  )
})

describe('a realm of which the relay holds a key', () => {
  const may = (alg: string) => ({ named: { ...backchannelAt('https://a.example.org/'), alg } })
  const MAY = may('ES256')

  function given({ realmIsUp = true, genuine }: { realmIsUp?: boolean; genuine?: Genuine } = {}) {
    const at = place()
    createKey(at)
    const { keys } = realmKeys([at])
    keys.look([published(at)], NOW_MS - WAIT_MS)
    const asked: string[][] = []
    const troubles: string[] = []
    const made: number[] = []
    let nowMs = NOW_MS
    const idp = relaySigned({
      issuer: ISSUER,
      keys,
      nowMs: () => nowMs,
      made: (count) => void made.push(count),
      trouble: (what) => void troubles.push(what),
      realm: {
        mint: (some) => {
          asked.push(some.map(({ clientId }) => clientId))
          return realmIsUp
            ? Promise.resolve({
                tokens: new Map(some.map(({ id }) => [id, 'of the realm'])),
                refused: new Map(),
                names: new Map(some.map(({ id }) => [id, 'sid+sub'])),
              })
            : Promise.reject(new RelayError('idp_unavailable', 'down'))
        },
        ...(genuine ? { genuine } : {}),
      },
    })
    return { idp, asked, troubles, made, later: (ms: number) => void (nowMs += ms) }
  }
  const deliveries = (...sessions: readonly (readonly [string, object])[]): readonly Delivery[] =>
    plan(securityEvent(1, [], { sessions: sessions.map(([name, more], n) => session(uuid(1), n, name, more)) }), NOW_MS)
      .deliveries

  test('is not asked for the first attempts of relying parties that go by sid', async () => {
    const { idp, asked, made } = given()
    const { tokens } = await idp.mint(deliveries(['orders', MAY], ['mail', may('RS256')], ['wiki', {}]))
    expect(asked).toEqual([['mail', 'wiki']])
    expect([...tokens.values()].slice(1)).toEqual(['of the realm', 'of the realm'])
    expect(decodeJwt([...tokens.values()][0] ?? '')).toMatchObject({
      iss: ISSUER,
      aud: 'orders',
      sid: `sid-${uuid(1)}-0`,
    })
    expect(decodeJwt([...tokens.values()][0] ?? '')).not.toHaveProperty('sub')
    expect(made).toEqual([1])
  })

  test('is asked for retries and for what has waited long, since it knows whether a newer login has the same sid', async () => {
    const { idp, asked, later } = given()
    const [first] = deliveries(['orders', MAY])
    await idp.mint(first ? [{ ...first, attempts: 1 }] : [])
    later(SURE_OF_SID_MS)
    await idp.mint(first ? [first] : [])
    expect(asked).toEqual([['orders'], ['orders']])
  })

  test('makes no token for nobody where it has no key to encrypt it with, and neither does the relay', async () => {
    const refused = { tokens: new Map(), refusal: 'no_encryption_key' }
    const { idp, made } = given({ genuine: () => Promise.resolve(refused) })
    expect(await idp.genuine?.('orders', 'ES256')).toEqual(refused)
    expect(made).toEqual([])
  })

  test('makes the tokens for nobody, and the relay the one with the sid alone where the realm makes none', async () => {
    const made = (tokens: Record<string, string>) =>
      given({
        genuine: () => Promise.resolve({ tokens: new Map(Object.entries(tokens)) as ReadonlyMap<TokenNames, string> }),
      }).idp.genuine
    expect((await made({ 'sid+sub': 'of the realm' })?.('orders', 'ES256'))?.tokens).toEqual(
      new Map([['sid+sub', 'of the realm']]),
    )
    const own = [await made({})?.('orders', 'ES256'), await given().idp.genuine?.('orders', 'ES256')]
    for (const one of own) {
      expect([...(one?.tokens.keys() ?? [])]).toEqual(['sid'])
      const { aud, sid, sub } = decodeJwt(one?.tokens.get('sid') ?? '')
      expect([aud, typeof sid, sub]).toEqual(['orders', 'string', undefined])
    }
    // Of what the realm alone can make, it makes none.
    expect((await made({})?.('orders'))?.tokens.size).toBe(0)
    expect((await made({})?.('orders', 'RS256'))?.tokens.size).toBe(0)
  })

  test('says whom its tokens name, and the relay of its own that it is the sid alone', async () => {
    const { idp } = given()
    const { names } = await idp.mint(deliveries(['orders', MAY], ['wiki', {}]))
    expect([...(names ?? [])]).toEqual([
      [`${uuid(1)}.0`, 'sid'],
      [`${uuid(1)}.1`, 'sid+sub'],
    ])
  })

  test('that is down does not keep the relay from signing a retry, and what it cannot sign is in neither list', async () => {
    const { idp, troubles } = given({ realmIsUp: false })
    const some = deliveries(['orders', MAY], ['wiki', {}]).map((delivery) => ({ ...delivery, attempts: 3 }))
    const { tokens, refused } = await idp.mint(some)
    expect([[...tokens.keys()], [...refused.keys()]]).toEqual([[`${uuid(1)}.0`], []])
    expect(troubles).toHaveLength(1)
    await expect(idp.mint(some.slice(1))).rejects.toMatchObject({ code: 'idp_unavailable' })
  })

  test('that is down has its refusal stand: a newer login under the same sid is not ended behind its back', async () => {
    const { idp } = given({ realmIsUp: false })
    const some = deliveries(['orders', MAY], ['wiki', MAY]).map((delivery, n) => ({
      ...delivery,
      attempts: 3,
      lastReason: n === 0 ? 'not_minted:sid_in_use' : 'connection_refused',
    }))
    const { tokens, refused } = await idp.mint(some)
    expect([[...tokens.keys()], [...refused.keys()]]).toEqual([[`${uuid(1)}.1`], []])
    await expect(idp.mint(some.slice(0, 1))).rejects.toMatchObject({ code: 'idp_unavailable' })
  })
})
