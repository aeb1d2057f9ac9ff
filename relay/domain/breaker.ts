import type { Answer, FailureCode } from './model.ts'

const FAILURES = 5
const PROBE_FIRST_MS = 1000
const PROBE_MAX_MS = 30_000
const RETRY_AFTER_MAX_MS = 900_000
/** The others say nothing of it: nothing was sent. */
const OF_THE_RELYING_PARTY: readonly FailureCode[] = [
  'timeout',
  'connection_refused',
  'connection_lost',
  'name_not_found',
  'tls',
]

/** What is known of a lane's health. It slows the lane down and discards nothing. */
export interface Breaker {
  /** Failures in a row. */
  readonly failures: number
  /** When the next probe may go out, if there were so many that the lane is only probed. */
  readonly probeMs?: number
  /** How many attempts may be under way at once while it recovers. */
  readonly places?: number
}

/** `probed`: one attempt at a time, at intervals. `recovering`: it has answered, and gets more attempts with each answer. */
export type LaneState = 'healthy' | 'probed' | 'recovering'

export const HEALTHY: Breaker = { failures: 0 }

/**
 * The lane after an answer. From the fifth failure in a row it is probed after 1 s, 2 s, 4 s... at most 30 s; a failure with
 * Retry-After speaks for all of the relying party, so the lane waits as it asks, at most 15 minutes. The first answer then
 * opens two places, each further one another, until it has all of them back: a backlog is no stampede.
 */
export function after(breaker: Breaker, answer: Answer, nowMs: number, concurrency: number): Breaker {
  if (answer.kind === 'failure' && !OF_THE_RELYING_PARTY.includes(answer.code)) {
    return breaker
  }
  const { failures, probeMs, places } = breaker
  // A 400 or 404 says that it is up.
  if (answer.kind === 'response' && answer.status !== 429 && answer.status < 500) {
    const more = probeMs === undefined ? (places ?? concurrency) + 1 : 2
    return more >= concurrency ? HEALTHY : { failures: 0, places: more }
  }
  const askedMs = answer.kind === 'response' ? Math.min(answer.retryAfterMs ?? 0, RETRY_AFTER_MAX_MS) : 0
  if (probeMs !== undefined && nowMs < probeMs) {
    // It began before the lane was only probed.
    return { failures, probeMs: Math.max(probeMs, nowMs + askedMs) }
  }
  const inARow = places === undefined ? failures + 1 : FAILURES
  if (inARow < FAILURES && probeMs === undefined && askedMs === 0) {
    return { failures: inARow }
  }
  const intervalMs = Math.min(PROBE_FIRST_MS * 2 ** Math.max(0, inARow - FAILURES), PROBE_MAX_MS)
  return { failures: inARow, probeMs: nowMs + Math.max(intervalMs, askedMs) }
}

/** How many more attempts may begin. A lane that is only probed has room for one, when it is time and none is under way. */
export function placesOf(breaker: Breaker, nowMs: number, concurrency: number, underWay: number): number {
  if (breaker.probeMs === undefined) {
    return Math.min(breaker.places ?? concurrency, concurrency) - underWay
  }
  return nowMs >= breaker.probeMs && underWay === 0 ? 1 : 0
}

export function stateOf({ probeMs, places }: Breaker): LaneState {
  return probeMs !== undefined ? 'probed' : places !== undefined ? 'recovering' : 'healthy'
}
