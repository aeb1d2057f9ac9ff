import type { Answer, TokenNames } from '../../domain/model.ts'

/**
 * What a 400 means beyond itself, by what the relying party has answered to others and to a second look:
 *
 * - needs_sub: it takes a token with `sid` and `sub`, and none with the `sid` alone
 * - unknown_there: it takes such tokens for other sessions, and refuses one for a session that there never was, as it does this
 * - refused_alone: it takes such tokens for other sessions, and nobody could look a second time
 * - another_subject: it takes such tokens for other sessions, and for one that there never was, and refuses this
 */
export type Standing = 'needs_sub' | 'unknown_there' | 'refused_alone' | 'another_subject'

/** What it answers to genuine tokens for a session and a subject that there never were, by whom they name. */
export type SecondLook = ReadonlyMap<TokenNames, Answer>

/** So many refusals in a row of one session, while others are taken, are no accident: at this count the back-off is at its cap. */
const IN_A_ROW = 8

/** So long before the first of them another may have been taken: then it was not the relying party that had just broken. */
const NEAR_MS = 60_000

/** Refusals of one delivery in a row, each of a fresh token of one shape. */
export interface Streak {
  readonly names: TokenNames
  readonly count: number
  readonly firstMs: number
}

/** The streak after an answer; undefined for none. */
export function streakAfter(
  before: Streak | undefined,
  answer: Answer,
  names: TokenNames | undefined,
  nowMs: number,
): Streak | undefined {
  if (!isRefusal(answer) || names === undefined) {
    return undefined
  }
  return before?.names === names ? { ...before, count: before.count + 1 } : { names, count: 1, firstMs: nowMs }
}

/**
 * Whether it is this session alone that is refused: again and again, while a token of the same shape for another session was
 * taken at that time or since. A relying party that refuses everything for a while has refused all of them.
 *
 * @param confirmedMs when it took a token of that shape last
 */
export function isAlone({ names, count, firstMs }: Streak, confirmedMs: number | undefined): boolean {
  // Such a token names no session, so nothing can be said of one.
  return names !== 'sub' && count >= IN_A_ROW && confirmedMs !== undefined && confirmedMs > firstMs - NEAR_MS
}

export function standingOf(names: TokenNames, alone: boolean, look: SecondLook): Standing | undefined {
  const answer = look.get(names)
  if (alone) {
    return answer === undefined
      ? 'refused_alone'
      : isRefusal(answer)
        ? 'unknown_there'
        : isTaken(answer)
          ? 'another_subject'
          : 'refused_alone'
  }
  const [both, sid] = [look.get('sid+sub'), look.get('sid')]
  return names === 'sid' && both && sid && isTaken(both) && isRefusal(sid) ? 'needs_sub' : undefined
}

export function isRefusal(answer: Answer): boolean {
  return answer.kind === 'response' && answer.status === 400
}

export function isTaken(answer: Answer): boolean {
  return answer.kind === 'response' && (answer.status === 200 || answer.status === 204)
}
