import type { FindingId } from './catalogue.ts'

/** From the worst to the least. */
export const LEVELS = ['critical', 'high', 'medium', 'low'] as const
export type Level = (typeof LEVELS)[number]

/** One thing that makes a password reset worth less than people think. */
export interface Finding {
  readonly id: FindingId
  readonly level: Level
  /** The realm, or the client, user federation or identity provider of that name, or the user's account of that id. */
  readonly kind: 'realm' | 'client' | 'user federation' | 'identity provider' | 'account'
  readonly name: string
  /** Seconds that something stays alive after a reset at worst; Infinity: no end. Undefined: nothing by this alone. */
  readonly worst: number | undefined
  /** What is special about this place, in a sentence. */
  readonly detail: string
}

const MINUTE = 60
const DAY = 86_400

/** Danger is how long a stolen account goes on: without end, longer than a day, than a quarter of an hour, or less. */
export function levelOf(worst: number): Level {
  if (worst === Infinity) {
    return 'critical'
  }
  return worst > DAY ? 'high' : worst > 15 * MINUTE ? 'medium' : 'low'
}

/** The worse of the two. */
export function atLeast(level: Level, other: Level): Level {
  return LEVELS.indexOf(level) < LEVELS.indexOf(other) ? level : other
}
