import { Hono } from 'hono'
import type { Logger } from 'pino'
import { apiRoutes } from './api/app.ts'
import { otherMethods } from './api/described.ts'
import { measureIdp, measureStore } from './telemetry/measure.ts'
import { makeMetrics } from './telemetry/metrics.ts'
import { readRealmOf } from './idp/keycloak/audit/read.ts'
import type { Config } from './config/config.ts'
import { LastAnswers } from './telemetry/answers.ts'
import { realmLogin } from './console/login.ts'
import { consoleRoutes } from './console/routes.ts'
import { settingsInForce } from './console/settings.ts'
import { openSender } from './delivery/backchannel/send.ts'
import { beginDuties } from './run/duties.ts'
import { RelayError } from './errors.ts'
import { Flow } from './flow/flow.ts'
import type { Idp } from './flow/ports.ts'
import { followRealm } from './run/follow.ts'
import { endedBy, judgedBy } from './watermarks/ended.ts'
import { RealmFeed } from './watermarks/stream.ts'
import { readFeedKey } from './watermarks/key.ts'
import { guardRoutes } from './api/guard.ts'
import { readAccess } from './idp/keycloak/claims.ts'
import { Keycloak } from './idp/keycloak/keycloak.ts'
import { gapFiller } from './ingest/gap.ts'
import { Patience } from './ingest/patience.ts'
import { pushRoute } from './ingest/push.ts'
import { reread, type RereadPorts, takeUp } from './ingest/reread.ts'
import { verifySet } from './ingest/set.ts'
import { makeLog, makeObserver } from './telemetry/observer.ts'
import { allowedBy, listen, makeOwnKeys, makeRelyingParties, openStore, systemClock } from './run/parts.ts'
import { Registrar } from './registry/registrar.ts'
import { relaySigned } from './signing/signer.ts'
import { underAllNames } from './store/names.ts'

const GRACE_MS = 10_000
const DAY_MS = 86_400_000

/** Puts the parts together: config, store, adapters, flow, http. What they do is theirs; start reading at flow/flow.ts. */
export async function startRelay(
  config: Config,
  log: Logger = makeLog(config.log.level),
): Promise<{ url: string; close(): Promise<void> }> {
  const feedKey = config.guard === undefined ? undefined : await readFeedKey(config.guard.key_file)
  const ownKeys = makeOwnKeys(config, log)
  const clients = new Map(config.issuers.map((realm) => [realm.issuer, realm.clients]))
  const clientsOf = (issuer: string) => clients.get(issuer) ?? []
  const unmeasured = await openStore(config, log, (issuer, sinceMs) =>
    metrics.containedSeconds.observe({ issuer }, sinceMs / 1000),
  )
  const metrics = makeMetrics(unmeasured)
  const formerNames = new Map(config.issuers.map(({ issuer, former_issuers }) => [issuer, former_issuers]))
  const kept = measureStore(unmeasured, metrics)
  const store = underAllNames(kept, formerNames)
  /** Of the processes that share a store one polls, reports and prunes for all. */
  const leads = () => store.shared?.leads() ?? true
  const stop = new AbortController()
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
  const observer = makeObserver(log, metrics, answers, () => systemClock.nowMs())
  const trouble = (what: string, cause: unknown) => observer.trouble(what, cause)
  const registrar = new Registrar({
    notes: store,
    relyingParties,
    send: sender.send,
    genuine: (issuer) => {
      const realm = keycloaks.get(issuer)
      return realm && ((clientId) => realm.genuine(clientId))
    },
    observer,
    nowMs: () => systemClock.nowMs(),
  })
  for (const [issuer, names] of formerNames) {
    await registrar.adopt(issuer, names)
  }
  await registrar.load()
  for (const { issuer } of config.issuers) {
    await registrar.configured(issuer, allowedBy(config, issuer))
  }
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
          trouble,
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
    leads,
    ...(config.delivery.give_up_unknown_days > 0
      ? { giveUpUnknownMs: config.delivery.give_up_unknown_days * DAY_MS }
      : {}),
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

  const patience = new Patience(systemClock)
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
      patience,
      trouble,
    }
  }

  const waitingFor = new Map<string, string>(config.issuers.map(({ issuer }) => [issuer, 'not connected yet']))
  const app = new Hono()
  app.route(
    '/',
    pushRoute({
      verify,
      receive: (event) => receive(event, 'push'),
      clock: systemClock,
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
    readAccess,
    isEnded,
    clientsOf,
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
    const judge = judgedBy(store, () => systemClock.nowMs())
    app.route(
      '/console',
      consoleRoutes({
        client: of,
        login: realmLogin(of, readAccess),
        registrar,
        readRealm: (accessToken) => readRealmOf(people.issuer, accessToken),
        store,
        relyingParties,
        answers,
        keysOf: (issuer) => keycloaks.get(issuer)?.keys(),
        // Who has changed their own password goes on at the realm, and so here after one more round by single sign-on.
        isRevoked: async (login) => (await judge(people.issuer, { ...login })) === 'revoked',
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
        readAccess,
        audience: config.identifier,
        nowMs: () => systemClock.nowMs(),
      }),
    )
  }
  app.route('/', otherMethods(api))

  /** First what is not complete; @param sinceMs then also what was, for the evidence and the guards */
  const fetchMissing = async (issuer: string, sinceMs?: number): Promise<void> => {
    let taken = await takeUp(rereadPorts(issuer), systemClock, stop.signal)
    if (sinceMs !== undefined) {
      taken += await takeUp(rereadPorts(issuer), systemClock, stop.signal, sinceMs)
    }
    if (taken > 0) {
      log.warn({ issuer, taken }, 'The store lacked events; they were read from the outbox again')
    }
  }
  const fillGap = gapFiller({
    gap: () => store.shared?.gap(),
    closeGap: async (gap) => store.shared?.closeGap(gap),
    mayRead: () => leads() && waitingFor.size === 0,
    read: async (sinceMs) => {
      await Promise.all(config.issuers.map(({ issuer }) => fetchMissing(issuer, sinceMs)))
    },
    noticed: ({ sinceMs }) =>
      log.warn({ since_ms: sinceMs }, 'The store may have lost what it acknowledged; reading the outbox again'),
    trouble,
    clock: systemClock,
    stopping: stop.signal,
  })
  const loops = beginDuties(
    {
      config,
      // Each name is told and pruned by itself.
      store: kept,
      providers: keycloaks,
      ownKeys,
      feeds: [...feeds.values()],
      registrar,
      relyingParties,
      metrics,
      log,
      clock: systemClock,
      random: Math.random,
      leads,
      wake: () => flow.wake(),
      tellGuards: tell,
      fillGap,
      trouble,
    },
    stop.signal,
  )
  for (const { issuer, poll_interval_s } of config.issuers) {
    const keycloak = keycloaks.get(issuer)
    if (keycloak) {
      const ports = {
        provider: keycloak,
        registrar,
        metrics,
        log,
        clock: systemClock,
        pollMs: poll_interval_s * 1000,
        leads,
        verify,
        receive: (event) => receive(event, 'poll'),
        stored: async (untilMs) => store.shared?.stored(issuer, untilMs),
        fetchMissing: () => fetchMissing(issuer),
        waits: (why) => (why === undefined ? waitingFor.delete(issuer) : waitingFor.set(issuer, why)),
        trouble,
      } satisfies Parameters<typeof followRealm>[0]
      loops.push(followRealm(ports, stop.signal))
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
