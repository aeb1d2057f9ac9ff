import type { StatementSync } from 'node:sqlite'
import { countsOfClosed, type Month, type MonthCounts, monthOf } from '../../domain/month.ts'
import type { Containment } from '../port.ts'
import { integer, type Row, text } from './rows.ts'

/** What is counted of each month, inside the changes that it is counted of. */
export interface Months {
  readonly began: (issuer: string, createdMs: number) => void
  readonly closed: (containment: Closed) => void
  /** It has been closed before, and more of it has come. */
  readonly reopened: (containment: Closed) => void
}

type Closed = Pick<Containment, 'issuer' | 'createdMs' | 'eventMs' | 'deliveries' | 'dismissed'> & {
  readonly closedMs: number
}

export function monthsOf(sql: (text: string) => StatementSync): Months {
  const add = (issuer: string, createdMs: number, counts: Partial<MonthCounts>, by: 1 | -1 = 1) => {
    const of = ({
      containments = 0,
      closed = 0,
      sessions = 0,
      told = 0,
      withinSecond = 0,
      withinMinute = 0,
    }: typeof counts) => [containments, closed, sessions, told, withinSecond, withinMinute].map((count) => by * count)
    sql(
      `insert into month values (?, ?, ?, ?, ?, ?, ?, ?, ?)
       on conflict do update set containments = containments + excluded.containments, closed = closed + excluded.closed,
         sessions = sessions + excluded.sessions, told = told + excluded.told,
         within_second = within_second + excluded.within_second, within_minute = within_minute + excluded.within_minute,
         longest_ms = max(longest_ms, excluded.longest_ms)`,
    ).run(issuer, monthOf(createdMs), ...of(counts), counts.longestMs ?? 0)
  }
  return {
    began: (issuer, createdMs) => add(issuer, createdMs, { containments: 1 }),
    closed: (one) => add(one.issuer, one.createdMs, countsOfClosed(one)),
    // The longest time stays: what the next longest was is not kept.
    reopened: (one) => add(one.issuer, one.createdMs, countsOfClosed(one), -1),
  }
}

export function monthOfRow(row: Row): Month {
  const count = (name: string) => integer(row, name)
  return {
    month: text(row, 'month'),
    ...{
      containments: count('containments'),
      closed: count('closed'),
      sessions: count('sessions'),
      told: count('told'),
    },
    ...{ withinSecond: count('within_second'), withinMinute: count('within_minute'), longestMs: count('longest_ms') },
  }
}
