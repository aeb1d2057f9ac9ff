import { createHash } from 'node:crypto'
import { RelayError } from '../../../errors.ts'

/** A key of a realm that can sign or verify. What only encrypts is none of these. */
export interface RealmKey {
  readonly kid: string
  readonly alg: string
  /** Its component in the realm. */
  readonly component: string
  readonly priority: number
  /** `PASSIVE`: it verifies and does not sign. */
  readonly status: 'ACTIVE' | 'PASSIVE'
}

export interface KeyComponent {
  readonly id: string
  readonly name: string
  readonly providerId: string
  /** The realm's own id. */
  readonly parentId: string
  readonly config: Readonly<Record<string, readonly string[]>>
}

/** What a realm signs and verifies with. */
export interface RealmKeySet {
  /** In the order in which Keycloak asks them: of the active ones of an algorithm the first signs. */
  readonly keys: readonly RealmKey[]
  readonly components: readonly KeyComponent[]
  /** Algorithms of keys that encrypt. */
  readonly encryption: readonly string[]
}

export interface Wanted {
  /** Disable what is replaced, and every older key; else it goes on verifying. */
  readonly disable: boolean
  /** These alone; all with which the realm signs if it is empty. */
  readonly algs: readonly string[]
  /** This key alone, which must be the one that signs. */
  readonly kid?: string
  /** Names the keys that are made together, for whoever has to go on; without spaces. */
  readonly run: string
}

export interface NewKey {
  /** Of the component: the same for whoever replaces the same key, so that only one can. */
  readonly id: string
  readonly name: string
  readonly providerId: string
  readonly parentId: string
  readonly config: Readonly<Record<string, readonly string[]>>
}

/** What is to be done for one algorithm. */
export interface Rotation {
  readonly alg: string
  /** With this it signs now. Absent for an algorithm that has old keys alone. */
  readonly signer?: RealmKey
  /** Absent where there is a new key already: a run before this one made `signer` and got no further. */
  readonly make?: NewKey
  readonly retire: readonly RealmKey[]
  /** The key that `signer`, or the new one, is in place of. While it is active the rotation is not finished. */
  readonly replaced?: RealmKey
  /** They verify as well, and stay as they are. */
  readonly keep: readonly RealmKey[]
}

/** By provider: what makes another such key, and which of its settings the next one takes over. */
const MAKERS: Readonly<Record<string, { readonly providerId: string; readonly takes: readonly string[] }>> = {
  'rsa-generated': { providerId: 'rsa-generated', takes: ['keySize'] },
  rsa: { providerId: 'rsa-generated', takes: [] },
  'hmac-generated': { providerId: 'hmac-generated', takes: ['secretSize'] },
  'ecdsa-generated': { providerId: 'ecdsa-generated', takes: ['ecdsaEllipticCurveKey', 'ecGenerateCertificate'] },
  'eddsa-generated': { providerId: 'eddsa-generated', takes: ['eddsaEllipticCurveKey'] },
}
/** Their keys have an algorithm of their own choice; of the others the curve says it. */
const NAME_ALGORITHM = new Set(['rsa-generated', 'hmac-generated'])

/**
 * Which keys are made and which are retired, for each algorithm with which the realm signs. A rotation that was interrupted is
 * gone on with, and not begun once more.
 *
 * @throws RelayError `invalid_request` for an algorithm or a key that does not sign, and a key that Keycloak cannot make anew
 */
export function planRotation(set: RealmKeySet, wanted: Wanted): Rotation[] {
  const algs = algorithmsOf(set, wanted)
  const begun = new Set(algs.flatMap((alg) => runBegun(alg, set) ?? []))
  const run = [...begun][0] ?? wanted.run
  const plans = algs.map((alg) => planFor(alg, set, { ...wanted, run }, begun))
  return plans.filter(({ make, retire }) => make !== undefined || retire.length > 0)
}

/**
 * In which order keys are retired: last of all the one that has signed the caller's token, before it those by which a further
 * run knows that this one has not finished.
 */
export function inOrder(rotations: readonly Rotation[], ownKid: string | undefined): RealmKey[] {
  const last = new Set(rotations.map(({ replaced }) => replaced))
  const rank = (key: RealmKey) => (key.kid === ownKid ? 2 : last.has(key) ? 1 : 0)
  return rotations.flatMap(({ retire }) => retire).toSorted((a, b) => rank(a) - rank(b))
}

