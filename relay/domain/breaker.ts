import type { Answer, FailureCode } from './model.ts'

const FAILURES = 5
const PROBE_FIRST_MS = 1000
const PROBE_MAX_MS = 30_000
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
}

export const HEALTHY: Breaker = { failures: 0 }

/** The lane after an answer. From the fifth failure in a row it is probed after 1 s, 2 s, 4 s... at most 30 s. */
export function after(breaker: Breaker, answer: Answer, nowMs: number): Breaker {
  if (answer.kind === 'failure' && !OF_THE_RELYING_PARTY.includes(answer.code)) {
    return breaker
  }
  // A 400 or 404 says that it is up.
  if (answer.kind === 'response' && answer.status !== 429 && answer.status < 500) {
    return HEALTHY
  }
  const failures = breaker.failures + 1
  return failures < FAILURES
    ? { failures }
    : { failures, probeMs: nowMs + Math.min(PROBE_FIRST_MS * 2 ** (failures - FAILURES), PROBE_MAX_MS) }
}

/** How many more attempts may begin. A lane that is only probed has room for one, when it is time and none is under way. */
export function roomOf(breaker: Breaker, nowMs: number, concurrency: number, underWay: number): number {
  if (breaker.probeMs === undefined) {
    return concurrency - underWay
  }
  return nowMs >= breaker.probeMs && underWay === 0 ? 1 : 0
}
