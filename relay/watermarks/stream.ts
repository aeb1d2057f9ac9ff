import { randomBytes } from 'node:crypto'
import { type BatchClaims, digestOf, type SignedBatch } from '../../guard/batch.ts'
import { KIND } from '../../guard/hash.ts'
import { type Claims, ENTRY, type Verdict, Watermarks } from '../../guard/watermarks.ts'
import type { StreamKey } from './key.ts'
import type { WatermarkChange, WatermarkLog } from '../store/watermark-log.ts'

/** Entries in one batch, and so how long the event loop is held at once. */
const BATCH = 8192
/** What was read for one guard serves others of its client that ask soon after: thousands may come at once. */
const SHARED_MS = 10_000
/** Batches that are kept for guards that are all in the same place, as after a restart. Each has up to 220 kB. */
const MOST_SHARED = 64
/** How often a guard hears that nothing has happened. */
const BEAT_MS = 5000

export interface StreamPorts {
  readonly issuer: string
  readonly log: Pick<WatermarkLog, 'watermarks'>
  readonly key: StreamKey
  readonly nowMs: () => number
}

/** A guard that is connected. */
export interface Subscriber {
  /** Sends what {@link eventOf} made; false if the guard is too far behind and is to be let go. */
  send(event: Uint8Array): boolean
  end(): void
}

interface Channel {
  /** Where its connected guards are. */
  seq: number
  readonly names: Watermarks
  readonly subscribers: Set<Subscriber>
}

interface Part {
  readonly line: string
  readonly seq: number
}

/**
 * The watermark stream of one realm. Each client has a channel: the same changes for all, under hashes that only its own guards can
 * compute, signed once however many they are. {@link check} answers for guards that do not follow it.
 */
export class WatermarkStream {
  readonly #ports: StreamPorts
  readonly #channels = new Map<string, Channel>()
  readonly #parts = new Map<string, { readonly atMs: number; readonly parts: Promise<Part[]> }>()
  /** Batches by client and by what they follow on, until there is news or the next beat. */
  readonly #next = new Map<string, Promise<Part>>()
  readonly #known = new Watermarks(randomBytes(8))
  #head = 0
  #readMs = -Infinity
  #beatMs = -Infinity
  #reading: Promise<void> = Promise.resolve()
  #queued: Promise<void> | undefined

  constructor(ports: StreamPorts) {
    this.#ports = ports
  }

  /** When the log was last read to its end; -Infinity before that. */
  get readMs(): number {
    return this.#readMs
  }

