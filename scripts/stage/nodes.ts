import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Browser } from './browser.ts'
import { type KeycloakOptions, type KeycloakServer, startKeycloak } from './keycloak.ts'
import { freePortPair, until } from './process.ts'
import { type Clock, makeClock } from './skew.ts'
import { TokenEndpoint } from './tokens.ts'
import { startWire, type Wire } from './wire.ts'

/** Loopback too, like all of 127.0.0.0/8. */
const INNER = '127.0.0.2'

export interface Node {
  readonly name: 'A' | 'B'
  readonly url: string
  keycloak: KeycloakServer
  /** How wrong its clock is from now on, in seconds. */
  readonly shiftClock: (seconds: number) => void
  tokens(realm: string): TokenEndpoint
  /** One whose every request to Keycloak comes to this node. */
  browser(): Browser
}

/** Two nodes of one Keycloak. Both have A's address for their issuer. */
export interface Nodes {
  readonly a: Node
  readonly b: Node
  /** Between their caches. */
  readonly wire: Wire
  /** Waits until each node sees the other, or until neither does. */
  seeEachOther(does: boolean): Promise<void>
  /** Starts a node again that has ended. */
  restart(node: Node): Promise<void>
  stop(): Promise<void>
}

export type NodesOptions = Omit<KeycloakOptions, 'postgres' | 'port' | 'hostname' | 'password'> &
  Required<Pick<KeycloakOptions, 'postgres'>>

/**
 * Two real nodes that form a cluster as two machines do: Infinispan over JGroups, which finds the other in the database. Each
 * tells the other an address that leads through a wire, so the network between the caches can be cut and all else goes on.
 * Both clocks are right at first: Keycloak 26.7 does not find a node whose clock is a minute off, though it keeps one.
 */
export async function startNodes(options: NodesOptions): Promise<Nodes> {
  const password = randomUUID()
  const at = [await freePortPair(), await freePortPair()] as const
  const clocks = [makeClock(), makeClock()] as const
  const wire = await startWire(
    at.flatMap((port) => [port, port + 1]),
    INNER,
  )
  const startNode = (n: 0 | 1, hostname?: string) =>
    startKeycloak({
      ...options,
      password,
      env: { ...options.env, ...clocks[n].env },
      options: [...(options.options ?? []), ...clustered(at[n])],
      ...(hostname === undefined ? {} : { hostname }),
    })
  const started: KeycloakServer[] = []
  const stop = async () => {
    await Promise.all(started.map((keycloak) => keycloak.stop()))
    wire.stop()
  }
  try {
    const first = await startNode(0)
    started.push(first)
    const second = await startNode(1, first.url)
    started.push(second)
    const [a, b] = [node('A', first, clocks[0], first.url), node('B', second, clocks[1], first.url)]
    const seeEachOther = (does: boolean) =>
      until(
        `both nodes see ${does ? 'two' : 'one'} of them`,
        () => [a, b].every((one) => lastView(one) === (does ? 2 : 1)),
        {
          seconds: 120,
        },
      )
    await seeEachOther(true)
    return {
      ...{ a, b, wire, seeEachOther },
      restart: async (one) => {
        one.keycloak = await one.keycloak.restart()
        started[one === a ? 0 : 1] = one.keycloak
      },
      stop,
    }
  } catch (cause) {
    await stop()
    throw cause
  }
}

/**
 * The node listens at an address of its own and tells the other 127.0.0.1, from where the wire leads to it, as through a
 * firewall. Its failure detection listens one port further on.
 */
function clustered(port: number): string[] {
  return [
    '--cache=ispn',
    `--cache-embedded-network-bind-address=${INNER}`,
    // 26.5 does not heed the option for it.
    `-Djgroups.bind.port=${port}`,
    '--cache-embedded-network-external-address=127.0.0.1',
    `--cache-embedded-network-external-port=${port}`,
    '-Djgroups.fd.port-offset=1',
  ]
}

function node(name: 'A' | 'B', keycloak: KeycloakServer, clock: Clock, front: string): Node {
  const { url } = keycloak
  return {
    ...{ name, url, keycloak },
    shiftClock: clock.shift,
    tokens: (realm) => new TokenEndpoint(`${url}/realms/${realm}`),
    browser: () => new Browser((to) => (to.startsWith(front) ? url + to.slice(front.length) : to)),
  }
}

/** How many nodes it sees, by what it has last said of it. */
function lastView({ keycloak }: Node): number {
  const views = [...readFileSync(keycloak.logFile, 'utf8').matchAll(/cluster view for channel.*?\|\d+\] \((\d+)\)/g)]
  return Number(views.at(-1)?.[1] ?? 0)
}
