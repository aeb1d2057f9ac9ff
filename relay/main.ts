import { createServer as createHttpsServer } from 'node:https'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { type Logger, pino } from 'pino'
import type { Gauge } from 'prom-client'
import { apiRoutes } from './api/app.ts'
import { otherMethods } from './api/described.ts'
import { measureIdp, measureStore } from './api/measure.ts'
import { readRealmOf } from './audit/read.ts'
import { makeMetrics } from './api/metrics.ts'
import type { Config } from './config.ts'
import { LastAnswers } from './console/answers.ts'
import { realmLogin } from './console/login.ts'
import { consoleRoutes } from './console/routes.ts'
import { settingsInForce } from './console/settings.ts'
import { openSender } from './delivery/sender.ts'
import { weakens } from './domain/change.ts'
import { RelayError } from './errors.ts'
import { Flow } from './flow/flow.ts'
import type { Clock, Idp, Observer } from './flow/ports.ts'
import { endedBy } from './guard/ended.ts'
import { RealmFeed } from './guard/feed.ts'
import { readFeedKey } from './guard/key.ts'
import { guardRoutes } from './guard/routes.ts'
import { Keycloak } from './idp/keycloak.ts'
import { pollOutbox } from './ingest/poll.ts'
import { pushRoute } from './ingest/push.ts'
import { reread, type RereadPorts, takeUp } from './ingest/reread.ts'
import { verifySet } from './ingest/set.ts'
import { Registrar } from './registry/registrar.ts'
import { RelyingParties } from './registry/registry.ts'
import { type SecurityFeedPorts, tellSecurityFeed } from './security-feed/feed.ts'
import { fileSink, httpSink, type Sink } from './security-feed/sink.ts'
import { RealmKeys } from './signing/realm-keys.ts'
import { relaySigned } from './signing/signer.ts'
import { underAllNames } from './store/names.ts'
import type { Shared, Store } from './store/port.ts'
import { openRedisStore } from './store/redis/redis.ts'
import { openSqliteStore } from './store/sqlite/sqlite.ts'

const REFRESH_MS = 60_000
const CONNECT_PAUSE_MS = 2000
const GRACE_MS = 10_000
/** How soon a change that another process stored is seen; one of this process is told at once. */
const FEED_MS = 1000
const NOTES_MS = 5000
const FORGET_MS = 3_600_000
/** How soon this process takes up what another one of the same store was told of. */
const WAKE_MS = 200
/** How soon a key of the relay's that the realm publishes, or no longer publishes, is noticed. */
const LOOK_MS = 15_000
const GAP_MS = 500
/** Longer than a push, or a poll with its acknowledgements, is under way. */
const ACKNOWLEDGED_MS = 10_000

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined),
}

