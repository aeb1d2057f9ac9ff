import type { Idp, Send } from '../relay/flow/ports.ts'
import type { Store } from '../relay/store/port.ts'
import type { Guarantee, Token } from './invariants.ts'
import type { Disk } from './store.ts'

/** What is put around the ports of a run. */
export interface Hands {
  readonly store?: (store: Store, disk: Disk) => Store
  readonly idp?: (idp: Idp) => Idp
  readonly send?: (send: Send) => Send
  /** Whether a change is told of before it is durable. */
  readonly early?: boolean
  readonly polls?: boolean
}

const FAILURES_UNTIL_BROKEN = 8

/**
 * Ways to break the promises. A simulation that does not notice them proves nothing, so each must be found, by one of the
 * invariants named.
 */
export const SABOTAGES: Readonly<
  Record<string, { readonly finds: readonly Guarantee[]; readonly hands: () => Hands }>
> = {
  'fencing off': {
    finds: ['evidence', 'G1'],
    hands: () => ({
      store: (store, disk) => ({
        ...store,
        record: (claim, outcome) =>
          store.record({ ...claim, fence: disk.seen.deliveries.get(claim.delivery.id)?.fence ?? claim.fence }, outcome),
      }),
    }),
  },
  'fsync off': { finds: ['G1'], hands: () => ({ early: true }) },
  'outbox off': { finds: ['G1', 'G5'], hands: () => ({ polls: false }) },
  'fresh jti off': {
    finds: ['G4'],
    hands: () => {
      const made = new Map<string, string>()
      return {
        idp: (idp) => ({
          report: (ended) => idp.report(ended),
          mint: async (deliveries) => {
            const { tokens, refused } = await idp.mint(deliveries)
            tokens.forEach((token, id) => made.set(id, made.get(id) ?? token))
            return { tokens: new Map([...tokens].map(([id, token]) => [id, made.get(id) ?? token])), refused }
          },
        }),
      }
    },
  },
  'a breaker that discards': {
    finds: ['G1'],
    hands: () => ({
      store: (store) => ({
        ...store,
        record: (claim, outcome) =>
          store.record(
            claim,
            outcome.state === 'open' && outcome.attempts >= FAILURES_UNTIL_BROKEN
              ? { ...outcome, state: 'expired' }
              : outcome,
          ),
      }),
    }),
  },
  'any answer taken for a yes': {
    finds: ['G2'],
    hands: () => ({
      send: (send) => async (uri, token, policy) => {
        const answer = await send(uri, token, policy)
        return answer.kind === 'response' ? { kind: 'response', status: 200 } : answer
      },
    }),
  },
  'one connection for all': {
    finds: ['G3'],
    hands: () => {
      let last: Promise<unknown> = Promise.resolve()
      return {
        send: (send) => (uri, token, policy) => {
          const mine = last.then(() => send(uri, token, policy))
          last = mine
          return mine
        },
      }
    },
  },
  'the wrong session': {
    finds: ['G6'],
    hands: () => ({
      send: (send) => (uri, token, policy) => {
        const wrong: Token = { ...(JSON.parse(token) as Token), sid: 'sid-of-a-later-login' }
        return send(uri, JSON.stringify(wrong), policy)
      },
    }),
  },
}
