import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Findings } from './findings.ts'
import { VERSION } from '../version.ts'
import type { Store } from '../store/port.ts'
import { showDirectories } from './directories.ts'
import { showHeld } from './held.ts'

/**
 * What Prometheus reads at /metrics. Labels are issuers, client ids, what an administrator has named a directory, and stable
 * words: no person and no session.
 */
export function makeMetrics() {
  const registry = new Registry()
  const registers = [registry]
  new Gauge({
    name: 'logout_relay_build_info',
    help: 'Always 1; which version runs, and in which Node',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version: VERSION, node: process.versions.node }, 1)
  return {
    registry,
    events: new Counter({
      name: 'logout_relay_events_total',
      help: 'Security events by way in and outcome',
      labelNames: ['source', 'outcome'],
      registers,
    }),
    attempts: new Counter({
      name: 'logout_relay_attempts_total',
      help: 'Logout tokens sent, by relying party and what came of it',
      labelNames: ['client_id', 'outcome', 'reason'],
      registers,
    }),
    attemptSeconds: new Histogram({
      name: 'logout_relay_attempt_duration_seconds',
      help: 'From sending a logout token to the answer',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    deliveredSeconds: new Histogram({
      name: 'logout_relay_time_to_deliver_seconds',
      help: 'From taking an event to the confirmed logout of one session',
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60, 300, 3600, 86_400],
      registers,
    }),
    containedSeconds: new Histogram({
      name: 'logout_relay_time_to_contain_seconds',
      help: 'From the event at the identity provider until the last delivery of its containment has ended',
      labelNames: ['issuer'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60, 300, 3600, 86_400],
      registers,
    }),
    signingSeconds: new Histogram({
      name: 'logout_relay_signing_duration_seconds',
      help: 'From asking for a batch of logout tokens to having it',
      labelNames: ['issuer'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    logoutTokens: new Counter({
      name: 'logout_relay_logout_tokens_total',
      help: 'Logout tokens asked for: made, refused, or not to be had (failed)',
      labelNames: ['issuer', 'outcome'],
      registers,
    }),
    signedByRelay: new Counter({
      name: 'logout_relay_signed_by_relay_total',
      help: 'Logout tokens that the relay has signed with a key of its own; the realm signs the others',
      labelNames: ['issuer'],
      registers,
    }),
    storeSeconds: new Histogram({
      name: 'logout_relay_store_duration_seconds',
      help: 'How long the store takes, by what it does; a change ends when it is durable',
      labelNames: ['operation'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
      registers,
    }),
    polled: new Gauge({
      name: 'logout_relay_poll_last_success_timestamp_seconds',
      help: 'When the outbox was last polled with success',
      labelNames: ['issuer'],
      registers,
    }),
    outboxWaiting: new Gauge({
      name: 'logout_relay_outbox_waiting',
      help: 'Events in the identity provider’s outbox that the relay has not taken, looked at every minute',
      labelNames: ['issuer'],
      registers,
    }),
    outboxRefused: new Gauge({
      name: 'logout_relay_outbox_refused',
      help: 'Those of them that the relay refused or the identity provider could not sign',
      labelNames: ['issuer'],
      registers,
    }),
    outboxOldest: new Gauge({
      name: 'logout_relay_outbox_oldest_timestamp_seconds',
      help: 'Since when the oldest of them waits; absent if none does',
      labelNames: ['issuer'],
      registers,
    }),
    securityFeedLines: new Counter({
      name: 'logout_relay_security_feed_lines_total',
      help: 'Lines of evidence that the security feed has delivered',
      registers,
    }),
    securityFeedFailures: new Counter({
      name: 'logout_relay_security_feed_failures_total',
      help: 'Batches that the security feed could not deliver and tries again',
      registers,
    }),
    securityFeedWaiting: new Gauge({
      name: 'logout_relay_security_feed_waiting_timestamp_seconds',
      help: 'Of when the oldest line is that the security feed cannot deliver; absent if all is delivered',
      labelNames: ['issuer'],
      registers,
    }),
    upstreamWords: new Counter({
      name: 'logout_relay_upstream_words_total',
      help: 'What identity providers have said that users are linked to, by what became of it: contained, held, known, nobody, or why it was refused',
      labelNames: ['upstream', 'outcome'],
      registers,
    }),
    upstreamHeard: new Gauge({
      name: 'logout_relay_upstream_heard_timestamp_seconds',
      help: 'When an upstream made the newest token of its stream, or last answered a poll; at first when the relay started. Absent for one that is neither polled nor asked to verify its stream',
      labelNames: ['upstream'],
      registers,
    }),
    upstreamEnabled: new Gauge({
      name: 'logout_relay_upstream_stream_enabled',
      help: '1 while an upstream says that its stream is enabled, 0 where it is paused or disabled; absent where it does not say',
      labelNames: ['upstream'],
      registers,
    }),
    troubles: new Counter({
      name: 'logout_relay_troubles_total',
      help: 'Failures of the store or the identity provider that were retried',
      registers,
    }),
    pruned: new Counter({
      name: 'logout_relay_pruned_total',
      help: 'Rows of the store that were dropped after retention_days, or a watermark after its end',
      labelNames: ['kind'],
      registers,
    }),
    watched: new Counter({
      name: 'logout_relay_watched_total',
      help: 'Privileged subjects in the quarter of an hour after an event: login, failed_login, refused_refresh',
      labelNames: ['issuer', 'sight'],
      registers,
    }),
    refusedAfter: new Counter({
      name: 'logout_relay_refused_after_total',
      help: 'Uses of sessions, tokens, links and logins from before an event, refused by the identity provider; by what was tried',
      labelNames: ['issuer', 'use'],
      registers,
    }),
    dismissed: new Counter({
      name: 'logout_relay_deliveries_dismissed_total',
      help: 'Logouts that a person gave up; alert on any increase',
      labelNames: ['issuer'],
      registers,
    }),
    laneProbed: new Gauge({
      name: 'logout_relay_lane_probed',
      help: '1 while a relying party fails so often that it is only probed; what it is owed waits',
      labelNames: ['issuer', 'client_id'],
      registers,
    }),
    weakenings: new Counter({
      name: 'logout_relay_weakening_changes_total',
      help: 'Changes that could keep an attacker in, whoever made them; alert on any increase',
      labelNames: ['issuer', 'kind'],
      registers,
    }),
    paused: new Gauge({
      name: 'logout_relay_relying_party_paused_timestamp_seconds',
      help: 'Since when a person keeps a relying party from being told',
      labelNames: ['issuer', 'client_id'],
      registers,
    }),
    directories: showDirectories(registry),
    upstreamsHeld: showHeld(registry),
  }
}

export type Metrics = ReturnType<typeof makeMetrics>

/** Adds what is open. With a store that cannot be read there is nothing of it, and all else is there: also what says so. */
export function countOpen({ registry }: Metrics, store: Pick<Store, 'open'>): void {
  const registers = [registry]
  const labelNames = ['issuer', 'client_id'] as const
  let counting: ReturnType<Store['open']> | undefined
  /** Once for a scrape. */
  const count = () =>
    (counting ??= store
      .open()
      .catch(() => [])
      .finally(() => (counting = undefined)))
  new Gauge({
    name: 'logout_relay_deliveries_open',
    help: 'Logouts that a relying party has not confirmed yet',
    ...{ labelNames, registers },
    async collect() {
      this.reset()
      for (const { issuer, clientId, count: open } of await count()) {
        this.set({ issuer, client_id: clientId }, open)
      }
    },
  })
  new Gauge({
    name: 'logout_relay_deliveries_open_oldest_timestamp_seconds',
    help: 'When the longest open logout of a relying party was received',
    ...{ labelNames, registers },
    async collect() {
      this.reset()
      for (const { issuer, clientId, oldestMs } of await count()) {
        this.set({ issuer, client_id: clientId }, oldestMs / 1000)
      }
    },
  })
}

/** Adds what nobody can be told about and may still live, and what is amiss now. */
export function countAmiss(
  { registry }: Metrics,
  store: Pick<Store, 'unreachable'>,
  findings: Pick<Findings, 'all'>,
  nowMs: () => number,
): void {
  const registers = [registry]
  new Gauge({
    name: 'logout_relay_sessions_unreachable',
    help: 'Sessions that nobody can be told about, since their client has no logout URL, until they end by themselves',
    labelNames: ['issuer', 'client_id'],
    registers,
    async collect() {
      this.reset()
      for (const { issuer, clientId, count } of await store.unreachable(nowMs()).catch(() => [])) {
        this.set({ issuer, client_id: clientId }, count)
      }
    },
  })
  new Gauge({
    name: 'logout_relay_to_do',
    help: '1 for each thing that is amiss now, by the words of logout-relay check',
    labelNames: ['about', 'check'],
    registers,
    collect() {
      this.reset()
      findings.all().forEach(({ about, check }) => {
        this.set({ about, check }, 1)
      })
    },
  })
}

/** A time of something that is not always there. */
export function setOrRemove(gauge: Gauge, issuer: string, ms: number | undefined): void {
  if (ms === undefined) {
    gauge.remove({ issuer })
  } else {
    gauge.set({ issuer }, ms / 1000)
  }
}
