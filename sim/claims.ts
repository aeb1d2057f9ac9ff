import { type Delivery, laneOf, type Room } from '../relay/domain/model.ts'

/** Of what is due, what has a place, those of privileged subjects first, as every store has it. */
export function inTheirTurn<T extends Delivery>(
  due: readonly T[],
  room: (issuer: string, clientId: string) => Room,
  limit: number,
): T[] {
  const sorted = [...due].sort((a, b) => a.dueMs - b.dueMs)
  const lanes = [...Map.groupBy(sorted, (row) => laneOf(row.issuer, row.clientId)).values()].map((rows) => {
    const [first] = rows
    const places = first ? room(first.issuer, first.clientId) : { privileged: 0, others: 0, latest: 0 }
    const served = rows.filter(({ privileged }) => privileged).slice(0, Math.max(0, places.privileged))
    const left = rows.filter((row) => !served.includes(row))
    const most = Math.max(0, places.others - served.length)
    const fromBehind = Math.min(places.latest, most)
    const longest = left.splice(0, most - fromBehind)
    const latest = fromBehind > 0 ? left.slice(-fromBehind) : []
    return { served, rest: [...longest, ...latest] }
  })
  return [...lanes.flatMap(({ served }) => served), ...lanes.flatMap(({ rest }) => rest)].slice(0, limit)
}
