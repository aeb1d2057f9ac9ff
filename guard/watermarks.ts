import { hash, type Hash, KIND, type Kind } from './hash.ts'

/** The claims of a verified token, or what a session remembers of its login. Nothing in it is trusted to have its type. */
export type Claims = Readonly<Record<string, unknown>>

/** `step-up`: the token is newer than the watermark, the login behind it is not; a fresh login cures it. */
export type Verdict = 'ok' | 'revoked' | 'step-up'

/** Bytes of an entry on the wire: hash 8, kind 1, zero 1, watermark 6 (ms), until 4 (s); numbers big-endian. */
export const ENTRY = 20
/** How far ahead of the feed's clock a token may be from. */
const SKEW_MS = 60_000
const LEAST_CAPACITY = 1024
/** Part of the slots that may be taken. Above it, runs of taken slots make each look-up longer. */
const FULL = 0.7

/**
 * Watermarks in a hash table of typed arrays, 20 bytes a slot. A name occurs once, with the latest watermark: none ever
 * moves back.
 */
export class Watermarks {
  readonly #k0: number
  readonly #k1: number
  readonly #hash: Hash = { first: 0, last: 0 }
  readonly #counts = new Float64Array(5)
  #size = 0
  #first = new Uint32Array(LEAST_CAPACITY)
  #last = new Uint32Array(LEAST_CAPACITY)
  #ms = new Float64Array(LEAST_CAPACITY)
  #until = new Uint32Array(LEAST_CAPACITY)

  /** @param key 8 bytes */
  constructor(key: Uint8Array) {
    if (key.length !== 8) {
      throw new TypeError('The key of the hash must have 8 bytes')
    }
    const view = new DataView(key.buffer, key.byteOffset, 8)
    this.#k0 = view.getInt32(0, true)
    this.#k1 = view.getInt32(4, true)
  }

  get size(): number {
    return this.#size
  }