/** Puts the parts together: config, store, adapters, flow, http. What they do is theirs; start reading at flow/flow.ts. */
export async function startRelay(
  config: Config,
  log: Logger = makeLog(config),
): Promise<{ url: string; close(): Promise<void> }> {
  const feedKey = config.guard === undefined ? undefined : await readFeedKey(config.guard.key_file)
  const ownKeys = makeOwnKeys(config, log)
  const unmeasured = await openStore(config, log, (issuer, sinceMs) =>
    metrics.containedSeconds.observe({ issuer }, sinceMs / 1000),
  )
  const metrics = makeMetrics(unmeasured)
  const formerNames = new Map(config.issuers.map(({ issuer, former_issuers }) => [issuer, former_issuers]))
  const store = underAllNames(measureStore(unmeasured, metrics), formerNames)
  const relyingParties = makeRelyingParties(config)
  if (config.delivery.allow_http_on_loopback) {
    log.warn('delivery.allow_http_on_loopback is on: relying parties on this machine are reached without TLS')
  }
  const keycloaks = new Map(
    config.issuers.map(({ issuer, client_id, client_secret }) => [
      issuer,
      new Keycloak({ issuer, clientId: client_id, clientSecret: client_secret, allowHttp: issuer.startsWith('http:') }),
    ]),
  )
  const keysOf = (issuer: string) => {
    const published = keycloaks.get(issuer)?.keys()
    return published?.then((keys) => ownKeys.get(issuer)?.allBut(keys) ?? keys)
  }
  /** Former names as well. A token of the relay's own making for one of them would have the wrong issuer. */
  const todayOf = new Map(
    config.issuers.flatMap(({ issuer, former_issuers }) =>
      [issuer, ...former_issuers].map((name) => [name, issuer] as const),
    ),
  )
  const sender = openSender(config.delivery.ca === undefined ? {} : { ca: config.delivery.ca })
  const answers = new LastAnswers()
  const observer = makeObserver(log, metrics, answers)
  const registrar = new Registrar({
    notes: store,
    relyingParties,
    send: sender.send,
    observer,
    nowMs: () => systemClock.nowMs(),
  })
  await registrar.load()
  const signer = (realm: Keycloak): Idp => {
    const { issuer } = realm
    const keys = ownKeys.get(issuer)
    const made = (count: number) => metrics.signedByRelay.inc({ issuer }, count)
    return keys
      ? relaySigned({
          issuer,
          realm,
          keys,
          made,
          nowMs: () => systemClock.nowMs(),
          trouble: (what, cause) => observer.trouble(what, cause),
        })
      : realm
  }
  const flow = new Flow({
    store,
    idps: new Map(
      [...keycloaks].flatMap(([issuer, realm]) =>
        [issuer, ...(formerNames.get(issuer) ?? [])].map((name) => {
          const idp = name === issuer ? signer(realm) : realm
          return [name, measureIdp(issuer, idp, metrics)] as const
        }),
      ),
    ),
    registry: relyingParties,
    send: sender.send,
    clock: systemClock,
    random: Math.random,
    observer,
    leads: () => leads(),
  })
  const feeds = new Map<string, RealmFeed>()
  if (feedKey) {
    for (const { issuer } of config.issuers) {
      feeds.set(issuer, new RealmFeed({ issuer, log: store, key: feedKey, nowMs: () => systemClock.nowMs() }))
    }
  }
  const tell = (feed: RealmFeed) =>
    feed.advance().catch((cause: unknown) => observer.trouble('Watermarks could not be read; guards grow stale', cause))
  const receive: typeof flow.receive = async (event, source, ended) => {
    const outcome = await flow.receive(event, source, ended)
    const feed = feeds.get(event.issuer)
    if (feed) {
      void tell(feed)
    }
    return outcome
  }
  const verify = (set: string) =>
    verifySet(set, (issuer) => keysOf(todayOf.get(issuer) ?? issuer), config.identifier, systemClock.nowMs())

  const isEnded = endedBy(store, () => systemClock.nowMs())
  const rereadPorts = (issuer: string): RereadPorts => {
    const keycloak = keycloaks.get(issuer)
    if (!keycloak) {
      throw new RelayError('idp_unavailable', `${issuer} is not configured`)
    }
    return {
      rows: (which) => keycloak.rows(which),
      sets: (jtis) => keycloak.sets(jtis),
      unknown: (jtis) => store.unknown(issuer, jtis),
      verify,
      receive: (event, ended) => receive(event, 'reread', ended),
      trouble: (what, cause) => observer.trouble(what, cause),
    }
  }

  const waitingFor = new Map<string, string>(config.issuers.map(({ issuer }) => [issuer, 'not connected yet']))
  const app = new Hono()
  app.route(
    '/',
    pushRoute({
      verify,
      receive: (event) => receive(event, 'push'),
      refused: (code, why) => {
        metrics.events.inc({ source: 'push', outcome: code })
        log.warn({ code, why }, 'A pushed security event was refused')
      },
    }),
  )
  const api = apiRoutes({
    store,
    relyingParties,
    registrar,
    metrics,
    keysOf,
    isEnded,
    flow,
    reread: (issuer, which) => reread(rereadPorts(issuer), which),
    contain: (issuer, token, word) => keycloaks.get(issuer)?.contain(token, word),
    audience: config.identifier,
    notReady: () => [
      ...[store.shared?.problem() ?? []].flat().map((why) => `store: ${why}`),
      ...[...waitingFor].map(([issuer, why]) => `${issuer}: ${why}`),
    ],
  })
  app.route('/', api)

  const people = config.console
  if (people) {
    const of = {
      issuer: people.issuer,
      clientId: people.client_id,
      clientSecret: people.client_secret,
      url: people.url,
      audience: config.identifier,
    }
    app.route(
      '/console',
      consoleRoutes({
        client: of,
        login: realmLogin(of),
        registrar,
        readRealm: (accessToken) => readRealmOf(people.issuer, accessToken),
        store,
        relyingParties,
        answers,
        keysOf,
        flow,
        settings: settingsInForce(config),
        nowMs: () => systemClock.nowMs(),
        sleep: (ms, signal) => systemClock.sleep(ms, signal),
      }),
    )
  }
  if (feedKey) {
    app.route(
      '/',
      guardRoutes({
        feeds,
        isEnded,
        key: feedKey,
        keysOf,
        audience: config.identifier,
        nowMs: () => systemClock.nowMs(),
      }),
    )
  }
  app.route('/', otherMethods(api))

  /** Of the processes that share a store one polls, reports and prunes for all. */
  const leads = () => store.shared?.leads() ?? true
  const stop = new AbortController()
  const loops: Promise<void>[] = []
  for (const { issuer, poll_interval_s } of config.issuers) {
    const keycloak = keycloaks.get(issuer)
    if (keycloak) {
      loops.push(follow(keycloak, poll_interval_s * 1000))
    }
  }
  if (config.security_feed) {
    const sink = 'file' in config.security_feed ? fileSink(config.security_feed.file) : httpSink(config.security_feed)
    for (const issuer of todayOf.keys()) {
      loops.push(tellSecurityFeed(issuer, securityFeedPorts(issuer, sink), stop.signal))
    }
  }
  for (const feed of feeds.values()) {
    loops.push(every(FEED_MS, () => tell(feed)))
  }
  loops.push(every(NOTES_MS, lookAtNotes))
  for (const [issuer, own] of ownKeys) {
    loops.push(
      every(LOOK_MS, async () => {
        try {
          own.look((await keycloaks.get(issuer)?.published()) ?? [], systemClock.nowMs())
        } catch (cause) {
          observer.trouble('The keys that the realm publishes could not be read; what is known of them holds', cause)
        }
      }),
    )
  }
  loops.push(every(FORGET_MS, forget))
  const { shared } = store
  if (shared) {
    loops.push(
      every(WAKE_MS, () => {
        flow.wake()
        return Promise.resolve()
      }),
      every(GAP_MS, () => fillGap(shared)),
    )
  }
  async function forget(): Promise<void> {
    if (leads()) {
      await store
        .forgetWatermarks(systemClock.nowMs())
        .catch((cause: unknown) => observer.trouble('Old watermarks could not be dropped', cause))
    }
  }
  async function every(ms: number, work: () => Promise<void>): Promise<void> {
    while (!stop.signal.aborted) {
      await work()
      await systemClock.sleep(ms, stop.signal)
    }
  }
  /** Waits for the realm, visibly, then keeps polling its outbox and refreshing what is known of its relying parties. */
  async function follow(keycloak: Keycloak, pollMs: number): Promise<void> {
    const { issuer } = keycloak
    for (let tries = 0; !stop.signal.aborted; tries++) {
      try {
        await keycloak.connect()
        await keycloak.keys()
        await look(keycloak)
        break
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : 'unknown'
        waitingFor.set(issuer, why)
        if (tries % 15 === 0) {
          log.warn({ issuer, why }, 'Waiting for the identity provider')
        }
        await systemClock.sleep(CONNECT_PAUSE_MS, stop.signal)
      }
    }
    if (stop.signal.aborted) {
      return
    }
    waitingFor.delete(issuer)
    log.info({ issuer, relying_parties: relyingParties.list(issuer).length }, 'Connected to the identity provider')
    await Promise.all([
      pollOutbox(
        {
          poll: (max, ack, errs) => (leads() ? poll(keycloak, max, ack, errs) : Promise.resolve({ sets: {} })),
          verify,
          receive: (event) => receive(event, 'poll'),
          polled: () => leads() && metrics.polled.set({ issuer }, systemClock.nowMs() / 1000),
          trouble: (what, cause) => observer.trouble(what, cause),
        },
        systemClock,
        pollMs,
        stop.signal,
      ),
      fetchMissing(issuer),
      refresh(keycloak),
    ])
  }
  async function poll(keycloak: Keycloak, ...asked: Parameters<Keycloak['poll']>): ReturnType<Keycloak['poll']> {
    const atMs = systemClock.nowMs()
    const answer = await keycloak.poll(...asked)
    if (Object.keys(answer.sets).length === 0) {
      await store.shared?.stored(keycloak.issuer, atMs).catch(() => undefined)
    }
    return answer
  }
  async function look(keycloak: Keycloak): Promise<void> {
    const { issuer } = keycloak
    const { parties, realm, outbox } = await keycloak.relyingParties()
    metrics.outboxWaiting.set({ issuer }, outbox?.waiting ?? 0)
    metrics.outboxRefused.set({ issuer }, outbox?.refused ?? 0)
    setOrRemove(metrics.outboxOldest, issuer, outbox?.oldest_ms)
    await registrar.saw(issuer, parties, realm)
  }
  function securityFeedPorts(issuer: string, sink: Sink): SecurityFeedPorts {
    return {
      store,
      sink,
      clock: systemClock,
      random: Math.random,
      delivered: (lines) => {
        metrics.feedLines.inc(lines)
        setOrRemove(metrics.feedWaiting, issuer, undefined)
      },
      failed: (cause, sinceMs) => {
        metrics.feedFailures.inc()
        setOrRemove(metrics.feedWaiting, issuer, sinceMs)
        log.warn({ issuer, why: cause instanceof Error ? cause.message : undefined }, 'The security feed waits')
      },
      trouble: (what, cause) => observer.trouble(what, cause),
    }
  }
  /** What people have said at another process. */
  async function lookAtNotes(): Promise<void> {
    await registrar
      .load()
      .catch((cause: unknown) => observer.trouble('What people said of relying parties could not be read', cause))
    metrics.paused.reset()
    for (const { issuer } of config.issuers) {
      for (const { clientId, paused } of relyingParties.list(issuer)) {
        if (paused) {
          metrics.paused.set({ issuer, client_id: clientId }, paused.atMs / 1000)
        }
      }
    }
  }
  /** First what is not complete; @param sinceMs then also what was, for the evidence and the guards */
  async function fetchMissing(issuer: string, sinceMs?: number): Promise<void> {
    let taken = await takeUp(rereadPorts(issuer), systemClock, stop.signal)
    if (sinceMs !== undefined) {
      taken += await takeUp(rereadPorts(issuer), systemClock, stop.signal, sinceMs)
    }
    if (taken > 0) {
      log.warn({ issuer, taken }, 'The store lacked events; they were read from the outbox again')
    }
  }
  let filled: { readonly id: string; readonly atMs: number } | undefined
  /**
   * The store has lost something, or may have: whoever leads reads the outbox again, at once, and once more later. What was
   * answered just before the loss may have been acknowledged at the outbox just after the first look.
   */
  async function fillGap(shared: Shared): Promise<void> {
    const gap = shared.gap()
    if (!gap || !leads() || waitingFor.size > 0) {
      return
    }
    const isSecond = filled?.id === gap.id
    if (isSecond && systemClock.monotonicMs() - (filled?.atMs ?? 0) < ACKNOWLEDGED_MS) {
      return
    }
    if (!isSecond) {
      log.warn({ since_ms: gap.sinceMs }, 'The store may have lost what it acknowledged; reading the outbox again')
    }
    await Promise.all(config.issuers.map(({ issuer }) => fetchMissing(issuer, gap.sinceMs)))
    filled = { id: gap.id, atMs: systemClock.monotonicMs() }
    if (isSecond && !stop.signal.aborted) {
      await shared
        .closeGap(gap)
        .catch((cause: unknown) => observer.trouble('That the outbox has been read again could not be stored', cause))
    }
  }
  async function refresh(keycloak: Keycloak): Promise<void> {
    while (!stop.signal.aborted) {
      await systemClock.sleep(REFRESH_MS, stop.signal)
      try {
        await look(keycloak)
      } catch (cause) {
        observer.trouble('The relying parties could not be refreshed; those known are kept', cause)
      }
    }
  }

  const { server, url } = await listen(app, config)
  flow.start()
  log.info(
    {
      url,
      store: config.store.sqlite ?? `Redis, ${store.shared?.promised() ?? ''}`,
      issuers: config.issuers.map(({ issuer }) => issuer),
    },
    'Logout Relay is up',
  )
  return {
    url,
    close: async () => {
      stop.abort()
      feeds.forEach((feed) => feed.end())
      server.close()
      await Promise.race([Promise.all([flow.stop(), ...loops]), systemClock.sleep(GRACE_MS)])
      await sender.close()
      await Promise.all([...keycloaks.values()].map((keycloak) => keycloak.close()))
      await store.close()
      log.info('Logout Relay has stopped; what is still owed is in the store')
    },
  }
}