function algorithmsOf({ keys }: RealmKeySet, { algs, kid }: Wanted): string[] {
  const all = [...new Set(keys.map(({ alg }) => alg))]
  const has = all.length > 0 ? `it has keys for ${all.join(', ')}` : 'it has no keys at all'
  const unknown = algs.filter((alg) => !all.includes(alg))
  if (unknown.length > 0) {
    throw new RelayError('invalid_request', `The realm signs nothing with ${unknown.join(', ')}; ${has}`)
  }
  if (kid === undefined) {
    return algs.length > 0 ? all.filter((alg) => algs.includes(alg)) : all
  }
  const key = keys.find((one) => one.kid === kid)
  if (!key || (algs.length > 0 && !algs.includes(key.alg))) {
    throw new RelayError('invalid_request', `No key ${kid} signs or verifies in the realm; ${has}`)
  }
  return [key.alg]
}

function planFor(alg: string, set: RealmKeySet, { disable, kid, run }: Wanted, begun: ReadonlySet<string>): Rotation {
  const { components } = set
  const { signer, older, replaced } = signing(alg, set)
  if (kid !== undefined && kid !== signer?.kid && kid !== replaced?.kid) {
    const which = signer ? `that is ${signer.kid}` : 'no key does'
    throw new RelayError('invalid_request', `${kid} is not the key that signs with ${alg}: ${which}`)
  }
  const isNew = signer === undefined || begun.has(runOf(signer, components) ?? '')
  const old = isNew ? older : [signer, ...older]
  const retire = old.filter(
    (key) =>
      (disable || key.status === 'ACTIVE') && (kid === undefined || key.kid === kid) && isKeycloaks(key, components),
  )
  const inPlaceOf = isNew ? replaced : signer
  return {
    alg,
    ...(signer ? { signer } : {}),
    ...(isNew ? {} : { make: newKey(signer, set, run) }),
    ...(inPlaceOf ? { replaced: inPlaceOf } : {}),
    retire,
    keep: old.filter((key) => !retire.includes(key)),
  }
}

function signing(alg: string, { keys, components }: RealmKeySet) {
  const ofAlg = keys.filter((key) => key.alg === alg)
  const signer = ofAlg.find(({ status }) => status === 'ACTIVE')
  const older = ofAlg.filter((key) => key !== signer)
  const replaced = older.find((key) => key.status === 'ACTIVE' && signer?.component === successorOf(key, components))
  return { signer, older, replaced }
}

/** The run that has made the key which signs, and has not retired the one before it. */
function runBegun(alg: string, set: RealmKeySet): string | undefined {
  const { signer, replaced } = signing(alg, set)
  return signer && replaced && runOf(signer, set.components)
}

function runOf(key: RealmKey, components: readonly KeyComponent[]): string | undefined {
  return /^rotate-realm (\S+) /.exec(componentOf(key, components)?.name ?? '')?.[1]
}

function newKey(signer: RealmKey, { keys, components }: RealmKeySet, run: string): NewKey {
  const { alg } = signer
  const component = componentOf(signer, components)
  const maker = component && MAKERS[component.providerId]
  if (!component || !maker) {
    const where = component ? `${component.name} (${component.providerId})` : 'a provider that is not shown'
    throw new RelayError(
      'invalid_request',
      `The key that signs with ${alg} comes from ${where}, where Keycloak can make no new one: put it there, with a higher priority, and set this one to passive or disabled by hand. The others: --alg and theirs`,
    )
  }
  const id = successorId(component.parentId, signer.kid)
  if (components.some((one) => one.id === id)) {
    throw new RelayError(
      'invalid_request',
      `A key was made in place of ${signer.kid} (${alg}) before, and does not sign: in the realm’s keys, enable it or remove it`,
    )
  }
  const taken = maker.takes.flatMap((name) => (component.config[name] ? [[name, component.config[name]] as const] : []))
  const priorities = keys.flatMap((key) => (key.alg === alg ? [key.priority] : []))
  return {
    id,
    name: `rotate-realm ${run} ${alg}`,
    providerId: maker.providerId,
    parentId: component.parentId,
    config: {
      ...Object.fromEntries(taken),
      ...(NAME_ALGORITHM.has(maker.providerId) ? { algorithm: [alg] } : {}),
      // Before all that there are, or the old one would go on signing.
      priority: [String(Math.max(...priorities) + 1)],
      enabled: ['true'],
      active: ['true'],
    },
  }
}

function componentOf({ component }: RealmKey, components: readonly KeyComponent[]): KeyComponent | undefined {
  return components.find(({ id }) => id === component)
}

/** What one of another provider may be shared with is not known, so that it is left to whoever set it up. */
function isKeycloaks(key: RealmKey, components: readonly KeyComponent[]): boolean {
  return (componentOf(key, components)?.providerId ?? '') in MAKERS
}

function successorOf(key: RealmKey, components: readonly KeyComponent[]): string {
  return successorId(componentOf(key, components)?.parentId ?? '', key.kid)
}

/** Of the component that takes the place of a key: a UUID of version 8 (RFC 9562 §5.8). */
export function successorId(realmId: string, kid: string): string {
  const hash = createHash('sha256').update(`rotate-realm ${realmId} ${kid}`).digest()
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x80, 6)
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8)
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
