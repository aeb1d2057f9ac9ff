import type { Claim, Room } from '../../domain/model.ts'
import { SIBLING_CONFIRMED } from '../../domain/sibling.ts'
import { SIBLINGS, type Store } from '../port.ts'
import type { Closing } from './closings.ts'
import type { Member } from './member.ts'
import { load, PAGE, partsOf, type Read } from './reads.ts'
import { deliveryOf, rowOf } from './rows.ts'
import { PREFIX, type Script } from './scripts.ts'

type Work = Pick<Store, 'claim' | 'record' | 'release' | 'nextDueMs' | 'unreported' | 'reported'>

/** What the flow does with deliveries: a claim, its outcome, and the report of its end. */
export function workOn(script: Script, read: Read, member: Member, closing: Closing): Work {
  /** What this process has claimed, as far as it knows, and whether an answer was lost that says otherwise. */
  const held = new Set<string>()
  let inDoubt = false
  const doubting = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (cause) {
      inDoubt = true
      throw cause
    }
  }
  return {
    claim: async (nowMs, leaseMs, limit, room, only) => {
      if (inDoubt) {
        await script('give_back', member.id, ...held)
        inDoubt = false
      }
      const privileged: (string | number)[] = []
      for await (const { lane, place } of lanesWithRoom(read, 'privileged-lanes', nowMs, limit, room, 'privileged')) {
        privileged.push(lane, place.privileged)
      }
      const others: (string | number)[] = []
      if (only === undefined) {
        for await (const { lane, place } of lanesWithRoom(read, 'lanes', nowMs, limit, room, 'others')) {
          others.push(lane, place.others, place.latest)
        }
      }
      if (privileged.length + others.length === 0) {
        return []
      }
      const lanes = [privileged.length / 2, ...privileged, ...others]
      const rows = await doubting(script('claim', nowMs, leaseMs, limit, member.id, member.leaseMs, ...lanes))
      const claims = (rows as string[][]).map(rowOf).map((row): Claim => {
        return { delivery: deliveryOf(row), fence: Number(row['fence']) }
      })
      claims.forEach(({ delivery }) => held.add(delivery.id))
      return claims
    },

    record: async ({ delivery, fence }, outcome) => {
      const { id, issuer } = delivery
      const { state, atMs, dueMs, attempts, reason, status, target, evidence, endsSiblingsBeforeMs } = outcome
      const fields = [id, fence, state, atMs, dueMs, attempts, reason, status ?? '', JSON.stringify(target)]
      const siblings = [endsSiblingsBeforeMs ?? '', SIBLING_CONFIRMED, SIBLINGS]
      held.delete(id)
      return closing(issuer, await doubting(script('record', ...fields, JSON.stringify(evidence), ...siblings))) === '1'
    },

    release: async ({ delivery, fence }, dueMs) => {
      held.delete(delivery.id)
      await doubting(script('release', delivery.id, fence, dueMs))
    },

    nextDueMs: async (nowMs) => {
      const due = await script('next_due', nowMs)
      return due === null ? undefined : Number(due)
    },

    unreported: (issuer, limit) =>
      read(async (client) => load(client, await client.zRange(`${PREFIX}unreported:${issuer}`, 0, limit - 1))),

    reported: async (ids) => {
      if (ids.length > 0) {
        await script('reported', ...ids)
      }
    },
  }
}

/** Lanes with something due, those that have waited longest first. Each gives at least one, so more than `limit` are not needed. */
async function* lanesWithRoom(
  read: Read,
  list: 'lanes' | 'privileged-lanes',
  nowMs: number,
  limit: number,
  room: (issuer: string, clientId: string) => Room,
  which: 'privileged' | 'others',
): AsyncGenerator<{ lane: string; place: Room }> {
  let found = 0
  for (let offset = 0, full = true; full && found < limit; offset += PAGE) {
    const range = { LIMIT: { offset, count: PAGE } }
    const page = await read((client) => client.zRangeByScore(PREFIX + list, '-inf', nowMs, range))
    full = page.length === PAGE
    for (const lane of page) {
      const { issuer, clientId } = partsOf(lane)
      const place = room(issuer, clientId)
      if (place[which] > 0 && found++ < limit) {
        yield { lane, place }
      }
    }
  }
}
