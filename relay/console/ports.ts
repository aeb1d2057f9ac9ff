import type { Finding } from '../domain/finding.ts'
import type { OperatorOutcome, OperatorRequest } from '../domain/model.ts'
import type { KeysOf } from '../idp/port.ts'
import type { LaneHealth } from '../flow/ports.ts'
import type { Registrar } from '../registry/registrar.ts'
import type { RelyingParties } from '../registry/registry.ts'
import type { Selection, Store } from '../store/port.ts'
import type { LastAnswers } from '../telemetry/answers.ts'
import type { RealmDescription } from '../idp/keycloak/audit/realm.ts'
import type { UserLookup } from '../idp/keycloak/users.ts'
import type { ConsoleClient, RealmLogin } from './login.ts'
import type { LoginClaims } from './sessions.ts'

export interface ConsolePorts {
  readonly client: ConsoleClient
  readonly login: RealmLogin
  readonly store: Pick<
    Store,
    'containments' | 'containment' | 'deliveries' | 'open' | 'months' | 'unreachable' | 'changes'
  >
  readonly relyingParties: Pick<RelyingParties, 'list' | 'find' | 'lane'>
  readonly registrar: Pick<
    Registrar,
    'check' | 'lastCheck' | 'register' | 'unregister' | 'pause' | 'resume' | 'isListenerOff'
  >
  readonly answers: LastAnswers
  /** What is amiss now, as the relay's own work has met it. */
  readonly findings: () => readonly Finding[]
  /** What the realm publishes, with the relay's own keys: the console is told to log out by the relay it belongs to. */
  readonly keysOf: KeysOf
  /** Whether a login counts no more, by what the store knows at this moment of its subject and its session. */
  readonly isRevoked: (login: LoginClaims) => Promise<boolean>
  readonly flow: {
    retryNow(selection: Selection, by: string): Promise<number>
    dismiss(selection: Selection, by: string, reason: string): Promise<number>
    /** Lanes that are not healthy. */
    unhealthyLanes(): LaneHealth[]
  }
  /** Ends what a user has, with the access token of whoever asks for it. Throws as `IdentityProvider.contain`. */
  readonly contain: (accessToken: string, request: OperatorRequest) => Promise<OperatorOutcome>
  /** Users of the realm, each time with the access token of whoever looks. */
  readonly users: UserLookup
  /** Reads the realm with the access token of whoever has asked for it. */
  readonly readRealm: (accessToken: string) => Promise<RealmDescription>
  /** What is configured, by name, without anything secret. */
  readonly settings: readonly (readonly [name: string, value: string])[]
  readonly nowMs: () => number
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
}
