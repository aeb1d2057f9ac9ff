import * as oidc from 'openid-client'
import { isLoopback } from '../domain/uri.ts'
import { networkCodeOf, noAnswer, RelayError } from '../errors.ts'
import { fetchTrusting } from '../http.ts'
import { mustBeEncrypted } from '../idp/keycloak/rest.ts'

/** A client of a realm, as the environment or a login of before names it. */
export interface RealmClient {
  readonly issuer: string
  readonly clientId: string
  /** Absent of a public client. */
  readonly clientSecret?: string | undefined
  /** Certificates of CAs (PEM) that are trusted in addition. */
  readonly ca?: string | undefined
}

/**
 * Finds the realm.
 *
 * @throws RelayError `config_invalid` for an address that cannot be one, `idp_unavailable` where no realm answers there
 */
export async function discover({ issuer, clientId, clientSecret, ca }: RealmClient): Promise<oidc.Configuration> {
  mustBeEncrypted(issuer)
  const auth = clientSecret === undefined ? oidc.None() : oidc.ClientSecretBasic(clientSecret)
  try {
    return await oidc.discovery(new URL(issuer), clientId, undefined, auth, {
      timeout: 10,
      // Marked deprecated so that nobody uses it by accident; only this machine is reached so.
      // eslint-disable-next-line @typescript-eslint/no-deprecated
      execute: isLoopback(issuer) ? [oidc.allowInsecureRequests] : [],
      ...(ca === undefined ? {} : { [oidc.customFetch]: fetchTrusting(ca) }),
    })
  } catch (cause) {
    throw noAnswer(cause, {
      ...{ code: 'idp_unavailable', server: `The realm ${issuer}`, absent: `No realm answers at ${issuer}` },
      hint: ': are name and path of --issuer, LOGOUT_RELAY_ISSUER right?',
    })
  }
}

/** Why a realm gave no token, with what to do. Nothing of what was sent is in it. */
export function whyNoToken({ issuer, clientId }: RealmClient, cause: unknown): RelayError {
  if (cause instanceof RelayError) {
    return cause
  }
  if (!(cause instanceof oidc.ResponseBodyError)) {
    return new RelayError('idp_unavailable', `${issuer} gave no token (${networkCodeOf(cause)}): try again`, { cause })
  }
  const { status, error } = cause
  const what = MEANS[error] ?? 'the realm’s log says more'
  return new RelayError('access_denied', `${issuer} gave the client ${clientId} no token (${status} ${error}): ${what}`)
}

const CREDENTIALS =
  'is it there and enabled, and is this its secret (LOGOUT_RELAY_CLIENT_SECRET, LOGOUT_RELAY_CLIENT_SECRET_FILE; none for a public client)?'
const MEANS: Readonly<Record<string, string>> = {
  invalid_client: CREDENTIALS,
  unauthorized_client: `${CREDENTIALS} For the environment’s credentials switch its service account on, for a login its OAuth 2.0 Device Authorization Grant`,
  invalid_scope: 'it asks for a scope that the client does not have',
  access_denied: 'the login was refused in the browser',
  expired_token: 'nobody has logged in in time: begin again',
}
