import type { Answer, Claim, Delivery, ListedSession, Room, SecurityEvent, Target } from '../domain/model.ts'
import { plan } from '../domain/plan.ts'
import type { Deliverer, Minted } from '../delivery/port.ts'
import { RelayError } from '../errors.ts'
import type { Outcome, Selection } from '../store/port.ts'
import { batches, inBatches, MINT_BATCH } from './batches.ts'
import { Doorbell } from './doorbell.ts'
import { Lanes, NO_ROOM } from './lanes.ts'
import { type Attempt, endOf, endWith, outcomeOf } from './outcome.ts'
import type { FlowPorts, Idp, LaneHealth, Source } from './ports.ts'
import { prove } from './prove.ts'
import { Sessions } from './sessions.ts'

/** A claim must outlive the longest attempt with the minting before it. */
const LEASE_MS = 30_000
/** What must be left of it after the minting, half of it for the record. */
const LEASE_LEAST_MS = 4000
/** With so many of one identity provider waiting for their tokens no more are claimed: it has logins to serve as well. */
const MINTED_AT_ONCE = 200
/** After a minting that failed as a whole. It is the identity provider's failure and costs no relying party an attempt. */
const MINT_PAUSE_MS = 1000
/** The same where a realm that deliveries are owed for is no longer configured. */
const NO_IDP_PAUSE_MS = 60_000
/** Of a kind that this relay does not know: one that does shares its store, or had it before. */
const NO_KIND_PAUSE_MS = 60_000
/** What would be told where nobody names a place: that of an identity provider is in relay.yaml, and may come back. */
const NOWHERE_PAUSE_MS = 60_000
/** For what waits for the answer to a sibling's token. */
const SIBLING_PAUSE_MS = 1000
const STORE_PAUSE_MS = 1000
/** By so much the identity provider's clock may differ: a look at it counts as later than an event only if it began so much later. */
const CLOCKS_MS = 60_000
/** The same among the relays that share a store. */
const OUR_CLOCKS_MS = 5000
/** With nothing due, look again this often; only a fault in the waking would make it matter. */
const IDLE_MS = 60_000

/**
 * The relay's part of the story, top to bottom: {@link receive} a verified event and commit what it means, {@link #deliver}
 * until each relying party has answered, {@link prove} it to the identity provider session by session.
 */
export class Flow {
  readonly #ports: FlowPorts
  readonly #stopping = new AbortController()
  readonly #lanes: Lanes
  readonly #sessions = new Sessions()
  readonly #work = new Set<Promise<void>>()
  /** Deliveries that wait for their tokens, by issuer. */
  readonly #minting = new Map<string, number>()
  /** Issuers of which none is asked for at the moment, after a failure. */
  readonly #paused = new Set<string>()
  readonly #due: Doorbell
  readonly #ends = new Map<string, Doorbell>()
  #loops: Promise<unknown> = Promise.resolve()

  constructor(ports: FlowPorts) {
    this.#ports = ports
    this.#lanes = new Lanes(ports.registry, ports.clock)
    this.#due = new Doorbell(ports.clock)
    for (const issuer of ports.idps.keys()) {
      this.#ends.set(issuer, new Doorbell(ports.clock))
    }
  }

