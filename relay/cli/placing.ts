import { createHash } from 'node:crypto'
import type { ClientSecret, SecretState } from '../idp/keycloak/client-secret.ts'
import type { Place } from '../places/port.ts'

/** So long after a change a node of Keycloak may not have heard of it, and show the secret from before. */
const HEARD_MS = 60_000
/** Somebody may have changed the place. */
const LOOK_AGAIN_MS = 10 * 60_000

/** What an agent remembers from one turn to the next; it may forget all of it. */
export interface Memory {
  readonly rotation: string | undefined
  readonly lookedMs: number
  /** Of the secret that was read last, and of those that were read before it since that rotation began. */
  readonly digest: string
  readonly before: readonly string[]
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
  const secret = await source.current(state.id)
  const digest = createHash('sha256').update(secret).digest('hex')
  const rotation = state.rotation?.id
  const before = memory === undefined || memory.rotation !== rotation ? [] : memory.before
  if (memory !== undefined && before.includes(digest)) {
    // From a node that is behind: what is in place is newer.
    return { did: 'unchanged', memory }
  }
  const isOther = memory !== undefined && memory.digest !== digest
  const did = (await place.put(secret)) ? 'placed' : 'current'
  return {
    did,
    memory: { rotation, digest, lookedMs: state.now_ms, before: isOther ? [...before, memory.digest] : before },
  }
}

function isDue({ rotation, now_ms }: SecretState, { rotation: known, lookedMs }: Memory): boolean {
  const isNew = rotation !== undefined && now_ms - rotation.begun_ms < HEARD_MS
  return rotation?.id !== known || isNew || now_ms - lookedMs >= LOOK_AGAIN_MS
}
