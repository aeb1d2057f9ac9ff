import { openBackchannel } from '../relay/delivery/backchannel/backchannel.ts'
import type { Send } from '../relay/delivery/backchannel/send.ts'
import type { SecurityEvent } from '../relay/domain/model.ts'
import { targetAt } from '../relay/domain/target.ts'
import { RelayError } from '../relay/errors.ts'
import { Flow } from '../relay/flow/flow.ts'
import type { Idp } from '../relay/flow/ports.ts'
import { pollOutbox } from '../relay/ingest/poll.ts'
import { gapFiller } from '../relay/ingest/gap.ts'
import { Patience } from '../relay/ingest/patience.ts'
import { type RereadPorts, takeUp } from '../relay/ingest/reread.ts'
import { Process } from './clock.ts'
import { ISSUER, type SimulatedIdp, type World } from './idp.ts'
import type { Store } from '../relay/store/port.ts'
import type { Token } from './invariants.ts'
import type { SimulatedRelyingParty } from './relying-parties.ts'
import type { Hands } from './sabotage.ts'
import type { Disk } from './disk.ts'
import type { SimulatedRedis } from './redis.ts'
import { openModelStore } from './store.ts'

/** How long a system without fsync may keep a change in memory. */
const UNSYNCED_MS = 10_000
const POLL_MS = 5000
/** Ten times as rare as in relay/run/duties.ts: what the waking costs is most of what such a world costs. */
const WAKE_MS = 2000
const GAP_MS = 500
const LANE = { http: 'never', timeoutMs: 10_000, concurrency: 4, allowAddresses: [] } as const
/** As long as main.ts waits at a graceful stop. */
const GRACE_MS = 10_000
export const SKEW_MS = 2000

export interface Surroundings {
  readonly world: World
  /** One's own disk, or what is shared. */
  readonly disk: Disk | SimulatedRedis
  readonly idp: SimulatedIdp
  readonly relyingParties: ReadonlyMap<string, SimulatedRelyingParty>
  readonly hands: Hands
}

/** One relay process: the product's flow and poll loop, with a process, a store, a network and a chance that are not real. */
export class SimulatedRelay {
  readonly process: Process
  readonly #flow: Flow
  readonly #stop = new AbortController()
  readonly #underWay = new Map<string, number>()

