import { decodeJwt } from 'jose'
import * as oidc from 'openid-client'
import { z } from 'zod'
import { isLoopback } from '../domain/uri.ts'
import { RelayError } from '../errors.ts'
import { fetchTrusting } from '../http.ts'
import type { ReadAccess } from '../idp/port.ts'
import type { Login, Person, Rights } from './sessions.ts'

const Id = z.object({
  sub: z.string().min(1),
  sid: z.string().min(1),
  iat: z.number(),
  auth_time: z.number().exactOptional(),
  preferred_username: z.string().max(255).optional(),
})

export interface ConsoleClient {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  /** Where people find the console, without a slash at its end. */
  readonly url: string
  /** The client whose roles count. */
  readonly audience: string
  /** Certificates of CAs (PEM) that are trusted for the realm in addition. */
  readonly ca?: string | undefined
}

/** An optional client scope of the console's client that lets a person's token read the realm; docs/console.md. */
export const AUDIT_SCOPE = 'logout-relay-audit'

/** The realm's client whose roles let somebody look up users. The token has them only if the console's scope does. */
const MANAGEMENT = 'realm-management'
const MAY_LOOK_UP = ['view-users', 'query-users', 'manage-users', 'realm-admin']

export interface RealmLogin {
  /** Where to send the browser, and what must match when it comes back. With `audit` it asks for that scope as well. */
  begin(returnTo: string, audit?: boolean): Promise<{ to: URL; login: Login }>
  /**
   * Who has come back; throws for an answer that does not belong to this login. The access token is for one reading; `rights`
   * are there for who may look up users, or end what one has.
   */
  finish(query: string, login: Login): Promise<{ person: Person; accessToken: string; rights?: Rights }>
  /**
   * The same rights for longer; undefined where the realm has ended the login or takes them back.
   *
   * @throws RelayError `idp_unavailable` where it does not answer
   */
  renew(refreshToken: string): Promise<Rights | undefined>
  /** The realm's own logout, for who wants to leave. Without their ID token the realm asks them first. */
  logoutUrl(idToken?: string): Promise<URL>
}

/** Logging in at the realm: authorization code with PKCE, state and nonce. */
export function realmLogin(
  { issuer, clientId, clientSecret, url, audience, ca }: ConsoleClient,
  readAccess: ReadAccess,
  nowMs: () => number,
): RealmLogin {
  let known: oidc.Configuration | undefined
  const configuration = async () => {
    try {
      return (known ??= await oidc.discovery(
        new URL(issuer),
        clientId,
        undefined,
        oidc.ClientSecretBasic(clientSecret),
        {
          timeout: 5,
          // Marked deprecated so that nobody uses it by accident; the config takes http for loopback alone.
          // eslint-disable-next-line @typescript-eslint/no-deprecated
          execute: isLoopback(issuer) ? [oidc.allowInsecureRequests] : [],
          ...(ca === undefined ? {} : { [oidc.customFetch]: fetchTrusting(ca) }),
        },
      ))
    } catch (cause) {
      throw new RelayError('idp_unavailable', 'The realm cannot be reached for a login', { cause })
    }
  }
  const redirectUri = `${url}/callback`
  const rightsIn = (tokens: oidc.TokenEndpointResponse): Rights | undefined => {
    const claims = decodeJwt(tokens.access_token)
    const rolesOf = (client: string) => readAccess(claims, client)?.roles ?? []
    const readsUsers = rolesOf(MANAGEMENT).some((role) => MAY_LOOK_UP.includes(role))
    return readsUsers || rolesOf(audience).includes('operate')
      ? {
          accessToken: tokens.access_token,
          untilMs: nowMs() + (tokens.expires_in ?? 60) * 1000,
          ...(tokens.refresh_token === undefined ? {} : { refreshToken: tokens.refresh_token }),
          readsUsers,
        }
      : undefined
  }
  return {
    begin: async (returnTo, audit = false) => {
      const config = await configuration()
      const login = {
        state: oidc.randomState(),
        nonce: oidc.randomNonce(),
        verifier: oidc.randomPKCECodeVerifier(),
        returnTo,
        audit,
      }
      const to = oidc.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: `openid profile${audit ? ` ${AUDIT_SCOPE}` : ''}`,
        state: login.state,
        nonce: login.nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(login.verifier),
        code_challenge_method: 'S256',
      })
      return { to, login }
    },

    finish: async (query, login) => {
      const tokens = await oidc.authorizationCodeGrant(await configuration(), new URL(redirectUri + query), {
        pkceCodeVerifier: login.verifier,
        expectedState: login.state,
        expectedNonce: login.nonce,
        idTokenExpected: true,
      })
      const { preferred_username, ...claims } = Id.parse(tokens.claims())
      // Straight from the realm's token endpoint (OpenID Connect Core §3.1.3.7): TLS vouches for it.
      const access = readAccess(decodeJwt(tokens.access_token), audience)
      if (access?.clientId !== clientId) {
        throw new RelayError('access_denied', 'The access token was issued to another client than the console')
      }
      const person = {
        subject: claims.sub,
        sid: claims.sid,
        name: preferred_username ?? claims.sub,
        roles: access.roles,
        idToken: tokens.id_token ?? '',
        claims,
      }
      const rights = rightsIn(tokens)
      return { person, accessToken: tokens.access_token, ...(rights ? { rights } : {}) }
    },

    renew: async (refreshToken) =>
      oidc.refreshTokenGrant(await configuration(), refreshToken).then(rightsIn, (cause: unknown) => {
        if (cause instanceof oidc.ResponseBodyError) {
          return undefined
        }
        throw new RelayError('idp_unavailable', 'The realm cannot be reached for a token', { cause })
      }),

    logoutUrl: async (idToken) =>
      oidc.buildEndSessionUrl(await configuration(), {
        ...(idToken === undefined ? {} : { id_token_hint: idToken }),
        post_logout_redirect_uri: `${url}/bye`,
      }),
  }
}
