import type { Delivery } from '../relay/domain/model.ts'
import type { WatermarkChange } from '../relay/store/watermark-log.ts'
import type { Containment, Gap } from '../relay/store/port.ts'
import type { SecurityFeedTables } from './security-feed.ts'
import type { NoteTables } from './notes.ts'

export type Changing<T> = { -readonly [K in keyof T]: T[K] }
export type Row = Changing<Delivery> & { fence: number; leased: boolean; reported: boolean }

/** `lastEndMs`: when none of its sessions can live any more. `longestMs`: the longest that an end of it has taken. */
export type Kept = Containment & { readonly lastEndMs: number; readonly longestMs: number }

/** What relays that share the store know of each other, and of what it may have lost. */
interface SharedTables {
  epoch?: string
  /** The server that was met last. */
  run?: string
  gap?: Gap | undefined
  /** Until another server is met, or an emptied one. */
  era: string
  /** Since when the outbox may hold what is missing for whoever was still in an earlier era, by era. */
  readonly eras: Map<string, number>
  storedMs: number
  /** Every fence is above those of leases that are lost. */
  floor: number
  leader?: string
  /** When the lease of each ends. */
  readonly members: Map<string, number>
}

export interface Tables extends NoteTables, SecurityFeedTables {
  readonly events: Map<string, string>
  readonly containments: Map<string, Changing<Kept>>
  readonly deliveries: Map<string, Row>
  /** When each ends by itself, by issuer, client and session. */
  readonly unreachable: Map<string, { readonly issuer: string; readonly clientId: string; untilMs: number }>
  readonly watermarks: Map<string, WatermarkChange & { readonly issuer: string }>
  readonly shared: SharedTables
}

export const emptyTables = (): Tables => ({
  events: new Map(),
  containments: new Map(),
  deliveries: new Map(),
  unreachable: new Map(),
  watermarks: new Map(),
  journal: [],
  lines: 0,
  securityFeeds: new Map(),
  notes: new Map(),
  changes: [],
  shared: { era: '', eras: new Map(), storedMs: 0, floor: 0, members: new Map() },
})

/** What is written is seen at once, and survives the loss of power only after a sync. */
export class Disk {
  #seen = emptyTables()
  readonly #durable = emptyTables()
  #unsynced: ((tables: Tables) => unknown)[] = []

  get seen(): Tables {
    return this.#seen
  }

  get durable(): Tables {
    return this.#durable
  }

  /** @param change done once on each side, so it may depend on nothing but the tables; throws before it changes any */
  write<T>(change: (tables: Tables) => T): T {
    const result = change(this.#seen)
    this.#unsynced.push(change)
    return result
  }

  sync(): void {
    const changes = this.#unsynced
    this.#unsynced = []
    changes.forEach((change) => change(this.#durable))
  }

  /** The whole of it is gone. */
  loseAll(): void {
    this.#unsynced = []
    Object.assign(this.#durable, emptyTables())
    this.#seen = emptyTables()
  }

  /** A replica that is made master: it has what it was sent in time. */
  promoted(): Disk {
    const replica = new Disk()
    replica.#seen = structuredClone(this.#durable)
    Object.assign(replica.#durable, structuredClone(this.#durable))
    return replica
  }

  losePower(): void {
    this.#unsynced = []
    this.#seen = structuredClone(this.#durable)
  }
}
