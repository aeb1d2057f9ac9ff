import type { SecurityEvent } from '../domain/model.ts'
import { RelayError } from '../errors.ts'
import type { Clock } from '../flow/ports.ts'
import type { IdentityProvider, Which } from '../idp/port.ts'
import { KEYS_AGAIN_MS, type Patience } from './patience.ts'

const SETS = 20
const PAUSE_MS = 10_000

export interface RereadPorts extends Pick<IdentityProvider, 'rows' | 'sets'> {
  /** Those that the store does not have. */
  unknown(jtis: readonly string[]): Promise<readonly string[]>
  verify(set: string): Promise<SecurityEvent>
  receive(event: SecurityEvent, ended: ReadonlySet<string>): Promise<unknown>
  readonly patience: Patience
  trouble(what: string, cause: unknown): void
}

/** How many events the outbox holds, and how many of them the store did not have. */
export interface Reread {
  readonly read: number
  readonly taken: number
  /** Where the next page begins; absent after the last. */
  readonly next?: string
}

/**
 * Reads a page of the outbox again, for a store that is empty, was put back from a backup, or has lost what it had
 * acknowledged. What the store has is left alone: the `jti` of an event stays the same, so nothing is planned twice.
 *
 * @throws RelayError `idp_unavailable`, `store_unavailable` or `key_unknown`; it may be called again
 */
export async function reread(ports: RereadPorts, which: Which): Promise<Reread> {
  const { jtis, next } = await ports.rows(which)
  const unknown = await ports.unknown(jtis)
  let taken = 0
  let unknownKey: RelayError | undefined
  for (let from = 0; from < unknown.length; from += SETS) {
    const { sets, ended } = await ports.sets(unknown.slice(from, from + SETS))
    for (const [jti, set] of Object.entries(sets)) {
      try {
        await ports.receive(await ports.verify(set), ended)
        taken++
        ports.patience.came(jti)
      } catch (cause) {
        if (cause instanceof RelayError && cause.code === 'key_unknown' && ports.patience.mayCome(jti)) {
          unknownKey = cause
        } else if (!(cause instanceof RelayError) || ['store_unavailable', 'idp_unavailable'].includes(cause.code)) {
          throw cause
        } else {
          ports.trouble(`A security event that was read again cannot be taken (${cause.code})`, cause)
        }
      }
    }
  }
  if (unknownKey) {
    // The page is asked for once more; what was taken of it is known then.
    throw unknownKey
  }
  return { read: jtis.length, taken, ...(next === undefined ? {} : { next }) }
}

/**
 * Takes up all that the store lacks, once, trying until it is done or the signal is aborted: at the start, since the store
 * may be empty or put back from a backup, and when it has lost something.
 *
 * @param sinceMs as in {@link Which}; without it only events in which a session has no end yet
 * @returns how many events the store lacked
 */
export async function takeUp(ports: RereadPorts, clock: Clock, stop: AbortSignal, sinceMs?: number): Promise<number> {
  let taken = 0
  for (let after: string | undefined, more = true; more && !stop.aborted;) {
    try {
      const page: Reread = await reread(ports, { sinceMs, after })
      taken += page.taken
      after = page.next
      more = after !== undefined
    } catch (cause) {
      ports.trouble('The outbox could not be read again; trying again', cause)
      const keyComes = cause instanceof RelayError && cause.code === 'key_unknown'
      await clock.sleep(keyComes ? KEYS_AGAIN_MS : PAUSE_MS, stop)
    }
  }
  return taken
}
