/** The answer of a script that may have closed containments, without them. */
export type Closing = (issuer: string, answer: unknown) => string

/** @param closed told of each containment whose last delivery has ended */
export function closings(closed: ((issuer: string, msSinceEvent: number) => void) | undefined): Closing {
  return (issuer, answer) => {
    const [first = '', ...ends] = answer as string[]
    ends.forEach((ms) => closed?.(issuer, Number(ms)))
    return first
  }
}
