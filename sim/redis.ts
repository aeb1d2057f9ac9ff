import { RelayError } from '../relay/errors.ts'
import type { Gap, Store } from '../relay/store/port.ts'
import type { Process } from './clock.ts'
import { Disk, emptyTables } from './disk.ts'
import type { World } from './idp.ts'
import { openModelStore } from './store.ts'

const BEAT_MS = 1000
const LEASE_MS = 7000
const OVERLAP_MS = 600_000
/** `min-replicas-max-lag`, and how long the Sentinels wait before they name another master. */
const ALONE_MS = 10_000
const DOWN_MS = 5000

interface Server {
  readonly run: string
  readonly disk: Disk
  takes: boolean
  reachable: boolean
}

/** A master whose replica has everything some time later. The Sentinels' word is `master`. */
export class SimulatedRedis {
  readonly #world: World
  #number = 1
  #replicaAwayUntilMs = 0
  /** A master that the Sentinels have replaced, and the one relay that sees no other. */
  #apart: { readonly server: Server; readonly process: Process; isOver: boolean } | undefined
  master: Server = { run: 'run-1', disk: new Disk(), takes: true, reachable: true }

  constructor(world: World) {
    this.#world = world
  }

  /** All have met this master, so that what it lacks is known. */
  get isMet(): boolean {
    const { run, epoch } = this.master.disk.seen.shared
    return run === this.master.run && epoch !== undefined && !this.#apart
  }

  get apart(): Process | undefined {
    return this.#apart?.process
  }

  /** The master is cut off together with a relay, and goes on for it (no `min-replicas-to-write`). */
  cutOffWith(process: Process): void {
    const server = this.master
    this.failover(true, Infinity)
    this.#apart = { server, process, isOver: false }
  }

  /** They are back: the old master is a replica now, without what it has taken meanwhile. */
  reunite(): void {
    if (this.#apart) {
      this.#apart.isOver = true
      this.#apart.server.reachable = false
    }
  }

