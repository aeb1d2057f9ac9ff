import { describe, expect, test } from 'vitest'
import { endsWords, hurtsWords, leftWords } from '../../relay/cli/rotate-realm-words.ts'
import {
  inOrder,
  type NewKey,
  planRotation,
  type RealmKey,
  type RealmKeySet,
  type Rotation,
  successorId,
  type Wanted,
} from '../../relay/idp/keycloak/rotation/plan.ts'

const PASSIVE: Wanted = { disable: false, algs: [], run: 'first' }
const DISABLE: Wanted = { disable: true, algs: [], run: 'first' }

interface Given {
  readonly kid: string
  readonly alg?: string
  readonly provider?: string
  readonly priority?: number
  readonly status?: RealmKey['status']
  readonly config?: Record<string, string[]>
}

/** As Keycloak has them: by priority, then by the id of the component. */
function realm(...given: Given[]): RealmKeySet {
  const keys = given.map(({ kid, alg = 'RS256', priority = 100, status = 'ACTIVE' }) => ({
    ...{ kid, alg, priority, status, component: `of-${kid}` },
  }))
  return {
    keys: keys.toSorted((a, b) => b.priority - a.priority || (a.component < b.component ? -1 : 1)),
    components: given.map(({ kid, provider = 'rsa-generated', config = {} }) => ({
      ...{ id: `of-${kid}`, name: `name-of-${kid}`, providerId: provider, parentId: 'realm-id', config },
    })),
    encryption: ['RSA-OAEP', 'AES'],
  }
}

const HMAC = { kid: 'hmac', alg: 'HS512', provider: 'hmac-generated' }
const DEFAULT = realm({ kid: 'rsa' }, HMAC)

/** What a key set is after a step, and what kid the new key got. */
function withNew(set: RealmKeySet, alg: string, { id, ...made }: NewKey): RealmKeySet {
  const key = {
    kid: `new-${id}`,
    alg,
    component: id,
    priority: Number(made.config['priority']?.[0]),
    status: 'ACTIVE' as const,
  }
  return {
    ...set,
    keys: [...set.keys, key].toSorted((a, b) => b.priority - a.priority || (a.component < b.component ? -1 : 1)),
    components: [...set.components, { id, ...made }],
  }
}

function withRetired(set: RealmKeySet, { kid }: RealmKey, disable: boolean): RealmKeySet {
  const keys = set.keys.flatMap((key) =>
    key.kid !== kid ? [key] : disable ? [] : [{ ...key, status: 'PASSIVE' as const }],
  )
  return { ...set, keys }
}

type Step = (set: RealmKeySet) => RealmKeySet
/** In the order in which the command does them. */
function stepsOf(rotations: readonly Rotation[], { disable }: Wanted): Step[] {
  return [
    ...rotations.flatMap(({ alg, make }): Step[] => (make ? [(set) => withNew(set, alg, make)] : [])),
    ...inOrder(rotations, undefined).map(
      (key): Step =>
        (set) =>
          withRetired(set, key, disable),
    ),
  ]
}

const apply = (set: RealmKeySet, steps: readonly Step[]) => steps.reduce((before, step) => step(before), set)
const shape = ({ alg, make, retire, keep }: Rotation) => ({
  ...{ alg, makes: make !== undefined, retires: retire.map(({ kid }) => kid), keeps: keep.map(({ kid }) => kid) },
})
const shapes = (set: RealmKeySet, wanted: Wanted) => planRotation(set, wanted).map(shape)

describe('which keys of a realm are replaced', () => {
  test('each that signs, also the secret one of refresh tokens and cookies; none that encrypts', () => {
    expect(shapes(DEFAULT, PASSIVE)).toEqual([
      { alg: 'HS512', makes: true, retires: ['hmac'], keeps: [] },
      { alg: 'RS256', makes: true, retires: ['rsa'], keeps: [] },
    ])
  })

  test('of a realm that signs with more algorithms all, or the ones that are named', () => {
    const more = realm({ kid: 'rsa' }, HMAC, { kid: 'ec', alg: 'ES256', provider: 'ecdsa-generated' })
    expect(planRotation(more, PASSIVE).map(({ alg }) => alg)).toEqual(['ES256', 'HS512', 'RS256'])
    expect(planRotation(more, { ...PASSIVE, algs: ['ES256'] }).map(({ alg }) => alg)).toEqual(['ES256'])
  })

  test('passive ones verify as well: they go with --disable, and without it they stay', () => {
    const older: Given = { kid: 'older', priority: 50, status: 'PASSIVE' }
    const relays: Given = {
      kid: 'relays',
      priority: -100,
      status: 'PASSIVE',
      alg: 'ES256',
      provider: 'ecdsa-generated',
    }
    const set = realm({ kid: 'rsa' }, older, relays)
    expect(shapes(set, PASSIVE)).toEqual([{ alg: 'RS256', makes: true, retires: ['rsa'], keeps: ['older'] }])
    expect(shapes(set, DISABLE)).toEqual([
      { alg: 'RS256', makes: true, retires: ['rsa', 'older'], keeps: [] },
      { alg: 'ES256', makes: false, retires: ['relays'], keeps: [] },
    ])
  })

  test('one key alone, and what else verifies is said to stay', () => {
    const set = realm({ kid: 'rsa' }, { kid: 'older', status: 'PASSIVE' }, HMAC)
    expect(shapes(set, { ...DISABLE, kid: 'rsa' })).toEqual([
      { alg: 'RS256', makes: true, retires: ['rsa'], keeps: ['older'] },
    ])
  })

  test('an older key of somebody else’s provider is left to them', () => {
    const set = realm({ kid: 'rsa' }, { kid: 'theirs', priority: 1, provider: 'java-keystore' })
    expect(shapes(set, DISABLE)).toEqual([{ alg: 'RS256', makes: true, retires: ['rsa'], keeps: ['theirs'] }])
  })
})

