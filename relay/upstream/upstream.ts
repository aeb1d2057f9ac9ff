import type { KeySet } from '../../guard/jwt.ts'
import type { UpstreamOutcome, UpstreamWord } from '../domain/model.ts'

/** An upstream as the relay knows it, and who hears of what it says. */
export interface Upstream {
  /** In metrics, the log and URLs. */
  readonly name: string
  /** `iss` of what it signs. */
  readonly issuer: string
  /** What the realm calls it. */
  readonly linkIssuer: string
  readonly audience: string
  /** Whether it may ask for Global Token Revocation. */
  readonly revokes: boolean
  /** It is a realm behind: by which client it takes its logins, and what it calls the realm that it takes them from. */
  readonly behind?: { readonly client: string; readonly realms: readonly string[] }
  /** How its stream of Security Event Tokens comes, where there is one. */
  readonly stream?: Stream
  /** Rejects with a RelayError `idp_unavailable`. */
  readonly keys: () => Promise<KeySet>
  /** Once this resolves, the realm has it. Rejects with a RelayError `idp_unavailable`. */
  readonly hear: (word: UpstreamWord) => Promise<UpstreamOutcome>
}

export interface Stream {
  readonly delivery: 'push' | 'poll'
  /** `aud` of its tokens, where that is another than the upstream's. */
  readonly audience?: string
  /** What the transmitter sends as `Authorization` with each push; absent where the signature is all. */
  readonly pushAuthorization?: string
  readonly pollMs: number
  /** How often the transmitter is asked to show that it still sends; 0 for never. */
  readonly verifyMs: number
}

/** What became of a word, for metrics. */
export function outcomeOf({ contained, held, known }: UpstreamOutcome): string {
  return contained > 0 ? 'contained' : held > 0 ? 'held' : known > 0 ? 'known' : 'nobody'
}
