import type { Logger } from 'pino'
import { type Metrics, setOrRemove } from '../telemetry/metrics.ts'
import type { Config } from '../config/config.ts'
import type { Clock } from '../flow/ports.ts'
import type { RealmFeed } from '../watermarks/stream.ts'
import type { IdentityProvider } from '../idp/port.ts'
import type { Registrar } from '../registry/registrar.ts'
import type { RelyingParties } from '../registry/registry.ts'
import { dropPast } from './retention.ts'
import { tellSecurityFeed } from '../security-feed/feed.ts'
import { fileSink, httpSink } from '../security-feed/sink.ts'
import type { RealmKeys } from '../signing/realm-keys.ts'
import type { Store } from '../store/port.ts'

/** How soon a change that another process stored is seen; one of this process is told at once. */
const FEED_MS = 1000
const NOTES_MS = 5000
const RETENTION_MS = 60_000
/** How soon this process takes up what another one of the same store was told of. */
const WAKE_MS = 200
/** How soon a key of the relay's that the realm publishes, or no longer publishes, is noticed. */
const KEYS_MS = 15_000
const GAP_MS = 500

export interface DutyPorts {
  readonly config: Config
  readonly store: Store
  readonly providers: ReadonlyMap<string, IdentityProvider>
  readonly ownKeys: ReadonlyMap<string, RealmKeys>
  readonly feeds: readonly RealmFeed[]
  readonly registrar: Registrar
  readonly relyingParties: RelyingParties
  readonly metrics: Metrics
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  readonly leads: () => boolean
  /** What is due is looked for. */
  readonly wake: () => void
  readonly tellGuards: (feed: RealmFeed) => Promise<void>
  readonly fillGap: () => Promise<void>
  readonly trouble: (what: string, cause: unknown) => void
}

/** What is done again and again beside the flow, until the signal. Each duty is small, and none takes another with it. */
export function beginDuties(ports: DutyPorts, stop: AbortSignal): Promise<void>[] {
  const { config, clock, metrics, log, store } = ports
  const every = async (ms: number, what: string, work: () => unknown): Promise<void> => {
    while (!stop.aborted) {
      try {
        await work()
      } catch (cause) {
        ports.trouble(what, cause)
      }
      await clock.sleep(ms, stop)
    }
  }
  return [
    ...ports.feeds.map((feed) => every(FEED_MS, 'Guards could not be told', () => ports.tellGuards(feed))),
    every(NOTES_MS, 'What people said of relying parties could not be read', () => lookAtNotes(ports)),
    every(RETENTION_MS, 'What is past its retention could not be dropped; trying again', () =>
      dropPast(
        {
          ...ports,
          retentionDays: config.retention_days,
          fed: config.security_feed ? namesOf(config) : [],
          dropped: (pruned) => {
            Object.entries(pruned).forEach(([kind, count]) => metrics.pruned.inc({ kind }, count))
            log.info(pruned, 'What is past its retention was dropped')
          },
        },
        stop,
      ),
    ),
    ...[...ports.ownKeys].map(([issuer, own]) =>
      every(KEYS_MS, 'The keys that the realm publishes could not be read; what is known of them holds', async () =>
        own.look((await ports.providers.get(issuer)?.published()) ?? [], clock.nowMs()),
      ),
    ),
    ...(store.shared
      ? [
          every(WAKE_MS, 'The flow could not be woken', ports.wake),
          every(GAP_MS, 'The outbox could not be read again; trying again', ports.fillGap),
        ]
      : []),
    ...(config.security_feed ? tellFeeds(config.security_feed, ports, stop) : []),
  ]
}

/** What people have said at another process. */
async function lookAtNotes({ registrar, metrics, config, relyingParties }: DutyPorts): Promise<void> {
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
function tellFeeds(
  to: NonNullable<Config['security_feed']>,
  { config, store, clock, random, leads, metrics, log, trouble }: DutyPorts,
  stop: AbortSignal,
): Promise<void>[] {
  const sink = 'file' in to ? fileSink(to.file) : httpSink(to)
  return namesOf(config).map((issuer) =>
    tellSecurityFeed(
      issuer,
      {
        store,
        sink,
        clock,
        random,
        leads,
        delivered: (lines) => {
          metrics.feedLines.inc(lines)
          setOrRemove(metrics.feedWaiting, issuer, undefined)
        },
        failed: (cause, sinceMs) => {
          metrics.feedFailures.inc()
          setOrRemove(metrics.feedWaiting, issuer, sinceMs)
          log.warn({ issuer, why: cause instanceof Error ? cause.message : undefined }, 'The security feed waits')
        },
        trouble,
      },
      stop,
    ),
  )
}

/** Under which evidence is kept, and told. */
function namesOf({ issuers }: Config): string[] {
  return issuers.flatMap(({ issuer, former_issuers }) => [issuer, ...former_issuers])
}
