import type { z } from 'zod'
import type { Deliveries } from '../api/answers.ts'
import { many } from '../text.ts'

type Open = Pick<
  z.infer<typeof Deliveries>['deliveries'][number],
  'client_id' | 'created_at_ms' | 'attempts' | 'last_reason'
>

/** What is open of a relying party. `oldest_at_ms` and `last_reason` are of the oldest that counts. */
export interface OpenOfParty {
  readonly client_id: string
  /** Without those that it is shown not to know. */
  readonly open: number
  /** Of these, those that it has been sent nothing about yet: it cannot have answered. Absent where there are none. */
  readonly not_asked?: number
  /** Those that it is shown not to know; absent where there are none. */
  readonly unknown_there?: number
  readonly oldest_at_ms: number
  readonly last_reason: string
}

/** One for each relying party: oldest first those that have not answered, then those whose answers say enough. */
export async function openByParty(deliveries: AsyncIterable<Open>): Promise<OpenOfParty[]> {
  const parties = new Map<string, OpenOfParty>()
  for await (const { client_id, created_at_ms, attempts, last_reason = '' } of deliveries) {
    const none = { client_id, open: 0, oldest_at_ms: created_at_ms, last_reason }
    const known: OpenOfParty = parties.get(client_id) ?? none
    const counts = !last_reason.startsWith('unknown_there')
    const isOldest = counts === known.open > 0 ? created_at_ms < known.oldest_at_ms : counts
    const unknown = (known.unknown_there ?? 0) + Number(!counts)
    const notAsked = (known.not_asked ?? 0) + Number(counts && attempts === 0)
    parties.set(client_id, {
      client_id,
      open: known.open + Number(counts),
      ...(notAsked > 0 ? { not_asked: notAsked } : {}),
      oldest_at_ms: isOldest ? created_at_ms : known.oldest_at_ms,
      last_reason: isOldest ? last_reason : known.last_reason,
      ...(unknown > 0 ? { unknown_there: unknown } : {}),
    })
  }
  return [...parties.values()].sort(
    (a, b) => Number(a.open === 0) - Number(b.open === 0) || a.oldest_at_ms - b.oldest_at_ms,
  )
}

export function unknownWords(count: number): string {
  return `${many(count, 'session')} that it no longer has and says 400 to: asked less and less often, then given up by rule`
}

/** Why nothing has come of it yet: what was never sent, nobody can have answered. */
export function whyOpen({ open, not_asked = 0, last_reason }: OpenOfParty): string {
  return not_asked === open
    ? 'not asked yet'
    : not_asked === 0
      ? last_reason
      : `${last_reason}  ${not_asked} not asked yet`
}
