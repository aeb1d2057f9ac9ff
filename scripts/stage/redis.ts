import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from 'redis'
import { freePort, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

const SERVER = '/usr/bin/redis-server'

export interface RedisServer extends Running {
  readonly port: number
  readonly dir: string
  /** One command, on a connection of its own; what it answers. */
  ask(...args: string[]): Promise<unknown>
  /** The same server once more, with what is on its disk. */
  restart(): Promise<RedisServer>
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
  return { ...running, port, dir, ask, restart: () => run(port, dir, args) }
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

export async function askRedis(port: number, words: readonly string[]): Promise<unknown> {
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