  /** Takes up everything that is owed, also from before a restart. */
  start(): void {
    const provers = [...this.#ends].map(([issuer, ended]) => prove(issuer, ended, this.#ports, this.#stopping.signal))
    this.#loops = Promise.all([this.#deliver(), ...provers])
  }

  /** Takes no new work and waits for the attempts under way; what is not done then is resumed by its lease. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.wake()
    await this.#loops
    await Promise.all(this.#work)
  }

  /** Receive and contain. When this resolves, the event and every delivery it means are durable: only then is 202 true. */
  async receive(event: SecurityEvent, source: Source, ended?: ReadonlySet<string>): Promise<'accepted' | 'duplicate'> {
    const { store, clock, observer } = this.#ports
    const nowMs = clock.nowMs()
    const planned = plan(event, nowMs, (session) => this.#targetOf(event, session, nowMs), ended)
    const outcome = await store.accept(event, planned)
    observer.received(source, outcome)
    if (event.watched && outcome === 'accepted') {
      observer.watched(event.issuer, event.watched)
    }
    if (event.refusedAfter && outcome === 'accepted') {
      observer.refusedAfter(event.issuer, event.refusedAfter)
    }
    this.#due.ring()
    return outcome
  }

  /** Where a session is told; undefined where it cannot be. */
  #targetOf({ issuer, removedAtMs }: SecurityEvent, session: ListedSession, nowMs: number): Target | undefined {
    const { registry, deliverers } = this.#ports
    const target = registry.target(issuer, session.clientId, session.named, removedAtMs + CLOCKS_MS)
    return target && deliverers.get(target.kind)?.owed(target, nowMs - removedAtMs)
  }

  /** Looks for what other processes were told of, or have left behind. */
  wake(): void {
    this.#due.ring()
    for (const bell of this.#ends.values()) {
      bell.ring()
    }
  }

  /** A person asks for another attempt now. Says how many deliveries were waiting and are due. */
  async retryNow(selection: Selection, by: string): Promise<number> {
    const { store, clock } = this.#ports
    const count = await inBatches((limit) => store.hasten(selection, { by, atMs: clock.nowMs() }, limit))
    this.#due.ring()
    return count
  }

  /** A person with that right gives up what is selected, for a reason that the evidence keeps. Says how many there were. */
  async dismiss(selection: Selection, by: string, reason: string): Promise<number> {
    const { store, clock } = this.#ports
    let count = 0
    try {
      await inBatches(async (limit) => {
        const some = await store.dismiss(selection, { by, reason, atMs: clock.nowMs() }, limit)
        count += some
        return some
      })
    } finally {
      // Where the store has failed in between, what was given up before is told all the same.
      await this.#tellDismissed(selection, by, reason, count)
    }
    return count
  }

  async #tellDismissed(selection: Selection, by: string, reason: string, count: number): Promise<void> {
    const { store, clock, observer } = this.#ports
    observer.dismissed(selection.issuer, count)
    this.#ends.get(selection.issuer)?.ring()
    if (count > 0) {
      const { issuer, id, clientId } = selection
      const which = { ...(id === undefined ? {} : { delivery: id }), count }
      const of = clientId === undefined ? {} : { clientId }
      const change = {
        issuer,
        kind: 'deliveries_dismissed',
        atMs: clock.nowMs(),
        ...of,
        by,
        reason,
        data: which,
      } as const
      await store.addChange(change)
      observer.changed(change)
    }
  }

  /** The relying parties that fail right now, as this process has met them. */
  unhealthyLanes(): LaneHealth[] {
    return this.#lanes.unhealthy()
  }

  async #deliver(): Promise<void> {
    const { store, clock, observer } = this.#ports
    while (!this.#stopping.signal.aborted) {
      const nowMs = clock.nowMs()
      let waitMs: number
      try {
        const mintable = this.#mintable()
        const limit = mintable > 0 ? mintable : MINTED_AT_ONCE
        const claims = await store.claim(
          nowMs,
          LEASE_MS,
          limit,
          (issuer, clientId) => this.#room(issuer, clientId),
          mintable > 0 ? undefined : 'privileged',
        )
        for (const claim of claims) {
          this.#lanes.enter(claim.delivery)
        }
        const isMadeHere = (delivery: Delivery) => this.#delivererOf(delivery)?.isMadeHere(delivery) ?? false
        for (const batch of batches(this.#firstOfEachSession(claims), isMadeHere)) {
          this.#track(this.#deliverBatch(batch))
        }
        // What is due in a lane without room is not waited for here: the end of an attempt rings, or the time of a probe.
        const nextMs = claims.length === limit ? nowMs : await store.nextDueMs(nowMs)
        waitMs = nextMs === undefined ? IDLE_MS : Math.min(Math.max(nextMs - clock.nowMs(), 0), IDLE_MS)
      } catch (cause) {
        observer.trouble('Due deliveries could not be read from the store; trying again', cause)
        waitMs = STORE_PAUSE_MS
      }
      await this.#due.wait(waitMs)
    }
  }

