import type { Claim, Delivery, Evidence } from '../relay/domain/model.ts'
import { laneOf } from '../relay/domain/model.ts'
import { addedUp, countsOfClosed, monthOf } from '../relay/domain/month.ts'
import { siblingEnded } from '../relay/domain/sibling.ts'
import { RelayError } from '../relay/errors.ts'
import type { WatermarkChange } from '../relay/store/watermark-log.ts'
import { type Containment, type Outcome, type Selection, SIBLINGS, type Store } from '../relay/store/port.ts'
import { inTheirTurn } from './claims.ts'
import type { Changing, Disk, Kept, Row, Tables } from './disk.ts'
import { modelSecurityFeed } from './security-feed.ts'
import { modelNotes } from './notes.ts'
import { modelPrune } from './prune.ts'

const NOT_CLOSED = { closed: 0, sessions: 0, told: 0, withinSecond: 0, withinMinute: 0 }

const keyOf = (issuer: string, id: string) => `${issuer} ${id}`

/** How one process reaches the disk. Each may take its time and may reject. */
export interface DiskIo {
  arrive(): Promise<void>
  /** Resolves when the process knows that everything written so far is durable. */
  synced(): Promise<void>
  /** Resolves when the process knows what it has read. */
  answered(): Promise<void>
}

/**
 * The store's port on a model of a disk; the contract suite holds it to the same promises as the real ones.
 *
 * @param freeLeases whether opening it frees what was leased, as the one process of SQLite may do
 */
