/** What a set of measurements says, in its own unit: never a mean alone, the machines are noisy. */
export interface Figure {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly p99: number
  readonly n: number
}

export function figure(values: readonly number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (q: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN)
  return { median: at(0.5), min: at(0), max: at(1), p99: at(0.99), n: sorted.length }
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100
}

/** One figure of a bench, with what the issue or the design asks of it. */
export interface Line {
  readonly what: string
  readonly unit: 'ms' | 'count' | 'ratio' | 'per second' | 'per minute' | 'MB' | 'bytes'
  readonly figure: Figure
  readonly goal?: Goal
}

export type Goal = readonly [of: 'median' | 'p99' | 'max', bound: 'at least' | 'at most', value: number]

/** What became of a goal, in words; nothing where there is none. */
export function reached({ figure, goal }: Line): string {
  if (goal === undefined) {
    return ''
  }
  const [of, bound, value] = goal
  const is = bound === 'at least' ? figure[of] >= value : figure[of] <= value
  return `${of === 'median' ? '' : `${of} `}${bound} ${value}: ${is ? 'reached' : '**not reached**'}`
}

/** How much is measured: how often, and which share of the sizes that the figures are promised for. */
export interface Size {
  readonly rounds: number
  readonly share: number
}

export function scaled(full: number, share: number): number {
  return Math.max(10, Math.round(full * share))
}
