import type { EvidenceLine, Store } from '../relay/store/port.ts'

export interface SecurityFeedTables {
  /** All evidence in the order in which it was written, and how far the security feed of each issuer is. */
  readonly journal: (EvidenceLine & { readonly issuer: string; readonly n: number })[]
  /** How many lines were ever written: the number of the last. */
  lines: number
  readonly securityFeeds: Map<string, { at: number; fence: number; leaseMs: number }>
  /** Every fence is above those of leases that are lost. */
  readonly shared: { readonly floor: number }
}

/** The security feed's place in the evidence, on the model of a disk. */
export function modelSecurityFeed(
  write: <T>(change: (tables: SecurityFeedTables) => T) => Promise<T>,
): Pick<Store, 'takeSecurityFeed' | 'settleSecurityFeed'> {
  return {
    takeSecurityFeed: (issuer, nowMs, leaseMs, limit) =>
      write(({ journal, securityFeeds, shared }) => {
        const feed = securityFeeds.get(issuer) ?? { at: 0, fence: 0, leaseMs: 0 }
        const lines = journal.filter((line) => line.n > feed.at && line.issuer === issuer).slice(0, limit)
        const last = lines.at(-1)
        if (!last || feed.leaseMs > nowMs) {
          return undefined
        }
        const taken = { at: feed.at, fence: Math.max(feed.fence + 1, shared.floor), leaseMs: nowMs + leaseMs }
        securityFeeds.set(issuer, taken)
        const told = lines.map(({ containmentId, trigger, subject, evidence }) => ({
          ...{ containmentId, trigger, evidence },
          ...(subject === undefined ? {} : { subject }),
        }))
        return { issuer, fence: taken.fence, next: String(last.n), lines: told }
      }),

    settleSecurityFeed: ({ issuer, fence, next }, delivered) =>
      write(({ securityFeeds }) => {
        const feed = securityFeeds.get(issuer)
        if (feed?.fence !== fence || feed.leaseMs === 0) {
          return false
        }
        feed.leaseMs = 0
        feed.at = delivered ? Number(next) : feed.at
        return true
      }),
  }
}
