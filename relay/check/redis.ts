import type { RedisConfig } from '../config/redis.ts'
import { type Finding, findingsOn } from '../domain/finding.ts'
import { makeClient, wordsOf } from '../store/redis/connection.ts'
import { Locator } from '../store/redis/locate.ts'
import { inspect, LONE_WRITER } from '../store/redis/server.ts'

/** Whether the master on Redis is one that the relay would use, and how safely it keeps an event. */
export async function checkRedis({ where, access, replicas }: RedisConfig): Promise<Finding> {
  const locator = new Locator(where)
  let at = 'Redis'
  try {
    const address = await locator.find()
    at = `${address.host}:${address.port}`
    const client = makeClient(address, access)
    try {
      await client.connect()
      const { promised, isLoneWriter } = await inspect(client)
      if (isLoneWriter && replicas === 0) {
        return findingsOn(at).todo('store', LONE_WRITER)
      }
      return findingsOn(at).ok('store', `is a master that keeps what it is told (${promised})`)
    } finally {
      if (client.isOpen) {
        client.destroy()
      }
    }
  } catch (cause) {
    const words = wordsOf(cause)
    return words.startsWith('MOVED ')
      ? findingsOn(at).ok('store', 'is a node of a cluster that names another for the relay’s keys')
      : findingsOn(at).todo('store', `cannot be used: ${words}`)
  } finally {
    locator.close()
  }
}