export function openModelStore(disk: Pick<Disk, 'seen' | 'write'>, io: DiskIo, freeLeases: boolean): Store {
  let closed = false
  const checkOpen = () => {
    if (closed) {
      throw new RelayError('store_unavailable', 'The store is closed')
    }
  }
  const write = async <T>(change: (tables: Tables) => T): Promise<T> => {
    checkOpen()
    await io.arrive()
    const result = disk.write(change)
    await io.synced()
    return result
  }
  const read = async <T>(look: (tables: Tables) => T): Promise<T> => {
    checkOpen()
    await io.arrive()
    const result = look(disk.seen)
    await io.answered()
    return result
  }
  if (freeLeases) {
    disk.write(({ deliveries, securityFeeds }) => {
      securityFeeds.forEach((feed) => (feed.leaseMs = 0))
      for (const row of deliveries.values()) {
        if (row.state === 'open' && row.leased) {
          Object.assign(row, { dueMs: 0, leased: false, fence: row.fence + 1 })
        }
      }
    })
  }

  return {
    accept: (event, { containmentId, atMs: createdMs, deliveries, unreachable, evidence, watermarks, lastEndMs }) =>
      write((tables) => {
        const { issuer, jti } = event
        if (tables.events.has(keyOf(issuer, jti))) {
          return 'duplicate'
        }
        const ids = new Set(deliveries.map(({ id }) => id))
        if (ids.size < deliveries.length || deliveries.some(({ id }) => tables.deliveries.has(id))) {
          throw new RelayError('store_unavailable', 'A session is named twice')
        }
        tables.events.set(keyOf(issuer, jti), containmentId)
        const key = keyOf(issuer, containmentId)
        const containment: Changing<Kept> = tables.containments.get(key) ?? {
          id: containmentId,
          issuer,
          trigger: event.trigger,
          eventMs: event.watermarkMs,
          createdMs,
          deliveries: 0,
          open: 0,
          dismissed: 0,
          parts: event.parts,
          arrived: 0,
          subject: event.subject,
          unreachable: 0,
          unreachableUntilMs: 0,
          lastEndMs,
          longestMs: 0,
        }
        containment.unreachable += unreachable.length
        for (const { clientId, sid, untilMs } of unreachable) {
          containment.unreachableUntilMs = Math.max(containment.unreachableUntilMs, untilMs)
          const name = `${laneOf(issuer, clientId)} ${sid}`
          const known = tables.unreachable.get(name)?.untilMs ?? 0
          tables.unreachable.set(name, { issuer, clientId, untilMs: Math.max(known, untilMs) })
        }
        containment.lastEndMs = Math.max(containment.lastEndMs, lastEndMs)
        containment.deliveries += deliveries.length
        containment.open += deliveries.length
        if (deliveries.length > 0 || event.parts > containment.parts) {
          delete containment.closedMs
        }
        if (event.parts > containment.parts) {
          Object.assign(containment, { parts: event.parts, arrived: 1 })
        } else if (event.parts === containment.parts) {
          containment.arrived = Math.min(containment.arrived + 1, containment.parts)
        }
        tables.containments.set(key, containment)
        for (const delivery of deliveries) {
          tables.unreachable.delete(`${laneOf(issuer, delivery.clientId)} ${delivery.sid}`)
          tables.deliveries.set(delivery.id, { ...delivery, fence: 0, leased: false, reported: false })
        }
        evidence.forEach((line) => addEvidence(tables, containment, line))
        let seq = Math.max(createdMs * 1000, ...changesOf(tables, issuer).map((change) => change.seq))
        for (const watermark of watermarks) {
          const name = keyOf(issuer, `${watermark.kind} ${watermark.name}`)
          const known = tables.watermarks.get(name)
          const watermarkMs = Math.max(known?.watermarkMs ?? 0, watermark.watermarkMs)
          const untilMs = Math.max(known?.untilMs ?? 0, watermark.untilMs)
          if (watermarkMs !== known?.watermarkMs || untilMs !== known.untilMs) {
            tables.watermarks.set(name, { ...watermark, issuer, watermarkMs, untilMs, seq: ++seq })
          }
        }
        closeIfEnded(tables, containment, createdMs)
        return 'accepted'
      }),

    unknown: (issuer, jtis) => read(({ events }) => jtis.filter((jti) => !events.has(keyOf(issuer, jti)))),

    claim: async (nowMs, leaseMs, limit, room, only) => {
      checkOpen()
      await io.arrive()
      const due = [...disk.seen.deliveries.values()].filter(
        (row) => row.state === 'open' && row.dueMs <= nowMs && (only === undefined || row.privileged),
      )
      const ids = inTheirTurn(due, room, limit).map(({ id }) => id)
      if (ids.length === 0) {
        await io.answered()
        return []
      }
      const claims = disk.write(({ deliveries, shared }) =>
        ids.flatMap((id): Claim[] => {
          const row = deliveries.get(id)
          if (!row) {
            return []
          }
          const fence = Math.max(row.fence + 1, shared.floor)
          Object.assign(row, { fence, leased: true, dueMs: nowMs + leaseMs })
          return [{ delivery: deliveryOf(row), fence: row.fence }]
        }),
      )
      await io.synced()
      return claims
    },

    record: ({ delivery, fence }, outcome) =>
      write((tables) => {
        const row = tables.deliveries.get(delivery.id)
        if (row?.fence !== fence || row.state !== 'open') {
          return false
        }
        const { state, attempts, dueMs, reason, status, target, atMs, evidence } = outcome
        Object.assign(row, { state, attempts, dueMs, target, lastReason: reason, leased: false })
        delete row.lastStatus
        if (status !== undefined) {
          row.lastStatus = status
        }
        const containment = containmentOf(tables, row)
        addEvidence(tables, containment, evidence)
        if (state !== 'open') {
          row.endedMs = atMs
          containment.open -= 1
          containment.dismissed += Number(state === 'dismissed')
          closeIfEnded(tables, containment, atMs)
          endSiblings(tables, row, outcome)
        }
        return true
      }),

    release: ({ delivery, fence }, dueMs) =>
      write(({ deliveries }) => {
        const row = deliveries.get(delivery.id)
        if (row?.fence === fence && row.state === 'open') {
          Object.assign(row, { dueMs, leased: false })
        }
      }),

    hasten: (selection, { by, atMs }, limit) =>
      write((tables) => {
        const rows = selected(tables, selection).filter((row) => !row.leased && row.dueMs > atMs)
        for (const row of rows.slice(0, limit)) {
          row.dueMs = atMs
          if (by !== undefined) {
            const data = { delivery: row.id, client_id: row.clientId, by }
            addEvidence(tables, containmentOf(tables, row), { kind: 'retry_asked', atMs, data })
          }
        }
        return Math.min(rows.length, limit)
      }),

    dismiss: (selection, { by, atMs, reason = '' }, limit) =>
      write((tables) => {
        const rows = selected(tables, selection).slice(0, limit)
        for (const row of rows) {
          const containment = containmentOf(tables, row)
          const { id, clientId, attempts } = row
          Object.assign(row, { state: 'dismissed', endedMs: atMs, lastReason: 'dismissed', leased: false })
          row.fence += 1
          const data = { delivery: id, client_id: clientId, attempts, by, reason }
          addEvidence(tables, containment, { kind: 'dismissed', atMs, data })
          containment.open -= 1
          containment.dismissed += 1
          closeIfEnded(tables, containment, atMs)
        }
        return rows.length
      }),

    nextDueMs: (nowMs) =>
      read(({ deliveries }) => {
        const later = [...deliveries.values()].filter((row) => row.state === 'open' && row.dueMs > nowMs)
        return later.length === 0 ? undefined : Math.min(...later.map(({ dueMs }) => dueMs))
      }),

    unreported: (issuer, limit) =>
      read(({ deliveries }) =>
        [...deliveries.values()]
          .filter((row) => row.issuer === issuer && row.state !== 'open' && !row.reported)
          .slice(0, limit)
          .map(deliveryOf),
      ),

    reported: (ids) =>
      write(({ deliveries }) => {
        for (const id of ids) {
          const row = deliveries.get(id)
          if (row && row.state !== 'open') {
            row.reported = true
          }
        }
      }),

    containments: ({ issuer, subject, beforeMs = Infinity, limit }) =>
      read(({ containments }) =>
        [...containments.values()]
          .filter((each) => each.issuer === issuer && each.createdMs < beforeMs)
          .filter((each) => subject === undefined || each.subject === subject)
          .sort((a, b) => b.createdMs - a.createdMs)
          .slice(0, limit)
          .map(listedOf),
      ),

    containment: (issuer, id, { from, limit } = { from: 0, limit: Infinity }) =>
      read(({ containments, journal }) => {
        const containment = containments.get(keyOf(issuer, id))
        const its = journal
          .filter((line) => line.issuer === issuer && line.containmentId === id)
          .slice(from, from + limit)
        return containment && { containment: listedOf(containment), evidence: its.map(({ evidence }) => evidence) }
      }),

    deliveries: ({ issuer, state, clientId, containmentId, after = '', limit }) =>
      read(({ deliveries }) =>
        [...deliveries.values()]
          .filter(
            (row) =>
              row.issuer === issuer &&
              (state === undefined || row.state === state) &&
              (clientId === undefined || row.clientId === clientId) &&
              (containmentId === undefined || row.containmentId === containmentId) &&
              row.id > after,
          )
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .slice(0, limit)
          .map(deliveryOf),
      ),

    months: (issuer) =>
      read(({ containments }) =>
        addedUp(
          [...containments.values()]
            .filter((one) => one.issuer === issuer)
            .map(({ createdMs, closedMs, longestMs, ...one }) => ({
              ...{ month: monthOf(createdMs), containments: 1, ...NOT_CLOSED },
              ...(closedMs === undefined ? {} : countsOfClosed({ ...one, closedMs })),
              longestMs,
            })),
        ),
      ),

    open: () =>
      read(({ deliveries }) => {
        const lanes = Map.groupBy(
          [...deliveries.values()].filter(({ state }) => state === 'open'),
          ({ issuer, clientId }) => laneOf(issuer, clientId),
        )
        return [...lanes.values()].flatMap((rows) => {
          const [oldest] = rows.sort((a, b) => a.createdMs - b.createdMs)
          return oldest
            ? [
                {
                  ...{ issuer: oldest.issuer, clientId: oldest.clientId, count: rows.length },
                  ...{ oldestMs: oldest.createdMs, asked: oldest.attempts > 0 },
                  ...(oldest.lastReason === undefined ? {} : { lastReason: oldest.lastReason }),
                },
              ]
            : []
        })
      }),

    unreachable: (nowMs) =>
      read(({ unreachable }) => {
        const live = [...unreachable.values()].filter(({ untilMs }) => untilMs > nowMs)
        return [...Map.groupBy(live, ({ issuer, clientId }) => laneOf(issuer, clientId)).values()].flatMap((those) => {
          const [first] = those
          const untilMs = Math.max(...those.map((one) => one.untilMs))
          return first ? [{ ...first, count: those.length, untilMs }] : []
        })
      }),

    watermarks: (issuer, after, limit) =>
      read((tables) =>
        changesOf(tables, issuer)
          .filter(({ seq }) => seq > after)
          .sort((a, b) => a.seq - b.seq)
          .slice(0, limit),
      ),

    watermarksOf: (issuer, sub, sid, client) =>
      read((tables) => {
        const names = { sub, sid, kept: sid, client }
        return changesOf(tables, issuer).filter(({ kind, name }) => name === names[kind])
      }),

    ...modelSecurityFeed(write),
    ...modelNotes(write, read),
    ...modelPrune(write),

    close: () => {
      closed = true
      return Promise.resolve()
    },
  }
}

