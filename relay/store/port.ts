import type { Claim, Delivery, DeliveryState, Evidence, Room, SecurityEvent, Target } from '../domain/model.ts'
import type { Month } from '../domain/month.ts'
import type { Plan } from '../domain/plan.ts'
import type { WatermarkLog } from './watermark-log.ts'
import type { Notes } from './notes.ts'

export type RoomOf = (issuer: string, clientId: string) => Room

/** How an attempt ended, as the store keeps it. */
export interface Outcome {
  readonly state: DeliveryState
  readonly atMs: number
  /** When it is due again, if it stays open. */
  readonly dueMs: number
  readonly attempts: number
  readonly reason: string
  readonly status?: number
  /** Where it was sent. */
  readonly target: Target
  readonly evidence: Evidence
  /**
   * Ends with it as delivered what is open of its siblings, was created before, and is not leased; at most {@link SIBLINGS}.
   * What was created later may be owed for a later login, to which the session's id was given again.
   */
  readonly endsSiblingsBeforeMs?: number
}

/** The rest gets tokens of its own, and each of these ends as many. */
export const SIBLINGS = 100

export interface Containment {
  readonly id: string
  readonly issuer: string
  /** Whose account it was: the `sub` of the user in the realm. Absent of one that was kept by an older relay. */
  readonly subject?: string
  readonly trigger: string
  readonly eventMs: number
  readonly createdMs: number
  readonly closedMs?: number
  readonly deliveries: number
  readonly open: number
  /** Of the others those that were given up, by a person or by rule: nobody has confirmed them. */
  readonly dismissed: number
  /** Sessions that nobody could be told about, and when the last of them ends by itself. */
  readonly unreachable: number
  readonly unreachableUntilMs: number
  /** In how many SETs the event comes, and how many of them have come. It is open until all have. */
  readonly parts: number
  readonly arrived: number
}

export interface ContainmentFilter {
  readonly issuer: string
  /** Of this subject alone. */
  readonly subject?: string
  /** Taken up before. */
  readonly beforeMs?: number
  readonly limit: number
}

/** What a relying party has not confirmed. */
export interface OpenLane {
  readonly issuer: string
  readonly clientId: string
  readonly count: number
  /** When the oldest was taken up. */
  readonly oldestMs: number
  /** Whether the relying party has been asked about that one: what was never sent, nobody can have answered. */
  readonly asked: boolean
  /** What came of it last, where it was asked. */
  readonly lastReason?: string
}

/** Sessions at a client that nobody can be told about and that may still live. */
export interface UnreachableAt {
  readonly issuer: string
  readonly clientId: string
  readonly count: number
  /** When the last of them ends by itself. */
  readonly untilMs: number
}

export interface DeliveryFilter {
  readonly issuer: string
  readonly state?: DeliveryState
  readonly clientId?: string
  readonly containmentId?: string
  /** The last id of the page before. */
  readonly after?: string
  readonly limit: number
}

/** Open deliveries that a person means: of one issuer, and all that is given must hold. */
export interface Selection {
  readonly issuer: string
  readonly id?: string
  readonly clientId?: string
  readonly containmentId?: string
  readonly createdFromMs?: number
  readonly createdBeforeMs?: number
}

/** A person's act, for the evidence. `by` is the `sub` of the access token. */
export interface Act {
  readonly by: string
  readonly atMs: number
  readonly reason?: string
}

/** A line of the evidence of a containment, as the security feed tells it. */
export interface EvidenceLine {
  readonly containmentId: string
  readonly trigger: string
  /** Whose account it was, where that is kept. */
  readonly subject?: string
  readonly evidence: Evidence
}

/** What the security feed has not delivered yet, oldest first, held for whoever took it until its lease is over. */
export interface SecurityFeedBatch {
  readonly issuer: string
  readonly fence: number
  /** Where the security feed goes on after this batch; only the store reads it. */
  readonly next: string
  readonly lines: readonly EvidenceLine[]
}

/** What has been kept long enough. */
export interface Past {
  readonly nowMs: number
  /** What ended before. */
  readonly endedBeforeMs: number
  /** Issuers whose evidence goes only when the security feed has told it. */
  readonly fed: readonly string[]
  /** Rows of all kinds together. */
  readonly limit: number
}

/** How many rows of each kind were pruned. */
export type Pruned = Readonly<Record<'watermarks' | 'containments' | 'deliveries' | 'evidence' | 'changes', number>>

/** From when on events may be missing; `id` is of this gap alone. */
export interface Gap {
  readonly sinceMs: number
  readonly id: string
}

