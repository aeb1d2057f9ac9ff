const SECOND = 1000
const MINUTE = 60 * SECOND

/** Dense at first, since what counts is the time until the session is dead; then every 15 minutes until it must be. */
const DELAYS_MS: readonly number[] = [
  0,
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  5 * MINUTE,
  10 * MINUTE,
]
const CAP_MS = 15 * MINUTE
/** What is attempted slowly waits for this at most. */
const SLOW_MOST_MS = 6 * 60 * MINUTE

/**
 * Milliseconds to wait after this many attempts, under the cap also with its jitter.
 *
 * @param random from 0 up to 1
 * @param retryAfterMs what the relying party asked for; honoured between our own delay and the cap
 */
export function retryDelayMs(attempts: number, random: number, retryAfterMs?: number): number {
  const base = DELAYS_MS[attempts] ?? CAP_MS
  const jittered = Math.round(base * (0.8 + 0.2 * random))
  return retryAfterMs === undefined ? jittered : Math.min(Math.max(retryAfterMs, jittered), CAP_MS)
}

/**
 * Milliseconds to the next attempt at what is attempted slowly: as long as it has been owed, from 15 minutes to six hours.
 *
 * @param random from 0 up to 1
 */
export function slowDelayMs(owedForMs: number, random: number): number {
  return Math.round(Math.min(Math.max(owedForMs, CAP_MS), SLOW_MOST_MS) * (0.8 + 0.2 * random))
}
