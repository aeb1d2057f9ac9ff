import { randomUUID } from 'node:crypto'
import { type Access, type Client, Connection, wordsOf } from './connection.ts'
import { Locator, type Where } from './locate.ts'
import { Member } from './member.ts'
import { loadScripts } from './scripts.ts'
import { EVERYSEC, inspect, LONE_WRITER, type Promised } from './server.ts'

const TOLD_EVERY = 30

export interface JoinOptions {
  readonly where: Where
  readonly access: Access
  /** How many replicas must have an event before it is acknowledged. */
  readonly replicas: number
  /** After so long without a sign of life a process is dead, and its claims are another's. */
  readonly memberLeaseMs?: number
  readonly nowMs: () => number
  /** A fault that passes by itself. */
  readonly trouble: (what: string, cause: unknown) => void
}

/** A process among those that share a Redis: its connections to whatever is master, and what it knows of the others. */
export interface Joined {
  /** Two, so that a wait for replicas holds up no delivery. */
  readonly work: Connection
  readonly events: Connection
  readonly member: Member
  readonly promised: () => Promised
  readonly weaknesses: () => readonly string[]
  readonly leave: () => Promise<void>
}

/** @throws RelayError `config_invalid` for a Redis that must not be used. One that cannot be reached is waited for. */
export async function join(options: JoinOptions): Promise<Joined> {
  const { where, access, replicas, memberLeaseMs, nowMs, trouble } = options
  const locator = new Locator(where)
  const member = new Member({
    id: randomUUID(),
    ...(memberLeaseMs === undefined ? {} : { leaseMs: memberLeaseMs }),
    nowMs,
    trouble,
  })
  let promised: Promised = 'everysec'
  let isLoneWriter = false
  const greet = async (client: Client, last: string): Promise<string> => {
    try {
      const server = await inspect(client)
      await loadScripts(client)
      const era = await member.greeted(client, server.runId, last)
      promised = server.promised
      isLoneWriter = server.isLoneWriter && replicas === 0
      return era
    } catch (cause) {
      locator.moved(wordsOf(cause))
      throw cause
    }
  }
  const connect = () => {
    let era = ''
    return new Connection({
      find: () => locator.find(),
      access,
      greet: async (client) => {
        era = await greet(client, era)
      },
    })
  }
  const work = connect()
  const events = connect()
  const leave = async () => {
    await member.leave()
    locator.close()
    work.close()
    events.close()
  }
  try {
    let tries = 0
    const waiting = (why: string) => {
      if (tries++ % TOLD_EVERY === 0) {
        trouble('Waiting for Redis', new Error(why))
      }
    }
    await Promise.all([work.ready(waiting), events.ready(waiting)])
  } catch (cause) {
    await leave()
    throw cause
  }
  member.start({ connections: [work, events], locator, follows: 'sentinels' in where })
  return {
    work,
    events,
    member,
    promised: () => promised,
    weaknesses: () => [...(promised === 'everysec' ? [EVERYSEC] : []), ...(isLoneWriter ? [LONE_WRITER] : [])],
    leave,
  }
}
