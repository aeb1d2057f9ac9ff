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
  readonly unit: 'ms' | 'ratio' | 'per second' | 'MB'
  readonly figure: Figure
  readonly goal?: string
}
