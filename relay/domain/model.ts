import type { Decided } from './decision.ts'

/**
 * The words of the relay, one for each idea. Times in `…Ms` are milliseconds since the epoch.
 *
 * - security event: what happened to a subject at the identity provider; it arrives as a Security Event Token (RFC 8417)
 * - containment: the whole answer to one security event
 * - session: one login of a subject at one relying party
 * - delivery: what one relying party has to be told of one session
 * - kind of delivery: what is sent, how, and how its answer is judged; each has a folder in relay/delivery
 * - target: where and how a delivery goes, in the words of its kind
 * - token: what is sent in a delivery, signed for it alone; a logout token (OpenID Connect Back-Channel Logout 1.0)
 * - sibling: a delivery for the same session at the same relying party, owed for another security event
 * - attempt: one freshly made token, sent once
 * - evidence: the append-only record of a containment
 * - unreachable: a session that nobody can be told about
 * - lane: the deliveries of one relying party; what is slow in one delays no other
 * - claim: a delivery that one process may attempt for a while; its fence tells it from any other claim
 * - operator request: a person's or a program's word that a subject is to be contained
 * - upstream: an identity provider that users of a realm are linked to, and that tells the relay what happens to them, or is
 *   told
 * - realm behind: a realm that takes its logins from this one, and tells the relay that it has ended what a user has there
 * - word: what an upstream has said of one of its users
 * - decision: what a person says of a relying party, or of what it is owed, with a reason
 * - change: something that could keep an attacker in, or that takes such a thing back, whoever made it
 * - note: a text that is kept beside what is owed, by issuer and name
 * - watermark: nothing issued before it counts for who is named
 * - watermark stream: the watermarks of a realm as they go to guards, signed and hashed; `/guard/feed` on the wire
 * - security feed: evidence and changes as they go to a SIEM
 * - outbox: the realm's record of what relying parties have to be told
 * - spared: an offline token that lives on because the realm's policy says so
 * - service account: the user that a client is where it acts for itself
 * - kept: the session in which the person goes on who made the change
 */

/**
 * How a client is told, as its realm names it; without `uri` where it has no logout URL. Beside that it has what the folder
 * of its kind knows of. All of it is stored and may be shown, so nothing of a person is in it.
 */
export interface Named {
  readonly kind: string
  readonly uri?: string
  readonly [more: string]: string | undefined
}

/** Where and how a delivery goes. */
export interface Target extends Named {
  readonly uri: string
}

/** A session as a security event lists it. `id` is what the extension mints and records answers by. */
export interface ListedSession {
  readonly id: string
  readonly clientId: string
  readonly sid: string
  /** The subject as this client sees it. */
  readonly sub?: string
  /** How its client is told, at the time of the event. */
  readonly named: Named
  readonly latestEndMs: number
  /** Its client has nothing but tokens, which the identity provider no longer takes, and so no session of its own. */
  readonly tokensOnly?: true
}

/** A verified security event. `issuer` and `jti` together name it. */
export interface SecurityEvent {
  readonly issuer: string
  readonly jti: string
  /** The same for all events of one cause (RFC 8417 §2.2). */
  readonly txn: string
  readonly type: string
  readonly trigger: string
  readonly subject: string
  readonly watermarkMs: number
  readonly removedAtMs: number
  readonly part: number
  readonly parts: number
  /** Whether it is about all that the subject has, or about the sessions that it lists alone. */
  readonly scope: 'subject' | 'session'
  /** The session in which the person goes on who made the change. */
  readonly keptSid?: string
  /** Its subject has a privileged role: served first. */
  readonly privileged: boolean
  /** The client whose service account the subject is, or which is the subject itself. */
  readonly client?: ContainedClient
  /** Found and reported only: nothing was ended, and nobody is told. */
  readonly shadow: boolean
  /** Sessions from before the watermark that a later look found alive, and ended. */
  readonly survivors: number
  /** What the steps beyond the sessions have ended, by step. */
  readonly steps: Readonly<Record<string, number>>
  /** Who asked for it and why; absent where it just happened. */
  readonly operator?: { readonly by: string; readonly clientId: string; readonly reason: string }
  /** The identity provider that the subject is linked to and that said so, and what it calls the event. */
  readonly upstream?: { readonly issuer: string; readonly txn: string }
  /** Clients whose offline tokens of this subject live on, because the realm's policy spares them. */
  readonly sparedOffline?: readonly string[]
  /** Aliases of the identity providers that the subject is still linked to: whoever added a link logs in with it. */
  readonly identityProviders?: readonly string[]
  /** What has been seen of a privileged subject since the event, and not been told before. */
  readonly watched?: Watched
  /** What the identity provider has refused since the event, and not been told before: somebody still holds something. */
  readonly refusedAfter?: readonly Refused[]
  readonly sessions: readonly ListedSession[]
}

