import type { Batch } from './batch.ts'
import { FeedError } from './batch.ts'
import { type Claims, type Verdict, Watermarks } from './watermarks.ts'

/** What stands when the feed is older than the limit. `open` lets pass what the old watermarks let pass. */
export type WhenStale = 'refuse' | 'open'

/** The feed is older than the limit: nobody can say whether the token still counts. Answer 503, never 401. */
export class StaleError extends Error {
  readonly retryAfterSeconds: number

  constructor(retryAfterSeconds: number) {
    super('The feed of watermarks is older than the limit; tokens cannot be judged')
    this.name = 'StaleError'
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** One connection's asking: batches count only after the relay has signed the nonce. */
export interface Opening {
  readonly nonce: string
  /** By the monotonic clock, taken before the request was sent. */
  readonly askedMs: number
}

/**
 * What is known from the feed, and how old it is. Age is counted without trusting anybody's clock: a nonce that the relay
 * signs shows that its clock said `at_ms` after we had asked, and from there both clocks run on. So neither a wrong clock
 * here nor a cache that replays or holds back can make old news look fresh.
 */
export class FeedState {
  readonly #monotonicMs: () => number
  readonly #limitMs: number
  readonly #whenStale: WhenStale
  #watermarks: Watermarks | undefined
  #hashKey = ''
  #seq = 0
  #anchor: { readonly localMs: number; readonly relayMs: number } | undefined
  #opening: Opening | undefined
  #freshMs = -Infinity
  #relayMs = 0

  constructor(monotonicMs: () => number, limitMs: number, whenStale: WhenStale) {
    this.#monotonicMs = monotonicMs
    this.#limitMs = limitMs
    this.#whenStale = whenStale
  }

  /** The last change that was taken in: what a new connection goes on from. */
  get cursor(): number {
    return this.#seq
  }

  get ageMs(): number {
    return this.#monotonicMs() - this.#freshMs
  }

  get size(): number {
    return this.#watermarks?.size ?? 0
  }

  /** The relay's time as far as it is known; Infinity before the first batch, when nothing is from the future. */
  nowMs(): number {
    return this.#relayMs + this.ageMs
  }

  watermarkMs(sub: string): number {
    return this.#watermarks?.watermarkMs(sub) ?? 0
  }

  open(opening: Opening): void {
    this.#opening = opening
    this.#anchor = undefined
  }

  /** The relay does not know our cursor: everything is read again, over what is known. */
  rewind(): void {
    this.#seq = 0
  }

  /**
   * Takes in one batch.
   *
   * @throws FeedError when it does not answer the nonce or does not follow on the one before; connect anew then
   */
  take({ claims, entries }: Batch): void {
    if (!this.#anchor) {
      const opening = this.#opening
      if (!opening || claims.nonce !== opening.nonce || claims.hash_key === undefined) {
        throw new FeedError('The first batch does not answer what was asked: it is a replay')
      }
      this.#useKey(claims.hash_key)
      this.#anchor = { localMs: opening.askedMs, relayMs: claims.at_ms }
    }
    if (claims.after !== this.#seq || !this.#watermarks) {
      throw new FeedError('A batch does not follow on the one before')
    }
    this.#watermarks.apply(entries, claims.at_ms)
    this.#seq = claims.seq
    if (claims.seq === claims.head) {
      // Never later than now: a relay's clock that jumps ahead makes nothing fresher than it is.
      const freshMs = Math.min(this.#anchor.localMs + claims.at_ms - this.#anchor.relayMs, this.#monotonicMs())
      if (freshMs > this.#freshMs) {
        this.#freshMs = freshMs
        this.#relayMs = claims.at_ms
      }
    }
  }

  /** @throws StaleError when the feed is older than the limit and `whenStale` is `refuse` */
  check(claims: Claims): Verdict {
    const ageMs = this.#monotonicMs() - this.#freshMs
    if (ageMs > this.#limitMs && this.#whenStale === 'refuse') {
      throw new StaleError(Math.max(1, Math.ceil(this.#limitMs / 10_000)))
    }
    return this.#watermarks?.check(claims, this.#relayMs + ageMs) ?? 'ok'
  }

  /** Under another key nothing that is known can be found: it starts from nothing, and is stale until it has all. */
  #useKey(hashKey: string): void {
    if (hashKey !== this.#hashKey) {
      const known = this.#hashKey !== ''
      this.#watermarks = new Watermarks(Buffer.from(hashKey, 'base64url'))
      this.#hashKey = hashKey
      this.#freshMs = -Infinity
      if (known) {
        this.#seq = 0
        throw new FeedError('The key of the hashes is another one: the whole feed is read again')
      }
    }
  }
}