/** The registry with the delivery settings of the config; the realms have not been asked yet. */
export function makeRelyingParties(config: Config): RelyingParties {
  return new RelyingParties({
    formerIssuers: new Map(
      config.issuers.flatMap(({ issuer, former_issuers }) => former_issuers.map((name) => [name, issuer] as const)),
    ),
    allowHttpOnLoopback: config.delivery.allow_http_on_loopback,
    allowAddresses: config.delivery.allow_addresses,
    timeoutMs: config.delivery.timeout_ms,
    concurrency: config.delivery.concurrency,
    overrides: config.relying_parties.map(
      ({ issuer, client_id, allow_http, allow_addresses, timeout_ms, concurrency, ...registered }) => ({
        issuer,
        clientId: client_id,
        ...(registered.backchannel_logout_uri === undefined ? {} : { logoutUri: registered.backchannel_logout_uri }),
        sessionRequired: registered.backchannel_logout_session_required,
        ...(allow_http === undefined ? {} : { allowHttp: allow_http }),
        ...(allow_addresses === undefined ? {} : { allowAddresses: allow_addresses }),
        ...(timeout_ms === undefined ? {} : { timeoutMs: timeout_ms }),
        ...(concurrency === undefined ? {} : { concurrency }),
      }),
    ),
  })
}

