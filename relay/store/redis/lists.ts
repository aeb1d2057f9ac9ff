import type { Delivery, Evidence } from '../../domain/model.ts'
import { addedUp, type MonthCounts } from '../../domain/month.ts'
import type { Store } from '../port.ts'
import { inOrder, partsOf, type Read } from './reads.ts'
import { containmentOf } from './rows.ts'
import { PREFIX } from './scripts.ts'

const NOTHING: MonthCounts = {
  ...{ containments: 0, closed: 0, sessions: 0, told: 0 },
  ...{ withinSecond: 0, withinMinute: 0, longestMs: 0 },
}

/** The lists for people and programs. */
export function listsOn(
  read: Read,
): Pick<Store, 'containments' | 'containment' | 'deliveries' | 'open' | 'months' | 'unreachable'> {
  return {
    containments: ({ issuer, subject, beforeMs, limit }) =>
      read(async (client) => {
        const range = { BY: 'SCORE', REV: true, LIMIT: { offset: 0, count: limit } } as const
        const from = beforeMs === undefined ? '+inf' : `(${beforeMs}`
        const list = subject === undefined ? `containments:${issuer}` : `containments-of:${issuer} ${subject}`
        const ids = await client.zRange(PREFIX + list, from, '-inf', range)
        const rows = await Promise.all(ids.map((id) => client.hGetAll(`${PREFIX}containment:${issuer} ${id}`)))
        return rows.filter(({ id }) => id !== undefined).map(containmentOf)
      }),

    containment: (issuer, id, lines) =>
      read(async (client) => {
        const [row, places] = await Promise.all([
          client.hGetAll(`${PREFIX}containment:${issuer} ${id}`),
          client.lRange(
            `${PREFIX}evidence:${issuer} ${id}`,
            lines?.from ?? 0,
            lines ? lines.from + lines.limit - 1 : -1,
          ),
        ])
        if (row['id'] === undefined) {
          return undefined
        }
        const journal = `${PREFIX}journal:${issuer}`
        const found = await Promise.all(places.map((place) => client.xRange(journal, place, place)))
        const evidence = found.flat().map((entry) => JSON.parse(entry?.message['line'] ?? '') as Evidence)
        return { containment: containmentOf(row), evidence }
      }),

    deliveries: async ({ limit, ...filter }) => {
      const found: Delivery[] = []
      for await (const delivery of inOrder(read, filter)) {
        if (found.push(delivery) === limit) {
          break
        }
      }
      return found
    },

    open: () =>
      read(async (client) => {
        const lanes = await client.zRange(`${PREFIX}lanes`, 0, -1)
        const all = await Promise.all(
          lanes.map(async (lane) => {
            const [count, oldest] = await Promise.all([
              client.zCard(`${PREFIX}created:${lane}`),
              client.zRangeWithScores(`${PREFIX}created:${lane}`, 0, 0),
            ])
            const [attempts, lastReason] = oldest[0]
              ? await client.hmGet(`${PREFIX}delivery:${oldest[0].value}`, ['attempts', 'lastReason'])
              : []
            return {
              ...{ ...partsOf(lane), count, oldestMs: oldest[0]?.score ?? 0, asked: attempts !== '0' },
              ...(lastReason == null ? {} : { lastReason }),
            }
          }),
        )
        return all.filter(({ count }) => count > 0)
      }),

    months: (issuer) =>
      read(async (client) => {
        const counts = Object.entries(await client.hGetAll(`${PREFIX}months:${issuer}`))
        const byMonth = Map.groupBy(counts, ([name]) => name.slice(0, name.indexOf(' ')))
        return addedUp(
          [...byMonth].map(([month, those]) => ({
            ...{ month, ...NOTHING },
            ...Object.fromEntries(those.map(([name, count]) => [name.slice(month.length + 1), Number(count)])),
          })),
        )
      }),

    unreachable: (nowMs) =>
      read(async (client) => {
        const lanes = await client.sMembers(`${PREFIX}unreachable`)
        const all = await Promise.all(
          lanes.map(async (lane) => {
            const at = `${PREFIX}unreachable-at:${lane}`
            const [count, last] = await Promise.all([
              client.zCount(at, `(${nowMs}`, '+inf'),
              client.zRangeWithScores(at, -1, -1),
            ])
            return { ...partsOf(lane), count, untilMs: last[0]?.score ?? 0 }
          }),
        )
        return all.filter(({ count }) => count > 0)
      }),
  }
}
