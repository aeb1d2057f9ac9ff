import type { Logger } from 'pino'
import { type Finding, findingsOn } from '../domain/finding.ts'
import type { Findings } from '../telemetry/findings.ts'
import { failureOf, watched } from '../telemetry/measure.ts'
import { type Metrics, setOrRemove } from '../telemetry/metrics.ts'
import type { SecurityEvent } from '../domain/model.ts'
import type { Clock } from '../flow/ports.ts'
import type { IdentityProvider, RealmLook } from '../idp/port.ts'
import { pollOutbox } from '../ingest/poll.ts'
import type { Registrar } from '../registry/registrar.ts'
import type { Parts } from './connect.ts'
import type { Intake } from './intake.ts'

const REFRESH_MS = 60_000
/** While something is amiss: whoever has just mended it wants to see that. */
const AMISS_MS = 5000
const CONNECT_PAUSE_MS = 2000
/** One may be late for other reasons. */
const UNPUSHED = 3
/** So many events are acknowledged at once at most. */
const ACKS = 500
/** So many tries are silent after one that was told. */
const TOLD_EVERY = 15

export interface FollowPorts {
  readonly provider: IdentityProvider
  readonly registrar: Registrar
  readonly metrics: Metrics
  readonly findings: Pick<Findings, 'found' | 'about'>
  readonly log: Logger
  readonly clock: Clock
  readonly pollMs: number
  /** Of the processes that share a store one polls for all. */
  readonly leads: () => boolean
  readonly verify: (set: string) => Promise<SecurityEvent>
  readonly receive: (event: SecurityEvent) => Promise<unknown>
  /** An empty poll says that everything the realm had committed by then is in the store. */
  readonly stored: (untilMs: number) => Promise<void>
  /** How many events in a row have come by the poll alone. */
  readonly unpushed: () => number
  /** Takes up what the store lacks, once. */
  readonly fetchMissing: () => Promise<void>
  /** Takes up what was refused before, once; says what was taken, by `jti`. */
  readonly takeRefused: (sinceMs: number) => Promise<readonly string[]>
  /** Why the realm cannot be used yet; undefined when it can. */
  readonly waits: (why: string | undefined) => void
  readonly trouble: (what: string, cause: unknown) => void
}

/** Follows every realm that is configured. */
export function followRealms(parts: Parts, intake: Intake, stop: AbortSignal): Promise<void>[] {
  const { config, registrar, metrics, findings, log, clock, leads, store, providers, observer } = parts
  const { verify, receive, unpushed, fetchMissing, takeRefused, waitingFor } = intake
  return config.issuers.flatMap(({ issuer, poll_interval_s }) => {
    const provider = providers.get(issuer)
    if (!provider) {
      return []
    }
    const ports: FollowPorts = {
      ...{ provider, registrar, metrics, findings, log, clock, leads, verify },
      pollMs: poll_interval_s * 1000,
      receive: (event) => receive(event, 'poll'),
      stored: async (untilMs) => store.shared?.stored(issuer, untilMs),
      unpushed: () => unpushed.get(issuer) ?? 0,
      fetchMissing: () => fetchMissing(issuer),
      takeRefused: (sinceMs) => takeRefused(issuer, sinceMs),
      waits: (why) => (why === undefined ? waitingFor.delete(issuer) : waitingFor.set(issuer, why)),
      trouble: (what, cause) => observer.trouble(what, cause),
    }
    return followRealm(ports, stop)
  })
}

/** Waits for the realm, visibly, then keeps polling its outbox and refreshing what is known of its relying parties. */
export async function followRealm(ports: FollowPorts, stop: AbortSignal): Promise<void> {
  const { provider, clock, log } = ports
  const { issuer } = provider
  let refusedSinceMs: number | undefined
  for (let tries = 0; !stop.aborted; tries++) {
    try {
      await provider.connect()
      await provider.keys()
      const { count, outbox } = await look(ports)
      refusedSinceMs = (outbox?.refused ?? 0) > 0 ? outbox?.oldestMs : undefined
      ports.waits(undefined)
      ports.findings.found(findingsOn(issuer).ok('keycloak', 'answers'))
      log.info({ issuer, relying_parties: count }, 'Connected to the identity provider')
      break
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : 'unknown'
      ports.waits(why)
      ports.findings.found(failureOf(issuer, 'keycloak', cause))
      if (tries % TOLD_EVERY === 0) {
        log.warn({ issuer, why }, 'Waiting for the identity provider')
      }
      await clock.sleep(CONNECT_PAUSE_MS, stop)
    }
  }
  if (!stop.aborted) {
    const taken: string[] = []
    await Promise.all([
      poll(ports, taken, stop),
      ports.fetchMissing().then(() => again(ports, refusedSinceMs, taken)),
      refresh(ports, stop),
    ])
  }
}

