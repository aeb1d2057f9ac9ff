import type { Delivery, Evidence } from './model.ts'

/** Why a delivery ended with the answer to a sibling's token; the scripts for Redis have the same word. */
export const SIBLING_CONFIRMED = 'sibling_confirmed'

/**
 * The end of a delivery whose session a relying party has ended on a sibling's token. A session id is one login, so its end
 * is its end, whichever event it was owed for.
 */
export function siblingEnded(
  { id, clientId, attempts }: Delivery,
  sibling: Pick<Delivery, 'id' | 'containmentId'>,
  atMs: number,
): { readonly reason: string; readonly evidence: Evidence } {
  return {
    reason: SIBLING_CONFIRMED,
    evidence: {
      kind: 'ended_by_sibling',
      atMs,
      data: {
        delivery: id,
        client_id: clientId,
        attempts,
        sibling: sibling.id,
        sibling_containment: sibling.containmentId,
      },
    },
  }
}
