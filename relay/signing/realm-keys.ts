import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { errors, type JWK, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import type { KeySet } from '../../guard/jwt.ts'
import { type KeyPlace, publishedKid, readRelayKey, type RelayKey } from './key.ts'

/** Since when a realm has been seen to publish a key, by fingerprint. */
const Seen = z.record(z.string(), z.object({ kid: z.string(), since_ms: z.number() }))
export type Seen = z.infer<typeof Seen>

export const nextOf = (file: string) => `${file}.next`
const seenFile = (file: string) => `${file}.published`

/** What the relay has written down of a key file and its next. Anything unreadable counts as never seen. */
export function readSeen(file: string): Seen {
  try {
    return Seen.parse(JSON.parse(readFileSync(seenFile(file), 'utf8')))
  } catch {
    return {}
  }
}

/** The keys in the files of one place: the current one and, while keys change, the next. */
export function readKeys({ alg, file }: KeyPlace): RelayKey[] {
  const next = nextOf(file)
  return [readRelayKey(file, alg), ...(existsSync(next) ? [readRelayKey(next, alg)] : [])]
}

export interface RealmKeysOptions {
  readonly places: readonly KeyPlace[]
  /** For how long the realm must have published a key before the first token is signed with it. */
  readonly publishedForMs: number
  readonly tell: (what: string, about: Readonly<Record<string, string>>) => void
  readonly trouble: (what: string, cause: unknown) => void
}

interface Held extends RelayKey {
  readonly place: KeyPlace
}

/**
 * The relay's keys for one realm. A relying party keeps the realm's key set for minutes and refuses what it does not find in
 * it, so a key counts only once the realm has published it for long enough, and no longer than it does. Since when is
 * written beside the key file, so that a restart, or an identity provider that is down, does not begin the wait anew.
 */
export class RealmKeys {
  readonly #options: RealmKeysOptions
  readonly #seen = new Map<KeyPlace, Seen>()
  #held: readonly Held[] = []
  /** Every name of a key that was the relay's since its start. */
  readonly #own = new Set<string>()

  /** @throws RelayError `config_invalid` for a key file that cannot be used */
  constructor(options: RealmKeysOptions) {
    this.#options = options
    for (const place of options.places) {
      this.#seen.set(place, readSeen(place.file))
    }
    this.#hold(options.places.flatMap((place) => readKeys(place).map((key) => ({ ...key, place }))))
  }

  /** Compares the key files, read anew, with what the realm publishes now. */
  look(published: readonly JWK[], nowMs: number): void {
    const { places, publishedForMs, tell, trouble } = this.#options
    const held: Held[] = []
    for (const place of places) {
      const before = this.#seen.get(place) ?? {}
      const seen: Seen = {}
      try {
        for (const key of readKeys(place)) {
          held.push({ ...key, place })
          const kid = publishedKid(published, key)
          const known = before[key.fingerprint]
          if (kid !== undefined) {
            seen[key.fingerprint] = { kid, since_ms: known?.kid === kid ? known.since_ms : nowMs }
          }
          if (kid !== undefined && known === undefined) {
            tell('The realm publishes a key of the relay', {
              kid,
              used_from: new Date(nowMs + publishedForMs).toISOString(),
            })
          } else if (kid === undefined && known !== undefined) {
            tell('The realm no longer publishes a key of the relay; it is not used any more', { kid: known.kid })
          }
        }
        if (JSON.stringify(seen) !== JSON.stringify(before)) {
          this.#seen.set(place, seen)
          write(place.file, seen)
        }
      } catch (cause) {
        trouble(
          'A signing key of the relay cannot be read or noted; after a restart the realm signs for a while',
          cause,
        )
      }
    }
    this.#hold(held)
  }

  #hold(held: readonly Held[]): void {
    this.#held = held
    held.forEach(({ fingerprint }) => this.#own.add(fingerprint))
    for (const seen of this.#seen.values()) {
      Object.entries(seen).forEach(([fingerprint, { kid }]) => this.#own.add(fingerprint).add(kid))
    }
  }

  /** The key to sign with at this moment, the next one as soon as it may be; undefined where the realm must sign. */
  usable(alg: string, nowMs: number): { readonly key: RelayKey; readonly kid: string } | undefined {
    const usable = this.#held.flatMap((key) => {
      const seen = this.#seen.get(key.place)?.[key.fingerprint]
      return key.alg === alg && seen && nowMs - seen.since_ms >= this.#options.publishedForMs
        ? [{ key, kid: seen.kid }]
        : []
    })
    return usable.at(-1)
  }

  /**
   * The realm's keys without the relay's: whoever steals one of these shall not start a logout or read the API with it. Nor
   * with one that was changed for another, or whose file cannot be read now: the realm may publish it still.
   */
  allBut(keys: KeySet): KeySet {
    const others: JWTVerifyGetKey = (header, token) => {
      const { kid } = header
      // A realm names its keys; a token that names none could be verified with whichever fits.
      return kid === undefined || this.#own.has(kid)
        ? Promise.reject(new errors.JWKSNoMatchingKey())
        : keys(header, token)
    }
    return Object.defineProperties<KeySet>(others, {
      jwks: { value: () => keys.jwks?.() },
      fresh: { get: () => keys.fresh },
      reload: { value: () => keys.reload?.() },
    })
  }
}

/** At once or not at all: what a crash leaves half written would begin the wait anew. */
function write(file: string, seen: Seen): void {
  const draft = `${seenFile(file)}.draft`
  writeFileSync(draft, JSON.stringify(seen), { mode: 0o600 })
  renameSync(draft, seenFile(file))
}
