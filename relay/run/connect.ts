import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import { relaySigned } from '../delivery/backchannel/signer.ts'
import { openKinds } from '../delivery/kinds.ts'
import type { Ask, Deliverer } from '../delivery/port.ts'
import { openPost } from '../delivery/post.ts'
import { Flow } from '../flow/flow.ts'
import type { Clock, Idp, Observer } from '../flow/ports.ts'
import type { IdentityProvider, KeysOf } from '../idp/port.ts'
import { Registrar } from '../registry/registrar.ts'
import type { RelyingParties } from '../registry/registry.ts'
import type { RealmKeys } from '../signing/realm-keys.ts'
import { underAllNames } from '../store/names.ts'
import type { Store } from '../store/port.ts'
import { LastAnswers } from '../telemetry/answers.ts'
import { Findings } from '../telemetry/findings.ts'
import { measureIdp, measureStore, watchIdp } from '../telemetry/measure.ts'
import { countAmiss, countOpen, makeMetrics, type Metrics } from '../telemetry/metrics.ts'
import { makeObserver } from '../telemetry/observer.ts'
import { type StreamKey, readStreamKey } from '../watermarks/key.ts'
import { WatermarkStream } from '../watermarks/stream.ts'
import { allowedBy, makeRelyingParties, type Names, namesOf, wayToProviders } from './configured.ts'
import { openOwnKeys, openProvider, openStore, systemClock } from './open.ts'

const DAY_MS = 86_400_000

/** The parts of a relay that is running, each open and connected with those that it asks. */
export interface Parts {
  readonly config: Config
  readonly log: Logger
  readonly clock: Clock
  readonly names: Names
  readonly metrics: Metrics
  readonly answers: LastAnswers
  readonly findings: Findings
  readonly observer: Observer
  /** As it is kept, each name of a realm by itself. */
  readonly kept: Store
  /** The same for who asks under a realm's name of today. */
  readonly store: Store
  readonly providers: ReadonlyMap<string, IdentityProvider>
  readonly ownKeys: ReadonlyMap<string, RealmKeys>
  readonly relyingParties: RelyingParties
  readonly registrar: Registrar
  readonly flow: Flow
  /** Absent where no guards are fed. */
  readonly watermarks?: Watermarks
  /** Of the processes that share a store one polls, reports and prunes for all. */
  readonly leads: () => boolean
  /** The way to servers that may be hostile. */
  readonly ask: Ask
  /** What verifies tokens of an issuer: the realm's keys without the relay's own. */
  readonly keysOf: KeysOf
  readonly close: () => Promise<void>
}

interface Watermarks {
  readonly key: StreamKey
  readonly streams: ReadonlyMap<string, WatermarkStream>
}

/**
 * Opens and connects the parts.
 *
 * @throws RelayError `config_invalid`, `store_in_use` or `store_unavailable`, before anything is served
 */