/** The keys of the relay's own, of those realms that have any. */
function makeOwnKeys(config: Config, log: Logger): Map<string, RealmKeys> {
  const realms = new Map<string, RealmKeys>()
  for (const { issuer, signing } of config.issuers) {
    if (signing) {
      const options = {
        places: signing.keys.map(({ alg, key_file }) => ({ alg, file: key_file })),
        publishedForMs: signing.published_for_s * 1000,
        tell: (what: string, about: Readonly<Record<string, string>>) => log.info({ issuer, ...about }, what),
        trouble: (what: string, cause: unknown) =>
          log.error({ issuer, why: cause instanceof Error ? cause.message : undefined }, what),
      }
      realms.set(issuer, new RealmKeys(options))
    }
  }
  return realms
}

function listen(
  app: Hono,
  { listen: { host, port, tls } }: Config,
): Promise<{ server: ReturnType<typeof serve>; url: string }> {
  const options = tls
    ? {
        createServer: createHttpsServer,
        serverOptions: { cert: readFileSync(tls.cert_file), key: readFileSync(tls.key_file) },
      }
    : {}
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port, ...options }, (address) => {
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      resolve({ server, url: `${tls ? 'https' : 'http'}://${name}:${address.port}` })
    })
    server.once('error', reject)
  })
}

