import { generateKeyPairSync, randomUUID } from 'node:crypto'
import type { KeycloakServer } from '../stage/keycloak.ts'

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

/** The realm whose accounts the attacked realms take for logins. */
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
export async function createClients({ admin }: KeycloakServer, realm: string): Promise<void> {
  const browserApp = { publicClient: true, redirectUris: [REDIRECT_URI], protocolMappers: [audience('exchanger')] }
  await admin.createClient(realm, {
    ...browserApp,
    clientId: 'flows-app',
    directAccessGrantsEnabled: true,
    attributes: { 'oauth2.device.authorization.grant.enabled': 'true', 'oauth2.device.polling.interval': '1' },
  })
  await admin.createClient(realm, { ...browserApp, clientId: 'consent-app', consentRequired: true })
  await admin.createClient(realm, {
    clientId: EXCHANGER.client_id,
    secret: SECRET,
    serviceAccountsEnabled: true,
    protocolMappers: [audience('exchanger'), audience('account')],
    attributes: {
      'standard.token.exchange.enabled': 'true',
      'standard.token.exchange.enableRefreshRequestedTokenType': 'SAME_SESSION',
    },
  })
  await admin.createClient(realm, {
    clientId: CIBA_APP.client_id,
    secret: SECRET,
    attributes: { 'oidc.ciba.grant.enabled': 'true' },
  })
  await admin.createClient(realm, {
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
export async function createIdentityProviders(keycloak: KeycloakServer, realm: string, more = {}): Promise<void> {
  const { admin, url } = keycloak
  const flow = encodeURIComponent('first broker login')
  await admin.must('POST', `/${realm}/authentication/flows/${flow}/copy`, { newName: BY_PASSWORD })
  const executions = `/${realm}/authentication/flows/${encodeURIComponent(BY_PASSWORD)}/executions`
  const byMail = (await admin.must<{ providerId?: string }[]>('GET', executions))
    .json()
    .find(({ providerId }) => providerId === 'idp-email-verification')
  await admin.must('PUT', executions, { ...byMail, requirement: 'DISABLED' })
  const upstream = `${url}/realms/${UPSTREAM}/protocol/openid-connect`
  for (const [alias, firstBrokerLoginFlowAlias] of [
    ['upstream', 'first broker login'],
    ['upstream2', BY_PASSWORD],
    ['upstream3', BY_PASSWORD],
  ] as const) {
    const clientId = `${realm}-${alias}`
    const redirectUris = [`${keycloak.issuer(realm)}/broker/${alias}/endpoint`]
    await admin.createClient(UPSTREAM, { clientId, secret: SECRET, redirectUris })
    await admin.must('POST', `/${realm}/identity-provider/instances`, {
      alias,
      providerId: 'oidc',
      firstBrokerLoginFlowAlias,
      ...more,
      config: {
        clientId,
        clientSecret: SECRET,
        clientAuthMethod: 'client_secret_post',
        authorizationUrl: `${upstream}/auth`,
        tokenUrl: `${upstream}/token`,
        defaultScope: 'openid email profile',
      },
    })
  }
}

/** A partner whose assertions are taken for tokens, and a client that brings them. */
export async function createPartner({ admin }: KeycloakServer, realm: string): Promise<void> {
  await admin.must('POST', `/${realm}/identity-provider/instances`, {
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
  await admin.createClient(realm, {
    clientId: ASSERTING.client_id,
    secret: SECRET,
    protocolMappers: [audience('exchanger')],
    attributes: {
      'oauth2.jwt.authorization.grant.enabled': 'true',
      'oauth2.jwt.authorization.grant.idp': 'partner',
    },
  })
}
