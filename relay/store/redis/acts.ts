import { type Delivery, laneOf } from '../../domain/model.ts'
import type { Store } from '../port.ts'
import type { Closing } from './closings.ts'
import { inOrder, load, one, PAGE, type Read } from './reads.ts'
import { PREFIX, type Script } from './scripts.ts'

/** What people do with open deliveries, and the flow where a relying party answers again. */
export function actsOn(script: Script, read: Read, closing: Closing): Pick<Store, 'hasten' | 'dismiss'> {
  return {
    hasten: (selection, { by = '', atMs }, limit) => {
      const { issuer, clientId, containmentId, id } = selection
      const candidates =
        id !== undefined
          ? one(read, id)
          : containmentId !== undefined
            ? inOrder(read, { issuer, containmentId })
            : waitingOf(read, issuer, clientId, atMs)
      const means = (d: Delivery) => isSelected(d, selection) && d.dueMs > atMs
      return change(candidates, means, limit, (ids) => script('hasten', atMs, by, ...ids))
    },

    dismiss: (selection, { by, atMs, reason = '' }, limit) => {
      const { id, createdFromMs: _from, createdBeforeMs: _before, ...filter } = selection
      const candidates = id !== undefined ? one(read, id) : inOrder(read, { ...filter, state: 'open' })
      const means = (d: Delivery) => isSelected(d, selection)
      return change(candidates, means, limit, async (ids) =>
        closing(selection.issuer, await script('dismiss', atMs, by, reason, ...ids)),
      )
    },
  }
}

/** Changes what is selected, `limit` at most; the script looks at each once more. */
async function change(
  candidates: AsyncIterable<Delivery>,
  means: (delivery: Delivery) => boolean,
  limit: number,
  act: (ids: readonly string[]) => Promise<unknown>,
): Promise<number> {
  let changed = 0
  let ids: string[] = []
  for await (const delivery of candidates) {
    if (means(delivery)) {
      ids.push(delivery.id)
    }
    if (changed + ids.length === limit) {
      changed += Number(await act(ids))
      ids = []
      if (changed === limit) {
        return changed
      }
    }
  }
  return changed + (ids.length > 0 ? Number(await act(ids)) : 0)
}

/** What waits, lane by lane: it leaves this range as soon as it is made due. */
async function* waitingOf(
  read: Read,
  issuer: string,
  clientId: string | undefined,
  nowMs: number,
): AsyncGenerator<Delivery> {
  const lanes =
    clientId === undefined
      ? (await read((client) => client.zRange(`${PREFIX}lanes`, 0, -1))).filter((lane) => lane.startsWith(`${issuer} `))
      : [laneOf(issuer, clientId)]
  for (const lane of lanes) {
    for (let offset = 0, full = true; full; offset += PAGE) {
      const found = await read(async (client) => {
        const limit = { LIMIT: { offset, count: PAGE } }
        return load(client, await client.zRangeByScore(`${PREFIX}due:${lane}`, `(${nowMs}`, '+inf', limit))
      })
      full = found.length === PAGE
      yield* found
    }
  }
}

/** Open, and all that is given holds. */
function isSelected(d: Delivery, s: Parameters<Store['dismiss']>[0]): boolean {
  return (
    d.state === 'open' &&
    d.issuer === s.issuer &&
    (s.id === undefined || d.id === s.id) &&
    (s.clientId === undefined || d.clientId === s.clientId) &&
    (s.containmentId === undefined || d.containmentId === s.containmentId) &&
    d.createdMs >= (s.createdFromMs ?? 0) &&
    d.createdMs < (s.createdBeforeMs ?? Infinity)
  )
}
