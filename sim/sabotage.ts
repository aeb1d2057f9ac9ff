import type { Send } from '../relay/delivery/backchannel/send.ts'
import type { Idp, LaneHealth } from '../relay/flow/ports.ts'
import type { Store } from '../relay/store/port.ts'
import type { Guarantee, Token } from './invariants.ts'
import type { Disk } from './disk.ts'

/** What is put around the ports of a run. */
export interface Hands {
  readonly store?: (store: Store, disk: Pick<Disk, 'seen'>) => Store
  readonly idp?: (idp: Idp) => Idp
  readonly send?: (send: Send) => Send
  /** Whether a change is told of before it is durable. */
  readonly early?: boolean
  readonly polls?: boolean
  readonly rereads?: boolean
  /** How the outbox is read again after a failover, if not as it should be. */
  readonly gap?: 'not read' | 'from now on' | 'not for one cut off'
  /** Told of each change of a lane's health. */
  readonly lane?: (health: LaneHealth) => void
}

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
  // A token that was made before an outage is too old after it.
  'fresh jti off': {
    finds: ['G4', 'lane'],
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
    hands: () => {
      const probed = new Set<string>()
      return {
        lane: ({ clientId, state }) => (state === 'probed' ? probed.add(clientId) : probed.delete(clientId)),
        store: (store) => ({
          ...store,
          record: (claim, outcome) =>
            store.record(
              claim,
              outcome.state === 'open' && probed.has(claim.delivery.clientId)
                ? { ...outcome, state: 'expired' }
                : outcome,
            ),
        }),
      }
    },
  },
  'owed once for each event': {
    finds: ['once'],
    // The flow does not learn that the tokens name one session.
    hands: () => ({
      idp: (idp) => ({
        report: (ended) => idp.report(ended),
        mint: async (deliveries) => {
          const { tokens, refused } = await idp.mint(deliveries)
          return { tokens, refused }
        },
      }),
    }),
  },
  'ended with it, however much later': {
    finds: ['G2'],
    hands: () => ({
      store: (store) => ({
        ...store,
        record: (claim, outcome) =>
          store.record(
            claim,
            outcome.endsSiblingsBeforeMs === undefined ? outcome : { ...outcome, endsSiblingsBeforeMs: Infinity },
          ),
      }),
    }),
  },
  // The flow is not told what an answer was, so its breaker does not see it.
  'a breaker that never opens': {
    finds: ['lane'],
    hands: () => ({
      send: (send) => async (uri, token, policy) => {
        const answer = await send(uri, token, policy)
        return answer.kind === 'failure' || answer.status >= 500 || answer.status === 429
          ? { kind: 'failure', code: 'other' }
          : answer
      },
    }),
  },
  'room without end': {
    finds: ['lane'],
    hands: () => ({
      store: (store) => ({
        ...store,
        claim: (nowMs, leaseMs, limit) =>
          store.claim(nowMs, leaseMs, limit, () => ({ privileged: 20, others: 20, latest: 10 })),
      }),
    }),
  },
  'first come, first served': {
    finds: ['fair'],
    hands: () => ({
      store: (store) => ({
        ...store,
        claim: (nowMs, leaseMs, limit, room) =>
          store.claim(nowMs, leaseMs, limit, (...lane) => ({ ...room(...lane), latest: 0 })),
      }),
    }),
  },
  'privileged like any other': {
    finds: ['priority'],
    hands: () => ({
      store: (store) => ({
        ...store,
        accept: (event, plan) =>
          store.accept(event, {
            ...plan,
            deliveries: plan.deliveries.map((delivery) => ({ ...delivery, privileged: false })),
          }),
      }),
    }),
  },
  'outbox not read again': { finds: ['G1', 'G5'], hands: () => ({ rereads: false }) },
  'outbox not read again after a failover': { finds: ['G1', 'G5'], hands: () => ({ gap: 'not read' }) },
  'outbox read from the failover on, not from before it': {
    finds: ['G1'],
    hands: () => ({ gap: 'from now on' }),
  },
  'nothing missed of a master that was cut off': {
    finds: ['G1', 'G5'],
    hands: () => ({ gap: 'not for one cut off' }),
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
