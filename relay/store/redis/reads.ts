import { type Delivery, laneOf } from '../../domain/model.ts'
import type { DeliveryFilter } from '../port.ts'
import type { Client } from './connection.ts'
import { deliveryOf } from './rows.ts'
import { PREFIX } from './scripts.ts'

/** Ids or lanes that are asked for at once. */
export const PAGE = 500

/** Reads on the connection that work goes over. */
export type Read = <T>(use: (client: Client) => Promise<T>) => Promise<T>

/** The deliveries that are there, of those with these ids. */
export async function load(client: Client, ids: readonly string[]): Promise<Delivery[]> {
  const rows = await Promise.all(ids.map((id) => client.hGetAll(`${PREFIX}delivery:${id}`)))
  return rows.filter(({ id }) => id !== undefined).map(deliveryOf)
}

/** From the narrowest list of ids that holds them all, in the order of ids. */
export async function* inOrder(read: Read, filter: Omit<DeliveryFilter, 'limit'>): AsyncGenerator<Delivery> {
  const { issuer, state, clientId, containmentId } = filter
  const list =
    containmentId !== undefined
      ? `ids-of:${issuer} ${containmentId}`
      : state !== 'open'
        ? `ids:${issuer}`
        : clientId === undefined
          ? `open:${issuer}`
          : `open-of:${laneOf(issuer, clientId)}`
  for (let after = filter.after ?? ''; ;) {
    const from = after === '' ? '-' : `(${after}`
    const page = await read(async (client) => {
      const ids = await client.zRangeByLex(PREFIX + list, from, '+', { LIMIT: { offset: 0, count: PAGE } })
      return { last: ids.length === PAGE ? ids.at(-1) : undefined, deliveries: await load(client, ids) }
    })
    for (const delivery of page.deliveries) {
      if (
        (state === undefined || delivery.state === state) &&
        (clientId === undefined || delivery.clientId === clientId)
      ) {
        yield delivery
      }
    }
    if (page.last === undefined) {
      return
    }
    after = page.last
  }
}

/** The delivery with this id, if it is there. */
export async function* one(read: Read, id: string): AsyncGenerator<Delivery> {
  yield* await read((client) => load(client, [id]))
}

/** The other way round from `laneOf`: no issuer has a space. */
export function partsOf(lane: string): { issuer: string; clientId: string } {
  const at = lane.indexOf(' ')
  return { issuer: lane.slice(0, at), clientId: lane.slice(at + 1) }
}
