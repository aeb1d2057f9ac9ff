import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { Agent, setGlobalDispatcher } from 'undici'
import { freePort, ROOT, type Running, start, until } from '../scripts/stage/process.ts'
import { StandInIdp } from '../scripts/stage/stand-in-idp.ts'
import { temporary } from '../scripts/stage/temporary.ts'
import { Chance } from '../sim/chance.ts'
import { Ledger } from './ledger.ts'

const RELYING_PARTIES = 8
const CLI = join(ROOT, 'relay', 'cli.ts')
/** More is not owed at any time: the points of the kills shall lie in the work, not in a backlog. */
const BACKLOG = 400

/** A relay process, an identity provider that loses nothing, and relying parties that write down what they are told. */
export class World {
  readonly chance: Chance
  readonly idp: StandInIdp
  readonly ledger: Ledger
  readonly dir: string
  relay: Running | undefined
  readonly #config: string
  readonly #url: string
  #committed = 0
  readonly #pushing = new Set<Promise<unknown>>()

  private constructor(seed: number, idp: StandInIdp, ledger: Ledger, dir: string, port: number) {
    this.chance = new Chance(seed)
    this.idp = idp
    this.ledger = ledger
    this.dir = dir
    this.#config = join(dir, 'relay.yaml')
    this.#url = `http://127.0.0.1:${port}`
    idp.pushTo(`${this.#url}/events`)
  }

  /** @param store the member `store` of relay.yaml, given a directory of this world's own */
  static async start(seed: number, store: (dir: string) => object): Promise<World> {
    // The relay that is pushed to is killed all the time.
    setGlobalDispatcher(new Agent({ keepAliveTimeout: 100, connect: { timeout: 1000 } }))
    const ledger = await Ledger.start(RELYING_PARTIES, new Chance(seed + 1))
    const idp = await StandInIdp.start(ledger.clients)
    const dir = temporary('chaos')
    const world = new World(seed, idp, ledger, dir, await freePort())
    const config = {
      listen: { host: '127.0.0.1', port: Number(new URL(world.#url).port) },
      store: store(dir),
      issuers: [{ issuer: idp.issuer, client_secret: idp.clientSecret, poll_interval_s: 0.2 }],
      delivery: { allow_http_on_loopback: true },
    }
    writeFileSync(world.#config, stringify(config), { mode: 0o600 })
    return world
  }

  async stop(): Promise<void> {
    await this.relay?.stop()
    this.idp.stop()
    this.ledger.stop()
  }

  /** A new life of the relay on what is there. A kill before it is why something may be told twice. */
  spawn(): Running {
    const now = performance.now()
    // Until it shows itself, only what the life before has sent can arrive here.
    const fault = this.ledger.fault(now, now)
    void this.idp.asked().then(() => (fault.toMs = performance.now()))
    this.relay = start(process.execPath, [CLI, 'start', '--config', this.#config], { logFile: join(this.dir, 'log') })
    return this.relay
  }

  /** Starts a relay that is expected to refuse, and says how it did. */
  refusal(): Promise<{ status: number | undefined; says: string }> {
    return new Promise((resolve) => {
      const options = { timeout: 15_000, killSignal: 'SIGKILL' as const }
      execFile(process.execPath, [CLI, 'start', '--config', this.#config], options, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : undefined
        resolve({ status, says: (stdout + stderr).trim() })
      })
    })
  }

  async untilUp(): Promise<void> {
    await until('the relay is ready', async () => (await fetch(`${this.#url}/readyz`)).ok, { seconds: 60 })
  }

  /** A reset of 1 to 6 sessions is committed and pushed once; what the push misses is polled. */
  async reset(): Promise<number | undefined> {
    const { clients } = this.ledger
    const count = this.chance.int(1, 6)
    const clientIds = Array.from({ length: count }, () => this.chance.pick(clients).clientId)
    this.#committed += count
    return this.idp.push(await this.idp.reset(clientIds))
  }

  /** Resets until the signal; at most so many are under way that the relay keeps up. */
  async load(stop: AbortSignal): Promise<void> {
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
}