function selected({ deliveries }: Tables, s: Selection): Row[] {
  return [...deliveries.values()].filter(
    (row) =>
      row.state === 'open' &&
      row.issuer === s.issuer &&
      (s.id === undefined || row.id === s.id) &&
      (s.clientId === undefined || row.clientId === s.clientId) &&
      (s.containmentId === undefined || row.containmentId === s.containmentId) &&
      row.createdMs >= (s.createdFromMs ?? 0) &&
      row.createdMs < (s.createdBeforeMs ?? Infinity),
  )
}

function containmentOf({ containments }: Tables, { issuer, containmentId }: Row): Changing<Kept> {
  const containment = containments.get(keyOf(issuer, containmentId))
  if (!containment) {
    throw new TypeError('A delivery without its containment')
  }
  return containment
}

function addEvidence(tables: Tables, { issuer, id, trigger, subject }: Containment, evidence: Evidence): void {
  const whose = subject === undefined ? {} : { subject }
  tables.journal.push({ issuer, containmentId: id, trigger, ...whose, evidence, n: ++tables.lines })
}

function closeIfEnded(tables: Tables, containment: Changing<Kept>, atMs: number): void {
  if (containment.open === 0 && containment.arrived === containment.parts && containment.closedMs === undefined) {
    containment.closedMs = atMs
    const took = countsOfClosed({ ...containment, closedMs: atMs }).longestMs
    containment.longestMs = Math.max(containment.longestMs, took)
    const { deliveries, eventMs } = containment
    addEvidence(tables, containment, { kind: 'closed', atMs, data: { deliveries, ms_since_event: atMs - eventMs } })
  }
}

