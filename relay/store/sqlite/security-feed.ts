import type { StatementSync } from 'node:sqlite'
import type { Store } from '../port.ts'
import type { Commits } from './commits.ts'
import { evidenceOf, integer, text } from './rows.ts'

/** The security feed's place in the evidence: one row an issuer, that one process at a time may hold. */
export function securityFeedOn(
  sql: (text: string) => StatementSync,
  read: <T>(work: () => T) => Promise<T>,
  commits: Commits,
): Pick<Store, 'takeSecurityFeed' | 'settleSecurityFeed'> {
  const news = (issuer: string, limit: number) =>
    sql(
      `select seq, containment_id, trigger, subject, kind, at_ms, data from evidence e
         join containment c on c.issuer = e.issuer and c.id = e.containment_id
       where e.issuer = ?1 and seq > coalesce((select seq from security_feed where issuer = ?1), 0) order by seq limit ?2`,
    ).all(issuer, limit)
  return {
    takeSecurityFeed: async (issuer, nowMs, leaseMs, limit) => {
      // Looking is cheap; taking is a commit, and there is mostly nothing to take.
      if (!(await read(() => news(issuer, 1).length > 0))) {
        return undefined
      }
      return commits.run(() => {
        const row = sql(
          `insert into security_feed values (?1, 0, 1, ?2)
           on conflict do update set fence = fence + 1, lease_ms = ?2 where lease_ms <= ?3 returning fence`,
        ).get(issuer, nowMs + leaseMs, nowMs)
        if (!row) {
          return undefined
        }
        const lines = news(issuer, limit)
        const last = lines.at(-1)
        return (
          last && {
            issuer,
            fence: integer(row, 'fence'),
            next: text(last, 'seq'),
            lines: lines.map((line) => ({
              containmentId: text(line, 'containment_id'),
              trigger: text(line, 'trigger'),
              ...(line['subject'] == null ? {} : { subject: text(line, 'subject') }),
              evidence: evidenceOf(line),
            })),
          }
        )
      })
    },

    settleSecurityFeed: ({ issuer, fence, next }, delivered) =>
      commits.run(() => {
        const settled = sql(
          `update security_feed set lease_ms = 0, seq = iif(?, ?, seq) where issuer = ? and fence = ? and lease_ms > 0`,
        ).run(delivered ? 1 : 0, Number(next), issuer, fence)
        return settled.changes > 0
      }),
  }
}
