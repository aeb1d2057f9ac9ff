import { generateKeyPairSync, randomUUID } from 'node:crypto'
import type { RealmAdmin } from '../stage/admin.ts'
import type { KeycloakAt } from '../stage/keycloak.ts'

/** Nobody listens there: the browser is stopped before it goes there. */
export const REDIRECT_URI = 'http://localhost:9/back'
/** Of every client that has one. */
export const SECRET = randomUUID()
/** It exchanges and introspects what `flows-app` gets. */
export const EXCHANGER = { client_id: 'exchanger', client_secret: SECRET }
export const CIBA_APP = { client_id: 'ciba-app', client_secret: SECRET }
export const ASSERTING = { client_id: 'asserting', client_secret: SECRET }
/** At which people share what is theirs. */
export const UMA_APP = 'uma-app'

/** An identity provider that vouches by assertions (RFC 7523), and its key. */
export const PARTNER = { issuer: 'https://partner.example.org', ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }

/** The feature by which they are taken. */
export const ASSERTIONS = 'jwt-authorization-grant'

/** The identity provider that takes the accounts of another realm for logins. */
export const UPSTREAM = 'upstream'
/** What Keycloak does at the first login by an account elsewhere, but it proves the user by the password alone. */
const BY_PASSWORD = 'first broker login by password'

const audience = (clientId: string) => ({
  name: `audience ${clientId}`,
  protocol: 'openid-connect',
  protocolMapper: 'oidc-audience-mapper',
  config: { 'included.client.audience': clientId, 'access.token.claim': 'true' },
})

/** The clients of an attacked realm that the demo realm does not have. */
export async function createClients(admin: RealmAdmin): Promise<void> {
  const browserApp = { publicClient: true, redirectUris: [REDIRECT_URI], protocolMappers: [audience('exchanger')] }
  await admin.createClient({
    ...browserApp,
    clientId: 'flows-app',
    directAccessGrantsEnabled: true,
    attributes: { 'oauth2.device.authorization.grant.enabled': 'true', 'oauth2.device.polling.interval': '1' },
  })
  await admin.createClient({ ...browserApp, clientId: 'consent-app', consentRequired: true })
  await admin.createClient({
    clientId: EXCHANGER.client_id,
    secret: SECRET,
    serviceAccountsEnabled: true,
    protocolMappers: [audience('exchanger'), audience('account')],
    attributes: {
      'standard.token.exchange.enabled': 'true',
      'standard.token.exchange.enableRefreshRequestedTokenType': 'SAME_SESSION',
    },
  })
  await admin.createClient({
    clientId: CIBA_APP.client_id,
    secret: SECRET,
    attributes: { 'oidc.ciba.grant.enabled': 'true' },
  })
  await admin.createClient({
    clientId: UMA_APP,
    secret: SECRET,
    serviceAccountsEnabled: true,
    authorizationServicesEnabled: true,
  })
}

/**
 * Identity providers that are one realm upstream, and differ in how they prove whose account a first login is.
 *
 * @param more of their settings
 */
export async function createIdentityProviders(
  keycloak: KeycloakAt,
  admin: RealmAdmin,
  upstream: RealmAdmin,
  more = {},
): Promise<void> {
  const flow = encodeURIComponent('first broker login')
  await admin.must('POST', `/authentication/flows/${flow}/copy`, { newName: BY_PASSWORD })
  const executions = `/authentication/flows/${encodeURIComponent(BY_PASSWORD)}/executions`
  const byMail = (await admin.must<{ providerId?: string }[]>('GET', executions))
    .json()
    .find(({ providerId }) => providerId === 'idp-email-verification')
  await admin.must('PUT', executions, { ...byMail, requirement: 'DISABLED' })
  const endpoints = `${keycloak.issuer(upstream.realm)}/protocol/openid-connect`
  for (const [alias, firstBrokerLoginFlowAlias] of [
    [UPSTREAM, 'first broker login'],
    ['upstream2', BY_PASSWORD],
    ['upstream3', BY_PASSWORD],
  ] as const) {
    const clientId = `${admin.realm}-${alias}`
    const redirectUris = [`${keycloak.issuer(admin.realm)}/broker/${alias}/endpoint`]
    await upstream.createClient({ clientId, secret: SECRET, redirectUris })
    await admin.must('POST', '/identity-provider/instances', {
      alias,
      providerId: 'oidc',
      firstBrokerLoginFlowAlias,
      ...more,
      config: {
        clientId,
        clientSecret: SECRET,
        clientAuthMethod: 'client_secret_post',
        authorizationUrl: `${endpoints}/auth`,
        tokenUrl: `${endpoints}/token`,
        defaultScope: 'openid email profile',
      },
    })
  }
}

/** A partner whose assertions are taken for tokens, and a client that brings them. */
export async function createPartner(admin: RealmAdmin): Promise<void> {
  await admin.must('POST', '/identity-provider/instances', {
    alias: 'partner',
    providerId: 'jwt-authorization-grant',
    enabled: true,
    config: {
      issuer: PARTNER.issuer,
      useJwksUrl: 'false',
      publicKeySignatureVerifier: PARTNER.publicKey.export({ format: 'pem', type: 'spki' }),
      jwtAuthorizationGrantAssertionSignatureAlg: 'RS256',
    },
  })
  await admin.createClient({
    clientId: ASSERTING.client_id,
    secret: SECRET,
    protocolMappers: [audience('exchanger')],
    attributes: {
      'oauth2.jwt.authorization.grant.enabled': 'true',
      'oauth2.jwt.authorization.grant.idp': 'partner',
    },
  })
}
