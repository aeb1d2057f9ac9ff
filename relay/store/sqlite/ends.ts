import type { DeliveryState, Evidence } from '../../domain/model.ts'
import type { Database } from './database.ts'
import { integer } from './rows.ts'

/** What an end means for its containment; inside a change, so that both are durable together. */
export interface Ends {
  readonly addEvidence: (issuer: string, containmentId: string, evidence: Evidence) => void
  /** Closes a containment of which nothing is open and nothing is still to come. */
  readonly closeIfEnded: (issuer: string, id: string, atMs: number) => void
  readonly oneEnded: (issuer: string, id: string, atMs: number, state: DeliveryState) => void
}

/** @param closed told of each containment whose last delivery has ended; a commit that then fails tells twice */
export function endsOn({ sql, months }: Database, closed: (issuer: string, msSinceEvent: number) => void): Ends {
  const addEvidence = (issuer: string, containmentId: string, { atMs, kind, data }: Evidence) =>
    void sql('insert into evidence (issuer, containment_id, at_ms, kind, data) values (?, ?, ?, ?, ?)').run(
      issuer,
      containmentId,
      atMs,
      kind,
      JSON.stringify(data),
    )
  const closeIfEnded = (issuer: string, id: string, atMs: number) => {
    const row = sql(
      `update containment set closed_ms = ?
       where issuer = ? and id = ? and open = 0 and arrived = parts and closed_ms is null
       returning deliveries, dismissed, event_ms, created_ms`,
    ).get(atMs, issuer, id)
    if (row) {
      months.closed({
        ...{ issuer, closedMs: atMs, createdMs: integer(row, 'created_ms'), eventMs: integer(row, 'event_ms') },
        ...{ deliveries: integer(row, 'deliveries'), dismissed: integer(row, 'dismissed') },
      })
      const sinceMs = atMs - integer(row, 'event_ms')
      const data = { deliveries: integer(row, 'deliveries'), ms_since_event: sinceMs }
      addEvidence(issuer, id, { kind: 'closed', atMs, data })
      closed(issuer, sinceMs)
    }
  }
  const oneEnded = (issuer: string, id: string, atMs: number, state: DeliveryState) => {
    const left = sql(
      'update containment set open = open - 1, dismissed = dismissed + ? where issuer = ? and id = ? returning open',
    ).get(Number(state === 'dismissed'), issuer, id)
    if (left?.['open'] === 0) {
      closeIfEnded(issuer, id, atMs)
    }
  }
  return { addEvidence, closeIfEnded, oneEnded }
}
