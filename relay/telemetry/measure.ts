import { type Finding, findingsOn } from '../domain/finding.ts'
import { RelayError } from '../errors.ts'
import type { Idp } from '../flow/ports.ts'
import type { Store } from '../store/port.ts'
import type { Findings } from './findings.ts'
import type { Metrics } from './metrics.ts'

/** What findings about the store are about, whatever it is. */
export const STORE = 'store'
/** What writes for certain, so that a store which could not be written can again. */
const WRITES = ['accept', 'record', 'release', 'reported']

const seconds = (since: number) => (performance.now() - since) / 1000

/**
 * The same store, each of its answers timed. What it could not do is a finding until it has done it, or has written: where
 * nothing happens, nothing is written for days.
 */
export function measureStore(store: Store, metrics: Metrics, findings: Findings): Store {
  const { ok, todo } = findingsOn(STORE)
  const failed = new Set<string>()
  const did = (name: string) => {
    failed.delete(name)
    if (WRITES.includes(name)) {
      failed.clear()
    }
    if (failed.size === 0) {
      findings.found(ok('store', 'can be used'))
    }
  }
  return new Proxy(store, {
    get(target, name: string) {
      const method: unknown = Reflect.get(target, name)
      if (typeof method !== 'function') {
        return method
      }
      return async (...args: unknown[]): Promise<unknown> => {
        const began = performance.now()
        try {
          const answer: unknown = await Reflect.apply(method, target, args)
          did(name)
          return answer
        } catch (cause) {
          if (cause instanceof RelayError && cause.code === 'store_unavailable') {
            failed.add(name)
            findings.found(todo('store', cause.message))
          }
          throw cause
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
    mint: async (ids, audience) => {
      const began = performance.now()
      try {
        const answer = await idp.mint(ids, audience)
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

/** The same identity provider; what it could not do is a finding until it has done it. */
export function watchIdp(issuer: string, idp: Idp, findings: Findings): Idp {
  return {
    ...(idp.genuine ? { genuine: idp.genuine.bind(idp) } : {}),
    mint: (deliveries, audience) => watched(issuer, 'logout tokens', findings, () => idp.mint(deliveries, audience)),
    report: (ended) => watched(issuer, 'answers', findings, () => idp.report(ended)),
  }
}

/** What a call to a realm shows of it: it is well, or its failure says what to do. */
export async function watched<T>(
  issuer: string,
  check: string,
  findings: Pick<Findings, 'found'>,
  call: () => Promise<T>,
): Promise<T> {
  try {
    const answer = await call()
    findings.found(findingsOn(issuer).ok(check, 'can be had'))
    return answer
  } catch (cause) {
    findings.found(failureOf(issuer, check, cause))
    throw cause
  }
}

/** A failure of a realm as a finding about it. Its message begins with the realm's name, which the finding has already. */
export function failureOf(issuer: string, check: string, cause: unknown): Finding {
  const says = cause instanceof RelayError ? cause.message : 'failed; the relay’s log says more'
  return findingsOn(issuer).todo(check, says.replace(issuer, '').replace(/^:? /, ''))
}