describe('the new key', () => {
  const made = (...given: Given[]) => planRotation(realm(...given), PASSIVE)[0]?.make

  test('comes before all that there are, also before a passive one', () => {
    const passive: Given = { kid: 'older', priority: 700, status: 'PASSIVE' }
    expect(made({ kid: 'rsa', priority: 100 }, passive)?.config['priority']).toEqual(['701'])
  })

  test.each<[string, Given, object]>([
    [
      'RSA',
      { kid: 'k', alg: 'PS384', config: { keySize: ['4096'], privateKey: ['**********'], priority: ['100'] } },
      { providerId: 'rsa-generated', config: { algorithm: ['PS384'], keySize: ['4096'] } },
    ],
    [
      'HMAC without an algorithm of its own',
      { ...HMAC, alg: 'HS256', config: { secretSize: ['64'], secret: ['**********'], kid: ['hmac'] } },
      { providerId: 'hmac-generated', config: { algorithm: ['HS256'], secretSize: ['64'] } },
    ],
    [
      'an elliptic curve',
      { kid: 'k', alg: 'ES384', provider: 'ecdsa-generated', config: { ecdsaEllipticCurveKey: ['P-384'] } },
      { providerId: 'ecdsa-generated', config: { ecdsaEllipticCurveKey: ['P-384'] } },
    ],
    [
      'RSA that was imported',
      { kid: 'k', provider: 'rsa', config: { privateKey: ['**********'], certificate: ['…'], algorithm: ['RS256'] } },
      { providerId: 'rsa-generated', config: { algorithm: ['RS256'] } },
    ],
  ])('of %s is like the old one, and has nothing secret of it', (_, given, expected) => {
    const { providerId, config } = made(given) ?? {}
    const { priority, enabled, active, ...others } = config ?? {}
    expect({ providerId, config: others }).toEqual(expected)
    expect([priority, enabled, active]).toEqual([['101'], ['true'], ['true']])
  })

  test('has the same id for everybody who replaces the same key, and another in another realm', () => {
    expect(made({ kid: 'rsa' })?.id).toBe(successorId('realm-id', 'rsa'))
    expect(successorId('realm-id', 'rsa')).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
    const ids = [successorId('realm-id', 'rsa'), successorId('other', 'rsa'), successorId('realm-id', 'hmac')]
    expect(new Set(ids).size).toBe(3)
  })
})

describe('a rotation that is interrupted', () => {
  const lower: Given = { kid: 'lower', priority: 3 }
  const older: Given = { kid: 'older', priority: 1, status: 'PASSIVE' }
  const set = realm({ kid: 'rsa' }, lower, older, HMAC)
  const end = ({ keys }: RealmKeySet) => keys.map(({ kid, status }) => `${kid} ${status}`).sort()
  const signs = ({ keys }: RealmKeySet, alg: string) => keys.some((key) => key.alg === alg && key.status === 'ACTIVE')

  test.each([
    ['passive', PASSIVE],
    ['disabled', DISABLE],
  ])('has a key that signs at every step, and a further run ends where it would have: the old %s', (_, wanted) => {
    const steps = stepsOf(planRotation(set, wanted), wanted)
    expect(steps.length).toBeGreaterThan(4)
    for (let done = 1; done < steps.length; done++) {
      const interrupted = apply(set, steps.slice(0, done))
      expect([done, signs(interrupted, 'RS256'), signs(interrupted, 'HS512')]).toEqual([done, true, true])
      const again = { ...wanted, run: 'second' }
      const rest = stepsOf(planRotation(interrupted, again), again)
      expect([done, rest.length]).toEqual([done, steps.length - done])
      expect(end(apply(interrupted, rest))).toEqual(end(apply(set, steps)))
    }
  })

  test('says what is left', () => {
    const rotations = planRotation(set, DISABLE)
    const made = new Map([['HS512', 'new']])
    expect(leftWords(rotations, true, { made, retired: new Set(['older', 'lower']) })).toEqual([
      'HS512: hmac is not disabled yet',
      'RS256: no new key yet, rsa signs',
      'RS256: rsa is not disabled yet',
    ])
  })

  test('once it has finished, a further one begins from the new keys', () => {
    const after = apply(set, stepsOf(planRotation(set, PASSIVE), PASSIVE))
    const again = planRotation(after, { ...PASSIVE, run: 'second' })
    expect(again.map(({ make, retire }) => [make?.name, retire.map(({ kid }) => kid)])).toEqual([
      ['rotate-realm second HS512', [`new-${successorId('realm-id', 'hmac')}`]],
      ['rotate-realm second RS256', [`new-${successorId('realm-id', 'rsa')}`]],
    ])
  })

  test('the key that has signed the caller’s token goes last of all', () => {
    const kids = (own?: string) => inOrder(planRotation(set, DISABLE), own).map(({ kid }) => kid)
    expect(kids()).toEqual(['lower', 'older', 'hmac', 'rsa'])
    expect(kids('older')).toEqual(['lower', 'hmac', 'rsa', 'older'])
    expect(kids('hmac').at(-1)).toBe('hmac')
  })
})

