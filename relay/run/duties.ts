import { dirname, resolve } from 'node:path'
import { findingsOn } from '../domain/finding.ts'
import { roomComplaint } from '../store/sqlite/room.ts'
import { STORE } from '../telemetry/measure.ts'
import { setOrRemove } from '../telemetry/metrics.ts'
import type { Config } from '../config/config.ts'
import { tellSecurityFeed } from '../security-feed/feed.ts'
import { fileSink, httpSink } from '../security-feed/sink.ts'
import type { Parts } from './connect.ts'
import type { Intake } from './intake.ts'
import { dropPast } from './retention.ts'

/** How soon a change that another process stored is seen; one of this process is told at once. */
const WATERMARKS_MS = 1000
const NOTES_MS = 5000
const ROOM_MS = 60_000
const RETENTION_MS = 60_000
/** How soon this process takes up what another one of the same store was told of. */
const WAKE_MS = 200
/** How soon a key of the relay's that the realm publishes, or no longer publishes, is noticed. */
const KEYS_MS = 15_000
const GAP_MS = 500

/** What is done again and again beside the flow, until the signal. Each duty is small, and none takes another with it. */
export function beginDuties(parts: Parts, intake: Intake, stop: AbortSignal): Promise<void>[] {
  const { config, clock, metrics, log, kept: store, observer, flow } = parts
  const every = async (ms: number, what: string, work: () => unknown): Promise<void> => {
    while (!stop.aborted) {
      try {
        await work()
      } catch (cause) {
        observer.trouble(what, cause)
      }
      await clock.sleep(ms, stop)
    }
  }
  return [
    ...[...(parts.watermarks?.streams.values() ?? [])].map((stream) =>
      every(WATERMARKS_MS, 'Guards could not be told', () => intake.tellGuards(stream)),
    ),
    every(ROOM_MS, 'The disk of the store could not be looked at', () => lookAtRoom(parts)),
    every(NOTES_MS, 'What people said of relying parties could not be read', () => lookAtNotes(parts)),
    every(RETENTION_MS, 'What is past its retention could not be dropped; trying again', () =>
      dropPast(
        {
          ...{ store, clock, leads: parts.leads },
          retentionDays: config.retention_days,
          ...(config.subject_retention_days === undefined ? {} : { subjectDays: config.subject_retention_days }),
          fed: config.security_feed ? [...parts.names.today.keys()] : [],
          dropped: (pruned) => {
            Object.entries(pruned).forEach(([kind, count]) => metrics.pruned.inc({ kind }, count))
            log.info(pruned, 'What is past its retention was dropped')
          },
        },
        stop,
      ),
    ),
    ...[...parts.ownKeys].map(([issuer, own]) =>
      every(KEYS_MS, 'The keys that the realm publishes could not be read; what is known of them holds', async () =>
        own.look((await parts.providers.get(issuer)?.published()) ?? [], clock.nowMs()),
      ),
    ),
    ...(store.shared
      ? [
          every(WAKE_MS, 'The flow could not be woken', () => flow.wake()),
          every(GAP_MS, 'The outbox could not be read again; trying again', () => intake.fillGap()),
        ]
      : []),
    ...(config.security_feed ? tellSecurityFeeds(config.security_feed, parts, stop) : []),
  ]
}

/** What would keep the store from taking the next event. Redis has its own disk, and tells when it takes nothing. */
function lookAtRoom({ config, findings }: Parts): void {
  if (config.store.redis) {
    return
  }
  const { ok, todo } = findingsOn(STORE)
  const full = roomComplaint(dirname(resolve(config.store.sqlite)))
  findings.found(full === undefined ? ok('room', 'is there') : todo('room', full))
}

/** What people have said at another process. */
async function lookAtNotes({ registrar, metrics, config, relyingParties }: Parts): Promise<void> {
  await registrar.load()
  metrics.paused.reset()
  for (const { issuer } of config.issuers) {
    for (const { clientId, paused } of relyingParties.list(issuer)) {
      if (paused) {
        metrics.paused.set({ issuer, client_id: clientId }, paused.atMs / 1000)
      }
    }
  }
}

/** One for each name that an issuer has or had: its evidence is kept under the name it came by. */
function tellSecurityFeeds(
  to: NonNullable<Config['security_feed']>,
  { names, kept: store, clock, leads, metrics, log, observer }: Parts,
  stop: AbortSignal,
): Promise<void>[] {
  const sink = 'file' in to ? fileSink(to.file) : httpSink(to)
  return [...names.today.keys()].map((issuer) =>
    tellSecurityFeed(
      issuer,
      {
        store,
        sink,
        named: to.subject,
        clock,
        random: Math.random,
        leads,
        delivered: (lines) => {
          metrics.securityFeedLines.inc(lines)
          setOrRemove(metrics.securityFeedWaiting, issuer, undefined)
        },
        failed: (cause, sinceMs) => {
          metrics.securityFeedFailures.inc()
          setOrRemove(metrics.securityFeedWaiting, issuer, sinceMs)
          log.warn({ issuer, why: cause instanceof Error ? cause.message : undefined }, 'The security feed waits')
        },
        trouble: (what, cause) => observer.trouble(what, cause),
      },
      stop,
    ),
  )
}
