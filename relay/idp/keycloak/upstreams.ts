import { z } from 'zod'
import type { UpstreamHeld } from '../../domain/model.ts'
import { DECIDED, decidedIn } from './decided.ts'

/** One of `realm.upstreams` (docs/protocol.md). */
export const UpstreamItem = z
  .object({ id: z.string(), issuer: z.string(), held: z.number(), ...DECIDED })
  .transform(({ id, issuer, held, ...said }): UpstreamHeld => ({ id, issuer, held, ...decidedIn(said) }))