test.each<[string, RealmKeySet, Partial<Wanted>, RegExp]>([
  [
    'an algorithm with which nothing is signed',
    DEFAULT,
    { algs: ['RS256', 'PS512'] },
    /nothing with PS512; it has keys for/,
  ],
  ['a key that is not there', DEFAULT, { kid: 'other' }, /^No key other signs/],
  [
    'a key that is not the one that signs',
    realm({ kid: 'rsa' }, { kid: 'older', status: 'PASSIVE' }),
    { kid: 'older' },
    /^older is not the key that signs with RS256: that is rsa$/,
  ],
  ['a key of another algorithm than the one that is named', DEFAULT, { kid: 'rsa', algs: ['HS512'] }, /^No key rsa/],
  ['a realm without keys', realm(), { algs: ['RS256'] }, /it has no keys at all/],
  [
    'a key from a keystore',
    realm({ kid: 'rsa', provider: 'java-keystore' }, HMAC),
    {},
    /^The key that signs with RS256 comes from name-of-rsa \(java-keystore\), where Keycloak can make no new one/,
  ],
])('%s is refused, and nothing is planned', (_, set, wanted, says) => {
  expect(() => planRotation(set, { ...PASSIVE, ...wanted })).toThrow(says)
})

test('what a keystore does not hold is rotated all the same, where it is named', () => {
  const set = realm({ kid: 'rsa', provider: 'java-keystore' }, HMAC)
  expect(shapes(set, { ...DISABLE, algs: ['HS512'] })).toEqual([
    { alg: 'HS512', makes: true, retires: ['hmac'], keeps: [] },
  ])
})

test('a key in whose place one was made that does not sign is not replaced a second time under the same id', () => {
  const set = withNew(
    DEFAULT,
    'RS256',
    planRotation(DEFAULT, PASSIVE).find(({ alg }) => alg === 'RS256')?.make as NewKey,
  )
  const disabled = { ...set, keys: set.keys.filter(({ kid }) => !kid.startsWith('new-')) }
  expect(() => planRotation(disabled, PASSIVE)).toThrow(/made in place of rsa \(RS256\) before, and does not sign/)
})

describe('what is said beforehand', () => {
  const signed = { logins: 12, clients: 4, offline: 3, serviceAccounts: 2, saml: 1 }
  const ahead = (wanted: Wanted, more: Partial<Parameters<typeof endsWords>[0]> = {}) => ({
    ...{ rotations: planRotation(DEFAULT, wanted), disable: wanted.disable, set: DEFAULT, signed, ownTokenEnds: false },
    ...more,
  })

  test('passive keys end nothing but logins under way, and still hurt whoever keeps the realm’s keys', () => {
    expect(endsWords(ahead(PASSIVE))).toEqual([expect.stringMatching(/^nothing but logins under way, which have to/)])
    expect(endsWords(ahead({ ...PASSIVE, algs: ['RS256'] }))).toEqual([expect.stringMatching(/^nothing: /)])
    expect(hurtsWords(ahead(PASSIVE))).toEqual([
      expect.stringMatching(/5 minutes as a rule/),
      expect.stringMatching(/^1 SAML client may have/),
    ])
  })

  test('disabled ones end everybody’s login and every token, by number', () => {
    const text = endsWords(ahead(DISABLE)).join('\n')
    expect(text).toContain('access and ID tokens (RS256), those of 2 service accounts among them')
    expect(text).toContain('everybody’s login at Keycloak (HS512): 12 sessions at 4 clients and 3 offline sessions')
    expect(endsWords(ahead(DISABLE, { signed: { logins: 1, clients: 1, offline: 0 } })).join('\n')).toContain(
      'which were not counted',
    )
  })

  test('who leaves the secret key out is told what goes on, and who has a fixed token that it ends', () => {
    const rsa = { ...DISABLE, algs: ['RS256'] }
    expect(endsWords(ahead(rsa))).toContain(
      'not refresh tokens and cookies: they are signed with HS512, which stays as it is',
    )
    expect(hurtsWords(ahead(rsa, { ownTokenEnds: true })).at(-1)).toMatch(/LOGOUT_RELAY_TOKEN.* ends with its key/)
  })
})