  constructor(around: Surroundings, name: string, freeLeases: boolean) {
    const { world, disk, idp, relyingParties, hands } = around
    const { time, chance, tell } = world
    const process = new Process(time, world.skewMs ?? (world.faults ? chance.int(-SKEW_MS / 2, SKEW_MS / 2) : 0))
    this.process = process

    const { store, disk: reached } =
      'join' in disk
        ? disk.join(process, name, hands.gap !== 'not for one cut off')
        : this.#own(around, disk, freeLeases)
    const leads = () => store.shared?.leads() ?? true
    const relayIdp: Idp = {
      mint: (deliveries) => process.learn(idp.mint(deliveries)),
      report: (ended) => process.learn(idp.report(ended)),
    }
    const transmit: Send = async (_, token, policy) => {
      const parsed = JSON.parse(token) as Token
      world.invariants.sent(parsed, time.nowMs)
      tell(`${name}: POST to ${parsed.clientId} for ${parsed.id}`)
      const underWay = (this.#underWay.get(parsed.clientId) ?? 0) + 1
      this.#underWay.set(parsed.clientId, underWay)
      if (underWay > LANE.concurrency + 1) {
        world.invariants.fail('lane', `${underWay} attempts are under way at ${parsed.clientId} at once`)
      }
      const answer = await relyingParties.get(parsed.clientId)?.take(parsed, policy)
      this.#underWay.set(parsed.clientId, (this.#underWay.get(parsed.clientId) ?? 0) - 1)
      return answer ?? { kind: 'failure', code: 'name_not_found' }
    }
    const send = hands.send?.(transmit) ?? transmit
    const trouble = (what: string) => tell(`${name}: ${what}`)
    const backchannel = openBackchannel({
      send: (uri, token, policy) => process.learn(send(uri, token, policy)),
      nowMs: () => process.clock.nowMs(),
      sleep: (ms, signal) => process.clock.sleep(ms, signal),
      trouble,
    })
    this.#flow = new Flow({
      store: hands.store?.(store, reached) ?? store,
      idps: new Map([[ISSUER, hands.idp?.(relayIdp) ?? relayIdp]]),
      registry: { target: (_, __, named) => targetAt(named), lane: () => LANE },
      deliverers: new Map([['backchannel', backchannel]]),
      clock: process.clock,
      random: () => chance.fraction(),
      ...(store.shared ? { leads } : {}),
      observer: {
        received: (source, outcome) => tell(`${name}: ${outcome} by ${source}`),
        watched: () => undefined,
        refusedAfter: () => undefined,
        dismissed: () => undefined,
        changed: () => undefined,
        lane: (health) => {
          hands.lane?.(health)
          tell(`${name}: ${health.clientId} is ${health.state}`)
        },
        attempted: ({ delivery, attempt, outcome, reason }) =>
          tell(`${name}: attempt ${attempt} at ${delivery}: ${outcome}, ${reason}`),
        trouble,
      },
    })
    this.#flow.start()
    if (hands.polls ?? true) {
      void pollOutbox(
        {
          poll: async (max, ack) => {
            const atMs = process.clock.nowMs()
            const answer = leads() ? await process.learn(idp.poll(max, ack)) : { sets: {}, moreAvailable: false }
            if (leads() && Object.keys(answer.sets).length === 0) {
              await store.shared?.stored(ISSUER, atMs).catch(() => undefined)
            }
            return answer
          },
          verify: (set) => process.learn(idp.verify(set)),
          receive: (event) => this.#flow.receive(event, 'poll'),
          polled: () => undefined,
          refused: () => undefined,
          trouble,
        },
        process.clock,
        POLL_MS,
        this.#stop.signal,
      )
    }
    const read = async (sinceMs?: number): Promise<void> => {
      const ports: RereadPorts = {
        rows: (which) => process.learn(idp.rows(which)),
        sets: (jtis) => process.learn(idp.sets(jtis)),
        unknown: (jtis) => store.unknown(ISSUER, jtis),
        verify: (set) => process.learn(idp.verify(set)),
        receive: (event, ended) => this.#flow.receive(event, 'reread', ended),
        patience: new Patience(process.clock),
        trouble,
      }
      await takeUp(ports, process.clock, this.#stop.signal, sinceMs)
    }
    if (hands.rereads ?? true) {
      void read()
    }
    const { shared } = store
    if (shared) {
      const fillGap = gapFiller({
        gap: () => shared.gap(),
        closeGap: (gap) => shared.closeGap(gap),
        mayRead: leads,
        read: async (sinceMs) => {
          if (hands.gap !== 'not read') {
            await read()
            await read(hands.gap === 'from now on' ? process.clock.nowMs() : sinceMs)
          }
        },
        noticed: ({ sinceMs }) => tell(`${name}: reads the outbox again from ${sinceMs}`),
        trouble,
        clock: process.clock,
        stopping: this.#stop.signal,
      })
      void this.#every(WAKE_MS, () => {
        this.#flow.wake()
        return Promise.resolve()
      })
      void this.#every(GAP_MS, fillGap)
    }
    tell(`${name}: up`)
  }

  /** The store of a relay that has it to itself. */
  #own({ world, hands }: Surroundings, disk: Disk, freeLeases: boolean): { store: Store; disk: Disk } {
    const { time, chance } = world
    const { process } = this
    const delay = () => time.sleep(world.faults ? chance.ms(0, 300) : 1)
    const fails = () => world.faults && chance.hit(0.01)
    const failed = () => new RelayError('store_unavailable', 'The disk does not answer')
    const store = openModelStore(
      disk,
      {
        arrive: async () => {
          await delay()
          if (fails()) {
            await process.learn(Promise.reject(failed()))
          }
        },
        synced: () => {
          if (hands.early) {
            time.after(chance.ms(0, UNSYNCED_MS), () => disk.sync())
            return process.learn(delay())
          }
          return process.learn(
            delay().then(() => {
              disk.sync()
              if (fails()) {
                throw failed()
              }
            }),
          )
        },
        answered: () => process.learn(delay()),
      },
      freeLeases,
    )
    return { store, disk }
  }

  async #every(ms: number, work: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await work()
      await this.process.clock.sleep(ms, this.#stop.signal)
    }
  }

  /** Whether it answers 202. One that is gone never answers. */
  push(event: SecurityEvent): Promise<boolean> {
    return new Promise((resolve) =>
      this.process.arrive(() => {
        this.#flow.receive(event, 'push').then(
          () => resolve(true),
          () => resolve(false),
        )
      }),
    )
  }

  /** As on SIGTERM: what is under way may end within the grace, then the process is gone. */
  async stop(): Promise<void> {
    this.process.arrive(() => this.#stop.abort())
    await Promise.race([this.#flow.stop(), this.process.clock.sleep(GRACE_MS)])
    this.process.kill()
  }
}
