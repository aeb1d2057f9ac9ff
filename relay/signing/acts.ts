import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { JWK } from 'jose'
import { RelayError } from '../errors.ts'
import { type KeyPlace, publishedKid, readRelayKey, type RelayKey } from './key.ts'
import { nextOf, readKeys, readSeen } from './realm-keys.ts'

const RSA_BITS = 2048
/** How long the last token that the old key has signed may live. */
export const LAST_TOKENS_S = 120

/** What a person does with the relay's keys; the words around it are in cli/keys.ts. */

/** Makes the current key if there is none yet. Says whether it did. */
export function createKey({ alg, file }: KeyPlace): boolean {
  if (existsSync(file)) {
    readRelayKey(file, alg)
    return false
  }
  writeKey(file, generateKey(alg))
  return true
}

/**
 * Takes a private key that was made elsewhere, in PEM: as the current key, or as the next where there is a current one.
 *
 * @throws RelayError `config_invalid` for a key that does not fit, `invalid_request` where a next key waits already
 */
export function importKey({ alg, file }: KeyPlace, from: string): string {
  const to = existsSync(file) ? nextOf(file) : file
  if (existsSync(to)) {
    throw new RelayError(
      'invalid_request',
      `${to} is there already: finish that change with keys rotate, or remove the file`,
    )
  }
  writeKey(to, readRelayKey(from, alg).key)
  return to
}

export type Rotation =
  | { readonly did: 'made next'; readonly next: RelayKey }
  | { readonly did: 'replaced current'; readonly current: RelayKey; readonly old: RelayKey }

/**
 * One step of a change of keys without a gap: makes the next key; or, once the relay signs with it, puts it in place of the
 * current one.
 *
 * @throws RelayError `invalid_request` while the realm has not published the next key for long enough
 */
export function rotateKey({ alg, file }: KeyPlace, publishedForMs: number, nowMs: number): Rotation {
  const next = nextOf(file)
  const old = readRelayKey(file, alg)
  if (!existsSync(next)) {
    writeKey(next, generateKey(alg))
    return { did: 'made next', next: readRelayKey(next, alg) }
  }
  const current = readRelayKey(next, alg)
  const since = readSeen(file)[current.fingerprint]?.since_ms
  if (since === undefined || nowMs - since < publishedForMs) {
    const why =
      since === undefined
        ? 'no relay has seen the realm publish it yet'
        : `it is used from ${new Date(since + publishedForMs).toISOString()}`
    throw new RelayError('invalid_request', `The next key ${next} cannot take over: ${why}`)
  }
  renameSync(next, file)
  return { did: 'replaced current', current, old }
}

export interface KeyStatus {
  readonly alg: string
  readonly file: string
  readonly which: 'current' | 'next'
  readonly fingerprint: string
  /** Undefined where the realm could not be asked. */
  readonly published?: boolean
  /** When a running relay first saw it published, and when it signs or will sign with it. */
  readonly published_since?: string
  readonly used_from?: string
  readonly used: boolean
}

/** @param published the realm's key set, if it could be had */
export function keyStatus(
  place: KeyPlace,
  published: readonly JWK[] | undefined,
  publishedForMs: number,
  nowMs: number,
): KeyStatus[] {
  const seen = readSeen(place.file)
  const keys = readKeys(place).map((key) => ({ key, since: seen[key.fingerprint]?.since_ms }))
  const usable = keys.map(({ since }) => since !== undefined && nowMs - since >= publishedForMs)
  return keys.map(({ key, since }, n) => ({
    alg: place.alg,
    file: n === 0 ? place.file : nextOf(place.file),
    which: n === 0 ? 'current' : 'next',
    fingerprint: key.fingerprint,
    ...(published === undefined ? {} : { published: publishedKid(published, key) !== undefined }),
    ...(since === undefined
      ? {}
      : {
          published_since: new Date(since).toISOString(),
          used_from: new Date(since + publishedForMs).toISOString(),
        }),
    used: n === usable.lastIndexOf(true),
  }))
}

function generateKey(alg: KeyPlace['alg']): KeyObject {
  return alg === 'ES256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    : generateKeyPairSync('rsa', { modulusLength: RSA_BITS }).privateKey
}

function writeKey(file: string, key: KeyObject): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  // Fails where the file is there: no key is ever overwritten.
  writeFileSync(file, pem(key), { mode: 0o600, flag: 'wx' })
}

function pem(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' })
}
