import { isLoopback } from '../../../domain/uri.ts'
import type { Application, Client, RealmDescription } from './realm.ts'

const DAY = 86_400
/** What the extension assumes of a relying party whose client does not say; docs/protocol.md. */
export const MAX_LIFE_DEFAULT = 30 * DAY
const DEVICE_GRANT = 'oauth2.device.authorization.grant.enabled'
const CIBA_GRANT = 'oidc.ciba.grant.enabled'
/** Keycloak's own pages: they hold tokens in the browser and no session of their own. */
const OF_KEYCLOAK = new Set(['account', 'account-console', 'admin-cli', 'security-admin-console'])

/**
 * For how long at worst each kind of access of one client goes on after a password reset that is made now, in seconds.
 * Undefined: the client has no such access. 0: the reset ends it. Infinity: nothing ever ends it.
 */
export interface Survival {
  readonly client: Client
  /** The application's own session. */
  readonly application: number | undefined
  /** Whether nobody has said how long the application's sessions live. */
  readonly assumed: boolean
  readonly refreshToken: number | undefined
  readonly offlineToken: number | undefined
  readonly accessToken: number | undefined
  readonly worst: number
}

/** Whether the extension is on the server, switched on in the realm, and ends something. On doubt it is not. */
export function isContained(realm: RealmDescription): boolean {
  return isOn(realm) && !isShadow(realm)
}

/** Whether the extension is on the server and switched on in the realm, whatever it ends. */
export function isOn(realm: RealmDescription): boolean {
  return realm.extension?.installed === true && realm.eventsListeners.includes('logout-relay')
}

/** Whether the extension only reports what it would end. */
export function isShadow({ policy }: RealmDescription): boolean {
  return policy['logout-relay.mode']?.trim() === 'shadow'
}

/** The longest life of a session at Keycloak. */
export function ssoSession({ lifespans }: RealmDescription): number {
  return Math.max(lifespans.ssoSession, lifespans.ssoSessionRememberMe ?? 0)
}

/** What survives at each client that people log in to, the worst first. */
export function survivals(realm: RealmDescription): Survival[] {
  return realm.clients
    .filter(isLoggedInTo)
    .map((client) => survival(realm, client))
    .sort((a, b) => (a.worst === b.worst ? a.client.clientId.localeCompare(b.client.clientId) : b.worst - a.worst))
}

/** A disabled client refreshes nothing, a bearer-only one and a service account have nobody's password behind them. */
export function isLoggedInTo(client: Application): boolean {
  const flows =
    client.standardFlow ||
    client.implicitFlow ||
    client.directGrants ||
    client.attributes[DEVICE_GRANT] === 'true' ||
    client.attributes[CIBA_GRANT] === 'true'
  return client.enabled && !client.bearerOnly && (isSaml(client) || flows)
}

/** A public client is an application in a browser or on a device: it has its tokens, unless something tells of more. */
function keepsSession(client: Application): boolean {
  return !isOfKeycloak(client) && (!client.publicClient || tellsOfMore(client))
}

function tellsOfMore(client: Application): boolean {
  return maxLife(client) !== undefined || logoutUrl(client) !== undefined
}

/**
 * Whether it is the command line by which operators act, which has its tokens alone: people reach it by the device grant and
 * by nothing else. One of any other with a secret may be a server that keeps sessions. The extension judges the same.
 *
 * @param operators the clients, by client id, that are for operators alone
 */
export function isCommandLine(client: Application, operators: readonly string[]): boolean {
  const { attributes, standardFlow, implicitFlow, directGrants } = client
  const others = standardFlow || implicitFlow || directGrants || attributes[CIBA_GRANT] === 'true'
  const isDevice = attributes[DEVICE_GRANT] === 'true' && !others
  return operators.includes(client.clientId) && isDevice && !tellsOfMore(client)
}

/** As the extension has them. */
function operatorsOf({ policy }: RealmDescription): string[] {
  return (policy['logout-relay.clients'] ?? 'logout-relay-operator').split(/[\s,]+/)
}

/**
 * Whether the application keeps sessions that nobody tells of a reset, and nobody has said for how long. So whoever has said
 * it has looked, and is not told again.
 */
export function isForgotten(client: Application): boolean {
  return (
    isLoggedInTo(client) && keepsSession(client) && logoutUrl(client) === undefined && maxLife(client) === undefined
  )
}