  #seenBy(process: Process): Server {
    return this.#apart?.process === process && !this.#apart.isOver ? this.#apart.server : this.master
  }

  replicate(server: Server): void {
    const { time, chance, faults } = this.#world
    const inTime = () => {
      if (time.nowMs >= this.#replicaAwayUntilMs) {
        server.disk.sync()
      } else {
        time.after(this.#replicaAwayUntilMs - time.nowMs, inTime)
      }
    }
    time.after(faults ? chance.ms(1, 2000) : 1, inTime)
  }

  replicaAway(ms: number): void {
    this.#replicaAwayUntilMs = Math.max(this.#replicaAwayUntilMs, this.#world.time.nowMs + ms)
  }

  /** The replica takes over without what it has not been sent. A master that was only cut off goes on by itself a while. */
  failover(cutOff: boolean, aloneMs = ALONE_MS): void {
    const { time } = this.#world
    const old = this.master
    old.reachable = cutOff
    this.#replicaAwayUntilMs = 0
    this.master = { run: `run-${++this.#number}`, disk: old.disk.promoted(), takes: true, reachable: true }
    if (aloneMs !== Infinity) {
      time.after(aloneMs - DOWN_MS, () => (old.takes = false))
    }
  }

  flushAll(): void {
    this.master.disk.write((tables) => Object.assign(tables, emptyTables()))
    this.master.disk.sync()
  }

  /**
   * A process's connection and its place among the others, as relay/store/redis has them; each change is one of its scripts.
   *
   * @param knowsEra whether it says which master it was on before
   */
  join(
    process: Process,
    id: string,
    knowsEra: boolean,
  ): { readonly store: Store; readonly disk: Pick<Disk, 'seen' | 'write'> } {
    const { time, chance, tell } = this.#world
    let server: Server | undefined
    let epoch = ''
    let era = ''
    let leads = false
    let ledMs = -Infinity
    let gap: Gap | undefined
    const strikes = () => this.#world.faults && chance.hit(0.01)
    const delay = () => time.sleep(this.#world.faults ? chance.ms(0, 300) : 1)
    const failed = () => new RelayError('store_unavailable', 'Redis does not answer')
    const arrive = async (): Promise<void> => {
      const asked = server
      await delay()
      if (!asked?.reachable || !asked.takes || asked !== server || strikes()) {
        server = asked?.reachable ? server : undefined
        await process.learn(Promise.reject(failed()))
      }
    }
    const reached = (): Server => {
      if (!server) {
        throw failed()
      }
      return server
    }
    const disk: Pick<Disk, 'seen' | 'write'> = {
      get seen() {
        return reached().disk.seen
      },
      write: (change) => {
        const result = reached().disk.write(change)
        this.replicate(reached())
        return result
      },
    }
    const answered = () =>
      process.learn(
        delay().then(() => {
          if (strikes()) {
            throw failed()
          }
        }),
      )
    const store = openModelStore(disk, { arrive, synced: answered, answered }, false)
    const script = async <T>(change: Parameters<typeof disk.write<T>>[0]): Promise<T> => {
      await arrive()
      const result = disk.write(change)
      await answered()
      return result
    }

    const meet = async (): Promise<void> => {
      const master = this.#seenBy(process)
      await process.learn(delay())
      const atMs = process.clock.nowMs()
      const last = knowsEra ? era : ''
      const apart = chance.int(0, 0xff_ffff)
      server = master.reachable ? master : undefined
      gap = disk.write(({ shared }) => {
        const name = `${id} ${atMs}`
        const missing = (sinceMs: number) => {
          shared.gap = { sinceMs: Math.min(shared.gap?.sinceMs ?? Infinity, sinceMs), id: name }
        }
        if (shared.run !== master.run || shared.epoch === undefined) {
          const sinceMs = shared.epoch === undefined ? 0 : Math.max(0, shared.storedMs - OVERLAP_MS)
          missing(sinceMs)
          shared.eras.set(shared.era, sinceMs)
          shared.floor = Math.max(shared.floor + 60_000_000, (atMs + 60_000) * 1000) + apart
          shared.run = master.run
          shared.epoch ??= name
          shared.era = name
        } else if (last !== '' && last !== shared.era) {
          missing(shared.eras.get(last) ?? 0)
        }
        return shared.gap
      })
      epoch = disk.seen.shared.epoch ?? ''
      era = disk.seen.shared.era
      if (this.apart === process && master === this.master) {
        this.#apart = undefined
      }
    }
    const beat = async (): Promise<void> => {
      const began = process.clock.monotonicMs()
      const atMs = time.nowMs
      const known = await script(({ shared }) => {
        if (shared.epoch !== epoch) {
          return undefined
        }
        const { members } = shared
        members.set(id, atMs + LEASE_MS)
        members.forEach((endMs, each) => endMs <= atMs && members.delete(each))
        if (shared.leader === undefined || !members.has(shared.leader)) {
          shared.leader = id
        }
        return { leads: shared.leader === id, gap: shared.gap }
      })
      if (!known) {
        tell(`${id}: the store was emptied`)
        server = undefined
      } else {
        leads = known.leads
        ledMs = began
        gap = known.gap
      }
    }
    const live = async (): Promise<void> => {
      while (!process.gone) {
        await (server ? beat() : meet()).catch(() => undefined)
        // What the Sentinels say is looked at after each beat.
        server = server === this.#seenBy(process) ? server : undefined
        await process.clock.sleep(BEAT_MS)
      }
    }
    void live()
    return {
      disk,
      store: {
        ...store,
        shared: {
          leads: () => leads && process.clock.monotonicMs() - ledMs < LEASE_MS,
          gap: () => gap,
          closeGap: async (closed) => {
            await script(({ shared }) => {
              if (shared.gap?.id === closed.id) {
                delete shared.gap
              }
            })
            gap = gap?.id === closed.id ? undefined : gap
          },
          stored: (_, untilMs) => script(({ shared }) => void (shared.storedMs = Math.max(shared.storedMs, untilMs))),
          promised: () => 'everysec',
          weaknesses: () => [],
          problem: () => (server ? undefined : 'not connected'),
        },
      },
    }
  }
}
