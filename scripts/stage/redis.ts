import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from 'redis'
import { freePort, type Running, start, until, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

const SERVER = '/usr/bin/redis-server'

export interface RedisServer extends Running {
  readonly port: number
  readonly dir: string
  /** One command, on a connection of its own; what it answers. */
  ask(...args: string[]): Promise<unknown>
  /** The same server once more, with what is on its disk. */
  restart(more?: readonly string[]): Promise<RedisServer>
}

/** A master with a replica, and three Sentinels that make it one when the other is gone. */
export interface RedisGroup {
  readonly name: string
  readonly sentinels: readonly number[]
  /** Whom the Sentinels call master at this moment. */
  master(): Promise<RedisServer>
  replica(): Promise<RedisServer>
  /** Waits until the Sentinels have made the other one master; @returns how long it took, in milliseconds. */
  untilPromoted(instead: RedisServer): Promise<number>
  /** Starts one that was killed, as the replica of the other, and waits until it has all. */
  revive(dead: RedisServer): Promise<void>
  stop(): Promise<void>
}

/** What the relay asks of a Redis, and nothing of its data in the way of a test. */
const SOUND = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']

/** Debian's Redis on a free port of this machine, in a directory of its own. */
export async function startRedis(args: readonly string[] = []): Promise<RedisServer> {
  return run(await freePort(), temporary('redis'), [...SOUND, ...args])
}

async function run(port: number, dir: string, args: readonly string[]): Promise<RedisServer> {
  const running = launch(port, dir, args)
  const ask = (...words: string[]) => askRedis(port, words)
  await untilUp('Redis does not come up', running, async () => (await ask('PING')) === 'PONG', 30)
  return { ...running, port, dir, ask, restart: (more = []) => run(port, dir, [...args, ...more]) }
}

export async function startRedisGroup(args: readonly string[] = []): Promise<RedisGroup> {
  const name = 'logout-relay'
  const first = await startRedis(args)
  const servers = [first, await startRedis([...args, '--replicaof', '127.0.0.1', String(first.port)])]
  await until('it is followed', () => isFollowed(first.port), { seconds: 120 })
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(name, first.port)))
  const known = async () => {
    const answers = await Promise.allSettled(
      sentinels.map(({ port }) => askRedis(port, ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name])),
    )
    const ports = answers.map((answer) => (answer.status === 'fulfilled' ? Number((answer.value as string[])[1]) : 0))
    return ports.every((port) => port === ports[0]) ? ports[0] : undefined
  }
  const master = async () => {
    let port: number | undefined
    await until('the Sentinels agree', async () => (port = await known()) !== undefined, { seconds: 30 })
    const found = servers.find((server) => server.port === port)
    if (!found) {
      throw new Error('The Sentinels name a master that is not ours')
    }
    return found
  }
  const other = (one: RedisServer) => {
    const found = servers.find(({ port }) => port !== one.port)
    if (!found) {
      throw new TypeError('There are two')
    }
    return found
  }
  await until(
    'the Sentinels know each other and the replica',
    async () => {
      const states = await Promise.all(sentinels.map(({ port }) => askRedis(port, ['SENTINEL', 'CKQUORUM', name])))
      const replicas = await Promise.all(sentinels.map(({ port }) => askRedis(port, ['SENTINEL', 'REPLICAS', name])))
      return (
        states.every((state) => /^OK 3 /.test(String(state))) &&
        replicas.every((all) => (all as unknown[]).length === 1)
      )
    },
    { seconds: 30 },
  )
  return {
    name,
    sentinels: sentinels.map(({ port }) => port),
    master,
    replica: async () => other(await master()),
    untilPromoted: async (instead) => {
      const began = performance.now()
      const { port } = other(instead)
      await until('the other one is master', async () => (await known()) === port, { seconds: 60 })
      await until('it says so', async () => /role:master/.test(String(await askRedis(port, ['INFO']))))
      return performance.now() - began
    },
    revive: async (dead) => {
      const { port } = other(dead)
      servers[servers.indexOf(dead)] = await dead.restart(['--replicaof', '127.0.0.1', String(port)])
      // On a slow machine the Sentinels may have replaced the one by the other once more meanwhile.
      await until('it has all', async () => isFollowed(await known()), { seconds: 120 })
    },
    stop: async () => {
      await Promise.all([...sentinels, ...servers].map((part) => part.stop()))
    },
  }
}

async function startSentinel(name: string, master: number): Promise<Running & { readonly port: number }> {
  const port = await freePort()
  const dir = temporary('sentinel')
  const config = join(dir, 'sentinel.conf')
  const monitor = [`monitor ${name} 127.0.0.1 ${master} 2`, `down-after-milliseconds ${name} 1000`]
  const lines = [...monitor, `failover-timeout ${name} 2000`].map((line) => `sentinel ${line}\n`)
  writeFileSync(config, `port ${port}\nbind 127.0.0.1\ndir ${dir}\n${lines.join('')}`)
  const running = start(SERVER, [config, '--sentinel'], { cwd: dir, logFile: join(dir, 'log') })
  await untilUp('A Sentinel does not come up', running, async () => (await askRedis(port, ['PING'])) === 'PONG', 30)
  return { ...running, port }
}

/** The one replica has everything that there was when it was started. */
async function isFollowed(port: number | undefined): Promise<boolean> {
  return port !== undefined && /slave0:.*state=online/.test(String(await askRedis(port, ['INFO', 'replication'])))
}

function launch(port: number, dir: string, args: readonly string[]): Running {
  if (!existsSync(SERVER)) {
    throw new Error('Redis is not there; run: sh scripts/setup test')
  }
  // A file, since a Sentinel writes into the configuration of whatever it makes a replica.
  const config = join(dir, 'redis.conf')
  if (!existsSync(config)) {
    writeFileSync(config, `port ${port}\nbind 127.0.0.1\ndir ${dir}\nrepl-diskless-sync-delay 0\n`)
  }
  return start(SERVER, [config, ...args], { cwd: dir, logFile: join(dir, 'log') })
}

async function askRedis(port: number, words: readonly string[]): Promise<unknown> {
  const socket = { host: '127.0.0.1', port, connectTimeout: 1000, reconnectStrategy: false } as const
  const client = createClient({ socket })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await client.sendCommand([...words])
  } finally {
    if (client.isOpen) {
      client.destroy()
    }
  }
}