  get subscribers(): number {
    return [...this.#channels.values()].reduce((sum, { subscribers }) => sum + subscribers.size, 0)
  }

  check(claims: Claims): Verdict {
    return this.#known.check(claims, this.#ports.nowMs())
  }

  watermarkMs(sub: string): number {
    return this.#known.watermarkMs(sub)
  }

  /** Reads what is new and tells every guard. Calls that come meanwhile share the next one; rejects with the store. */
  advance(): Promise<void> {
    if (!this.#queued) {
      const run = this.#reading.then(() => {
        this.#queued = undefined
        return this.#advance()
      })
      this.#queued = run
      this.#reading = run.catch(() => undefined)
    }
    return this.#queued
  }

  async #advance(): Promise<void> {
    const { issuer, log, nowMs } = this.#ports
    let changes: WatermarkChange[]
    for (const [clientId, { atMs }] of this.#parts) {
      if (nowMs() - atMs >= SHARED_MS) {
        this.#parts.delete(clientId)
      }
    }
    do {
      const atMs = nowMs()
      changes = await log.watermarks(issuer, this.#head, BATCH)
      for (const { kind, name, watermarkMs, untilMs } of changes) {
        this.#known.add(KIND[kind], name, watermarkMs, untilSeconds(untilMs), atMs)
      }
      const head = (this.#head = changes.at(-1)?.seq ?? this.#head)
      const readMs = changes.length < BATCH ? atMs : this.#readMs
      // Who joins while this is signed finds a channel that is behind the head, and asks again.
      if (changes.length > 0 || atMs - this.#beatMs >= BEAT_MS) {
        this.#beatMs = atMs
        this.#next.clear()
        await Promise.all([...this.#channels].map(([id, channel]) => this.#publish(id, channel, changes, head, readMs)))
      }
      this.#readMs = readMs
    } while (changes.length === BATCH)
  }

  async #publish(
    clientId: string,
    channel: Channel,
    changes: readonly WatermarkChange[],
    head: number,
    readMs: number,
  ): Promise<void> {
    const fresh = changes.filter(({ seq }) => seq > channel.seq)
    const seq = Math.max(head, channel.seq)
    const { line } = await this.#part(clientId, channel.names, fresh, { after: channel.seq, seq, head: seq }, readMs)
    // From here nothing waits: whoever joins is either before this line or after it.
    channel.seq = seq
    const event = eventOf(line)
    for (const subscriber of channel.subscribers) {
      if (!subscriber.send(event)) {
        channel.subscribers.delete(subscriber)
      }
    }
    if (channel.subscribers.size === 0) {
      this.#channels.delete(clientId)
    }
  }

  /**
   * What a guard gets that asks with this cursor: first the answer to its nonce, then all that it lacks.
   *
   * @returns where the guard is when it has read everything, or undefined at once for a cursor that this store has not come
   *   to: it was restored from a backup, and the guard must read it all again
   */
  async *catchUp(clientId: string, cursor: number, nonce: string): AsyncGenerator<string, number | undefined> {
    const { issuer, key } = this.#ports
    // Read after the guard has asked: that is what the nonce proves.
    await this.advance()
    if (cursor > this.#head) {
      return undefined
    }
    const hashKey = key.hashKey(issuer, clientId)
    const names = new Watermarks(hashKey)
    let seq = cursor
    const first = { nonce, hash_key: Buffer.from(hashKey).toString('base64url') }
    yield (await this.#part(clientId, names, [], { after: cursor, seq: cursor, head: this.#head, ...first })).line
    if (cursor === 0) {
      for (const part of await this.#snapshot(clientId)) {
        yield part.line
        seq = part.seq
      }
    }
    for await (const part of this.since(clientId, seq)) {
      yield part.line
      seq = part.seq
    }
    return seq
  }

  /** Batch by batch to the head, wherever it is by then. */
  async *since(clientId: string, seq: number): AsyncGenerator<Part> {
    const names = new Watermarks(this.#ports.key.hashKey(this.#ports.issuer, clientId))
    while (seq < this.#head) {
      const part = await this.#nextPart(clientId, names, seq)
      yield part
      seq = part.seq
    }
  }

  #nextPart(clientId: string, names: Watermarks, after: number): Promise<Part> {
    const place = `${after} ${clientId}`
    const shared = this.#next.get(place)
    if (shared || this.#next.size >= MOST_SHARED) {
      return shared ?? this.#read(clientId, names, after)
    }
    const part = this.#read(clientId, names, after)
    this.#next.set(place, part)
    part.catch(() => this.#next.delete(place))
    return part
  }

  /** From now on the guard gets every change; false if it is not where its client's channel is: catch up once more. */
  join(clientId: string, seq: number, subscriber: Subscriber): boolean {
    const channel = this.#channels.get(clientId) ?? {
      seq: this.#head,
      names: new Watermarks(this.#ports.key.hashKey(this.#ports.issuer, clientId)),
      subscribers: new Set(),
    }
    if (seq !== channel.seq) {
      return false
    }
    this.#channels.set(clientId, channel)
    channel.subscribers.add(subscriber)
    return true
  }

  leave(clientId: string, subscriber: Subscriber): void {
    this.#channels.get(clientId)?.subscribers.delete(subscriber)
  }

  /** Lets every guard go; each comes back with its cursor. */
  end(): void {
    for (const { subscribers } of this.#channels.values()) {
      subscribers.forEach((subscriber) => subscriber.end())
    }
    this.#channels.clear()
  }

  #snapshot(clientId: string): Promise<Part[]> {
    const nowMs = this.#ports.nowMs()
    const shared = this.#parts.get(clientId)
    if (shared && nowMs - shared.atMs < SHARED_MS) {
      return shared.parts
    }
    const read = () => Array.fromAsync(this.since(clientId, 0))
    const parts = read()
    parts.catch(() => this.#parts.delete(clientId))
    this.#parts.set(clientId, { atMs: nowMs, parts })
    return parts
  }

  async #read(clientId: string, names: Watermarks, after: number): Promise<Part> {
    const head = this.#head
    const read = await this.#ports.log.watermarks(this.#ports.issuer, after, BATCH)
    const changes = read.filter(({ seq }) => seq <= head)
    // A row that moved on meanwhile leaves a gap; the guard is brought over it.
    const last = changes.at(-1)?.seq
    const seq = last !== undefined && changes.length === BATCH ? last : head
    return this.#part(clientId, names, changes, { after, seq, head })
  }

  async #part(
    clientId: string,
    names: Watermarks,
    changes: readonly WatermarkChange[],
    place: Pick<BatchClaims, 'after' | 'seq' | 'head' | 'nonce' | 'hash_key'>,
    // When the log was last read to its end, not when this is signed: what was not read cannot be vouched for.
    readMs = this.#readMs,
  ): Promise<Part> {
    const { issuer, key } = this.#ports
    const entries = new Uint8Array(changes.length * ENTRY)
    const view = new DataView(entries.buffer)
    changes.forEach(({ kind, name, watermarkMs, untilMs }, n) =>
      names.encode(KIND[kind], name, watermarkMs, untilSeconds(untilMs), view, n * ENTRY),
    )
    const jws = await key.sign({
      iss: issuer,
      aud: clientId,
      ...place,
      at_ms: Math.max(0, readMs),
      entries_sha256: digestOf(entries),
    })
    const batch: SignedBatch = { jws, entries: Buffer.from(entries.buffer).toString('base64') }
    return { line: JSON.stringify(batch), seq: place.seq }
  }
}

/** A line as a server-sent event: made once, however many it goes to. */
export function eventOf(line: string): Uint8Array {
  return Buffer.from(`data: ${line}\n\n`)
}

function untilSeconds(untilMs: number): number {
  return Math.min(Math.ceil(untilMs / 1000), 0xffff_ffff)
}
