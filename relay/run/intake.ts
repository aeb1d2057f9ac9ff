import type { SecurityEvent } from '../domain/model.ts'
import { RelayError } from '../errors.ts'
import type { Source } from '../flow/ports.ts'
import type { Which } from '../idp/port.ts'
import { gapFiller } from '../ingest/gap.ts'
import { Patience } from '../ingest/patience.ts'
import { reread, type Reread, type RereadPorts, takeUp } from '../ingest/reread.ts'
import { verifySet } from '../ingest/set.ts'
import type { WatermarkStream } from '../watermarks/stream.ts'
import type { Parts } from './connect.ts'

/** The ways in which security events come: pushed, polled, or read again from the outbox. All of them end here. */
export interface Intake {
  readonly verify: (set: string) => Promise<SecurityEvent>
  readonly receive: (
    event: SecurityEvent,
    source: Source,
    ended?: ReadonlySet<string>,
  ) => Promise<'accepted' | 'duplicate'>
  /** A page of the outbox again. */
  readonly reread: (issuer: string, which: Which) => Promise<Reread>
  /** First what is not complete; @param sinceMs then also what was, for the evidence and the guards */
  readonly fetchMissing: (issuer: string, sinceMs?: number) => Promise<void>
  /**
   * Takes up what this relay has refused before, all since a time: what was the matter may be mended by now, and the outbox offers
   * it again only minutes after it was refused. Says which were taken, for the outbox to be told.
   */
  readonly takeRefused: (issuer: string, sinceMs: number) => Promise<readonly string[]>
  /** Reads the outbox again where the store may have lost something. */
  readonly fillGap: () => Promise<void>
  readonly tellGuards: (stream: WatermarkStream) => Promise<void>
  /** How many events in a row have come by the poll since the last push, of those that happened while this relay was up. */
  readonly unpushed: ReadonlyMap<string, number>
  /** Why a realm cannot be used yet, of those that cannot. */
  readonly waitingFor: Map<string, string>
}

/** What happened before may have been pushed to nobody. */
const STARTING_MS = 10_000

export function openIntake(parts: Parts, stopping: AbortSignal): Intake {
  const { config, log, clock, names, store, flow, watermarks, observer } = parts
  const patience = new Patience(clock)
  const unpushed = new Map<string, number>()
  const upMs = clock.nowMs() + STARTING_MS
  const waitingFor = new Map(config.issuers.map(({ issuer }) => [issuer, 'not connected yet']))
  const trouble = (what: string, cause: unknown) => observer.trouble(what, cause)
  const verify = (set: string) =>
    verifySet(set, (issuer) => parts.keysOf(names.today.get(issuer) ?? issuer), config.identifier, clock.nowMs())
  const tellGuards = (stream: WatermarkStream) =>
    stream.advance().catch((cause: unknown) => trouble('Watermarks could not be read; guards grow stale', cause))
  const receive: Intake['receive'] = async (event, source, ended) => {
    const outcome = await flow.receive(event, source, ended)
    if (outcome === 'accepted' && event.removedAtMs > upMs) {
      unpushed.set(event.issuer, source === 'push' ? 0 : (unpushed.get(event.issuer) ?? 0) + Number(source === 'poll'))
    }
    const stream = watermarks?.streams.get(event.issuer)
    if (stream) {
      void tellGuards(stream)
    }
    return outcome
  }
  const ports = (issuer: string): RereadPorts => {
    const provider = parts.providers.get(issuer)
    if (!provider) {
      throw new RelayError('idp_unavailable', `${issuer} is not configured`)
    }
    return {
      rows: (which) => provider.rows(which),
      sets: (jtis) => provider.sets(jtis),
      unknown: (jtis) => store.unknown(issuer, jtis),
      receive: (event, ended) => receive(event, 'reread', ended),
      ...{ verify, patience, trouble },
    }
  }
  const fetchMissing = async (issuer: string, sinceMs?: number): Promise<void> => {
    let taken = await takeUp(ports(issuer), clock, stopping)
    if (sinceMs !== undefined) {
      taken += await takeUp(ports(issuer), clock, stopping, sinceMs)
    }
    if (taken > 0) {
      log.warn({ issuer, taken }, 'The store lacked events; they were read from the outbox again')
    }
  }
  const takeRefused = async (issuer: string, sinceMs: number): Promise<readonly string[]> => {
    const taken: string[] = []
    const own = ports(issuer)
    await takeUp(
      {
        ...own,
        receive: async (event, ended) => {
          await own.receive(event, ended)
          taken.push(event.jti)
        },
      },
      clock,
      stopping,
      sinceMs,
    )
    return taken
  }
  const fillGap = gapFiller({
    gap: () => store.shared?.gap(),
    closeGap: async (gap) => store.shared?.closeGap(gap),
    mayRead: () => parts.leads() && waitingFor.size === 0,
    read: async (sinceMs) => {
      await Promise.all(config.issuers.map(({ issuer }) => fetchMissing(issuer, sinceMs)))
    },
    noticed: ({ sinceMs }) =>
      log.warn({ since_ms: sinceMs }, 'The store may have lost what it acknowledged; reading the outbox again'),
    ...{ trouble, clock, stopping },
  })
  return {
    ...{ unpushed, verify, receive, fetchMissing, takeRefused, fillGap, tellGuards, waitingFor },
    reread: (issuer, which) => reread(ports(issuer), which),
  }
}
