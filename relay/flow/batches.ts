import type { Claim } from '../domain/model.ts'

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

/** Claims in batches for minting, each of one issuer. What the relay may sign does not wait for what the realm must. */
export function* batches(claims: readonly Claim[]): Generator<readonly Claim[]> {
  const together = Map.groupBy(
    claims,
    ({ delivery: { issuer, alg, attempts } }) => `${issuer} ${alg !== undefined && attempts === 0}`,
  )
  for (const some of together.values()) {
    for (let from = 0; from < some.length; from += MINT_BATCH) {
      yield some.slice(from, from + MINT_BATCH)
    }
  }
}