export async function connect(config: Config, log: Logger): Promise<Parts> {
  const streamKey = config.guard && (await readStreamKey(config.guard.key_file))
  const ownKeys = openOwnKeys(config, log)
  const names = namesOf(config)
  const metrics = makeMetrics()
  const opened = await openStore(config, log, (issuer, sinceMs) =>
    metrics.containedSeconds.observe({ issuer }, sinceMs / 1000),
  )
  countOpen(metrics, opened)
  const findings = new Findings()
  const kept = measureStore(opened, metrics, findings)
  const store = underAllNames(kept, names.former)
  countAmiss(metrics, store, findings, () => systemClock.nowMs())
  const answers = new LastAnswers()
  const told = { config, log, clock: systemClock, names, metrics, answers, findings, kept, store, ownKeys }
  const observer = makeObserver(log, metrics, answers, () => systemClock.nowMs())
  const { identifier } = config
  const heard = new Set(config.upstreams.map(({ realm }) => realm))
  const providers = new Map(
    config.issuers.map((realm) => [realm.issuer, openProvider(realm, { identifier, hears: heard.has(realm.issuer) })]),
  )
  const way = openPost(config.delivery.ca === undefined ? {} : { ca: config.delivery.ca })
  const { give_up_unknown_days } = config.delivery
  const deliverers = openKinds({
    post: way.post,
    nowMs: () => systemClock.nowMs(),
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    trouble: (what, cause) => observer.trouble(what, cause),
    wayTo: wayToProviders(config),
    ...(give_up_unknown_days > 0 ? { giveUpUnknownMs: give_up_unknown_days * DAY_MS } : {}),
  })
  const leads = () => store.shared?.leads() ?? true
  const relyingParties = makeRelyingParties(config)
  const sending = { ...told, observer, providers, relyingParties, deliverers, leads }
  const registrar = await openRegistrar(sending)
  return {
    ...{ ...told, observer, providers, relyingParties, registrar, leads, ask: way.ask },
    flow: openFlow(sending),
    ...(streamKey ? { watermarks: openWatermarks(config, store, streamKey) } : {}),
    keysOf: (issuer) => {
      const published = providers.get(issuer)?.keys()
      return published?.then((keys) => ownKeys.get(issuer)?.allBut(keys) ?? keys)
    },
    close: async () => {
      await way.close()
      await Promise.all([...providers.values()].map((provider) => provider.close()))
      await store.close()
    },
  }
}

type Sending = Pick<
  Parts,
  | 'config'
  | 'names'
  | 'metrics'
  | 'findings'
  | 'observer'
  | 'store'
  | 'providers'
  | 'ownKeys'
  | 'relyingParties'
  | 'leads'
> & { readonly deliverers: ReadonlyMap<string, Deliverer> }

/** Before anything is delivered: until a realm has been asked, what was last seen of it counts. */
async function openRegistrar({
  config,
  names,
  store,
  relyingParties,
  deliverers,
  providers,
  observer,
}: Sending): Promise<Registrar> {
  const registrar = new Registrar({
    notes: store,
    relyingParties,
    deliverers,
    genuine: (issuer) => {
      const realm = providers.get(issuer)
      return realm && ((clientId) => realm.genuine(clientId))
    },
    observer,
    nowMs: () => systemClock.nowMs(),
  })
  for (const [issuer, former] of names.former) {
    await registrar.adopt(issuer, former)
  }
  await registrar.load()
  for (const { issuer } of config.issuers) {
    await registrar.configured(issuer, allowedBy(config, issuer))
  }
  return registrar
}

function openFlow({
  names,
  metrics,
  findings,
  observer,
  store,
  providers,
  ownKeys,
  relyingParties,
  leads,
  deliverers,
}: Sending): Flow {
  const signing = (issuer: string, realm: IdentityProvider): Idp => {
    const keys = ownKeys.get(issuer)
    return keys
      ? {
          ...relaySigned({
            ...{ issuer, realm, keys },
            made: (count) => metrics.signedByRelay.inc({ issuer }, count),
            nowMs: () => systemClock.nowMs(),
            trouble: (what, cause) => observer.trouble(what, cause),
          }),
          report: (ended) => realm.report(ended),
        }
      : realm
  }
  const idps = [...providers].flatMap(([issuer, realm]) =>
    [issuer, ...(names.former.get(issuer) ?? [])].map((name) => {
      // A token of the relay's own making for a former name would have the wrong issuer.
      const idp = name === issuer ? signing(issuer, realm) : realm
      return [name, watchIdp(issuer, measureIdp(issuer, idp, metrics), findings)] as const
    }),
  )
  return new Flow({
    ...{ store, deliverers, observer, leads, clock: systemClock, random: Math.random },
    idps: new Map(idps),
    registry: relyingParties,
  })
}

function openWatermarks({ issuers }: Config, log: Store, key: StreamKey): Watermarks {
  const nowMs = () => systemClock.nowMs()
  return {
    key,
    streams: new Map(issuers.map(({ issuer }) => [issuer, new WatermarkStream({ issuer, log, key, nowMs })])),
  }
}
