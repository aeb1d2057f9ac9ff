import type { Finding } from '../domain/finding.ts'
import type { Answer, Delivery, LanePolicy, Named, RelyingParty, Target, TokenNames } from '../domain/model.ts'
import type { HttpAnswer, HttpRequest } from '../http.ts'

/**
 * A kind of delivery, as kinds.ts lists it: what is sent to a relying party, how, and how its answer is judged. When it is
 * due, in which lane, and what is stored of it is the same for all kinds, and none of their business.
 */
export interface DeliveryKind {
  /** The name of its folder; stored with each delivery. */
  readonly kind: string
  /**
   * How a client is told, by what the realm says of it in an event's session or in the list of its relying parties
   * (docs/protocol.md). What is not usable counts as absent.
   */
  named(fields: Readonly<Record<string, unknown>>, issuer: string): Named
  open(ports: DelivererPorts): Deliverer
}

/** What a kind needs to reach relying parties. */
export interface DelivererPorts {
  readonly post: Post
  readonly nowMs: () => number
  /** Resolves after the time or as soon as the signal is aborted; never rejects. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
  readonly trouble: (what: string, cause: unknown) => void
  /** After how long a session is given up that its relying party is shown not to know; absent for never. */
  readonly giveUpUnknownMs?: number
  /** How a request to an identity provider is made, as relay.yaml has it; absent where none is told. */
  readonly wayTo?: WayTo
}

/** How an identity provider is told, by the realm and what it is called there; undefined where nobody says. */
export type WayTo = (
  issuer: string,
  clientId: string,
) =>
  | {
      /** `aud` of the JWT that the realm signs for it. */
      readonly audience: string
      /** What it wants in place of that JWT. */
      readonly authorization?: string
      readonly subject: 'iss_sub' | 'opaque'
    }
  | undefined

/** A kind of delivery at work. The flow asks it, in this order, for each attempt. */
export interface Deliverer {
  /** The target as it is written down, for a session that was listed so long ago. */
  owed(target: Target, sinceListedMs: number): Target
  /** Whether the relay makes its token by itself: that does not wait for tokens of others, which the realm makes. */
  isMadeHere(delivery: Delivery): boolean
  /** Fresh tokens, since a retry with the same bytes looks like a replay to some relying parties. */
  mint(maker: TokenMaker, deliveries: readonly Delivery[]): Promise<Minted>
  /** What it means that the realm refuses to make a token, by the reason that it gives. */
  notMinted(refusal: string): Verdict
  /** One attempt. Never rejects: a failure is an answer too. */
  send(target: Target, token: string, policy: LanePolicy): Promise<Answer>
  /** What the answer means. May ask the relying party once more, within the time that is left. Never rejects. */
  judge(sent: Sent): Promise<Verdict>
  /** Tries a relying party with tokens that end nobody's session. */
  probe(party: RelyingParty, policy: LanePolicy, genuine?: Genuine): Promise<Probed>
}

/** An attempt that has just been answered. */
export interface Sent {
  readonly delivery: Delivery
  readonly target: Target
  readonly policy: LanePolicy
  readonly answer: Answer
  /** Whom its token names, where that is known. */
  readonly names: TokenNames | undefined
  readonly maker: TokenMaker | undefined
  /** Until its claim may be another's. */
  readonly leftMs: number
}

/** What an answer means. `reason` is a stable word for metrics and filters, `says` is for the person who reads it. */
export interface Verdict {
  readonly outcome: 'delivered' | 'retry' | 'given_up'
  readonly reason: string
  readonly says: string
  /** It has ended this one session, and so what other events owe for it. */
  readonly endsSession?: boolean
  /** It is attempted less and less often: each time after as long again as it has been owed. */
  readonly slowly?: boolean
}

/** The finding, and the first answer. */
export interface Probed {
  readonly finding: Finding
  readonly answer: Answer
}

/** What a kind asks of the identity provider. Every call throws a RelayError `idp_unavailable` when it cannot answer. */
export interface TokenMaker {
  /**
   * Tokens by delivery id, and refusals with their reason. What is in neither could not be made now.
   *
   * @param audience of tokens that are for no client, a URL
   */
  mint(deliveries: readonly Delivery[], audience?: string): Promise<Minted>
  /** Absent where none can be had. */
  readonly genuine?: Genuine
}

export interface Minted {
  readonly tokens: ReadonlyMap<string, string>
  readonly refused: ReadonlyMap<string, string>
  /** Whom each token names, where that is known. */
  readonly names?: ReadonlyMap<string, TokenNames>
}

/**
 * Tokens that the realm has signed for a client, for a session and a subject that there never were, by whom they name: one for
 * each shape that the client may be sent. None where the extension makes no such tokens; `refusal` is why it makes none for
 * this client. Throws a RelayError `idp_unavailable` when it cannot answer.
 *
 * @param alg that of a token which the relay may make for the client by itself, with `sid` alone
 */
export type Genuine = (
  clientId: string,
  alg?: string,
) => Promise<{ readonly tokens: ReadonlyMap<TokenNames, string>; readonly refusal?: string }>

/** How far a request may go that is none of a lane's. */
export type Reach = Pick<LanePolicy, 'http' | 'allowAddresses'>

/**
 * One request whose answer is read, to a server that may be hostile: only where it may go, and no redirect is followed.
 * Rejects with what the network says, or with a FailureCode as `code`.
 */
export type Ask = (url: string, wanted: Omit<HttpRequest, 'dispatcher'>, reach: Reach) => Promise<HttpAnswer>

/** One POST to whoever is told, who may be hostile. Never rejects: a failure is an answer too. */
export type Post = (
  uri: string,
  content: { readonly type: string; readonly body: string; readonly authorization?: string },
  policy: LanePolicy,
) => Promise<Answer>
