import type { LaneState } from '../domain/breaker.ts'
import type { Change } from '../domain/change.ts'
import type { Answer, Delivery, LanePolicy, Refused, TokenNames, Watched } from '../domain/model.ts'
import type { Store } from '../store/port.ts'

/** Time from outside: the wall clock for what is due, the monotonic one for durations. */
export interface Clock {
  nowMs(): number
  monotonicMs(): number
  /** Resolves after the time or as soon as the signal is aborted; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** What the flow asks of the identity provider. Every call throws a RelayError `idp_unavailable` when it cannot answer. */
export interface Idp {
  /** Logout tokens by delivery id, and refusals with their reason. What is in neither could not be made now. */
  mint(deliveries: readonly Delivery[]): Promise<Minted>
  /** Reports ends; resolves to the ids that need not be reported again. */
  report(ended: readonly Delivery[]): Promise<readonly string[]>
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
 * Logout tokens that the realm has signed for a client, for a session and a subject that there never were, by whom they name:
 * one for each shape that the client may be sent. None where the extension makes no such tokens; `refusal` is why it makes
 * none for this client. Throws a RelayError `idp_unavailable` when it cannot answer.
 *
 * @param alg that of a token which the relay may make for the client by itself, with `sid` alone
 */
export type Genuine = (
  clientId: string,
  alg?: string,
) => Promise<{ readonly tokens: ReadonlyMap<TokenNames, string>; readonly refusal?: string }>

export interface Registry {
  /**
   * Where a client is told now; undefined where nobody names a logout URL.
   *
   * @param named by the realm, at the time of the event: what the realm has been seen to name before is older
   * @param sinceMs when a look at the realm must have begun to be newer
   */
  logoutUri(issuer: string, clientId: string, named: string | undefined, sinceMs: number): string | undefined
  /** Whoever is paused has a concurrency of 0. */
  lane(issuer: string, clientId: string): LanePolicy
}

/** Sends one logout token. Never throws: a failure is an answer too. */
export type Send = (uri: string, logoutToken: string, policy: LanePolicy) => Promise<Answer>

/** How an event came: it was pushed, polled, or read again from the outbox. */
export type Source = 'push' | 'poll' | 'reread'

/** Where the flow tells what it did. One call, one line; never given a token. */
export interface Observer {
  received(source: Source, outcome: 'accepted' | 'duplicate'): void
  attempted(line: AttemptLine): void
  /** A privileged subject has been seen after an event. Somebody should look whether it was the person. */
  watched(issuer: string, watched: Watched): void
  refusedAfter(issuer: string, refused: readonly Refused[]): void
  /** Given up by a person. Somebody should look at every one. */
  dismissed(issuer: string, count: number): void
  /** A lane's health has changed: that of a relying party that fails, and again when it answers. */
  lane(health: LaneHealth): void
  /** Something that could keep an attacker in, or that takes such a thing back, has been noted in the store. */
  changed(change: Change): void
  trouble(what: string, cause: unknown): void
}

/** All that a flow needs from outside. */
export interface FlowPorts {
  readonly store: Store
  readonly idps: ReadonlyMap<string, Idp>
  readonly registry: Registry
  readonly send: Send
  readonly clock: Clock
  readonly random: () => number
  readonly observer: Observer
  /** Whether this process reports the ends for all that share the store; absent where it has it to itself. */
  readonly leads?: () => boolean
  /** After how long a session is given up that its relying party is shown not to know; absent for never. */
  readonly giveUpUnknownMs?: number
}

export interface LaneHealth {
  readonly issuer: string
  readonly clientId: string
  readonly state: LaneState
  /** In a row. */
  readonly failures: number
  /** When the next attempt may go out, while the lane is only probed. */
  readonly probeMs?: number
}

export interface AttemptLine {
  readonly containment: string
  readonly delivery: string
  readonly issuer: string
  readonly clientId: string
  readonly attempt: number
  readonly outcome: 'delivered' | 'retry' | 'given_up' | 'expired' | 'stale'
  readonly reason: string
  readonly status?: number
  readonly durationMs: number
  /** Since the event was taken. */
  readonly owedForMs: number
}
