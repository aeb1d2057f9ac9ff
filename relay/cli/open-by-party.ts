import type { z } from 'zod'
import type { Deliveries } from '../api/answers.ts'
import { many } from '../text.ts'

type Open = Pick<z.infer<typeof Deliveries>['deliveries'][number], 'client_id' | 'created_at' | 'last_reason'>

/** What is open of a relying party. `oldest_at`, in seconds, and `last_reason` are of the oldest that counts. */
export interface OpenOfParty {
  readonly client_id: string
  /** Without those that it is shown not to know. */
  readonly open: number
  /** Those; absent where there are none. */
  readonly unknown_there?: number
  readonly oldest_at: number
  readonly last_reason: string
}

/** One for each relying party: oldest first those that have not answered, then those whose answers say enough. */
export async function openByParty(deliveries: AsyncIterable<Open>): Promise<OpenOfParty[]> {
  const parties = new Map<string, OpenOfParty>()
  for await (const { client_id, created_at, last_reason = '' } of deliveries) {
    const none = { client_id, open: 0, oldest_at: created_at, last_reason }
    const known: OpenOfParty = parties.get(client_id) ?? none
    const counts = !last_reason.startsWith('unknown_there')
    const isOldest = counts === known.open > 0 ? created_at < known.oldest_at : counts
    const unknown = (known.unknown_there ?? 0) + Number(!counts)
    parties.set(client_id, {
      client_id,
      open: known.open + Number(counts),
      oldest_at: isOldest ? created_at : known.oldest_at,
      last_reason: isOldest ? last_reason : known.last_reason,
      ...(unknown > 0 ? { unknown_there: unknown } : {}),
    })
  }
  return [...parties.values()].sort((a, b) => Number(a.open === 0) - Number(b.open === 0) || a.oldest_at - b.oldest_at)
}

export function unknownWords(count: number): string {
  return `${many(count, 'session')} that it no longer has and says 400 to: asked less and less often, then given up by rule`
}
