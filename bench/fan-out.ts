import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { openSqliteStore } from '../relay/store/sqlite/sqlite.ts'
import { temporary } from '../scripts/stage/temporary.ts'
import { ISSUER, openEngine } from './engine.ts'
import { startReceivers } from './receivers.ts'
import { figure, type Line, scaled, type Size } from './stats.ts'

/** Rows in a table are many origins here and fewer than relying parties: each port has several. */
const ORIGINS = 200
const OLD_ROWS = 1_000_000
const SLOW_MS = 50

const range = (count: number) => Array.from({ length: count }, (_, n) => n)

/** One event to so many relying parties that answer at once, beside the bare loop, in turn. */
export async function fanOut({ rounds, share }: Size): Promise<Line[]> {
  const lines: Line[] = []
  for (const alg of ['ES256', 'RS256'] as const) {
    for (const count of [1000, 10_000].map((full) => scaled(full, share))) {
      const receivers = await startReceivers({ origins: ORIGINS })
      const engine = openEngine({ receivers, relyingParties: count, alg })
      const ours: number[] = []
      const raw: number[] = []
      for (let round = -2; round < (count > 1000 ? Math.ceil(rounds / 3) : rounds); round++) {
        const times = [await engine.deliver(range(count)), await engine.raw(range(count))] as const
        if (round >= 0) {
          ours.push(times[0])
          raw.push(times[1])
        }
      }
      await engine.close()
      receivers.stop()
      lines.push(
        { what: `1 event to ${count}, ${alg}`, unit: 'ms', figure: figure(ours) },
        { what: `bare loop to ${count}, ${alg}`, unit: 'ms', figure: figure(raw) },
        {
          what: `share of the bare loop, ${count}, ${alg}`,
          unit: 'ratio',
          figure: figure(ours.map((ms, n) => (raw[n] ?? Number.NaN) / ms)),
          goal: ['median', 'at least', 0.85],
        },
      )
    }
  }
  return lines
}

/** 100 relying parties that take 50 ms each. */
export async function slow({ rounds }: Size): Promise<Line[]> {
  const receivers = await startReceivers({ origins: 100, delayMs: SLOW_MS })
  const engine = openEngine({ receivers, relyingParties: 100 })
  const times: number[] = []
  for (let round = -2; round < rounds; round++) {
    const ms = await engine.deliver(range(100))
    if (round >= 0) {
      times.push(ms)
    }
  }
  await engine.close()
  receivers.stop()
  return [
    { what: '1 event to 100 of 50 ms, the last acknowledged', unit: 'ms', figure: figure(times) },
    {
      what: '1 event to 100 of 50 ms, times their own 50 ms',
      unit: 'ratio',
      figure: figure(times.map((ms) => ms / SLOW_MS)),
      goal: ['median', 'at most', 1.5],
    },
  ]
}

/** 100 relying parties with 20 sessions each; then the same with 10 of them black-holed. */
export async function blackHole({ rounds, share }: Size): Promise<Line[]> {
  const receivers = await startReceivers({ origins: 100, delayMs: 20 })
  const clients = range(Math.max(200, scaled(2000, share))).map((n) => n % 100)
  const counts = (clientId: string) => Number(clientId.replace('client-', '')) >= 10
  const all: Record<'well' | 'hung', number[]> = { well: [], hung: [] }
  for (let round = -1; round < Math.ceil(rounds / 3); round++) {
    for (const [name, hung] of [
      ['well', 0],
      ['hung', 10],
    ] as const) {
      const engine = openEngine({ receivers, relyingParties: 100, hung })
      // Warm: the connections are there.
      await engine.deliver(range(90).map((n) => n + 10))
      const ms = await engine.deliver(clients, { counts })
      if (round >= 0) {
        all[name].push(ms)
      }
      void engine.close()
    }
  }
  receivers.stop()
  return [
    { what: '90 of 100, all well', unit: 'ms', figure: figure(all.well) },
    { what: '90 of 100, the other 10 black-holed', unit: 'ms', figure: figure(all.hung) },
    {
      what: '10 of 100 black-holed, times as long',
      unit: 'ratio',
      figure: figure(all.hung.map((ms, n) => ms / (all.well[n] ?? Number.NaN))),
      goal: ['median', 'at most', 1.2],
    },
  ]
}

/** What a delivery costs behind a million that are done, beside an empty store, in turn. */
export async function history({ rounds, share }: Size): Promise<Line[]> {
  const rows = scaled(OLD_ROWS, share)
  const count = scaled(1000, share)
  const receivers = await startReceivers({ origins: ORIGINS })
  const engines = {
    empty: openEngine({ receivers, relyingParties: 1000 }),
    old: openEngine({ receivers, relyingParties: 1000, file: await withOldRows(rows) }),
  }
  const times: Record<keyof typeof engines, number[]> = { empty: [], old: [] }
  for (let round = -2; round < rounds; round++) {
    for (const name of round % 2 === 0 ? (['empty', 'old'] as const) : (['old', 'empty'] as const)) {
      const ms = await engines[name].deliver(range(count))
      if (round >= 0) {
        times[name].push(ms)
      }
    }
  }
  await Promise.all(Object.values(engines).map((engine) => engine.close()))
  receivers.stop()
  return [
    { what: `1 event to ${count}, empty store`, unit: 'ms', figure: figure(times.empty) },
    { what: `1 event to ${count}, ${rows} old deliveries`, unit: 'ms', figure: figure(times.old) },
    {
      what: `a delivery behind ${rows} old ones, times as long`,
      unit: 'ratio',
      figure: figure(times.old.map((ms, n) => ms / (times.empty[n] ?? Number.NaN))),
      goal: ['median', 'at most', 1.15],
    },
  ]
}

async function withOldRows(rows: number): Promise<string> {
  const file = join(temporary('bench'), 'relay.db')
  await openSqliteStore(file).close()
  const db = new DatabaseSync(file)
  const numbers = (count: number) =>
    `with recursive n(i) as (select 0 union all select i + 1 from n where i < ${count - 1})`
  const id = `printf('%08x-1111-4000-8000-%012x', (i / 10 * 2654435761) % 4294967296, i / 10)`
  db.exec(`begin;
    insert into delivery (id, containment_id, issuer, client_id, sid, target, latest_end_ms, privileged, state, attempts, due_ms,
      created_ms, ended_ms, last_status, last_reason, reported) ${numbers(rows)} select ${id} || '.' || (i % 10), ${id}, '${ISSUER}', 'client-' || (i % 1000),
      ${id}, json_object('kind', 'backchannel', 'uri', 'http://127.0.0.1/' || i), 1800000000000, 0, 'delivered', 1, 1700000000000 + i, 1700000000000 + i,
      1700000000050 + i, 200, 'confirmed', 1 from n;
    insert into evidence (issuer, containment_id, at_ms, kind, data) select issuer, containment_id, created_ms, 'attempt',
      json_object('delivery', id, 'client_id', client_id, 'attempt', 1, 'outcome', 'delivered', 'duration_ms', 12) from delivery;
    insert into containment (issuer, id, trigger, event_ms, created_ms, closed_ms, deliveries, open)
      ${numbers(Math.ceil(rows / 10))} select '${ISSUER}', printf('%x', i), 'admin-reset-password',
      1700000000000 + i, 1700000000000 + i, 1700000000100 + i, 10, 0 from n;
    insert into event ${numbers(Math.ceil(rows / 10))} select '${ISSUER}', printf('%x', i) from n;
    commit`)
  db.close()
  return file
}
