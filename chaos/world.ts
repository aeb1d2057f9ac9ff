import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { Agent, setGlobalDispatcher } from 'undici'
import { type Balancer, startBalancer } from '../scripts/stage/balancer.ts'
import { freePort, ROOT, type Running, start, until } from '../scripts/stage/process.ts'
import { StandInIdp } from '../scripts/stage/stand-in-idp.ts'
import { temporary } from '../scripts/stage/temporary.ts'
import { Chance } from '../sim/chance.ts'
import { Ledger } from './ledger.ts'

const RELYING_PARTIES = 8
const CLI = join(ROOT, 'relay', 'cli.ts')
/** More is not owed at any time: the points of the kills shall lie in the work, not in a backlog. */
const BACKLOG = 400

/** One or several relay processes behind a balancer, an identity provider that loses nothing, and relying parties that write down what they are told. */
export class World {
  readonly chance: Chance
  readonly idp: StandInIdp
  readonly ledger: Ledger
  readonly dir: string
  readonly #ports: readonly number[]
  readonly #relays: (Running | undefined)[] = []
  readonly #balancer: Balancer | undefined
  #committed = 0
  readonly #pushing = new Set<Promise<unknown>>()

  private constructor(
    seed: number,
    idp: StandInIdp,
    ledger: Ledger,
    dir: string,
    ports: number[],
    balancer?: Balancer,
  ) {
    this.chance = new Chance(seed)
    this.idp = idp
    this.ledger = ledger
    this.dir = dir
    this.#ports = ports
    this.#balancer = balancer
    idp.pushTo(`http://127.0.0.1:${balancer?.port ?? ports[0] ?? 0}/events`)
  }

  /** @param store the member `store` of relay.yaml, given a directory of this world's own */
  static async start(seed: number, store: (dir: string) => object, relays = 1): Promise<World> {
    // The relay that is pushed to is killed all the time.
    setGlobalDispatcher(new Agent({ keepAliveTimeout: 100, connect: { timeout: 1000 } }))
    const ledger = await Ledger.start(RELYING_PARTIES, new Chance(seed + 1))
    const idp = await StandInIdp.start(ledger.clients)
    const dir = temporary('chaos')
    const ports = await Promise.all(Array.from({ length: relays }, () => freePort()))
    const world = new World(seed, idp, ledger, dir, ports, relays > 1 ? await startBalancer(ports) : undefined)
    const of = store(dir)
    for (const [n, port] of ports.entries()) {
      const config = {
        listen: { host: '127.0.0.1', port },
        store: of,
        issuers: [{ issuer: idp.issuer, client_secret: idp.clientSecret, poll_interval_s: 0.2 }],
        delivery: { allow_http_on_loopback: true },
      }
      writeFileSync(world.#config(n), stringify(config), { mode: 0o600 })
    }
    return world
  }

  async stop(): Promise<void> {
    await Promise.all(this.relays.map((relay) => relay.stop()))
    this.#balancer?.stop()
    this.idp.stop()
    this.ledger.stop()
  }

  get relay(): Running | undefined {
    return this.#relays[0]
  }

  get relays(): readonly Running[] {
    return this.#relays.filter((relay) => relay !== undefined)
  }

  /** What all of them have logged. */
  log(): string {
    return this.#ports.map((_, n) => readFileSync(this.#log(n), 'utf8')).join('')
  }

  /** A new life of the relay on what is there. A kill before it is why something may be told twice. */
  spawn(n = 0): Running {
    const now = performance.now()
    // Until it shows itself, only what the life before has sent can arrive here.
    const fault = this.ledger.fault(now, now)
    void this.idp.asked().then(() => (fault.toMs = performance.now()))
    const relay = start(process.execPath, [CLI, 'start', '--config', this.#config(n)], { logFile: this.#log(n) })
    this.#relays[n] = relay
    return relay
  }

  /** Starts a relay that is expected to refuse, and says how it did. */
  refusal(): Promise<{ status: number | undefined; says: string }> {
    return new Promise((resolve) => {
      const options = { timeout: 15_000, killSignal: 'SIGKILL' as const }
      execFile(process.execPath, [CLI, 'start', '--config', this.#config(0)], options, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : undefined
        resolve({ status, says: (stdout + stderr).trim() })
      })
    })
  }

  /** Those that were spawned and have not ended are ready. */
  async untilUp(): Promise<void> {
    const up = this.#ports.filter((_, n) => this.#relays[n]?.exited() === false)
    const isReady = async (port: number) => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok
    await until('the relay is ready', async () => (await Promise.all(up.map(isReady))).every(Boolean), { seconds: 60 })
  }

  /** A reset of 1 to 6 sessions is committed and pushed once; what the push misses is polled. */
  async reset(): Promise<number | undefined> {
    const { clients } = this.ledger
    const count = this.chance.int(1, 6)
    const clientIds = Array.from({ length: count }, () => this.chance.pick(clients).clientId)
    this.#committed += count
    return this.idp.push(await this.idp.reset(clientIds))
  }

  /** Does this while resets come, until it ends, however it ends. */
  async underLoad<T>(act: () => Promise<T>): Promise<T> {
    const stop = new AbortController()
    const load = this.#load(stop.signal)
    try {
      return await act()
    } finally {
      stop.abort()
      await load
    }
  }

  /** Resets until the signal; at most so many are under way that the relay keeps up. */
  async #load(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      if (this.owed() < BACKLOG && this.#pushing.size < 20) {
        const pushed = this.reset()
        this.#pushing.add(pushed)
        void pushed.finally(() => this.#pushing.delete(pushed))
      }
      await delay(this.chance.int(1, 12))
    }
    await Promise.all(this.#pushing)
  }

  /** Sessions that the relay has not reported an end of. */
  owed(): number {
    return this.#committed - this.idp.answers.size
  }

  async untilDone(): Promise<void> {
    await until('every end is reported', () => this.owed() === 0, { seconds: 60 })
  }

  #config(n: number): string {
    return join(this.dir, `relay-${n}.yaml`)
  }

  #log(n: number): string {
    return join(this.dir, `log-${n}`)
  }
}
