import { type Access, type Address, type Client, makeClient, within } from './connection.ts'

const ASK_MS = 1000

export type Where =
  | { readonly nodes: readonly Address[] }
  | { readonly sentinels: readonly Address[]; readonly master: string; readonly access: Access }

/** Knows where the master is: a server by name, the owner of our keys in a Redis Cluster, or what the Sentinels say. */
export class Locator {
  readonly #where: Where
  #turn = 0
  #redirected: Address | undefined
  #sentinel: Client | undefined

  constructor(where: Where) {
    this.#where = where
  }

  async find(): Promise<Address> {
    if ('nodes' in this.#where) {
      const { nodes } = this.#where
      const address = this.#redirected ?? nodes[this.#turn++ % nodes.length]
      this.#redirected = undefined
      if (!address) {
        throw new TypeError('At least one node must be given')
      }
      return address
    }
    const { sentinels, master, access } = this.#where
    let last: unknown
    for (const _ of sentinels) {
      try {
        this.#sentinel ??= await within(ASK_MS, this.#ask(sentinels[this.#turn++ % sentinels.length], access))
        const answer = await within(
          ASK_MS,
          this.#sentinel.sendCommand<[string, string] | null>(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master]),
        )
        if (answer) {
          return { host: answer[0], port: Number(answer[1]) }
        }
        last = new Error(`the Sentinel knows no master named ${master}`)
      } catch (cause) {
        last = cause
      }
      this.close()
    }
    throw new Error('no Sentinel says where the master is', { cause: last })
  }

  /** A node of a cluster has named the one that owns our keys: `MOVED <slot> <host>:<port>`. */
  moved(words: string): void {
    const [, host, port] = /^MOVED \d+ (.+):(\d+)$/.exec(words) ?? []
    this.#redirected = host === undefined ? undefined : { host, port: Number(port) }
  }

  close(): void {
    if (this.#sentinel?.isOpen) {
      this.#sentinel.destroy()
    }
    this.#sentinel = undefined
  }

  async #ask(address: Address | undefined, access: Access): Promise<Client> {
    if (!address) {
      throw new TypeError('At least one Sentinel must be given')
    }
    const client = makeClient(address, access)
    client.once('terminated', () => {
      if (this.#sentinel === client) {
        this.#sentinel = undefined
      }
    })
    try {
      await client.connect()
      return client
    } catch (cause) {
      if (client.isOpen) {
        client.destroy()
      }
      throw cause
    }
  }
}
