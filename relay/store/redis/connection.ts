import { createClient } from 'redis'
import { setTimeout as delay } from 'node:timers/promises'
import { RelayError } from '../../errors.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Access {
  readonly username?: string
  readonly password?: string
  /** TLS, with the certificates (PEM) to trust; those that Node trusts without any. */
  readonly tls?: { readonly ca?: string }
}

export type Client = ReturnType<typeof makeClient>

const CONNECT_MS = 2000
/** A server that has answered nothing for so long is given up: it may be stopped, cut off, or no master any more. */
const SILENT_MS = 3000
const PAUSE_MS = 100
const MOST_PAUSE_MS = 1000

/** One connection of `redis`, which does not come back by itself: what it meets next may be another server. */
export function makeClient({ host, port }: Address, { username, password, tls }: Access) {
  const client = createClient({
    socket: {
      host,
      port,
      connectTimeout: CONNECT_MS,
      reconnectStrategy: false,
      ...(tls ? { tls: true as const, ...(tls.ca === undefined ? {} : { ca: tls.ca }) } : {}),
    },
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    disableOfflineQueue: true,
  })
  // Told by the promises; without a listener it would end the process.
  client.on('error', () => undefined)
  return client
}

export interface ConnectionPorts {
  /** Where the master is now. */
  readonly find: () => Promise<Address>
  readonly access: Access
  /** Called on every new connection before anybody else may use it; throws to refuse the server. */
  readonly greet: (client: Client) => Promise<void>
}

/**
 * A connection to whatever is the master, kept for as long as it is not closed. No command is ever sent to a server that has
 * not been greeted, and none is sent twice: what was under way when a connection broke is rejected, done or not.
 */
export class Connection {
  readonly #ports: ConnectionPorts
  #client: Client | undefined
  #address: Address | undefined
  #closed = false
  #why = 'not connected yet'
  #failure: RelayError | undefined
  #pending = 0
  #heardMs = 0
  #changed: (() => void)[] = []
  readonly #watch: NodeJS.Timeout

  constructor(ports: ConnectionPorts) {
    this.#ports = ports
    this.#watch = setInterval(() => {
      if (this.#pending > 0 && performance.now() - this.#heardMs > SILENT_MS) {
        this.drop('it does not answer')
      }
    }, SILENT_MS / 6)
    void this.#keep()
  }

  get address(): Address | undefined {
    return this.#client && this.#address
  }

  /** Why there is no connection, or undefined. */
  get problem(): string | undefined {
    return this.#client ? undefined : this.#why
  }

  /**
   * Resolves when there is a connection; rejects when a server is there that must not be used.
   *
   * @param waiting told of each try that has failed
   */
  async ready(waiting: (why: string) => void): Promise<void> {
    while (!this.#client && !this.#closed) {
      await new Promise<void>((resolve) => this.#changed.push(resolve))
      if (this.#failure) {
        throw this.#failure
      }
      if (this.problem !== undefined) {
        waiting(this.problem)
      }
    }
  }

  /** Sends commands. Those of one turn of the event loop share one write, and with it one fsync of the server. */
  async run<T>(use: (client: Client) => Promise<T>): Promise<T> {
    const client = this.#client
    if (!client) {
      throw new RelayError('store_unavailable', `The store on Redis cannot be used: ${this.#why}`)
    }
    if (this.#pending++ === 0) {
      this.#heardMs = performance.now()
    }
    try {
      const answer = await use(client)
      this.#heardMs = performance.now()
      return answer
    } catch (cause) {
      if (cause instanceof RelayError) {
        throw cause
      }
      const words = wordsOf(cause)
      if (isRefusal(cause)) {
        this.drop(words)
      }
      throw new RelayError('store_unavailable', `The store on Redis failed: ${words}`, { cause })
    } finally {
      this.#pending--
    }
  }

  /** Gives this connection up; the next one finds the master anew. */
  drop(why: string): void {
    const client = this.#client
    this.#client = undefined
    this.#why = why
    if (client?.isOpen) {
      client.destroy()
    }
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#watch)
    this.drop('the store is closed')
    this.#tell()
  }

  async #keep(): Promise<void> {
    for (let pauseMs = PAUSE_MS; !this.#closed; pauseMs = Math.min(pauseMs * 2, MOST_PAUSE_MS)) {
      try {
        const address = await this.#ports.find()
        if (await this.#live(address)) {
          pauseMs = PAUSE_MS
        }
      } catch (cause) {
        this.#why = wordsOf(cause)
        this.#failure = refusalOf(cause)
        this.#tell()
      }
      await delay(pauseMs, undefined, { ref: false })
    }
  }

  /** One connection from its beginning to its end. Throws if it was never one to be used. */
  async #live(address: Address): Promise<boolean> {
    const client = makeClient(address, this.#ports.access)
    const gone = new Promise<void>((resolve) => client.once('terminated', resolve).once('end', resolve))
    try {
      await within(CONNECT_MS, client.connect())
      await within(SILENT_MS, this.#ports.greet(client))
      if (this.#isClosed()) {
        return false
      }
      this.#client = client
      this.#address = address
      this.#failure = undefined
      this.#tell()
      await gone
      if (this.#client === client) {
        this.drop('the connection broke')
      }
      return true
    } finally {
      if (client.isOpen) {
        client.destroy()
      }
    }
  }

  /** It may be closed while anything is waited for. */
  #isClosed(): boolean {
    return this.#closed
  }

  #tell(): void {
    this.#changed.splice(0).forEach((resolve) => resolve())
  }
}

/** The server takes nothing from us as it is now, whatever we ask: it is no master, or another relay's. */
export function isRefusal(cause: unknown): boolean {
  return /^(MOVED|READONLY|NOSCRIPT|LOADING|MASTERDOWN|CLUSTERDOWN|UNBLOCKED|NEWER)\b/.test(wordsOf(cause))
}

/** What does not pass by itself: our own refusal of a server, and the server's of us. */
function refusalOf(cause: unknown): RelayError | undefined {
  if (cause instanceof RelayError) {
    return cause.code === 'config_invalid' ? cause : undefined
  }
  const words = wordsOf(cause)
  return /^(WRONGPASS|NOAUTH|NOPERM)\b/.test(words)
    ? new RelayError('config_invalid', `Redis refuses this relay: ${words}; see docs/operate.md for its user`, {
        cause,
      })
    : undefined
}

/** The server's or the system's own words: they name addresses, settings and commands, nothing of ours. */
export function wordsOf(cause: unknown): string {
  const error = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause
  return error instanceof Error ? error.message || error.name : 'unknown'
}

export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const done = new AbortController()
  const late = delay(ms, undefined, { signal: done.signal }).then(
    () => Promise.reject(new Error(`no answer within ${ms} ms`)),
    () => new Promise<never>(() => undefined),
  )
  try {
    return await Promise.race([work, late])
  } finally {
    done.abort()
  }
}