/** `allTokens`: everything that was issued to it has ended, and not its service account's alone. */
export interface ContainedClient {
  readonly clientId: string
  readonly allTokens: boolean
  /** How its service account has got tokens, as far as that is known. */
  readonly used?: {
    /** By which grants. */
    readonly kinds: readonly string[]
    /** As the identity provider saw them, the newest first; not all of many. */
    readonly addresses: readonly string[]
    readonly lastMs: number
  }
}

/** Uses of what is from before an event, all refused. */
export interface Refused {
  /** What was tried: `refresh_token`, `introspection`, `userinfo`, `login`, `link`... */
  readonly use: string
  /** Empty where no client had a part in it. */
  readonly clientId: string
  /** Where the requests came from, as the identity provider saw it; empty where it is not known. */
  readonly address: string
  readonly count: number
}

/** How often, in the quarter of an hour after an event. */
export interface Watched {
  readonly logins: number
  readonly failedLogins: number
  readonly refusedRefreshes: number
}

/** A person's or a program's word that a subject is to be contained. One of `subject` and `clientId` is there. */
export interface OperatorRequest {
  /** A user's id or user name in the issuer's realm. */
  readonly subject?: string
  /** A client, with all that its service account has. */
  readonly clientId?: string
  readonly reason: string
  /** Only say what would end. */
  readonly dryRun: boolean
  /** It is meant, though many have been contained on somebody's word already. */
  readonly confirm: boolean
}

/** What the identity provider has done, or would do, or why not, in its own words. */
export type OperatorOutcome =
  | {
      readonly kind: 'done'
      readonly subject: string
      /** The client whose service account the subject is, or which is the subject itself. */
      readonly clientId?: string
      /** Absent for a dry run. */
      readonly containmentId?: string
      readonly sessions: number
      readonly relyingParties: number
      /** Sessions whose relying party has no logout URL. */
      readonly unreachable: number
      readonly shadow: boolean
      readonly confirmationRequired: boolean
    }
  | { readonly kind: 'refused'; readonly status: number; readonly error: string; readonly description: string }

/** A session that nobody can be told about, since its client has no logout URL: it lives on, at worst until `untilMs`. */
export interface Unreachable {
  readonly clientId: string
  readonly sid: string
  readonly untilMs: number
}

/** By what an identity provider names a user who is linked to it. */
export type UpstreamSubject = { readonly sub: string } | { readonly email: string }

/** What an identity provider that users of a realm are linked to has said of one, once that is verified. */
export interface UpstreamWord {
  /** As the realm's identity provider has it, or of a realm behind this one. */
  readonly issuer: string
  /** The client by which that realm takes its logins from this one; absent for an identity provider. */
  readonly client?: string
  readonly subjects: readonly UpstreamSubject[]
  /** The event's URI, or `global-token-revocation`. */
  readonly type: string
  /** `credential_type`, `change_direction` and `current_status` of CAEP 1.0 §3. */
  readonly credentialType?: string
  readonly changeDirection?: string
  readonly currentStatus?: string
  /** When it happened there; absent for now. */
  readonly atMs?: number
  /** Names the message: told twice it is one. */
  readonly id: string
  /** What it calls the event. */
  readonly txn: string
}

