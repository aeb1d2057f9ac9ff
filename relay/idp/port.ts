import type { JWK, JWTPayload } from 'jose'
import type { KeySet } from '../../guard/jwt.ts'
import type { RealmSeen } from '../domain/change.ts'
import type { Directory } from '../domain/directory.ts'
import type { Finding } from '../domain/finding.ts'
import type {
  RelyingParty,
  OperatorRequest,
  OperatorOutcome,
  UpstreamHeld,
  UpstreamOutcome,
  UpstreamWord,
} from '../domain/model.ts'
import type { Genuine } from '../delivery/port.ts'
import type { Idp } from '../flow/ports.ts'

/** After a look at a key set none follows for this long, however many events ask for a key that is not in it. */
export const KEYS_COOLDOWN_MS = 2000

/**
 * All that the relay asks of one realm of an identity provider. Every call throws a RelayError `idp_unavailable`, whose message
 * says what to mend, when it cannot be answered.
 */
export interface IdentityProvider extends Idp {
  /** The realm, exactly as in `iss` of its tokens. */
  readonly issuer: string
  readonly genuine: Genuine
  /** Finds the realm and logs in there. Safe to call again until it works. */
  connect(): Promise<void>
  /** The published keys, cached, fetched again for a key id that is new. */
  keys(): Promise<KeySet>
  /** What is published at this moment (RFC 7517). */
  published(): Promise<readonly JWK[]>
  /** Why no event of this realm would be believed, with what to do; undefined if they are. */
  signatureComplaint(): Promise<string | undefined>
  /** Hands over SETs that nobody has acknowledged (RFC 8936). */
  poll(maxEvents: number, ack: readonly string[], setErrs: Readonly<Record<string, SetError>>): Promise<Polled>
  /** A page of what the outbox holds: events since a time, or those that were taken and in which a session has no end. */
  rows(which: Which): Promise<{ readonly jtis: readonly string[]; readonly next?: string | undefined }>
  /** SETs of the outbox again, acknowledged or not, and the ids of their sessions that have an end. */
  sets(jtis: readonly string[]): Promise<{
    readonly sets: Readonly<Record<string, string>>
    readonly ended: ReadonlySet<string>
  }>
  /** What is amiss with the relay's own access token, the latest of which tells its roles and the realm's clock. */
  ownFindings(): readonly Finding[]
  /** The relying parties, and what the realm and its outbox are like at that moment. */
  look(): Promise<RealmLook>
  /**
   * Passes a caller's request on, with the caller's own token: the realm judges their right anew. Where it throws, it is not known
   * what the realm has done.
   */
  contain(callersToken: string, request: OperatorRequest): Promise<OperatorOutcome>
  /** What an upstream has said; once this answers, it is committed there. Twice does no harm. */
  hear(word: UpstreamWord): Promise<UpstreamOutcome>
  close(): Promise<void>
}

/** Why a SET was not taken (RFC 8936 §2.6). */
export interface SetError {
  readonly err: string
  readonly description: string
}

export interface Polled {
  /** By `jti`. */
  readonly sets: Readonly<Record<string, string>>
  readonly moreAvailable?: boolean | undefined
}

/** @param sinceMs milliseconds since the epoch; without it only events in which a session has no end yet */
export interface Which {
  readonly sinceMs?: number | undefined
  readonly after?: string | undefined
}

export interface RealmLook {
  readonly parties: readonly RelyingParty[]
  /** Whether its events are recorded, and what each trigger causes there; empty where the realm does not tell. */
  readonly realm: Omit<RealmSeen, 'targets'>
  /** Whether the realm is told where to push events; absent where it does not tell. */
  readonly pushes?: boolean | undefined
  /** What is amiss there, and what is well, as far as the realm tells. */
  readonly findings: readonly Finding[]
  /** Absent where the realm does not tell. */
  readonly outbox?: { readonly waiting: number; readonly refused: number; readonly oldestMs?: number } | undefined
  /** Where passwords lie outside of the identity provider; absent where the realm does not tell. */
  readonly directories?: readonly Directory[] | undefined
  /** Those that have named somebody of the realm; absent where the realm does not tell. */
  readonly upstreams?: readonly UpstreamHeld[] | undefined
}

/** The keys of a configured issuer, or undefined for one that is not. */
export type KeysOf = (issuer: string) => Promise<KeySet> | undefined

/** What a verified access token says of who sends it. */
export interface Access {
  readonly subject: string | undefined
  /** The client that it was issued to; empty where it names none. */
  readonly clientId: string
  /** Its end, in seconds. */
  readonly exp: number
  /** Of the client that was asked for. */
  readonly roles: readonly string[]
  /** Of the service account of a client: its name, which is no person's. */
  readonly serviceAccount?: string
}

/** Reads a token whose signature is verified; undefined for what is no access token. @param client whose roles count */
export type ReadAccess = (claims: JWTPayload, client: string) => Access | undefined
