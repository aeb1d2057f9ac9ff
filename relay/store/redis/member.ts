import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { VERSION } from '../../version.ts'
import type { Gap } from '../port.ts'
import type { Client, Connection } from './connection.ts'
import type { Locator } from './locate.ts'
import { runScript } from './scripts.ts'

const BEAT_MS = 1000
/** A process that has given no sign of life for so long is dead. With the beat, another has its claims within 8 s. */
const LEASE_MS = 7000
const FREE_AT_MOST = 500
/** How far before the gap the outbox is read again: the longest transaction there, and clocks that differ. */
const OVERLAP_MS = 600_000

export interface MemberPorts {
  readonly id: string
  readonly leaseMs?: number
  readonly nowMs: () => number
  readonly trouble: (what: string, cause: unknown) => void
}

/**
 * This process among those that share the store: it shows that it lives, frees what the dead had claimed, and knows whether
 * it leads. And it notices when the store is not the one that it was: another server, or one that was emptied.
 */
export class Member {
  readonly id: string
  readonly #ports: MemberPorts
  readonly #stop = new AbortController()
  #connections: readonly Connection[] = []
  #epoch = ''
  #leads = false
  #gap: Gap | undefined
  #ledMs = -Infinity

  constructor(ports: MemberPorts) {
    this.#ports = ports
    this.id = ports.id
  }

  /** Only for as long as the lease that says so: a process that stood still must not go on as leader. */
  get leads(): boolean {
    return this.#leads && performance.now() - this.#ledMs < this.leaseMs
  }

  /** How long it may give no sign of life before others take what it has claimed. */
  get leaseMs(): number {
    return this.#ports.leaseMs ?? LEASE_MS
  }

  /** What the outbox must be read again for. */
  get gap(): Gap | undefined {
    return this.#gap
  }

  closed({ id }: Gap): void {
    if (this.#gap?.id === id) {
      this.#gap = undefined
    }
  }

  /**
   * @param last the era that the connection was in before, '' if in none
   * @returns the one that it is in now, which lasts until another server is met
   */
  async greeted(client: Client, runId: string, last: string): Promise<string> {
    const args = [runId, this.#ports.nowMs(), randomUUID(), VERSION, OVERLAP_MS, last]
    const [epoch = '', gap = '', era = ''] = (await runScript(client, 'meet', args)) as string[]
    this.#epoch = epoch
    this.#gap = gapOf(gap)
    return era
  }

  start({
    connections,
    locator,
    follows,
  }: {
    connections: readonly Connection[]
    locator: Locator
    follows: boolean
  }): void {
    this.#connections = connections
    const [work] = connections
    const every = async () => {
      while (!this.#stop.signal.aborted) {
        if (work) {
          await this.#beat(work)
        }
        if (follows) {
          await this.#follow(connections, locator)
        }
        const pauseMs = Math.min(BEAT_MS, this.leaseMs / 5)
        await delay(pauseMs, undefined, { signal: this.#stop.signal }).catch(() => undefined)
      }
    }
    void every()
  }

  /** Gives everything back at once. What cannot be told now comes free with the end of the lease. */
  async leave(): Promise<void> {
    this.#stop.abort()
    this.#leads = false
    try {
      while ((await this.#connections[0]?.run((client) => runScript(client, 'leave', [this.id]))) as number);
    } catch {
      // The lease ends by itself.
    }
  }

  async #beat(work: Connection): Promise<void> {
    try {
      const began = performance.now()
      const args = [this.id, this.leaseMs, this.#epoch, FREE_AT_MOST]
      const [state, leads, gap = ''] = (await work.run((client) => runScript(client, 'beat', args))) as string[]
      if (state === 'emptied') {
        // Greeting it again gives it a new epoch, and the gap that goes with it.
        this.#connections.forEach((connection) => connection.drop('the store was emptied'))
        this.#ports.trouble('The store on Redis was emptied; the outbox is read again', undefined)
        return
      }
      this.#leads = leads === '1'
      this.#ledMs = began
      this.#gap = gapOf(gap)
    } catch (cause) {
      this.#ports.trouble('The store on Redis does not hear this relay', cause)
    }
  }

  /** A master that was replaced may still be there and talk, and knows nothing of it. */
  async #follow(connections: readonly Connection[], locator: Locator): Promise<void> {
    const now = await locator.find().catch(() => undefined)
    for (const connection of now ? connections : []) {
      const { address } = connection
      if (address && (address.host !== now?.host || address.port !== now.port)) {
        connection.drop('another server is master now')
      }
    }
  }
}

function gapOf(text: string): Gap | undefined {
  return text === '' ? undefined : { sinceMs: Number(text.split(' ')[0]), id: text }
}
