import { z } from 'zod'
import { RelayError } from '../../../errors.ts'
import { Forbidden } from '../rest.ts'
import { AdminApi } from './admin-api.ts'
import { ApplicationItem, applicationOf, flag } from './application.ts'
import type { Client, Federation, MailedLink, RealmDescription, Source } from './realm.ts'

/** An account without view-realm gets the realm's name and a few fields more, with 200. */
const Realm = z.object({
  realm: z.string(),
  accessTokenLifespan: z.number().optional(),
  accessTokenLifespanForImplicitFlow: z.number().default(900),
  ssoSessionMaxLifespan: z.number().default(0),
  ssoSessionMaxLifespanRememberMe: z.number().default(0),
  rememberMe: z.boolean().default(false),
  clientSessionMaxLifespan: z.number().default(0),
  offlineSessionIdleTimeout: z.number().default(0),
  offlineSessionMaxLifespanEnabled: z.boolean().default(false),
  offlineSessionMaxLifespan: z.number().default(0),
  clientOfflineSessionMaxLifespan: z.number().default(0),
  accessCodeLifespanLogin: z.number().default(1800),
  accessCodeLifespanUserAction: z.number().default(300),
  oauth2DeviceCodeLifespan: z.number().default(600),
  defaultSignatureAlgorithm: z.string().default('RS256'),
  eventsListeners: z.array(z.string()).default([]),
  attributes: z.record(z.string(), z.string()).default({}),
  defaultRole: z.object({ name: z.string() }).optional(),
  resetPasswordAllowed: z.boolean().default(false),
  resetCredentialsFlow: z.string().optional(),
})

const ClientItem = ApplicationItem.extend({
  id: z.string(),
  frontchannelLogout: flag,
  consentRequired: flag,
  serviceAccountsEnabled: flag,
  clientAuthenticatorType: z.string().nullish(),
  defaultClientScopes: z.array(z.string()).default([]),
  optionalClientScopes: z.array(z.string()).default([]),
})
const Named = z.object({ id: z.string(), name: z.string() })
const Stats = z.array(z.object({ clientId: z.string(), active: z.coerce.number(), offline: z.coerce.number() }))
const Setting = z.array(z.string()).optional()
const Component = z.object({
  id: z.string(),
  name: z.string().nullish(),
  providerId: z.string().nullish(),
  config: z.object({ enabled: Setting, editMode: Setting, importEnabled: Setting, vendor: Setting }).default({}),
})
const Mapper = z.object({ providerId: z.string().nullish(), identityProviderMapper: z.string().nullish() })
const Execution = z.object({
  level: z.number(),
  requirement: z.string(),
  providerId: z.string().nullish(),
  authenticationConfig: z.string().nullish(),
})
const AuthenticatorConfig = z.object({ config: z.record(z.string(), z.string()).default({}) })
const IdentityProvider = z.object({ alias: z.string(), providerId: z.string().nullish(), enabled: flag })
const ServerInfo = z.object({
  // Told to administrators of the server, and of a realm to whoever may manage it or view the system.
  systemInfo: z.object({ version: z.string().nullish() }).nullish(),
  providers: z.object({
    eventsListener: z.object({
      providers: z.record(z.string(), z.object({ operationalInfo: z.record(z.string(), z.string()).default({}) })),
    }),
  }),
})

/**
 * Reads all of a realm that the audit judges. What the account may not read, and can be judged without, is listed in
 * `unread`; without the realm's settings or its clients there is no audit.
 * @throws RelayError `access_denied` naming the role that is missing, `invalid_request` for an unknown realm,
 *   `idp_unavailable` when Keycloak cannot be reached or answers like something else
 */