/** A time of something that is not always there. */
function setOrRemove(gauge: Gauge, issuer: string, ms: number | undefined): void {
  if (ms === undefined) {
    gauge.remove({ issuer })
  } else {
    gauge.set({ issuer }, ms / 1000)
  }
}

/** @param closed told of each containment whose last delivery has ended */
async function openStore(
  { store }: Config,
  log: Logger,
  closed: (issuer: string, msSinceEvent: number) => void,
): Promise<Store> {
  if (!store.redis) {
    return openSqliteStore(store.sqlite, closed)
  }
  const trouble = (what: string, cause: unknown) =>
    log.error({ why: cause instanceof Error ? cause.message : undefined }, what)
  const opened = await openRedisStore({ ...store.redis, nowMs: () => systemClock.nowMs(), trouble, closed })
  if (opened.shared?.promised().startsWith('everysec')) {
    log.warn(
      'Redis writes its disk once a second: with the power, events of that second are lost there and read again from ' +
        'the outbox. Set "appendfsync always", or use Redis 7.2 or newer',
    )
  }
  return opened
}

function makeLog(config: Config): Logger {
  return pino({ level: config.log.level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
}

/** One wide line for each attempt, and the same facts as metrics. */
function makeObserver(log: Logger, metrics: ReturnType<typeof makeMetrics>, answers: LastAnswers): Observer {
  return {
    received: (source, outcome) => metrics.events.inc({ source, outcome }),
    attempted: (line) => {
      answers.note(line, systemClock.nowMs())
      metrics.attempts.inc({ client_id: line.clientId, outcome: line.outcome, reason: line.reason })
      metrics.attemptSeconds.observe(line.durationMs / 1000)
      if (line.outcome === 'delivered') {
        metrics.deliveredSeconds.observe(line.sinceEventMs / 1000)
      }
      log[line.outcome === 'delivered' ? 'info' : 'warn'](
        { ...line, durationMs: Math.round(line.durationMs) },
        'attempt',
      )
    },
    watched: (issuer, { logins, failedLogins, refusedRefreshes }) => {
      metrics.watched.inc({ issuer, sight: 'login' }, logins)
      metrics.watched.inc({ issuer, sight: 'failed_login' }, failedLogins)
      metrics.watched.inc({ issuer, sight: 'refused_refresh' }, refusedRefreshes)
      log.warn({ issuer, logins, failedLogins, refusedRefreshes }, 'A privileged subject was seen soon after an event')
    },
    dismissed: (issuer, count) => {
      metrics.dismissed.inc({ issuer }, count)
      log.warn({ issuer, count }, 'Deliveries were dismissed; the evidence of their containments says by whom and why')
    },
    lane: ({ issuer, clientId, state, failures }) => {
      metrics.laneProbed.set({ issuer, client_id: clientId }, state === 'probed' ? 1 : 0)
      if (state === 'probed') {
        log.warn({ issuer, clientId, failures }, 'A relying party fails; it is only probed, and what it is owed waits')
      } else {
        log.info({ issuer, clientId }, `A relying party that failed is ${state}`)
      }
    },
    changed: ({ issuer, kind, clientId }) => {
      const weakening = weakens(kind)
      if (weakening) {
        metrics.weakenings.inc({ issuer, kind })
      }
      log[weakening ? 'warn' : 'info'](
        { issuer, kind, clientId },
        'A change; the console and the API say by whom and why',
      )
    },
    trouble: (what, cause) => {
      metrics.troubles.inc()
      // The message only: a cause may carry a request with its headers.
      log.error({ why: cause instanceof Error ? cause.message : undefined }, what)
    },
  }
}
