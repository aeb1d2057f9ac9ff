import { randomBytes } from 'node:crypto'
import { EncryptJWT, jwtDecrypt } from 'jose'
import type { OperatorOutcome } from '../domain/model.ts'
import type { RealmDescription } from '../idp/keycloak/audit/realm.ts'

/** An access token's roles hold for this long; then single sign-on lets the person in again, with those of that moment. */
const SESSION_MS = 60 * 60_000
const LOGIN_MS = 10 * 60_000
const MAX_SESSIONS = 1000
const MAX_ENDINGS = 20

/** A person who is logged in to the console, as the realm said at the login. */
export interface Person {
  readonly subject: string
  /** The realm's session (OpenID Connect Back-Channel Logout 1.0 §2.1). */
  readonly sid: string
  readonly name: string
  readonly roles: readonly string[]
  readonly idToken: string
  readonly claims: LoginClaims
}

/**
 * What lets a person look up users, and end what one has, at the realm: their own tokens, in the memory of their session and
 * nowhere else.
 */
export interface Rights {
  readonly accessToken: string
  readonly untilMs: number
  readonly refreshToken?: string
  /** Whether the token says that they may look up users. */
  readonly readsUsers: boolean
}

/** What would end of a user, when somebody has looked. */
export interface Ending {
  readonly subject: string
  readonly atMs: number
  readonly found: Extract<OperatorOutcome, { kind: 'done' }>
  /** While Keycloak is asked to do it, once for all who ask for that. */
  asking?: Promise<OperatorOutcome | undefined>
  /** Once it is done. */
  containmentId?: string
}

/** What of the ID token says whether it still counts. */
export interface LoginClaims {
  readonly sub: string
  readonly sid: string
  readonly iat: number
  readonly auth_time?: number
}

export interface Session extends Person {
  readonly id: string
  readonly csrf: string
  readonly beganMs: number
  /** Aborted when the session ends, with where it was ended for a reason. */
  readonly ended: AbortController
  /** Absent for who may neither look up users nor end what one has. */
  rights?: Rights
  /** The same for longer, while it is being asked for. */
  renewing?: Promise<Rights | undefined>
  /** What this person has looked at before they end it, by a name for an address. */
  readonly endings: Map<string, Ending>
  /** Names that those rights have shown, by `sub`; empty for somebody who is not there. */
  readonly names: Map<string, string>
  /** Until when no more names are asked for, after a failure. */
  namesRestMs: number
  /** The realm has refused to show any. */
  namesRefused: boolean
  /** What this person's own rights let them read of the realm, when they asked for it. */
  audit?: { readonly atMs: number } & ({ readonly realm: RealmDescription } | { readonly refused: string })
}

/** A login that has begun: what must match when the person comes back from the realm. */
export interface Login {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
  readonly returnTo: string
  /** Whether the person also asked to read the realm. */
  readonly audit: boolean
}

/** Sessions, in memory: a restart asks people to log in again, which single sign-on does for them. */
export class Sessions {
  readonly #nowMs: () => number
  readonly #sessions = new Map<string, Session>()
  /** A login under way is sealed into its browser's cookie: whoever begins many takes no room from anybody. */
  readonly #key = randomBytes(32)
  /** Logged out at the realm, perhaps while the login here is still under way. By `sid`, with the end of remembering. */
  readonly #loggedOut = new Map<string, number>()
  readonly #names = new Map<string, string>()

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** What the browser keeps of a login until it comes back: readable here alone (RFC 7516), and by this process alone. */
  sealLogin(login: Login): Promise<string> {
    return new EncryptJWT({ ...login })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .setExpirationTime(new Date(this.#nowMs() + LOGIN_MS))
      .encrypt(this.#key)
  }

  /** The login that was sealed here; undefined if it was not, or is too old. */
  async openLogin(sealed: string): Promise<Login | undefined> {
    const options = { currentDate: new Date(this.#nowMs()), requiredClaims: ['exp'] }
    return jwtDecrypt<Login>(sealed, this.#key, options).then(
      ({ payload }) => payload,
      () => undefined,
    )
  }

  /** A new session with an id that nobody has seen; undefined if the realm has ended its session meanwhile. */
  begin(person: Person, rights?: Rights): Session | undefined {
    if (this.#loggedOut.has(person.sid)) {
      return undefined
    }
    const nowMs = this.#nowMs()
    const oldest = this.#sessions.size >= MAX_SESSIONS ? this.#sessions.keys().next().value : undefined
    if (oldest !== undefined) {
      this.end(oldest)
    }
    const session: Session = {
      ...{ ...person, id: secret(), csrf: secret(), beganMs: nowMs, ended: new AbortController() },
      ...(rights ? { rights } : {}),
      ...{ names: new Map(), namesRestMs: 0, namesRefused: false, endings: new Map() },
    }
    this.#sessions.set(session.id, session)
    // Nobody may ever come back for it, and it holds its person's tokens and what they have read.
    const timer = setTimeout(() => this.end(session.id), SESSION_MS).unref()
    session.ended.signal.addEventListener('abort', () => clearTimeout(timer))
    dropOldest(this.#names, MAX_SESSIONS)
    this.#names.set(person.subject, person.name)
    return session
  }

  /** The name of somebody who has been here since the start, else their `sub`, which is all that is stored. */
  nameOf(subject: string): string {
    return this.#names.get(subject) ?? subject
  }

  find(id: string): Session | undefined {
    const session = this.#sessions.get(id)
    if (session && session.beganMs <= this.#nowMs() - SESSION_MS) {
      this.end(id)
      return undefined
    }
    return session
  }

  /** Keeps what somebody has looked at, for as long as their session; the oldest goes first. Says by which name. */
  look(session: Session, ending: Ending): string {
    const name = secret()
    dropOldest(session.endings, MAX_ENDINGS)
    session.endings.set(name, ending)
    return name
  }

  end(id: string, why: 'here' | 'at the realm' = 'here'): void {
    const session = this.#sessions.get(id)
    if (session) {
      delete session.rights
      session.ended.abort(why)
      this.#sessions.delete(id)
    }
  }

  /** The realm says that a session, or without `sid` all of a person, has ended. Says how many it was here. */
  loggedOut({ sid, sub }: { readonly sid?: string; readonly sub?: string }): number {
    const nowMs = this.#nowMs()
    for (const [known, untilMs] of this.#loggedOut) {
      if (untilMs <= nowMs) {
        this.#loggedOut.delete(known)
      }
    }
    if (sid !== undefined) {
      this.#loggedOut.set(sid, nowMs + LOGIN_MS)
    }
    const those = [...this.#sessions.values()].filter((one) =>
      sid === undefined ? one.subject === sub : one.sid === sid,
    )
    those.forEach(({ id }) => this.end(id, 'at the realm'))
    return those.length
  }
}

function secret(): string {
  return randomBytes(32).toString('base64url')
}

function dropOldest(map: Map<string, unknown>, max: number): void {
  const oldest = map.size >= max ? map.keys().next().value : undefined
  if (oldest !== undefined) {
    map.delete(oldest)
  }
}
