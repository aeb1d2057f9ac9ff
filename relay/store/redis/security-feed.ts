import type { Evidence } from '../../domain/model.ts'
import type { Store } from '../port.ts'
import type { Script } from './scripts.ts'

/** Of a line, as the script answers it. */
const PARTS = 5

/** The security feed's place in the journal of an issuer, that one process at a time may hold. */
export function securityFeedOn(script: Script): Pick<Store, 'takeSecurityFeed' | 'settleSecurityFeed'> {
  return {
    takeSecurityFeed: async (issuer, nowMs, leaseMs, limit) => {
      const [fence, ...flat] = (await script('take_security_feed', issuer, nowMs, leaseMs, limit)) as string[]
      if (fence === undefined) {
        return undefined
      }
      const lines = Array.from({ length: flat.length / PARTS }, (_, n) => {
        const [containmentId = '', trigger = '', line = '', subject = ''] = flat.slice(PARTS * n + 1, PARTS * (n + 1))
        return {
          containmentId,
          trigger,
          ...(subject === '' ? {} : { subject }),
          evidence: JSON.parse(line) as Evidence,
        }
      })
      return { issuer, fence: Number(fence), next: flat.at(-PARTS) ?? '', lines }
    },

    settleSecurityFeed: async ({ issuer, fence, next }, delivered) =>
      (await script('settle_security_feed', issuer, fence, delivered ? next : '')) === 1,
  }
}