/** What a store tells that several processes share, and that lives on machines which may lose what came last. */
export interface Shared {
  /** Whether it is this process that polls, reports and prunes for all. It moves to another within ten seconds. */
  leads(): boolean
  /** What may be missing of what was acknowledged, since the store was emptied or another server is master. */
  gap(): Gap | undefined
  /** The outbox has been read again from there. */
  closeGap(gap: Gap): Promise<void>
  /** Everything that the issuer had committed before is in the store. */
  stored(issuer: string, untilMs: number): Promise<void>
  /** How an event is kept when it is acknowledged, in words for people. */
  promised(): string
  /** What may be lost with the store's own settings, and which to set, in words for people; none is best. */
  weaknesses(): readonly string[]
  /** Why the store cannot be used now; undefined if it can. */
  problem(): string | undefined
}

/**
 * Where everything owed is kept. Every change is durable when its promise resolves, and is one conditional statement:
 * an outcome counts only with the fence of its claim, so a process that was paused past its lease cannot write a stale
 * one. All methods reject with a RelayError `store_unavailable` when the store cannot be written or read.
 */
export interface Store extends WatermarkLog, Notes {
  /** Absent where one process has the store to itself. */
  readonly shared?: Shared
  /** Writes event, containment, deliveries, evidence and watermarks at once; `duplicate` if (issuer, jti) is known, with no effect. */
  accept(event: SecurityEvent, plan: Plan): Promise<'accepted' | 'duplicate'>
  /** Of these `jti`s those that no event of the issuer has. */
  unknown(issuer: string, jtis: readonly string[]): Promise<string[]>
  /**
   * Leases what is due, at most `limit`, and of each lane no more than it has room for: first what is owed for privileged
   * subjects, in every lane, then the rest, lane by lane in turn. The cost grows neither with what is open nor with history.
   *
   * @param only leave the rest, without looking at its lanes
   */
  claim(nowMs: number, leaseMs: number, limit: number, room: RoomOf, only?: 'privileged'): Promise<Claim[]>
  /** False if the claim is no longer current: the outcome is then not written, nor that of its siblings. */
  record(claim: Claim, outcome: Outcome): Promise<boolean>
  /** Gives a claim back unattempted. */
  release(claim: Claim, dueMs: number): Promise<void>
  /**
   * Makes what is selected and waits due at once, at most `limit` at a time; says how many there were. A person's act goes
   * into the evidence, one of the relay itself (without `by`) does not.
   */
  hasten(selection: Selection, act: { readonly by?: string; readonly atMs: number }, limit: number): Promise<number>
  /** Ends what is selected and open as `dismissed`, at most `limit` at a time, whoever has leased it; says how many. */
  dismiss(selection: Selection, act: Act, limit: number): Promise<number>
  /** When, after `nowMs`, the next open delivery is due and free of a lease; undefined if there is none. */
  nextDueMs(nowMs: number): Promise<number | undefined>
  /** Ended deliveries that the identity provider has not been told of. */
  unreported(issuer: string, limit: number): Promise<Delivery[]>
  reported(ids: readonly string[]): Promise<void>

  /** Newest first. */
  containments(filter: ContainmentFilter): Promise<Containment[]>
  /** With its evidence, of that `limit` lines from line `from` on (the first is 0) if they are given. */
  containment(
    issuer: string,
    id: string,
    lines?: { readonly from: number; readonly limit: number },
  ): Promise<{ containment: Containment; evidence: Evidence[] } | undefined>
  deliveries(filter: DeliveryFilter): Promise<Delivery[]>
  /** Open deliveries by client. */
  open(): Promise<OpenLane[]>
  /** What came of the containments of each month, newest first. The cost does not grow with history. */
  months(issuer: string): Promise<Month[]>
  /**
   * By client. A session that several events have named is counted once, and no longer as soon as an event finds that it can be
   * told.
   */
  unreachable(nowMs: number): Promise<UnreachableAt[]>

  /** Takes the next lines of evidence, at most `limit`; undefined if there are none, or another process holds them. */
  takeSecurityFeed(
    issuer: string,
    nowMs: number,
    leaseMs: number,
    limit: number,
  ): Promise<SecurityFeedBatch | undefined>
  /** Ends the lease, and moves on behind the batch if it was delivered. False, and nothing is moved, if it was no longer held. */
  settleSecurityFeed(batch: SecurityFeedBatch, delivered: boolean): Promise<boolean>

  /**
   * Drops at most `limit` rows of what is past: watermarks after their `until`, and with them what is unreachable and has ended;
   * changes from before `endedBeforeMs`; and
   * containments that are closed, all of whose sessions' lives are over, both before it, each with its deliveries, its evidence
   * and the `jti`s of its events. A large one may take several calls; its containment goes last. What was written last may
   * stay. With less than `limit` dropped there is no more for now. The cost does not grow with history.
   */
  prune(past: Past): Promise<Pruned>
  /**
   * Drops of at most `limit` containments whose account they were about: of those that are closed, all of whose sessions' lives
   * are over, both before that time. Says of how many; with less than `limit` there are no more for now.
   */
  forgetSubjects(beforeMs: number, limit: number): Promise<number>
  close(): Promise<void>
}