export async function readRealm(api: AdminApi, name: string): Promise<RealmDescription> {
  const base = `/admin/realms/${encodeURIComponent(name)}`
  const realm = await needs(api.get(base, Realm), 'the realm', 'view-realm')
  const { accessTokenLifespan } = realm
  if (accessTokenLifespan === undefined) {
    throw missing('the realm’s settings', 'view-realm')
  }
  const clients = await readClients(api, base)
  const unread: { what: string; why: string }[] = []
  const optional = async <T>(what: string, role: string, reading: Promise<T>): Promise<T | undefined> => {
    try {
      return await reading
    } catch (cause) {
      if (!(cause instanceof Forbidden)) {
        throw cause
      }
      unread.push({ what, why: `the account lacks the role ${role} of the client realm-management.` })
      return undefined
    }
  }
  const offlineRole = await optional('who may have offline tokens', 'view-realm', readOfflineRole(api, base, realm))
  const mailedLink = await optional('what a mailed link gives', 'view-realm', readMailedLink(api, base, realm))
  const federations = await optional('user federations', 'view-realm', readFederations(api, base))
  const identityProviders = await optional('identity providers', 'view-identity-providers', readProviders(api, base))
  const info = await optional('the server’s list of providers', 'view-realm', api.get('/admin/serverinfo', ServerInfo))
  const listener = info?.providers.eventsListener.providers['logout-relay']
  return {
    realm: realm.realm,
    eventsListeners: realm.eventsListeners,
    policy: Object.fromEntries(Object.entries(realm.attributes).filter(([name]) => name.startsWith('logout-relay.'))),
    lifespans: {
      accessToken: accessTokenLifespan,
      accessTokenImplicit: realm.accessTokenLifespanForImplicitFlow,
      // 0 is Keycloak's own default in both.
      ssoSession: realm.ssoSessionMaxLifespan || 36_000,
      ssoSessionRememberMe: realm.rememberMe ? realm.ssoSessionMaxLifespanRememberMe : undefined,
      clientSession: realm.clientSessionMaxLifespan,
      offlineIdle: realm.offlineSessionIdleTimeout || 2_592_000,
      offlineSession: realm.offlineSessionMaxLifespanEnabled ? realm.offlineSessionMaxLifespan || 5_184_000 : undefined,
      clientOfflineSession: realm.clientOfflineSessionMaxLifespan,
      login: Math.max(realm.accessCodeLifespanLogin, realm.accessCodeLifespanUserAction),
      deviceCode: realm.oauth2DeviceCodeLifespan,
    },
    defaultSignatureAlgorithm: realm.defaultSignatureAlgorithm,
    offlineRole: offlineRole ?? 'everybody',
    clients,
    mailedLink,
    federations: federations ?? [],
    identityProviders: identityProviders?.on ?? [],
    aliases: identityProviders?.aliases,
    extension: info && { installed: listener !== undefined, info: listener?.operationalInfo ?? {} },
    keycloak: info?.systemInfo?.version ?? listener?.operationalInfo['keycloak'],
    unread,
  }
}

/** The same with somebody's access token, by the realm's issuer; @param ca as of {@link AdminApi} */
export async function readRealmOf(issuer: string, accessToken: string, ca?: string): Promise<RealmDescription> {
  const [, url = '', name = ''] = /^(.*)\/realms\/([^/]+)$/.exec(issuer) ?? []
  return readRealm(new AdminApi(url, name, { LOGOUT_RELAY_TOKEN: accessToken }, ca), decodeURIComponent(name))
}

async function readClients(api: AdminApi, base: string): Promise<Client[]> {
  // An account with query-clients gets an empty or partial list with 200; this one it gets only with view-clients.
  await needs(api.get(`${base}/default-default-client-scopes`, z.array(Named)), 'the clients', 'view-clients')
  const items = await needs(api.all(`${base}/clients`, ClientItem), 'the clients', 'view-clients')
  const alive = new Map(
    (await api.get(`${base}/client-session-stats`, Stats)).map(({ clientId, active, offline }) => [
      clientId,
      { online: active, offline },
    ]),
  )
  return items.map((item) => ({
    ...applicationOf(item),
    frontchannelLogout: item.frontchannelLogout,
    consentRequired: item.consentRequired,
    serviceAccount: item.serviceAccountsEnabled,
    authenticator: item.clientAuthenticatorType ?? 'client-secret',
    scopes: [...item.defaultClientScopes, ...item.optionalClientScopes],
    alive: alive.get(item.clientId) ?? { online: 0, offline: 0 },
  }))
}

