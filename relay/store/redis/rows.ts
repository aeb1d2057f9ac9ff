import type { Delivery, DeliveryState, Target } from '../../domain/model.ts'
import type { Watermark, WatermarkKind } from '../../domain/watermark.ts'
import type { Containment } from '../port.ts'

type Row = Readonly<Record<string, string>>

const text = (row: Row, field: string): string => row[field] ?? ''
const integer = (row: Row, field: string): number => Number(row[field])

/** A reply to HGETALL inside a script: fields and values in turn. */
export function rowOf(flat: readonly string[]): Row {
  return Object.fromEntries(
    Array.from({ length: flat.length / 2 }, (_, n) => [flat[2 * n] ?? '', flat[2 * n + 1] ?? '']),
  )
}

/** A delivery is stored field by field under the names it has here, so that a relay that knows fewer fields keeps the others. */
export function fieldsOfRow(delivery: Delivery): string[] {
  const { target, ...plain } = delivery
  return Object.entries({ ...plain, target: JSON.stringify(target) }).flatMap(([field, value]) => [
    field,
    String(value),
  ])
}

export function deliveryOf(row: Row): Delivery {
  return {
    id: text(row, 'id'),
    containmentId: text(row, 'containmentId'),
    issuer: text(row, 'issuer'),
    clientId: text(row, 'clientId'),
    sid: text(row, 'sid'),
    target: JSON.parse(text(row, 'target')) as Target,
    latestEndMs: integer(row, 'latestEndMs'),
    privileged: row['privileged'] === 'true',
    state: text(row, 'state') as DeliveryState,
    attempts: integer(row, 'attempts'),
    dueMs: integer(row, 'dueMs'),
    createdMs: integer(row, 'createdMs'),
    ...(row['endedMs'] === undefined ? {} : { endedMs: integer(row, 'endedMs') }),
    ...(row['lastStatus'] === undefined ? {} : { lastStatus: integer(row, 'lastStatus') }),
    ...(row['lastReason'] === undefined ? {} : { lastReason: row['lastReason'] }),
  }
}

export function containmentOf(row: Row): Containment {
  return {
    id: text(row, 'id'),
    issuer: text(row, 'issuer'),
    trigger: text(row, 'trigger'),
    eventMs: integer(row, 'eventMs'),
    createdMs: integer(row, 'createdMs'),
    deliveries: integer(row, 'deliveries'),
    open: integer(row, 'open'),
    dismissed: Number(row['dismissed'] ?? 0),
    parts: integer(row, 'parts'),
    arrived: integer(row, 'arrived'),
    unreachable: Number(row['unreachable'] ?? 0),
    unreachableUntilMs: Number(row['unreachableUntilMs'] ?? 0),
    ...(row['subject'] === undefined ? {} : { subject: row['subject'] }),
    ...(row['closedMs'] === undefined ? {} : { closedMs: integer(row, 'closedMs') }),
  }
}

/** @param name kind and name; @param times the watermark and until when it lasts */
export function watermarkOf(name: string, times: string): Watermark {
  const at = name.indexOf(' ')
  const [watermarkMs = 0, untilMs = 0] = times.split(' ').map(Number)
  return { kind: name.slice(0, at) as WatermarkKind, name: name.slice(at + 1), watermarkMs, untilMs }
}
