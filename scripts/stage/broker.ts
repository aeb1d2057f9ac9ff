import type { RealmAdmin } from './admin.ts'
import type { KeycloakAt } from './keycloak.ts'

/**
 * From here on the realm takes logins from another one of that Keycloak, which is an identity provider to it, by the other
 * one's name. What ends there is told to it by back-channel logout, by a client that has this realm's name.
 */
export async function takeLogins(
  keycloak: KeycloakAt,
  realm: RealmAdmin,
  { from, secret }: { readonly from: RealmAdmin; readonly secret: string },
): Promise<void> {
  const [own, issuer] = [keycloak.issuer(realm.realm), keycloak.issuer(from.realm)]
  const endpoints = `${issuer}/protocol/openid-connect`
  await from.createClient({
    ...{ clientId: realm.realm, secret, redirectUris: [`${own}/broker/${from.realm}/endpoint`] },
    attributes: {
      'backchannel.logout.url': `${own}/protocol/openid-connect/logout/backchannel-logout`,
      'backchannel.logout.session.required': 'true',
    },
  })
  await realm.must('POST', '/identity-provider/instances', {
    ...{ alias: from.realm, providerId: 'oidc', trustEmail: true },
    config: {
      ...{ issuer, clientId: realm.realm, clientSecret: secret, clientAuthMethod: 'client_secret_post' },
      ...{ authorizationUrl: `${endpoints}/auth`, tokenUrl: `${endpoints}/token` },
      ...{ defaultScope: 'openid email profile' },
      ...{ validateSignature: 'true', useJwksUrl: 'true', jwksUrl: `${endpoints}/certs` },
    },
  })
}