async function readOfflineRole(
  api: AdminApi,
  base: string,
  { defaultRole }: z.infer<typeof Realm>,
): Promise<RealmDescription['offlineRole']> {
  const roles = await api.all(`${base}/roles`, Named)
  if (!roles.some(({ name }) => name === 'offline_access')) {
    return 'nobody'
  }
  const path = `${base}/roles/${encodeURIComponent(defaultRole?.name ?? '')}/composites`
  const given = defaultRole ? await api.get(path, z.array(Named)) : []
  return given.some(({ name }) => name === 'offline_access') ? 'everybody' : 'some'
}

async function readMailedLink(
  api: AdminApi,
  base: string,
  { resetPasswordAllowed, resetCredentialsFlow }: z.infer<typeof Realm>,
): Promise<MailedLink | undefined> {
  if (!resetPasswordAllowed || resetCredentialsFlow === undefined) {
    return undefined
  }
  const flow = `${base}/authentication/flows/${encodeURIComponent(resetCredentialsFlow)}/executions`
  const inForce = withoutDisabled(await api.get(flow, z.array(Execution)))
  const email = inForce.find(({ providerId }) => providerId === 'reset-credential-email')
  const settings = email?.authenticationConfig
    ? (await api.get(`${base}/authentication/config/${email.authenticationConfig}`, AuthenticatorConfig)).config
    : {}
  return {
    logsIn: email !== undefined && settings['force-login'] !== 'true',
    resetsOtp: inForce.some(({ providerId }) => providerId === 'reset-otp'),
  }
}

/** Keycloak lists a flow from top to bottom, what is in a sub-flow one level deeper. */
function withoutDisabled<T extends { level: number; requirement: string }>(executions: readonly T[]): T[] {
  let offFrom = Infinity
  return executions.filter(({ level, requirement }) => {
    if (level <= offFrom) {
      offFrom = requirement === 'DISABLED' ? level : Infinity
    }
    return offFrom === Infinity
  })
}

async function readFederations(api: AdminApi, base: string): Promise<Federation[]> {
  const path = `${base}/components?type=org.keycloak.storage.UserStorageProvider`
  const switchedOn = (await api.get(path, z.array(Component))).filter(({ config }) => config.enabled?.[0] !== 'false')
  const read = switchedOn.map(async ({ id, name, providerId, config }): Promise<Federation> => ({
    name: name ?? 'without a name',
    provider: providerId ?? 'unknown',
    mappers: await readMappers(api, `${base}/components?parent=${encodeURIComponent(id)}`),
    editMode: config.editMode?.[0] ?? '',
    imports: config.importEnabled?.[0] !== 'false',
    vendor: config.vendor?.[0] ?? '',
  }))
  return Promise.all(read)
}

async function readProviders(
  api: AdminApi,
  base: string,
): Promise<{ readonly on: Source[]; readonly aliases: string[] }> {
  const path = `${base}/identity-provider/instances`
  const all = await api.get(path, z.array(IdentityProvider))
  const switchedOn = all.filter(({ enabled }) => enabled)
  const read = switchedOn.map(async ({ alias, providerId }): Promise<Source> => ({
    name: alias,
    provider: providerId ?? 'unknown',
    mappers: await readMappers(api, `${path}/${encodeURIComponent(alias)}/mappers`),
  }))
  return { on: await Promise.all(read), aliases: all.map(({ alias }) => alias) }
}

async function readMappers(api: AdminApi, path: string): Promise<string[]> {
  const mappers = await api.get(path, z.array(Mapper))
  return [
    ...new Set(mappers.flatMap(({ providerId, identityProviderMapper }) => providerId ?? identityProviderMapper ?? [])),
  ].sort()
}

/** Turns "you may not" into which role to give. */
async function needs<T>(reading: Promise<T>, what: string, role: string): Promise<T> {
  try {
    return await reading
  } catch (cause) {
    throw cause instanceof Forbidden ? missing(what, role) : cause
  }
}

function missing(what: string, role: string): RelayError {
  return new RelayError(
    'access_denied',
    `This account may not read ${what}. Give it the role ${role} of the client realm-management (an administrator in the realm master: of the client <realm>-realm); without it there is nothing to judge`,
  )
}
