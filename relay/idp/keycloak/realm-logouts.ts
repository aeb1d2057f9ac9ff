import { z } from 'zod'
import type { Decided } from '../../domain/decision.ts'
import { DECIDED, decidedIn } from './decided.ts'

/** That somebody has signed everybody out of the realm. */
export interface RealmLogout {
  readonly id: string
  readonly atMs: number
  /** Whether it waits for a person's word: until then no application is told. */
  readonly isHeld: boolean
  readonly decided?: Decided
}

/** One of `realm.realm_logouts` (docs/protocol.md). */
export const RealmLogoutItem = z
  .object({ id: z.string(), at_ms: z.number(), state: z.string(), ...DECIDED })
  .transform(({ id, at_ms, state, ...said }): RealmLogout => {
    const decision = state === 'dismissed' ? state : 'confirmed'
    return { id, atMs: at_ms, isHeld: state === 'held', ...decidedIn({ ...said, decision }) }
  })