/** What became of a word, in users; all 0 where it concerns nobody. */
export interface UpstreamOutcome {
  readonly contained: number
  /** They wait for a person's word. */
  readonly held: number
  readonly known: number
}

/** What an upstream has said of a realm's users and that waits for a person's word. */
export interface UpstreamHeld {
  readonly id: string
  readonly issuer: string
  /** Users and kinds of events; 0 where nothing waits. */
  readonly held: number
  /** The last decision on what waited. */
  readonly decided?: Decided
}

/** A client that can be told. */
export interface RelyingParty {
  readonly issuer: string
  readonly clientId: string
  readonly target: Target
  readonly enabled: boolean
}

/** How a relying party may be reached. */
export interface LanePolicy {
  /** Whether plain http is taken for a logout URL. */
  readonly http: 'never' | 'loopback' | 'always'
  /** Networks (CIDR) where it may be although they are not public. */
  readonly allowAddresses: readonly string[]
  readonly timeoutMs: number
  /** Attempts under way at once. 0 while it is paused: what is owed stays open. */
  readonly concurrency: number
}

/** `delivered`: the relying party confirmed the logout. `expired`: the session's latest end is past. `dismissed`: by a person. */
export type DeliveryState = 'open' | 'delivered' | 'expired' | 'dismissed'

export interface Delivery {
  /** The session's id within the security event. */
  readonly id: string
  readonly containmentId: string
  readonly issuer: string
  readonly clientId: string
  readonly sid: string
  readonly target: Target
  readonly latestEndMs: number
  /** Owed for a subject with a privileged role: served first. */
  readonly privileged: boolean
  readonly state: DeliveryState
  readonly attempts: number
  readonly dueMs: number
  readonly createdMs: number
  readonly endedMs?: number
  readonly lastStatus?: number
  readonly lastReason?: string
}

/** A delivery that this process may attempt until the lease is over. Outcomes count only with the current fence. */
export interface Claim {
  readonly delivery: Delivery
  readonly fence: number
}

/** Places that are free in a lane. */
export interface Room {
  /** For privileged subjects, who are served first. */
  readonly privileged: number
  /** For all others, less what privileged ones have just taken. */
  readonly others: number
  /** How many of these go to what is due since last, not to what is due the longest: nobody waits behind a mass reset. */
  readonly latest: number
}

/** Whom a token names: a session, all sessions of a subject, or a session of a subject. */
export type TokenNames = 'sid' | 'sub' | 'sid+sub'

/** What a relying party answered to an attempt, or why there was no answer. */
export type Answer =
  | { readonly kind: 'response'; readonly status: number; readonly retryAfterMs?: number }
  | { readonly kind: 'failure'; readonly code: FailureCode }

export type FailureCode =
  | 'timeout'
  | 'connection_refused'
  | 'connection_lost'
  | 'name_not_found'
  | 'tls'
  | 'http_not_allowed'
  | 'address_not_allowed'
  | 'bad_url'
  | 'not_minted'
  | 'other'

export interface Evidence {
  readonly kind:
    | 'received'
    | 'asked'
    | 'told_by'
    | 'upstream_sessions_ended'
    | 'step'
    | 'survivors_ended'
    | 'watched'
    | 'refused_after'
    | 'spared'
    | 'linked'
    | 'shadow'
    | 'planned'
    | 'no_logout_uri'
    | 'attempt'
    | 'retry_asked'
    | 'dismissed'
    | 'expired'
    | 'ended_before'
    | 'ended_by_sibling'
    | 'closed'
  readonly atMs: number
  readonly data: Readonly<Record<string, string | number | boolean>>
}

/** The lane of a delivery: what is slow in one never delays another. */
export function laneOf(issuer: string, clientId: string): string {
  return `${issuer} ${clientId}`
}
