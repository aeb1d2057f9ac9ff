import { RelayError } from '../errors.ts'
import type { Clock } from '../flow/ports.ts'
import type { IdentityProvider, SetError } from '../idp/port.ts'
import { KEYS_AGAIN_MS, Patience } from './patience.ts'

const MAX_EVENTS = 20
/** Where so many of one answer fail, it is not an event that cannot be taken now but all of them. */
const MAX_FAILURES = 3

export interface PollPorts<Event> extends Pick<IdentityProvider, 'poll'> {
  verify(set: string): Promise<Event>
  receive(event: Event): Promise<unknown>
  polled(): void
  /** An event that cannot be taken, and why. */
  refused(why: string): void
  trouble(what: string, cause: unknown): void
}

/**
 * Brings what a push has missed (RFC 8936), for as long as the signal is not aborted. A SET goes the same way as a pushed
 * one and is acknowledged only after its durable commit; one that cannot be taken is reported and does not hold up others.
 * One that fails stays, and holds up no others either. One whose key is not known yet is neither: it is asked for again within seconds, and reported after a minute.
 */
export async function pollOutbox<Event>(
  ports: PollPorts<Event>,
  clock: Clock,
  intervalMs: number,
  stop: AbortSignal,
): Promise<void> {
  let ack: string[] = []
  let setErrs: Record<string, SetError> = {}
  const patience = new Patience(clock)
  let before: readonly string[] = []
  while (!stop.aborted) {
    let again = false
    let waitMs = intervalMs
    try {
      const { sets, moreAvailable } = await ports.poll(MAX_EVENTS, ack, setErrs)
      ack = []
      setErrs = {}
      const failures: unknown[] = []
      for (const [jti, set] of Object.entries(sets)) {
        try {
          await ports.receive(await ports.verify(set))
          ack.push(jti)
          patience.came(jti)
        } catch (cause) {
          if (cause instanceof RelayError && cause.code === 'key_unknown' && patience.mayCome(jti)) {
            waitMs = Math.min(intervalMs, KEYS_AGAIN_MS)
          } else if (cause instanceof RelayError && !['store_unavailable', 'idp_unavailable'].includes(cause.code)) {
            const err = cause.code === 'key_unknown' ? 'invalid_key' : cause.code
            setErrs[jti] = { err, description: cause.message }
            ports.refused(`${err}: ${cause.message}`)
            ports.trouble(
              `A security event in the outbox cannot be taken (${err}: ${cause.message}); it stays there`,
              undefined,
            )
          } else if (failures.push(cause) === MAX_FAILURES) {
            break
          }
        }
      }
      if (failures.length > 0) {
        throw failures[0]
      }
      ports.polled()
      // What comes again although it has been answered would keep both sides busy without end.
      const answered = [...ack, ...Object.keys(setErrs)]
      again = moreAvailable === true || answered.some((jti) => !before.includes(jti))
      before = answered
    } catch (cause) {
      ports.trouble('The outbox could not be polled; trying again', cause)
    }
    await clock.sleep(again ? 0 : waitMs, stop)
  }
}
