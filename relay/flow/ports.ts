import type { LaneState } from '../domain/breaker.ts'
import type { Change } from '../domain/change.ts'
import type { Delivery, LanePolicy, Named, Refused, Target, Watched } from '../domain/model.ts'
import type { Deliverer, TokenMaker } from '../delivery/port.ts'
import type { Store } from '../store/port.ts'

/** Time from outside: the wall clock for what is due, the monotonic one for durations. */
export interface Clock {
  nowMs(): number
  monotonicMs(): number
  /** Resolves after the time or as soon as the signal is aborted; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** What the flow asks of the identity provider. Every call throws a RelayError `idp_unavailable` when it cannot answer. */
export interface Idp extends TokenMaker {
  /** Reports ends; resolves to the ids that need not be reported again. */
  report(ended: readonly Delivery[]): Promise<readonly string[]>
}

export interface Registry {
  /**
   * Where a client is told now; undefined where nobody names a logout URL, and where an identity provider is told no more.
   *
   * @param named by the realm, at the time of the event: what the realm has been seen to name before is older
   * @param sinceMs when a look at the realm must have begun to be newer
   */
  target(issuer: string, clientId: string, named: Named, sinceMs: number): Target | undefined
  /** Whoever is paused has a concurrency of 0. */
  lane(issuer: string, clientId: string): LanePolicy
}

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
  /** The kinds of delivery, by name. */
  readonly deliverers: ReadonlyMap<string, Deliverer>
  readonly clock: Clock
  readonly random: () => number
  readonly observer: Observer
  /** Whether this process reports the ends for all that share the store; absent where it has it to itself. */
  readonly leads?: () => boolean
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
