import { InvalidArgumentError } from 'commander'

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds, of an option such as 90s. */
export function span(text: string): number {
  const [, number, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (number === undefined) {
    throw new InvalidArgumentError('Give a number with s, m, h or d, such as 90s or 26h.')
  }
  return Number(number) * (UNITS[unit] ?? 0)
}