  /**
   * The one rule, in the order of docs/guard-protocol.md. What has no usable time, no name to be judged by, or comes from
   * the future is `revoked`: it could not be told from something old.
   */
  check(claims: Claims, nowMs: number): Verdict {
    const { sub, sid, iat, auth_time } = claims
    // Keycloak's tokens have the one, those of RFC 9068 the other.
    const client = claims['azp'] ?? claims['client_id']
    if (!isTime(iat) || (auth_time !== undefined && !isTime(auth_time))) {
      return 'revoked'
    }
    if ((sub !== undefined && !isName(sub)) || (sid !== undefined && !isName(sid))) {
      return 'revoked'
    }
    if (sub === undefined && sid === undefined) {
      return 'revoked'
    }
    const issued = Math.floor(iat)
    const began = auth_time === undefined ? undefined : Math.floor(auth_time)
    const latest = nowMs + SKEW_MS
    if (issued * 1000 > latest || (began !== undefined && began * 1000 > latest)) {
      return 'revoked'
    }
    let verdict: Verdict = 'ok'
    if (sub !== undefined) {
      const watermark = this.#find(KIND.sub, sub)
      if (watermark > 0) {
        const second = Math.floor(watermark / 1000)
        if (issued < second || (issued === second && !this.#isKept(sid, watermark))) {
          return 'revoked'
        }
        if (began !== undefined && (began < second || (began === second && !this.#isKept(sid, watermark)))) {
          verdict = 'step-up'
        }
      }
    }
    if (sid !== undefined && (this.#counts[KIND.sid] ?? 0) > 0) {
      // A new login may get the id of an old session; only its own time shows that it is another.
      const watermark = this.#find(KIND.sid, sid)
      if (watermark > 0 && (began === undefined || began <= Math.floor(watermark / 1000))) {
        return 'revoked'
      }
    }
    if (isName(client) && (this.#counts[KIND.client] ?? 0) > 0) {
      const watermark = this.#find(KIND.client, client)
      if (watermark > 0 && issued <= Math.floor(watermark / 1000)) {
        return 'revoked'
      }
    }
    return verdict
  }

  /** The latest watermark of the subject in milliseconds, or 0. */
  watermarkMs(sub: string): number {
    return this.#find(KIND.sub, sub)
  }

  /** Puts a name in that is known in clear. @param nowMs those whose `until` is past may be forgotten; 0 keeps all */
  add(kind: Kind, name: string, watermarkMs: number, untilSeconds: number, nowMs = 0): void {
    this.#reserve(this.#size + 1, nowMs / 1000)
    hash(this.#k0, this.#k1, kind, name, this.#hash)
    this.#put(this.#hash.first, this.#hash.last, kind, watermarkMs, untilSeconds)
  }

  /** Puts entries in as they come over the wire. @param nowMs those whose `until` is past are passed over */
  apply(entries: Uint8Array, nowMs: number): void {
    if (entries.length % ENTRY !== 0) {
      throw new TypeError(`Entries have ${ENTRY} bytes each; this is not a multiple of it`)
    }
    const view = new DataView(entries.buffer, entries.byteOffset, entries.length)
    const now = nowMs / 1000
    this.#reserve(this.#size + Math.min(entries.length / ENTRY, 1_000_000), now)
    for (let at = 0; at < entries.length; at += ENTRY) {
      const kind = view.getUint8(at + 8)
      const until = view.getUint32(at + 16)
      // A kind from a later version of the protocol is somebody else's rule.
      if (kind >= 1 && kind <= 4 && until >= now) {
        const watermarkMs = view.getUint16(at + 10) * 0x1_0000_0000 + view.getUint32(at + 12)
        this.#put(view.getUint32(at, true), view.getUint32(at + 4, true), kind as Kind, watermarkMs, until)
      }
    }
  }

  /** An entry as it goes over the wire, under this table's key. */
  encode(kind: Kind, name: string, watermarkMs: number, untilSeconds: number, out: DataView, at: number): void {
    hash(this.#k0, this.#k1, kind, name, this.#hash)
    out.setUint32(at, this.#hash.first, true)
    out.setUint32(at + 4, this.#hash.last, true)
    out.setUint16(at + 8, kind << 8)
    out.setUint16(at + 10, Math.floor(watermarkMs / 0x1_0000_0000))
    out.setUint32(at + 12, watermarkMs % 0x1_0000_0000)
    out.setUint32(at + 16, untilSeconds)
  }

  #isKept(sid: unknown, watermarkMs: number): boolean {
    return typeof sid === 'string' && this.#find(KIND.kept, sid) === watermarkMs
  }

  #find(kind: Kind, name: string): number {
    hash(this.#k0, this.#k1, kind, name, this.#hash)
    const slot = this.#slot(this.#hash.first, this.#hash.last)
    return this.#first[slot] === 0 ? 0 : (this.#ms[slot] ?? 0)
  }

  /** Where the hash is, or the free slot where it would be. `first` 0 marks a free slot and is never stored. */
  #slot(first: number, last: number): number {
    const wanted = first === 0 ? 1 : first
    const firsts = this.#first
    const capacity = firsts.length
    let slot = Math.floor((wanted / 0x1_0000_0000) * capacity)
    for (;;) {
      const found = firsts[slot]
      if (found === 0 || (found === wanted && this.#last[slot] === last)) {
        return slot
      }
      slot = slot + 1 === capacity ? 0 : slot + 1
    }
  }

  #put(first: number, last: number, kind: Kind, watermarkMs: number, until: number): void {
    this.#reserve(this.#size + 1, 0)
    const slot = this.#slot(first, last)
    if (this.#first[slot] === 0) {
      this.#first[slot] = first === 0 ? 1 : first
      this.#last[slot] = last
      this.#ms[slot] = 0
      this.#until[slot] = 0
      this.#size++
      this.#counts[kind] = (this.#counts[kind] ?? 0) + 1
    }
    this.#ms[slot] = Math.max(this.#ms[slot] ?? 0, watermarkMs)
    this.#until[slot] = Math.max(this.#until[slot] ?? 0, until)
  }

  /** Makes room, and forgets then what is past its `until`. */
  #reserve(size: number, now: number): void {
    if (size <= this.#first.length * FULL) {
      return
    }
    const [firsts, lasts, mss, untils] = [this.#first, this.#last, this.#ms, this.#until]
    // By what stays: by what was, a table that runs for months would grow with all that it ever held.
    const stays = firsts.reduce((count, first, n) => count + Number(first !== 0 && (untils[n] ?? 0) >= now), 0)
    const wanted = Math.max(stays + size - this.#size, Math.min(stays * 1.5, stays + 500_000))
    const capacity = Math.max(LEAST_CAPACITY, Math.ceil(wanted / FULL))
    this.#first = new Uint32Array(capacity)
    this.#last = new Uint32Array(capacity)
    this.#ms = new Float64Array(capacity)
    this.#until = new Uint32Array(capacity)
    this.#size = 0
    for (let old = 0; old < firsts.length; old++) {
      const first = firsts[old] ?? 0
      if (first !== 0 && (untils[old] ?? 0) >= now) {
        const slot = this.#slot(first, lasts[old] ?? 0)
        this.#first[slot] = first
        this.#last[slot] = lasts[old] ?? 0
        this.#ms[slot] = mss[old] ?? 0
        this.#until[slot] = untils[old] ?? 0
        this.#size++
      }
    }
  }
}

/** A NumericDate (RFC 7519 §2): seconds, a fraction allowed. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 0xffff_ffff
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 255
}
