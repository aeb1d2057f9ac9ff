import { RelayError } from '../../errors.ts'
import { type Client, type Connection, isRefusal } from './connection.ts'
import { runScript } from './scripts.ts'
import type { Promised } from './server.ts'

/** Longer than a replica that keeps up ever needs; then the event is refused and the outbox keeps it. */
const WAIT_MS = 1000

interface Waiting {
  readonly args: readonly (string | number)[]
  readonly resolve: (answer: string[]) => void
  readonly reject: (cause: unknown) => void
}

/**
 * Group commit: events that come while others are being written wait and then go together, with one wait for the disk and the
 * replicas. An event is accepted only when it is kept as safely as it was promised; a `duplicate` too, since the one
 * before it may not have been.
 */
export class Accepts {
  readonly #connection: Connection
  readonly #replicas: number
  readonly #promised: () => Promised
  #waiting: Waiting[] = []
  #busy = false

  /** @param replicas how many must have an event before it counts as accepted */
  constructor(connection: Connection, replicas: number, promised: () => Promised) {
    this.#connection = connection
    this.#replicas = replicas
    this.#promised = promised
  }

  /** Resolves to the answer of the script, whose first word is `accepted` or `duplicate`. */
  accept(args: readonly (string | number)[]): Promise<string[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ args, resolve, reject })
      if (!this.#busy) {
        this.#busy = true
        setImmediate(() => void this.#write())
      }
    })
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const together = this.#waiting.splice(0)
      const kept = this.#connection.run(async (client) => {
        const outcomes = together.map(({ args }) => runScript(client, 'accept', args))
        const [settled] = await Promise.all([Promise.allSettled(outcomes), this.#kept(client)])
        const refused = settled.find((outcome) => outcome.status === 'rejected' && isRefusal(outcome.reason))
        if (refused?.status === 'rejected') {
          throw refused.reason
        }
        return settled
      })
      await kept.then(
        (settled) => {
          settled.forEach((outcome, n) => {
            if (outcome.status === 'fulfilled') {
              together[n]?.resolve(outcome.value as string[])
            } else {
              const words = outcome.reason instanceof Error ? outcome.reason.message : 'unknown'
              together[n]?.reject(
                new RelayError('store_unavailable', `The store on Redis did not take an event: ${words}`, {
                  cause: outcome.reason,
                }),
              )
            }
          })
        },
        (cause: unknown) => together.forEach(({ reject }) => reject(cause)),
      )
    }
    this.#busy = false
  }

  async #kept(client: Client): Promise<void> {
    let disks = 1
    let replicas = this.#replicas
    if (this.#promised() === 'waitaof') {
      ;[disks, replicas] = await client.sendCommand<[number, number]>([
        'WAITAOF',
        '1',
        String(this.#replicas),
        String(WAIT_MS),
      ])
    } else if (this.#replicas > 0) {
      replicas = await client.wait(this.#replicas, WAIT_MS)
    }
    if (disks < 1 || replicas < this.#replicas) {
      throw new RelayError(
        'store_unavailable',
        `An event was not kept as promised: ${replicas} of ${this.#replicas} replicas have it${disks < 1 ? ', and no disk' : ''}`,
      )
    }
  }
}