function survival(realm: RealmDescription, client: Client): Survival {
  const contained = isContained(realm)
  const said = maxLife(client)
  const tokens = tokensOf(realm, client)
  const held = contained ? 0 : tokens.refreshToken
  const offlineToken = tokens.offlineToken === undefined ? undefined : contained ? 0 : tokens.offlineToken
  const untold = said ?? MAX_LIFE_DEFAULT
  const hasTokensOnly = !keepsSession(client) || isCommandLine(client, operatorsOf(realm))
  const application = hasTokensOnly ? undefined : contained && isTold(realm, client) ? 0 : untold
  const refreshToken = isSaml(client) ? undefined : held
  return {
    client,
    application,
    assumed: application !== undefined && application > 0 && said === undefined,
    refreshToken,
    offlineToken,
    accessToken: tokens.accessToken,
    worst: Math.max(application ?? 0, refreshToken ?? 0, offlineToken ?? 0, tokens.accessToken ?? 0),
  }
}

/** What Keycloak issues to the client and how long it lives when nothing is reset. */
export function tokensOf(realm: RealmDescription, client: Client) {
  if (isSaml(client)) {
    return { refreshToken: undefined, offlineToken: undefined, accessToken: undefined }
  }
  const { lifespans } = realm
  const own = seconds(client.attributes['client.session.max.lifespan']) ?? positive(lifespans.clientSession)
  const refreshToken = Math.min(own ?? Infinity, ssoSession(realm))
  const offlineToken = hasOfflineAccess(realm, client) ? offlineLife(realm, client) : undefined
  // Keycloak caps an access token by its session; one of an offline session may have no cap.
  const cap = offlineToken === undefined ? refreshToken : Math.max(refreshToken, offlineToken)
  const lifespan = Number(client.attributes['access.token.lifespan'] ?? '') || lifespans.accessToken
  const access = lifespan < 0 ? ssoSession(realm) : lifespan
  return {
    refreshToken,
    offlineToken,
    accessToken: Math.min(Math.max(access, client.implicitFlow ? lifespans.accessTokenImplicit : 0), cap),
  }
}

function hasOfflineAccess(realm: RealmDescription, client: Client): boolean {
  return !isSaml(client) && client.scopes.includes('offline_access') && realm.offlineRole !== 'nobody'
}

function offlineLife({ lifespans }: RealmDescription, client: Client): number {
  const own = seconds(client.attributes['client.offline.session.max.lifespan'])
  const ofRealm = lifespans.offlineSession
  if (ofRealm === undefined) {
    return own ?? Infinity
  }
  return Math.min(own ?? positive(lifespans.clientOfflineSession) ?? Infinity, ofRealm)
}

/** Whether a logout token of the relay reaches the client's application. */
function isTold(realm: RealmDescription, client: Client): boolean {
  return !isSaml(client) && isReachable(logoutUrl(client)) && !isHmac(signedBy(realm, client))
}

/** Whether the relay takes the URL: https, or http on its own machine, which its config must allow besides. */
export function isReachable(url: string | undefined): boolean {
  if (url === undefined || !URL.canParse(url)) {
    return false
  }
  const { protocol } = new URL(url)
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(url))
}

/** The client's back-channel logout URL, absolute where its root URL makes it so. */
export function logoutUrl({ attributes, rootUrl }: Application): string | undefined {
  const url = attributes['backchannel.logout.url']?.trim()
  if (url === undefined || url === '') {
    return undefined
  }
  return url.startsWith('/') ? `${rootUrl.replace(/\/$/, '')}${url}` : url
}

/** Seconds that a session at the application lives at most, if its client says so. */
export function maxLife({ attributes }: Application): number | undefined {
  return seconds(attributes['logout-relay.session.max-life'])
}

export const isSaml = ({ protocol }: Application): boolean => protocol === 'saml'
export const isOfKeycloak = ({ clientId }: Application): boolean => OF_KEYCLOAK.has(clientId)
export const isHmac = (algorithm: string): boolean => algorithm.startsWith('HS')

/** The algorithm of the client's ID tokens, and so of its logout tokens. */
export function signedBy({ defaultSignatureAlgorithm }: RealmDescription, { attributes }: Client): string {
  return attributes['id.token.signed.response.alg'] || defaultSignatureAlgorithm || 'RS256'
}

/** A lifespan in an attribute; Keycloak takes what is no positive number for unset. */
function seconds(attribute: string | undefined): number | undefined {
  return positive(Number(attribute?.trim() ?? ''))
}

function positive(value: number): number | undefined {
  return value > 0 ? value : undefined
}
