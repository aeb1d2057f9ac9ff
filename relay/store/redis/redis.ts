import type { Claim, Delivery, Evidence, Room } from '../../domain/model.ts'
import { laneOf } from '../../domain/model.ts'
import { SIBLING_CONFIRMED } from '../../domain/sibling.ts'
import { type DeliveryFilter, SIBLINGS, type Store } from '../port.ts'
import { Accepts } from './accepts.ts'
import type { Client } from './connection.ts'
import { feedOn } from './feed.ts'
import { join, type JoinOptions } from './join.ts'
import { notesOn } from './notes.ts'
import { containmentOf, deliveryOf, rowOf, watermarkOf, wordsOfRow } from './rows.ts'
import { PREFIX, runScript, type Script } from './scripts.ts'

const PAGE = 500

export interface RedisOptions extends JoinOptions {
  /** Told of each containment whose last delivery has ended, for metrics. */
  readonly closed?: (issuer: string, msSinceEvent: number) => void
}

/**
 * The store on Redis, for one or several relay processes. Every change is one Lua script; what a relay may rely on is in
 * docs/operate.md.
 *
 * @throws RelayError `config_invalid` naming the setting of a Redis that may forget what it has acknowledged, or whose data
 *   are of a newer relay. One that cannot be reached is waited for.
 */