/** What was refused when the relay ran last is asked for at once; the outbox would offer it in minutes. */
async function again(ports: FollowPorts, sinceMs: number | undefined, taken: string[]): Promise<void> {
  if (sinceMs === undefined || !ports.leads()) {
    return
  }
  const { issuer } = ports.provider
  taken.push(...(await ports.takeRefused(sinceMs)))
  ports.log.info({ issuer, taken: taken.length }, 'Events that were refused before were asked for again')
}

/** @param taken what the outbox is to be told of beside what it hands out; emptied when it knows */
function poll(ports: FollowPorts, taken: string[], stop: AbortSignal): Promise<void> {
  const { provider, metrics, clock, leads } = ports
  const { issuer } = provider
  const ask: IdentityProvider['poll'] = async (max, ack, setErrs) => {
    const atMs = clock.nowMs()
    const more = taken.slice(0, ACKS - ack.length)
    const answer = await watched(issuer, 'poll', ports.findings, () => provider.poll(max, [...ack, ...more], setErrs))
    taken.splice(0, more.length)
    if (Object.keys(answer.sets).length === 0) {
      await ports.stored(atMs).catch(() => undefined)
    }
    return answer
  }
  return pollOutbox(
    {
      poll: (...asked) => (leads() ? ask(...asked) : Promise.resolve({ sets: {} })),
      verify: ports.verify,
      receive: ports.receive,
      polled: () => leads() && metrics.polled.set({ issuer }, clock.nowMs() / 1000),
      refused: (why) =>
        ports.findings.found(
          findingsOn(issuer).todo('events', `one is refused (${why}); it stays in the outbox, and is asked for again`),
        ),
      trouble: ports.trouble,
    },
    clock,
    ports.pollMs,
    stop,
  )
}

async function refresh(ports: FollowPorts, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    const isWell = ports.findings.about(ports.provider.issuer).length === 0
    await ports.clock.sleep(isWell ? REFRESH_MS : AMISS_MS, stop)
    try {
      await watched(ports.provider.issuer, 'relying parties', ports.findings, () => look(ports))
      await tokensAgain(ports)
      leaveToAnother(ports)
    } catch (cause) {
      ports.trouble('The relying parties could not be refreshed; those known are kept', cause)
    }
  }
}

/** What no token was made for may have been given up since, and then no work would find out that they are made again. */
async function tokensAgain({ provider, findings }: FollowPorts): Promise<void> {
  const { issuer } = provider
  if (findings.about(issuer).some(({ check }) => check === 'logout tokens')) {
    // Of this client there is nothing to end. That it may be asked for is what is to be found out.
    await watched(issuer, 'logout tokens', findings, () => provider.genuine('logout-relay')).catch(() => undefined)
  }
}

/** What this process could not do while it led is now the work of another, which tells of it. */
function leaveToAnother({ provider, findings, leads }: FollowPorts): void {
  const { ok } = findingsOn(provider.issuer)
  if (!leads()) {
    findings.found(...['poll', 'answers'].map((check) => ok(check, 'is done by another process')))
  }
}

/**
 * How the realm is now: its relying parties, whether it is switched on, what its outbox holds, whether its signature can be
 * verified. Says how many parties.
 */
async function look({
  provider,
  registrar,
  metrics,
  findings,
  clock,
  unpushed,
  trouble,
}: FollowPorts): Promise<{ readonly count: number } & Pick<RealmLook, 'outbox'>> {
  const { issuer } = provider
  const { ok, todo } = findingsOn(issuer)
  const complaint = await provider.signatureComplaint()
  findings.found(
    complaint === undefined
      ? ok('signature', 'can be verified')
      : todo('signature', `every event will be refused. ${complaint}`),
  )
  if (complaint !== undefined) {
    trouble(`Every security event of ${issuer} will be refused. ${complaint}`, undefined)
  }
  const readMs = clock.nowMs()
  const { parties, realm, findings: found, pushes, outbox, directories, upstreams } = await provider.look()
  findings.found(...found, ...provider.ownFindings())
  findings.found(judgePush(issuer, pushes === true, unpushed()))
  if (outbox?.refused === 0) {
    findings.found(ok('events', 'are taken'))
  }
  metrics.outboxWaiting.set({ issuer }, outbox?.waiting ?? 0)
  metrics.outboxRefused.set({ issuer }, outbox?.refused ?? 0)
  setOrRemove(metrics.outboxOldest, issuer, outbox?.oldestMs)
  metrics.directories.set(issuer, directories ?? [])
  metrics.upstreamsHeld.set(issuer, upstreams ?? [])
  await registrar.saw(issuer, parties, realm, readMs)
  return { count: parties.length, outbox }
}

/** Nobody but the relay can know that a push URL leads nowhere: Keycloak has one, and its events come by the poll alone. */
function judgePush(issuer: string, pushes: boolean, unpushed: number): Finding {
  const { ok, todo } = findingsOn(issuer)
  return pushes && unpushed >= UNPUSHED
    ? todo(
        'push',
        `does not arrive: the last ${unpushed} events came by the poll, seconds late. Is the extension’s push-url this relay’s /events, and may Keycloak connect to it?`,
      )
    : ok('push', pushes ? 'arrives, as far as is known' : 'is not switched on')
}
