import type { SQLOutputValue } from 'node:sqlite'
import type { Delivery, DeliveryState, Evidence, Target } from '../../domain/model.ts'
import type { WatermarkKind } from '../../domain/watermark.ts'
import type { WatermarkChange } from '../watermark-log.ts'
import type { Containment } from '../port.ts'

/** A row as SQLite gives it. The tables are strict, so what is read has the type that its column says. */
export type Row = Record<string, SQLOutputValue>

export function text(row: Row, column: string): string {
  return String(row[column])
}

export function integer(row: Row, column: string): number {
  return Number(row[column])
}

export function deliveryOf(row: Row): Delivery {
  return {
    id: text(row, 'id'),
    containmentId: text(row, 'containment_id'),
    issuer: text(row, 'issuer'),
    clientId: text(row, 'client_id'),
    sid: text(row, 'sid'),
    target: JSON.parse(text(row, 'target')) as Target,
    latestEndMs: integer(row, 'latest_end_ms'),
    privileged: integer(row, 'privileged') === 1,
    state: text(row, 'state') as DeliveryState,
    attempts: integer(row, 'attempts'),
    dueMs: integer(row, 'due_ms'),
    createdMs: integer(row, 'created_ms'),
    ...(row['ended_ms'] == null ? {} : { endedMs: integer(row, 'ended_ms') }),
    ...(row['last_status'] == null ? {} : { lastStatus: integer(row, 'last_status') }),
    ...(row['last_reason'] == null ? {} : { lastReason: text(row, 'last_reason') }),
  }
}

export function containmentOf(row: Row): Containment {
  return {
    id: text(row, 'id'),
    issuer: text(row, 'issuer'),
    trigger: text(row, 'trigger'),
    eventMs: integer(row, 'event_ms'),
    createdMs: integer(row, 'created_ms'),
    deliveries: integer(row, 'deliveries'),
    open: integer(row, 'open'),
    dismissed: integer(row, 'dismissed'),
    parts: integer(row, 'parts'),
    arrived: integer(row, 'arrived'),
    unreachable: integer(row, 'unreachable'),
    unreachableUntilMs: integer(row, 'unreachable_until_ms'),
    ...(row['subject'] == null ? {} : { subject: text(row, 'subject') }),
    ...(row['closed_ms'] == null ? {} : { closedMs: integer(row, 'closed_ms') }),
  }
}

export function evidenceOf(row: Row): Evidence {
  return {
    kind: text(row, 'kind') as Evidence['kind'],
    atMs: integer(row, 'at_ms'),
    data: JSON.parse(text(row, 'data')) as Evidence['data'],
  }
}

export function watermarkOf(row: Row): WatermarkChange {
  return {
    kind: text(row, 'kind') as WatermarkKind,
    name: text(row, 'name'),
    watermarkMs: integer(row, 'watermark_ms'),
    untilMs: integer(row, 'until_ms'),
    seq: integer(row, 'seq'),
  }
}
