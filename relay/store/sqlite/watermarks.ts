import type { StatementSync } from 'node:sqlite'
import type { Watermark } from '../../domain/watermark.ts'
import type { WatermarkLog } from '../watermark-log.ts'
import { watermarkOf } from './rows.ts'

type Sql = (text: string) => StatementSync

/** @param containmentId that of the event which has named them */
export function addWatermarks(
  sql: Sql,
  issuer: string,
  containmentId: string,
  watermarks: readonly Watermark[],
  atMs: number,
): void {
  const newest = sql('select max(seq) as seq from watermark where issuer = ?').get(issuer)
  let seq = Math.max(Number(newest?.['seq'] ?? 0), atMs * 1000)
  for (const { kind, name, watermarkMs, untilMs } of watermarks) {
    sql(
      `insert into watermark values (?, ?, ?, ?, ?, ?, ?)
       on conflict do update set watermark_ms = max(watermark_ms, excluded.watermark_ms),
         until_ms = max(until_ms, excluded.until_ms), seq = excluded.seq
       where excluded.watermark_ms > watermark_ms or excluded.until_ms > until_ms`,
    ).run(issuer, kind, name, watermarkMs, untilMs, ++seq, kind === 'sid' ? containmentId : null)
  }
}

/** The watermarks on SQLite. */
export function watermarksOn(sql: Sql, read: <T>(work: () => T) => Promise<T>): WatermarkLog {
  return {
    watermarks: (issuer, after, limit) =>
      read(() =>
        sql('select * from watermark where issuer = ? and seq > ? order by seq limit ?')
          .all(issuer, after, limit)
          .map(watermarkOf),
      ),

    watermarksOf: (issuer, sub, sid, client) =>
      read(() =>
        // Joined by `or` they would be looked for among all of the issuer.
        sql(
          `select * from watermark where (issuer, kind, name) in
             (values (?1, 'sub', ?2), (?1, 'sid', ?3), (?1, 'kept', ?3), (?1, 'client', ?4))`,
        )
          .all(issuer, sub, sid ?? null, client ?? null)
          .map(watermarkOf),
      ),
  }
}
