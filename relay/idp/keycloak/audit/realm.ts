/** What the audit reads of a realm. Lifespans are seconds, as Keycloak has them; nothing secret is kept. */
export interface RealmDescription {
  readonly realm: string
  readonly eventsListeners: readonly string[]
  /** The realm's attributes `logout-relay.*`. */
  readonly policy: Readonly<Record<string, string>>
  readonly lifespans: Lifespans
  readonly defaultSignatureAlgorithm: string
  /** Who may have offline tokens: the role `offline_access` is in the realm's default role, only elsewhere, or gone. */
  readonly offlineRole: 'everybody' | 'some' | 'nobody'
  readonly clients: readonly Client[]
  /** What the link of a forgotten password gives besides a new password; undefined where nobody can ask for one. */
  readonly mailedLink: MailedLink | undefined
  readonly federations: readonly Federation[]
  readonly identityProviders: readonly Source[]
  /** Of all identity providers, also of those that are switched off; undefined where they cannot be read. */
  readonly aliases: readonly string[] | undefined
  /** Undefined where the server's list of providers cannot be read. */
  readonly extension: Extension | undefined
  /** The server's version; undefined where this account is not told. */
  readonly keycloak: string | undefined
  /** What could not be read, and the role that would let it. */
  readonly unread: readonly { readonly what: string; readonly why: string }[]
  /** Undefined where nobody has asked for it. */
  readonly workloads?: Workloads
}

/** What clients were given, as the extension has counted it. */
export interface Workloads {
  readonly readAtMs: number
  /** Since when it has counted at least; undefined where it has counted nothing yet, or could not be asked. */
  readonly sinceMs?: number
  readonly uses: readonly Use[]
  /** Why it could not be asked; then `uses` says nothing. */
  readonly unread?: string
}

/** One way in which a client was given tokens; docs/protocol.md, `workloads`. */
export interface Use {
  /** Undefined for a client that is gone. */
  readonly clientId: string | undefined
  readonly kind: string
  /** The user's id; empty for those for whom there was no room. */
  readonly account: string
  readonly isService: boolean
  readonly address: string
  readonly count: number
  readonly firstMs: number
  readonly lastMs: number
  /** Hours of the day, UTC, in which it has happened. */
  readonly hours: readonly number[]
  readonly days: number
  readonly refresh: 'none' | 'refresh' | 'offline'
}

export interface Lifespans {
  readonly accessToken: number
  readonly accessTokenImplicit: number
  readonly ssoSession: number
  /** Undefined where "remember me" is off. */
  readonly ssoSessionRememberMe: number | undefined
  /** 0: as the SSO session. */
  readonly clientSession: number
  readonly offlineIdle: number
  /** Undefined: no limit. */
  readonly offlineSession: number | undefined
  readonly clientOfflineSession: number
  readonly login: number
  readonly deviceCode: number
}

export interface MailedLink {
  /** It logs in whoever opens it in the browser that asked for it, without the login flow. */
  readonly logsIn: boolean
  /** Whoever opens it sets up a new one-time password in place of the old one. */
  readonly resetsOtp: boolean
}

/** `info` is what the extension says of itself in the server's list of providers. */
export type Extension = { readonly installed: boolean; readonly info: Readonly<Record<string, string>> }

/** Where passwords live that Keycloak does not keep. */
export interface Source {
  readonly name: string
  readonly provider: string
  /** The kinds of its mappers, each once. */
  readonly mappers: readonly string[]
}

export interface Federation extends Source {
  /** Keycloak's word: `READ_ONLY`, `WRITABLE`, `UNSYNCED`; empty where it says nothing. */
  readonly editMode: string
  /** Whether its users are copied to Keycloak's database. */
  readonly imports: boolean
  /** Keycloak's word for the product: `ad`, `rhds`, `tivoli`, `edirectory`, `other`. */
  readonly vendor: string
}

/** What says of a client whether people log in to it, and whether its application keeps a session. */
export interface Application {
  readonly clientId: string
  readonly enabled: boolean
  readonly protocol: string
  readonly publicClient: boolean
  readonly bearerOnly: boolean
  readonly standardFlow: boolean
  readonly implicitFlow: boolean
  readonly directGrants: boolean
  readonly rootUrl: string
  readonly attributes: Readonly<Partial<Record<ClientAttribute, string>>>
}

export interface Client extends Application {
  readonly frontchannelLogout: boolean
  readonly consentRequired: boolean
  readonly serviceAccount: boolean
  /** Keycloak's name of the way in which it proves itself. */
  readonly authenticator: string
  readonly scopes: readonly string[]
  /** Sessions at this moment; undefined where they cannot be counted. */
  readonly alive: { readonly online: number; readonly offline: number } | undefined
}

/** All that is taken of a client's attributes; others hold private keys. */
export const CLIENT_ATTRIBUTES = [
  'access.token.lifespan',
  'backchannel.logout.session.required',
  'backchannel.logout.url',
  'client.offline.session.max.lifespan',
  'client.secret.creation.time',
  'client.session.max.lifespan',
  'client_credentials.use_refresh_token',
  'frontchannel.logout.url',
  'id.token.signed.response.alg',
  'logout-relay.session.max-life',
  'oauth2.device.authorization.grant.enabled',
  'oidc.ciba.grant.enabled',
] as const
export type ClientAttribute = (typeof CLIENT_ATTRIBUTES)[number]