export async function openRedisStore(options: RedisOptions): Promise<Store> {
  const { replicas } = options
  const { work, events, member, promised, weaknesses, leave } = await join(options)
  const accepts = new Accepts(events, replicas, promised)
  const script: Script = (name, ...args) => work.run((client) => runScript(client, name, args))
  /** The answer of a script that may have closed containments, without them. */
  const closing = (issuer: string, answer: unknown): string => {
    const [first = '', ...closings] = answer as string[]
    closings.forEach((ms) => options.closed?.(issuer, Number(ms)))
    return first
  }
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
  const read = <T>(use: (client: Client) => Promise<T>) => work.run(use)
  const load = async (client: Client, ids: readonly string[]): Promise<Delivery[]> => {
    const rows = await Promise.all(ids.map((id) => client.hGetAll(`${PREFIX}delivery:${id}`)))
    return rows.filter(({ id }) => id !== undefined).map(deliveryOf)
  }
  /** From the narrowest list of ids that holds them all, in the order of ids. */
  async function* inOrder(filter: Omit<DeliveryFilter, 'limit'>): AsyncGenerator<Delivery> {
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
  /** Lanes with something due, those that have waited longest first. Each gives at least one, so more than `limit` are not needed. */
  async function* lanesWithRoom(
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
  /** What waits, lane by lane: it leaves this range as soon as it is made due. */
  async function* waitingOf(issuer: string, clientId: string | undefined, nowMs: number): AsyncGenerator<Delivery> {
    const lanes =
      clientId === undefined
        ? (await read((client) => client.zRange(`${PREFIX}lanes`, 0, -1))).filter((lane) =>
            lane.startsWith(`${issuer} `),
          )
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

  return {
    shared: {
      leads: () => member.leads,
      gap: () => member.gap,
      closeGap: (gap) => script('close_gap', gap.id).then(() => member.closed(gap)),
      stored: (issuer, untilMs) => script('stored', issuer, untilMs).then(() => undefined),
      weaknesses,
      promised: () => (replicas > 0 ? `${promised()}, ${replicas} replicas` : promised()),
      problem: () => work.problem ?? events.problem,
    },

    accept: async (event, { containmentId, deliveries, evidence, watermarks, lastEndMs }) => {
      const answer = await accepts.accept([
        ...[event.issuer, event.jti, containmentId, event.trigger, event.watermarkMs],
        evidence[0]?.atMs ?? event.removedAtMs,
        event.parts,
        lastEndMs,
        deliveries.length,
        ...deliveries.flatMap((delivery) => {
          const { id, clientId, dueMs, createdMs, privileged } = delivery
          const row = wordsOfRow(delivery)
          return [id, clientId, delivery.sid, dueMs, createdMs, String(privileged), row.length, ...row]
        }),
        evidence.length,
        ...evidence.map((line) => JSON.stringify(line)),
        watermarks.length,
        ...watermarks.flatMap(({ kind, name, watermarkMs, untilMs }) => [kind, name, watermarkMs, untilMs]),
      ])
      return closing(event.issuer, answer) as 'accepted' | 'duplicate'
    },

    unknown: (issuer, jtis) =>
      read(async (client) => {
        const known = await Promise.all(jtis.map((jti) => client.exists(`${PREFIX}event:${issuer} ${jti}`)))
        return jtis.filter((_, n) => known[n] === 0)
      }),

    claim: async (nowMs, leaseMs, limit, room, only) => {
      if (inDoubt) {
        await script('give_back', member.id, ...held)
        inDoubt = false
      }
      const privileged: (string | number)[] = []
      for await (const { lane, place } of lanesWithRoom('privileged-lanes', nowMs, limit, room, 'privileged')) {
        privileged.push(lane, place.privileged)
      }
      const others: (string | number)[] = []
      if (only === undefined) {
        for await (const { lane, place } of lanesWithRoom('lanes', nowMs, limit, room, 'others')) {
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
      const { state, atMs, dueMs, attempts, reason, status, logoutUri, evidence, endsSiblingsBeforeMs } = outcome
      const fields = [id, fence, state, atMs, dueMs, attempts, reason, status ?? '', logoutUri]
      const siblings = [endsSiblingsBeforeMs ?? '', SIBLING_CONFIRMED, SIBLINGS]
      held.delete(id)
      return closing(issuer, await doubting(script('record', ...fields, JSON.stringify(evidence), ...siblings))) === '1'
    },

    release: async ({ delivery, fence }, dueMs) => {
      held.delete(delivery.id)
      await doubting(script('release', delivery.id, fence, dueMs))
    },

    hasten: (selection, { by = '', atMs }, limit) => {
      const { issuer, clientId, containmentId, id } = selection
      const candidates =
        id !== undefined
          ? one(id)
          : containmentId !== undefined
            ? inOrder({ issuer, containmentId })
            : waitingOf(issuer, clientId, atMs)
      const means = (d: Delivery) => isSelected(d, selection) && d.dueMs > atMs
      return change(candidates, means, limit, (ids) => script('hasten', atMs, by, ...ids))
    },

    dismiss: (selection, { by, atMs, reason = '' }, limit) => {
      const { id, createdFromMs: _from, createdBeforeMs: _before, ...filter } = selection
      const candidates = id !== undefined ? one(id) : inOrder({ ...filter, state: 'open' })
      const means = (d: Delivery) => isSelected(d, selection)
      return change(candidates, means, limit, async (ids) =>
        closing(selection.issuer, await script('dismiss', atMs, by, reason, ...ids)),
      )
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

    containments: (issuer, limit, before) =>
      read(async (client) => {
        const range = { BY: 'SCORE', REV: true, LIMIT: { offset: 0, count: limit } } as const
        const from = before === undefined ? '+inf' : `(${before}`
        const ids = await client.zRange(`${PREFIX}containments:${issuer}`, from, '-inf', range)
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
      for await (const delivery of inOrder(filter)) {
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
            return { ...partsOf(lane), count, oldestMs: oldest[0]?.score ?? 0 }
          }),
        )
        return all.filter(({ count }) => count > 0)
      }),

    watermarks: async (issuer, after, limit) => {
      const flat = (await script('watermarks', issuer, after, limit)) as string[]
      return Array.from({ length: flat.length / 3 }, (_, n) => {
        const [name = '', seq, times = ''] = flat.slice(3 * n, 3 * n + 3)
        return { ...watermarkOf(name, times), seq: Number(seq) }
      })
    },

    watermarksOf: (issuer, sub, sid) =>
      read(async (client) => {
        const names = [`sub ${sub}`, ...(sid === undefined ? [] : [`sid ${sid}`, `kept ${sid}`])]
        const times = await client.hmGet(`${PREFIX}watermark:${issuer}`, names)
        return names.flatMap((name, n) => (times[n] == null ? [] : watermarkOf(name, times[n])))
      }),

    prune: async ({ nowMs, endedBeforeMs, fed, limit }) => {
      const counts = (await script('prune', nowMs, endedBeforeMs, limit, ...fed)) as number[]
      const [watermarks = 0, containments = 0, deliveries = 0, evidence = 0, changes = 0] = counts
      return { watermarks, containments, deliveries, evidence, changes }
    },

    ...feedOn(script),
    ...notesOn(script, read),
    close: leave,
  }

  async function* one(id: string): AsyncGenerator<Delivery> {
    yield* await read((client) => load(client, [id]))
  }
}

/** The other way round from `laneOf`: no issuer has a space. */
function partsOf(lane: string): { issuer: string; clientId: string } {
  const at = lane.indexOf(' ')
  return { issuer: lane.slice(0, at), clientId: lane.slice(at + 1) }
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
