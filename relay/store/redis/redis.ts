import type { Shared, Store } from '../port.ts'
import { acceptsOn } from './accept.ts'
import { Accepts } from './accepts.ts'
import { actsOn } from './acts.ts'
import { closings } from './closings.ts'
import { securityFeedOn } from './security-feed.ts'
import { join, type Joined, type JoinOptions } from './join.ts'
import { listsOn } from './lists.ts'
import { notesOn } from './notes.ts'
import type { Read } from './reads.ts'
import { runScript, type Script } from './scripts.ts'
import { watermarksOn } from './watermarks.ts'
import { workOn } from './work.ts'

export interface RedisOptions extends JoinOptions {
  /** Told of each containment whose last delivery has ended, for metrics. */
  readonly closed?: (issuer: string, msSinceEvent: number) => void
}

/**
 * The store on Redis, for one or several relay processes. Every change is one Lua script; what a relay may rely on is in
 * docs/operate.md.
 *
 * @throws RelayError `config_invalid` naming the setting of a Redis that may forget what it has acknowledged, or whose data
 *   are of a newer relay. One that cannot be reached is waited for.
 */
export async function openRedisStore(options: RedisOptions): Promise<Store> {
  const joined = await join(options)
  const { work, events, member, promised, leave } = joined
  const script: Script = (name, ...args) => work.run((client) => runScript(client, name, args))
  const read: Read = (use) => work.run(use)
  const closing = closings(options.closed)
  return {
    shared: sharedOn(script, joined, options.replicas),
    ...acceptsOn(new Accepts(events, options.replicas, promised), read, closing),
    ...workOn(script, read, member, closing),
    ...actsOn(script, read, closing),
    ...listsOn(read),
    ...watermarksOn(script, read),
    ...pruneOn(script),
    ...securityFeedOn(script),
    ...notesOn(script, read),
    close: leave,
  }
}

function sharedOn(script: Script, { work, events, member, promised, weaknesses }: Joined, replicas: number): Shared {
  return {
    leads: () => member.leads,
    gap: () => member.gap,
    closeGap: (gap) => script('close_gap', gap.id).then(() => member.closed(gap)),
    stored: (issuer, untilMs) => script('stored', issuer, untilMs).then(() => undefined),
    weaknesses,
    promised: () => (replicas > 0 ? `${promised()}, ${replicas} replicas` : promised()),
    problem: () => work.problem ?? events.problem,
  }
}

function pruneOn(script: Script): Pick<Store, 'prune' | 'forgetSubjects'> {
  return {
    forgetSubjects: async (beforeMs, limit) => Number(await script('forget_subjects', beforeMs, limit)),
    prune: async ({ nowMs, endedBeforeMs, fed, limit }) => {
      const counts = (await script('prune', nowMs, endedBeforeMs, limit, ...fed)) as number[]
      const [watermarks = 0, containments = 0, deliveries = 0, evidence = 0, changes = 0] = counts
      return { watermarks, containments, deliveries, evidence, changes }
    },
  }
}