  /** One token at a time for each session: what is owed for it as well ends with the answer, or waits for it. */
  #firstOfEachSession(claims: readonly Claim[]): Claim[] {
    const nowMs = this.#ports.clock.nowMs()
    return claims.filter((claim) => {
      const confirmed = this.#sessions.endedBy(claim.delivery)
      if (confirmed) {
        this.#track(this.#end(claim, endWith(claim.delivery, confirmed, nowMs)))
        return false
      }
      const isFirst = this.#sessions.enter(claim.delivery)
      if (!isFirst) {
        this.#track(this.#giveBack(claim, SIBLING_PAUSE_MS))
      }
      return isFirst
    })
  }

  /** How many more claims may wait for their tokens: whole batches, of the identity provider that has fewest of them. */
  #mintable(): number {
    const fewest = Math.min(...[...this.#ports.idps.keys()].map((issuer) => this.#minting.get(issuer) ?? 0))
    return Math.max(0, MINTED_AT_ONCE - Math.ceil(fewest / MINT_BATCH) * MINT_BATCH)
  }

  #room(issuer: string, clientId: string): Room {
    if (this.#paused.has(issuer)) {
      return NO_ROOM
    }
    const room = this.#lanes.room(issuer, clientId)
    return (this.#minting.get(issuer) ?? 0) < MINTED_AT_ONCE ? room : { ...room, others: 0, latest: 0 }
  }

  /** Never rejects. Every claim leaves its lane again, whatever happens. */
  async #deliverBatch(claims: readonly Claim[]): Promise<void> {
    const { idps, clock, observer } = this.#ports
    const nowMs = clock.nowMs()
    const {
      late = [],
      nowhere = [],
      live = [],
    } = Object.groupBy(claims, ({ delivery }) =>
      delivery.latestEndMs <= nowMs ? 'late' : this.#targetNow(delivery) ? 'live' : 'nowhere',
    )
    await Promise.all([
      ...late.map((claim) => this.#end(claim, endOf(claim.delivery, 'expired', nowMs))),
      ...nowhere.map((claim) => this.#giveBack(claim, NOWHERE_PAUSE_MS)),
    ])
    const [first] = live
    if (!first) {
      return
    }
    const { issuer, target } = first.delivery
    const deliverer = this.#delivererOf(first.delivery)
    if (!deliverer) {
      observer.trouble(`Deliveries are owed of the kind ${target.kind}, which this relay does not know`, undefined)
      await Promise.all(live.map((claim) => this.#giveBack(claim, NO_KIND_PAUSE_MS)))
      return
    }
    try {
      const idp = idps.get(issuer)
      if (!idp) {
        throw new RelayError('idp_unavailable', `Deliveries are owed for ${issuer}, which is no longer configured`)
      }
      const { tokens, refused, names } = await this.#mint(issuer, idp, deliverer, live)
      const leftMs = nowMs + LEASE_MS - clock.nowMs()
      if (leftMs < LEASE_LEAST_MS) {
        // This process stood still: the claims may be another's by now, and the tokens may be past their end.
        throw new RelayError('idp_unavailable', 'The logout tokens came after the lease had ended')
      }
      await Promise.all(
        live.map((claim) => {
          const token = tokens.get(claim.delivery.id)
          const refusal = refused.get(claim.delivery.id)
          return token !== undefined
            ? this.#attempt(deliverer, claim, token, leftMs - LEASE_LEAST_MS / 2, {
                mintedMs: this.#ports.store.shared ? nowMs - OUR_CLOCKS_MS : nowMs,
                names: names?.get(claim.delivery.id),
              })
            : refusal !== undefined
              ? this.#notMinted(deliverer, claim, refusal)
              : this.#giveBack(claim)
        }),
      )
    } catch (cause) {
      const pauseMs = idps.has(issuer) ? MINT_PAUSE_MS : NO_IDP_PAUSE_MS
      if (!this.#paused.has(issuer)) {
        observer.trouble('The identity provider made no logout tokens; trying again', cause)
        this.#pause(issuer, pauseMs)
      }
      await Promise.all(live.map((claim) => this.#giveBack(claim, pauseMs)))
    }
  }

  /** Else each of a backlog would be claimed, fail and be given back once a pause: a flood for one that is just starting. */
  #pause(issuer: string, ms: number): void {
    this.#paused.add(issuer)
    void this.#ports.clock.sleep(ms, this.#stopping.signal).then(() => {
      this.#paused.delete(issuer)
      this.#due.ring()
    })
  }

  #targetNow({ issuer, clientId, target, createdMs }: Delivery): Target | undefined {
    return this.#ports.registry.target(issuer, clientId, target, createdMs + OUR_CLOCKS_MS)
  }

  #delivererOf({ target }: Delivery): Deliverer | undefined {
    return this.#ports.deliverers.get(target.kind)
  }

  async #mint(issuer: string, idp: Idp, deliverer: Deliverer, claims: readonly Claim[]): Promise<Minted> {
    const count = (more: number) => this.#minting.set(issuer, (this.#minting.get(issuer) ?? 0) + more)
    count(claims.length)
    try {
      return await deliverer.mint(
        idp,
        claims.map(({ delivery }) => delivery),
      )
    } finally {
      count(-claims.length)
      this.#due.ring()
    }
  }

  /** Never rejects: a release that fails is made good by the end of the lease. */
  async #giveBack(claim: Claim, pauseMs: number = MINT_PAUSE_MS): Promise<void> {
    const { store, clock } = this.#ports
    await store.release(claim, clock.nowMs() + pauseMs).catch(() => undefined)
    this.#leave(claim.delivery)
  }

  #leave(delivery: Delivery): void {
    this.#lanes.leave(delivery)
    this.#sessions.leave(delivery)
    this.#due.ring()
  }

  #track(work: Promise<void>): void {
    this.#work.add(work)
    void work.finally(() => this.#work.delete(work))
  }

  /** One fresh token, sent once. */
  async #attempt(
    deliverer: Deliverer,
    claim: Claim,
    token: string,
    withinMs: number,
    { mintedMs, names }: Pick<Attempt, 'mintedMs' | 'names'>,
  ): Promise<void> {
    const { registry, clock, idps } = this.#ports
    const { delivery } = claim
    const { issuer, clientId } = delivery
    const target = this.#targetNow(delivery)
    if (!target) {
      return this.#giveBack(claim, NOWHERE_PAUSE_MS)
    }
    const began = clock.monotonicMs()
    const policy = registry.lane(issuer, clientId)
    // An answer that comes after the lease would be worth nothing, each time again.
    const within = { ...policy, timeoutMs: Math.min(policy.timeoutMs, withinMs) }
    const answer = await deliverer.send(target, token, within)
    const durationMs = clock.monotonicMs() - began
    this.#heed(delivery, answer)
    const sent = { delivery, target, policy, answer, names, maker: idps.get(issuer), leftMs: withinMs - durationMs }
    const verdict = await deliverer.judge(sent)
    await this.#record(claim, { target, answer, verdict, durationMs, mintedMs, names })
  }

  /** A lane that fails is only probed, and what is due in it waits, unattempted; when it answers, all of it is due. */
  #heed(delivery: Delivery, answer: Answer): void {
    const { clock, observer } = this.#ports
    const { was, now } = this.#lanes.answered(delivery, answer)
    if (now.state !== was) {
      observer.lane(now)
    }
    if (now.probeMs !== undefined) {
      void clock.sleep(now.probeMs - clock.nowMs(), this.#stopping.signal).then(() => this.#due.ring())
    } else if (was === 'probed') {
      this.#track(this.#hurry(delivery))
    }
  }

  /** Never rejects. What it leaves out comes by its back-off. */
  async #hurry({ issuer, clientId }: Delivery): Promise<void> {
    const { store, clock, observer } = this.#ports
    try {
      await inBatches((limit) => store.hasten({ issuer, clientId }, { atMs: clock.nowMs() }, limit))
    } catch (cause) {
      observer.trouble('What waits for a relying party that answers again could not be made due at once', cause)
    }
    this.#due.ring()
  }

  async #notMinted(deliverer: Deliverer, claim: Claim, refusal: string): Promise<void> {
    if (refusal === 'expired' || refusal === 'delivered' || refusal === 'dismissed') {
      await this.#end(claim, endOf(claim.delivery, refusal, this.#ports.clock.nowMs()))
    } else {
      const answer = { kind: 'failure', code: 'not_minted' } as const
      const verdict = deliverer.notMinted(refusal)
      await this.#record(claim, { target: claim.delivery.target, answer, verdict, durationMs: 0 })
    }
  }

  async #record(claim: Claim, attempt: Attempt): Promise<void> {
    const { store, clock, random, observer } = this.#ports
    const { delivery } = claim
    const { outcome, line } = outcomeOf(delivery, attempt, clock.nowMs(), random())
    try {
      const current = await store.record(claim, outcome)
      observer.attempted(current ? line : { ...line, outcome: 'stale' })
      if (current && outcome.endsSiblingsBeforeMs !== undefined) {
        this.#sessions.confirmed(delivery, outcome.endsSiblingsBeforeMs, outcome.status)
      }
      if (outcome.state !== 'open') {
        this.#ends.get(delivery.issuer)?.ring()
      }
    } catch (cause) {
      // Not written: the lease ends and it is attempted once more. Twice is harmless, never is not.
      observer.trouble('The outcome of an attempt could not be stored; it will be attempted again', cause)
    } finally {
      this.#leave(delivery)
    }
  }

  /** Without an attempt. */
  async #end(claim: Claim, outcome: Outcome): Promise<void> {
    const { store, observer } = this.#ports
    try {
      await store.record(claim, outcome)
      this.#ends.get(claim.delivery.issuer)?.ring()
    } catch (cause) {
      observer.trouble('The end of a delivery could not be stored; trying again', cause)
    } finally {
      this.#leave(claim.delivery)
    }
  }
}
