import { z } from 'zod'

/** One of `realm.upstreams` (docs/protocol.md). */
export const UpstreamItem = z.object({ id: z.string(), issuer: z.string(), held: z.number() })
