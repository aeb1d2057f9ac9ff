import type { ClientSecret, SecretState } from '../idp/keycloak/client-secret.ts'
import type { Place } from '../places/port.ts'

/** Somebody may have changed the place. */
const LOOK_AGAIN_MS = 10 * 60_000

/** What an agent remembers from one turn to the next; it may forget all of it. */
export interface Memory {
  readonly rotation: string | undefined
  readonly lookedMs: number
}

/** `placed`: it was written; `current`: the place had it; `unchanged`: nothing has happened that is worth a look. */
export type Turn = 'placed' | 'current' | 'unchanged'

/** Asks whether the client has another secret, and only then reads it and puts it in place. */
export async function turn(
  source: ClientSecret,
  place: Pick<Place, 'put'>,
  memory: Memory | undefined,
): Promise<{ readonly did: Turn; readonly memory: Memory }> {
  const state = await source.state()
  if (memory !== undefined && !isDue(state, memory)) {
    return { did: 'unchanged', memory }
  }
  // Asked for later than the state: a change in between is a new rotation at the next turn.
  const did = (await place.put(await source.current(state.id))) ? 'placed' : 'current'
  return { did, memory: { rotation: state.rotation?.id, lookedMs: state.now_ms } }
}

function isDue({ rotation, now_ms }: SecretState, { rotation: known, lookedMs }: Memory): boolean {
  return rotation?.id !== known || now_ms - lookedMs >= LOOK_AGAIN_MS
}
