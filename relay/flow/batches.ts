import type { Claim, Delivery } from '../domain/model.ts'

/** Tokens are asked for in small batches, so that the first deliveries start while the last are still being signed. */
export const MINT_BATCH = 25
const CHANGE_BATCH = 500

/** Until a batch is not full, so that no transaction grows with what a person selects. */
export async function inBatches(change: (limit: number) => Promise<number>): Promise<number> {
  for (let count = 0; ;) {
    const changed = await change(CHANGE_BATCH)
    count += changed
    if (changed < CHANGE_BATCH) {
      return count
    }
  }
}

/**
 * Claims in batches for minting, each of one issuer and one kind.
 *
 * @param isMadeHere whether its token is the relay's own: it does not wait for what the realm makes
 */
export function* batches(
  claims: readonly Claim[],
  isMadeHere: (delivery: Delivery) => boolean,
): Generator<readonly Claim[]> {
  const together = Map.groupBy(
    claims,
    ({ delivery }) => `${delivery.issuer} ${delivery.target.kind} ${isMadeHere(delivery)}`,
  )
  for (const some of together.values()) {
    for (let from = 0; from < some.length; from += MINT_BATCH) {
      yield some.slice(from, from + MINT_BATCH)
    }
  }
}
