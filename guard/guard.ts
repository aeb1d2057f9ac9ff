import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { calculateJwkThumbprint, createRemoteJWKSet, exportJWK, type JWTVerifyGetKey } from 'jose'
import { FeedError, readBatch } from './batch.ts'
import { FeedState, type WhenStale } from './feed.ts'
import { KEYS_COOLDOWN_MS } from './jwt.ts'
import { readLines } from './lines.ts'
import { clientCredentials } from './token.ts'
import type { Claims, Verdict } from './watermarks.ts'

export interface GuardOptions {
  /** The relay's address, https but on loopback. Its keys are taken from there. */
  readonly relay: string
  /**
   * The `kid` of the relay's key, which is its thumbprint (RFC 7638). No other is believed then, whoever answers in the
   * relay's name.
   */
  readonly relayKey?: string
  /** The realm, exactly as in `iss` of its tokens. */
  readonly issuer: string
  /** The client whose feed this is, with the secret of its service account. */
  readonly clientId: string
  readonly clientSecret: string
  /** How old the feed may be; default 30,000 ms. */
  readonly limitMs?: number
  /** Default `refuse`. With `open` a guard that hears nothing lets pass what it knew no reason to refuse. */
  readonly whenStale?: WhenStale
  /** For who cannot hold a connection: ask this often instead. */
  readonly pollMs?: number
  /** Is told why a connection failed; it is tried again in any case. */
  readonly onTrouble?: (why: Error) => void
}

const RETRY_LEAST_MS = 250
const RETRY_MOST_MS = 10_000

/** Holds the feed of one realm for one client, and judges tokens by it without asking anybody. */
export class Guard {
  readonly issuer: string
  readonly #state: FeedState
  readonly #stop = new AbortController()
  readonly #waiting = new Set<() => void>()
  readonly #following: Promise<void>

  /** @throws TypeError for options that cannot be used */
  constructor(options: GuardOptions) {
    const { relay, relayKey, issuer, limitMs = 30_000, whenStale = 'refuse', pollMs } = options
    for (const [name, url] of Object.entries({ relay, issuer })) {
      if (!URL.canParse(url) || !isSafe(new URL(url))) {
        throw new TypeError(`${name} must be an https URL (http only on this machine)`)
      }
    }
    if (!(limitMs >= 1000) || (pollMs !== undefined && !(pollMs >= 100 && pollMs * 2 <= limitMs))) {
      throw new TypeError('limitMs must be at least 1000, and pollMs between 100 and half of limitMs')
    }
    if (!options.clientId || !options.clientSecret) {
      throw new TypeError('clientId and clientSecret must be given')
    }
    if (relayKey !== undefined && !/^[\w-]{43}$/.test(relayKey)) {
      throw new TypeError('relayKey must be the kid of a key in {relay}/guard/jwks: 43 characters of base64url')
    }
    this.issuer = issuer
    this.#state = new FeedState(() => performance.now(), limitMs, whenStale)
    this.#following = this.#follow(options, limitMs)
  }

  /**
   * What the feed says about the claims of a token that has been verified.
   *
   * @throws StaleError when the feed is older than the limit: answer 503
   */
  check(claims: Claims): Verdict {
    return claims['iss'] === this.issuer ? this.#state.check(claims) : 'revoked'
  }

  /** For the challenge of a step-up: a login must be at most this old to be newer than the subject's watermark. */
  maxAgeSeconds(claims: Claims): number {
    const { sub } = claims
    const watermarkMs = typeof sub === 'string' ? this.#state.watermarkMs(sub) : 0
    const nowMs = this.#state.nowMs()
    return Number.isFinite(nowMs) ? Math.max(0, Math.floor(nowMs / 1000) - Math.floor(watermarkMs / 1000) - 1) : 0
  }

  /** How old what is known is; Infinity before it is known. */
  get ageMs(): number {
    return this.#state.ageMs
  }

  /** How many watermarks are held. */
  get size(): number {
    return this.#state.size
  }

  /** Resolves when the whole feed has been read once. */
  async ready(): Promise<void> {
    if (!Number.isFinite(this.#state.ageMs)) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#following
  }

  async #follow(options: GuardOptions, limitMs: number): Promise<void> {
    const { relay, relayKey, issuer, clientId, clientSecret, pollMs, onTrouble } = options
    const at = (path: string) => new URL(relay.replace(/\/*$/, path))
    const keys = relayKeys(at('/guard/jwks'), relayKey)
    const token = clientCredentials(issuer, clientId, clientSecret)
    let failures = 0
    let refused = false
    while (!this.#stop.signal.aborted) {
      const silence = new AbortController()
      // Silence for as long as the limit is a dead connection, whatever the network says.
      const timer = setInterval(() => {
        if (performance.now() - heardMs > limitMs) {
          silence.abort(new FeedError('The relay has fallen silent'))
        }
      }, limitMs / 4)
      let heardMs = performance.now()
      let waitMs: number
      try {
        const signal = AbortSignal.any([this.#stop.signal, silence.signal])
        const nonce = randomBytes(16).toString('base64url')
        const bearer = await token(signal, refused)
        this.#state.open({ nonce, askedMs: performance.now() })
        const url = at(`/guard/feed?cursor=${this.#state.cursor}&nonce=${nonce}`)
        const accept = pollMs === undefined ? 'text/event-stream' : 'application/jsonl'
        const response = await fetch(url, {
          headers: { authorization: `Bearer ${bearer}`, accept },
          redirect: 'error',
          cache: 'no-store',
          signal,
        })
        refused = response.status === 401 || response.status === 403
        if (response.status === 409) {
          this.#state.rewind()
        }
        if (response.status !== 200 || !response.body) {
          throw new FeedError(`The relay answered ${response.status} instead of the feed`)
        }
        for await (const line of readLines(response.body)) {
          heardMs = performance.now()
          this.#state.take(await readBatch(line, keys, { issuer, clientId }))
          failures = 0
          this.#wake()
        }
        waitMs = pollMs ?? RETRY_LEAST_MS * Math.random()
      } catch (cause) {
        onTrouble?.(cause instanceof Error ? cause : new FeedError('The feed failed'))
        // Spread out, so that thousands that lose a relay at once do not come back at once.
        waitMs = Math.min(RETRY_MOST_MS, RETRY_LEAST_MS * 2 ** failures++) * (0.5 + Math.random() / 2)
      } finally {
        clearInterval(timer)
        silence.abort()
      }
      await delay(waitMs, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined)
    }
  }

  #wake(): void {
    if (Number.isFinite(this.#state.ageMs)) {
      this.#waiting.forEach((resolve) => resolve())
      this.#waiting.clear()
    }
  }
}

/** The relay's keys; with `pinned` only the one that has this thumbprint, computed here, not as the answer says. */
function relayKeys(url: URL, pinned: string | undefined): JWTVerifyGetKey {
  // A relay with a new key is heard again well before the feed is too old.
  const keys = createRemoteJWKSet(url, { cooldownDuration: KEYS_COOLDOWN_MS })
  return async (header, token) => {
    const key = await keys(header, token)
    if (pinned !== undefined && (await calculateJwkThumbprint(await exportJWK(key))) !== pinned) {
      throw new FeedError('The relay has another key than the one in relayKey')
    }
    return key
  }
}

function isSafe({ protocol, hostname }: URL): boolean {
  const loopback = hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname)
  return protocol === 'https:' || (protocol === 'http:' && loopback)
}
