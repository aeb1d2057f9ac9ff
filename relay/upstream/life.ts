/** What shows how a stream is; each with when its transmitter said it, in ms. */
export interface Life {
  readonly alive: (atMs: number) => void
  /** What the transmitter says that the stream is: `enabled`, `paused`, `disabled`. */
  readonly status: (status: string, atMs: number) => void
}

/**
 * Passes on only what is newer than all before, so that an old token which comes again neither hides a stream's silence nor
 * says of it what is no longer so.
 */
export function newest({ alive, status }: Life, nowMs: () => number): Life {
  let aliveMs = 0
  let statusMs = 0
  return {
    alive: (atMs) => {
      const ms = Math.min(atMs, nowMs())
      if (ms > aliveMs) {
        aliveMs = ms
        alive(ms)
      }
    },
    status: (said, atMs) => {
      const ms = Math.min(atMs, nowMs())
      if (ms >= statusMs) {
        statusMs = ms
        status(said, ms)
      }
    },
  }
}