function endSiblings(tables: Tables, row: Row, { atMs, status, endsSiblingsBeforeMs = -Infinity }: Outcome): void {
  const siblings = [...tables.deliveries.values()].filter(
    ({ state, leased, issuer, clientId, sid, createdMs }) =>
      state === 'open' &&
      !leased &&
      issuer === row.issuer &&
      clientId === row.clientId &&
      sid === row.sid &&
      createdMs < endsSiblingsBeforeMs,
  )
  for (const sibling of siblings.slice(0, SIBLINGS)) {
    const { reason, evidence } = siblingEnded(sibling, row, atMs)
    Object.assign(sibling, { state: 'delivered', endedMs: atMs, lastReason: reason })
    if (status !== undefined) {
      sibling.lastStatus = status
    }
    const containment = containmentOf(tables, sibling)
    addEvidence(tables, containment, evidence)
    containment.open -= 1
    closeIfEnded(tables, containment, atMs)
  }
}

function deliveryOf({ fence: _fence, leased: _leased, reported: _reported, ...delivery }: Row): Delivery {
  return delivery
}

function listedOf({ lastEndMs: _lastEndMs, longestMs: _longestMs, ...containment }: Kept): Containment {
  return containment
}

function changesOf({ watermarks }: Tables, issuer: string): WatermarkChange[] {
  return [...watermarks.values()]
    .filter((change) => change.issuer === issuer)
    .map(({ kind, name, watermarkMs, untilMs, seq }) => ({ kind, name, watermarkMs, untilMs, seq }))
}
