import { RelayError } from '../../errors.ts'
import { VERSION } from '../../version.ts'
import type { Client } from './connection.ts'
import { LAYOUT, PREFIX } from './scripts.ts'

/**
 * How an accepted event is kept before it is acknowledged. `always`: on the master's disk. `waitaof`: on its disk and on that
 * of the replicas asked for. `everysec`: in its memory and that of the replicas; a second of events may be lost with the
 * power, and is read again from the outbox.
 */
export type Promised = 'always' | 'waitaof' | 'everysec'

export interface Server {
  readonly runId: string
  readonly promised: Promised
  /** It has replicas, and goes on taking events when it is cut off from all of them. */
  readonly isLoneWriter: boolean
}

export const EVERYSEC =
  'Redis writes its disk once a second: with the power, events of that second are lost there and read again from ' +
  'the outbox. Set "appendfsync always", or use Redis 7.2 or newer'
export const LONE_WRITER =
  'Redis has replicas and goes on without them: a master that is cut off takes events that are lost there, and read again ' +
  'from the outbox only when this relay finds the new one. Set "min-replicas-to-write 1" and "min-replicas-max-lag 10", or ' +
  'store.redis.replicas to 1'

/**
 * Looks at a server before it is used.
 *
 * @throws RelayError `config_invalid` naming the setting for one that may forget what it has acknowledged,
 *   and for one whose data a newer relay has written; `store_unavailable` for one that is no master
 */
export async function inspect(client: Client): Promise<Server> {
  const info = new Map(
    (await client.info()).split('\r\n').map((line) => {
      const at = line.indexOf(':')
      return [line.slice(0, at), line.slice(at + 1)]
    }),
  )
  if (info.get('role') !== 'master') {
    throw new RelayError('store_unavailable', 'The server is a replica, not the master')
  }
  if (info.get('aof_enabled') !== '1') {
    throw new RelayError(
      'config_invalid',
      'Redis keeps nothing on its disk: set "appendonly yes" (CONFIG SET appendonly yes, and in redis.conf), on replicas too',
    )
  }
  const policy = info.get('maxmemory_policy')
  if (policy !== 'noeviction') {
    throw new RelayError(
      'config_invalid',
      `Redis may drop what is owed when its memory is full: set "maxmemory-policy noeviction"; it is ${policy ?? 'unknown'}`,
    )
  }
  // Owned by another server of a cluster: MOVED is thrown here.
  const [layout, by] = await client.hmGet(`${PREFIX}meta`, ['layout', 'version'])
  if (Number(layout ?? 0) > LAYOUT) {
    throw new RelayError(
      'config_invalid',
      `The store on Redis is in the form of Logout Relay ${by ?? 'unknown'} (layout ${layout ?? ''}), which this one, ${VERSION} ` +
        `(layout ${LAYOUT}), does not know: start ${by ?? 'that one'} or a newer one here; docs/upgrade.md has the way back`,
    )
  }
  const version = (info.get('redis_version') ?? '').split('.').map(Number)
  const fsync = await client
    .configGet('appendfsync')
    .then(({ appendfsync }) => appendfsync)
    .catch(() => 'unknown')
  const hasWaitAof = (version[0] ?? 0) > 7 || (version[0] === 7 && (version[1] ?? 0) >= 2)
  return {
    runId: info.get('run_id') ?? '',
    // Said of a master only where min-replicas-to-write and min-replicas-max-lag are set.
    isLoneWriter: info.get('connected_slaves') !== '0' && !info.has('min_slaves_good_slaves'),
    promised: hasWaitAof ? 'waitaof' : fsync === 'always' ? 'always' : 'everysec',
  }
}
