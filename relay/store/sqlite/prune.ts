import type { StatementSync } from 'node:sqlite'
import type { Past, Store } from '../port.ts'
import type { Commits } from './commits.ts'
import { evidenceOf, integer, text } from './rows.ts'

/**
 * Pruning on SQLite. The file does not shrink: its free pages are used again by what comes next. `auto_vacuum` would move
 * pages about at each commit, for a file that grows back to the same size.
 */
export function pruneOn(
  sql: (text: string) => StatementSync,
  commits: Commits,
): Pick<Store, 'prune' | 'forgetSubjects'> {
  /** The longest past. No more are looked at than may go, so those that the security feed has not told may hold up others. */
  const past = ({ endedBeforeMs, fed, limit }: Past) => {
    // `seq` is the row id: were the last line dropped, its number would come again, and the security feed would skip it.
    const last = integer(sql('select coalesce(max(seq), 0) as seq from evidence').get() ?? {}, 'seq')
    const told = new Map(fed.map((issuer) => [issuer, 0]))
    for (const row of sql('select issuer, seq from security_feed').all()) {
      if (told.has(text(row, 'issuer'))) {
        told.set(text(row, 'issuer'), integer(row, 'seq'))
      }
    }
    return sql(
      `select issuer, id, (select coalesce(max(seq), 0) from evidence e
         where e.issuer = containment.issuer and e.containment_id = containment.id) as seq
       from containment where closed_ms is not null and max(closed_ms, last_end_ms) < ?
       order by max(closed_ms, last_end_ms) limit ?`,
    )
      .all(endedBeforeMs, limit)
      .filter((row) => integer(row, 'seq') < last && integer(row, 'seq') <= (told.get(text(row, 'issuer')) ?? last))
      .map((row) => [text(row, 'issuer'), text(row, 'id')] as const)
  }

  return {
    prune: (what) =>
      commits.run(() => {
        const pruned = { watermarks: 0, containments: 0, deliveries: 0, evidence: 0, changes: 0 }
        let left = what.limit
        const drop = (kind: keyof typeof pruned, statement: string, ...which: (string | number)[]) => {
          const rows = sql(`${statement} returning *`).all(...which)
          pruned[kind] += rows.length
          left -= rows.length
          return rows
        }
        drop(
          'watermarks',
          `delete from watermark where (issuer, kind, name) in
             (select issuer, kind, name from watermark where until_ms < ? order by until_ms limit ?)`,
          what.nowMs,
          left,
        )
        // As short-lived as watermarks, and as little of anybody's history.
        drop(
          'watermarks',
          `delete from unreachable where (issuer, client_id, sid) in
             (select issuer, client_id, sid from unreachable where until_ms < ? order by until_ms limit ?)`,
          what.nowMs,
          left,
        )
        drop(
          'changes',
          'delete from change where at_ms < ? and seq in (select seq from change order by seq limit ?)',
          what.endedBeforeMs,
          left,
        )
        for (const [issuer, id] of past(what)) {
          const lines = drop(
            'evidence',
            `delete from evidence where seq in
               (select seq from evidence where issuer = ? and containment_id = ? order by seq limit ?)`,
            issuer,
            id,
            left,
          )
          // Each event has left at least one line that names it.
          for (const jti of new Set(lines.map((line) => evidenceOf(line).data['jti'] ?? ''))) {
            sql('delete from event where issuer = ? and jti = ?').run(issuer, String(jti))
          }
          drop(
            'deliveries',
            'delete from delivery where seq in (select seq from delivery where issuer = ? and containment_id = ? limit ?)',
            issuer,
            id,
            left,
          )
          if (left === 0) {
            break
          }
          drop('containments', 'delete from containment where issuer = ? and id = ?', issuer, id)
        }
        return pruned
      }),

    forgetSubjects: (beforeMs, limit) =>
      commits.run(() => {
        const forgotten = sql(
          `update containment set subject = null where (issuer, id) in
             (select issuer, id from containment indexed by containment_named
                where closed_ms is not null and subject is not null and max(closed_ms, last_end_ms) < ?
                order by max(closed_ms, last_end_ms) limit ?)`,
        ).run(beforeMs, limit)
        return Number(forgotten.changes)
      }),
  }
}
