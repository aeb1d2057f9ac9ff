/** What was there before a change: null where there was nothing, the id of a client that was made. */
export type Was = string | boolean | readonly string[] | null

/** By the id of a part. It lies in the realm, so that whoever undoes it needs nothing but the realm. */
export type Made = Readonly<Record<string, Was>>

/** A client of the realm, as far as setup looks at it. */
export interface ClientState {
  readonly id: string
  /** Fields of Keycloak's ClientRepresentation, and its attributes as `attributes.NAME`. */
  readonly settings: Readonly<Record<string, Was | undefined>>
  /** Whether its tokens name the relay as their audience: by a mapper of its own, or by the realm's scope `roles`. */
  readonly audience: 'own' | 'by scope' | undefined
  /** The roles of the relay's client that its service account holds. */
  readonly granted: readonly string[]
  /** The roles of the relay's client in its scope; undefined where its scope is full. */
  readonly scope: readonly string[] | undefined
}

/** A realm, as far as setup looks at it. */
export interface RealmState {
  /** Whether the extension is installed at Keycloak. */
  readonly installed: boolean
  readonly listeners: readonly string[]
  /** The realm attribute `logout-relay.mode`. */
  readonly mode: string | undefined
  readonly made: Made
  /** The roles of the relay's client. */
  readonly roles: readonly string[]
  /** Those of ours that are there, by their client id. */
  readonly clients: ReadonlyMap<string, ClientState>
}

/** The realm attribute that holds what setup has made. */
export const MADE = 'logout-relay.setup'
export const MODE = 'logout-relay.mode'
export const LISTENER = 'logout-relay'

export const RELAY = 'logout-relay'
export const OPERATOR = 'logout-relay-operator'
export const CONSOLE = 'logout-relay-console'
