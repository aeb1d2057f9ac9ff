import { createHash } from 'node:crypto'
import { compactVerify, type JWTVerifyGetKey } from 'jose'
import { ENTRY } from './watermarks.ts'

/** `typ` of what the relay signs: nothing else that is signed with its key can be taken for it. */
export const BATCH_TYP = 'guard-feed+jwt'
export const BATCH_ALGORITHM = 'ES256'

/** What the relay signs of a batch; the names are those on the wire. `seq` counts changes, and only grows. */
export interface BatchClaims {
  /** The realm whose feed it is. */
  readonly iss: string
  /** The client whose feed it is. */
  readonly aud: string
  /** The batch follows on this… */
  readonly after: number
  /** …and brings the guard here. */
  readonly seq: number
  /** Where the relay is: a guard is up to date when it is there too. */
  readonly head: number
  /** When the relay signed it, by its clock, in milliseconds. */
  readonly at_ms: number
  readonly entries_sha256: string
  /** In the first batch of a connection: what the guard had sent. */
  readonly nonce?: string
  /** With the nonce: the key of this client's hashes, 8 bytes in base64url. */
  readonly hash_key?: string
}

/** A batch on the wire, one line of JSON. */
export interface SignedBatch {
  readonly jws: string
  /** Base64. */
  readonly entries: string
}

export interface Batch {
  readonly claims: BatchClaims
  readonly entries: Uint8Array
}

/** Why a feed is not believed. The message never holds what was sent. */
export class FeedError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'FeedError'
  }
}

export function digestOf(entries: Uint8Array): string {
  return createHash('sha256').update(entries).digest('base64url')
}

/**
 * Reads one line of the feed: the relay's signature, whose feed it is, and that the entries are those that were signed.
 *
 * @throws FeedError for anything else
 */
export async function readBatch(
  line: string,
  keys: JWTVerifyGetKey,
  expected: { readonly issuer: string; readonly clientId: string },
): Promise<Batch> {
  const { jws, entries } = parse(line)
  let payload: Uint8Array
  try {
    const verified = await compactVerify(jws, keys, { algorithms: [BATCH_ALGORITHM] })
    if (verified.protectedHeader.typ !== BATCH_TYP) {
      throw new FeedError(`The header typ is not ${BATCH_TYP}`)
    }
    payload = verified.payload
  } catch (cause) {
    throw cause instanceof FeedError ? cause : new FeedError('A batch is not signed by the relay', { cause })
  }
  const claims = json(new TextDecoder().decode(payload))
  if (!isClaims(claims)) {
    throw new FeedError('A batch does not say what the protocol has it say')
  }
  if (claims.iss !== expected.issuer || claims.aud !== expected.clientId) {
    throw new FeedError('A batch is of another realm or for another client')
  }
  const bytes = Buffer.from(entries, 'base64')
  if (bytes.length % ENTRY !== 0 || digestOf(bytes) !== claims.entries_sha256) {
    throw new FeedError('The entries of a batch are not those that were signed')
  }
  return { claims, entries: bytes }
}

function parse(line: string): SignedBatch {
  const value = json(line)
  if (typeof value === 'object' && value !== null && 'jws' in value && 'entries' in value) {
    const { jws, entries } = value
    if (typeof jws === 'string' && typeof entries === 'string') {
      return { jws, entries }
    }
  }
  throw new FeedError('A line of the feed is not a batch; it may have been cut off')
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isClaims(value: unknown): value is BatchClaims {
  if (typeof value !== 'object' || value === null) {
    return false
  }
  const { iss, aud, after, seq, head, at_ms, entries_sha256, nonce, hash_key } = value as Record<string, unknown>
  const counts = [after, seq, head, at_ms].every((n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0)
  return (
    counts &&
    Number(after) <= Number(seq) &&
    Number(seq) <= Number(head) &&
    [iss, aud, entries_sha256].every((text) => typeof text === 'string') &&
    [nonce, hash_key].every((text) => text === undefined || typeof text === 'string')
  )
}
