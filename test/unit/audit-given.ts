import type { Client, Federation, RealmDescription } from '../../relay/idp/keycloak/audit/realm.ts'

export const DAY = 86_400

/** An application that is told of every logout. */
export function client(more: Partial<Client> = {}): Client {
  return {
    clientId: 'shop',
    enabled: true,
    protocol: 'openid-connect',
    publicClient: false,
    bearerOnly: false,
    standardFlow: true,
    implicitFlow: false,
    directGrants: false,
    frontchannelLogout: false,
    consentRequired: false,
    serviceAccount: false,
    authenticator: 'client-secret',
    rootUrl: '',
    scopes: ['profile'],
    attributes: {
      'backchannel.logout.url': 'https://shop.example.org/logout',
      'backchannel.logout.session.required': 'true',
    },
    alive: { online: 0, offline: 0 },
    ...more,
  }
}

/** A realm in which a reset ends everything and there is nothing to find. */
export function contained(more: Partial<RealmDescription> = {}): RealmDescription {
  return {
    realm: 'main',
    eventsListeners: ['jboss-logging', 'logout-relay'],
    policy: {},
    lifespans: {
      accessToken: 300,
      accessTokenImplicit: 900,
      ssoSession: 36_000,
      ssoSessionRememberMe: undefined,
      clientSession: 0,
      offlineIdle: 30 * DAY,
      offlineSession: undefined,
      clientOfflineSession: 0,
      login: 1800,
      deviceCode: 600,
    },
    defaultSignatureAlgorithm: 'RS256',
    offlineRole: 'everybody',
    clients: [client()],
    mailedLink: undefined,
    federations: [],
    identityProviders: [],
    aliases: [],
    extension: {
      installed: true,
      info: {
        push: 'on',
        triggers: 'admin-reset-password,user-update-password',
        'logins-under-way': 'ended',
      },
    },
    keycloak: '26.7.3',
    unread: [],
    ...more,
  }
}

/** The same realm on a server without the extension. */
export function stock(more: Partial<RealmDescription> = {}): RealmDescription {
  return contained({ eventsListeners: ['jboss-logging'], extension: { installed: false, info: {} }, ...more })
}

/** A directory of which everything is heard. */
export function federation(more: Partial<Federation> = {}): Federation {
  return { name: 'ad', provider: 'ldap', mappers: [], editMode: 'WRITABLE', imports: true, vendor: 'ad', ...more }
}
