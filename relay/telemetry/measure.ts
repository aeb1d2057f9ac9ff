import type { Idp } from '../flow/ports.ts'
import type { Store } from '../store/port.ts'
import type { Metrics } from './metrics.ts'

const seconds = (since: number) => (performance.now() - since) / 1000

/** The same store, each of its answers timed. */
export function measureStore(store: Store, metrics: Metrics): Store {
  return new Proxy(store, {
    get(target, name: string) {
      const method: unknown = Reflect.get(target, name)
      if (typeof method !== 'function') {
        return method
      }
      return async (...args: unknown[]): Promise<unknown> => {
        const began = performance.now()
        try {
          return await Reflect.apply(method, target, args)
        } finally {
          metrics.storeSeconds.observe({ operation: name }, seconds(began))
        }
      }
    },
  })
}

/** The same identity provider, its signing timed and counted. */
export function measureIdp(issuer: string, idp: Idp, metrics: Metrics): Idp {
  return {
    ...(idp.genuine ? { genuine: idp.genuine.bind(idp) } : {}),
    report: (ended) => idp.report(ended),
    mint: async (ids) => {
      const began = performance.now()
      try {
        const answer = await idp.mint(ids)
        metrics.signingSeconds.observe({ issuer }, seconds(began))
        metrics.logoutTokens.inc({ issuer, outcome: 'made' }, answer.tokens.size)
        metrics.logoutTokens.inc({ issuer, outcome: 'refused' }, answer.refused.size)
        return answer
      } catch (cause) {
        metrics.logoutTokens.inc({ issuer, outcome: 'failed' }, ids.length)
        throw cause
      }
    },
  }
}
