/** What came of the containments of one month, in UTC. */
export interface Month {
  /** Such as `2026-11`. */
  readonly month: string
  readonly containments: number
  /** Of these those that are closed. */
  readonly closed: number
  /** Sessions that were ended, in those that are closed. */
  readonly sessions: number
  /** Closed ones in which somebody was told and nothing was given up. */
  readonly told: number
  /** Of these those whose last answer came within a second of the event, and within a minute. */
  readonly withinSecond: number
  readonly withinMinute: number
  /**
   * The longest time from an event to the last answer with which all were told, in milliseconds; also where more has come to
   * that containment since, and was given up.
   */
  readonly longestMs: number
}

export type MonthCounts = Omit<Month, 'month'>

/** The month in which something was taken up. */
export function monthOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 7)
}

/** What a containment that is closed adds to its month. */
export function countsOfClosed({
  eventMs,
  closedMs,
  deliveries,
  dismissed,
}: {
  readonly eventMs: number
  readonly closedMs: number
  readonly deliveries: number
  readonly dismissed: number
}): Omit<MonthCounts, 'containments'> {
  const tookMs = closedMs - eventMs
  const isTold = deliveries > 0 && dismissed === 0
  return {
    ...{ closed: 1, sessions: deliveries - dismissed, told: Number(isTold) },
    withinSecond: Number(isTold && tookMs <= 1000),
    withinMinute: Number(isTold && tookMs <= 60_000),
    longestMs: isTold ? tookMs : 0,
  }
}

/** Months together, newest first. */
export function addedUp(months: readonly Month[]): Month[] {
  const sum = (a: Month, b: Month): Month => ({
    month: a.month,
    containments: a.containments + b.containments,
    closed: a.closed + b.closed,
    sessions: a.sessions + b.sessions,
    told: a.told + b.told,
    withinSecond: a.withinSecond + b.withinSecond,
    withinMinute: a.withinMinute + b.withinMinute,
    longestMs: Math.max(a.longestMs, b.longestMs),
  })
  return [...Map.groupBy(months, ({ month }) => month).values()]
    .map((those) => those.reduce(sum))
    .sort((a, b) => (a.month < b.month ? 1 : -1))
}
