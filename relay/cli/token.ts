import { readFileSync } from 'node:fs'
import { decodeJwt } from 'jose'
import * as oidc from 'openid-client'
import { codeOf, RelayError } from '../errors.ts'
import { clientToken } from '../idp/keycloak/come-again.ts'
import { duration } from '../text.ts'
import { forgetLogin, keepLogin, keptLogin, type KeptLogin } from './kept-login.ts'
import { discover, type RealmClient, whyNoToken } from './realm.ts'

type Env = Readonly<Record<string, string | undefined>>

/** A login is renewed this long before its token ends, so that it never ends on its way. */
const RENEW_BEFORE_MS = 10_000
const HOW =
  'Log in with logout-relay login, or set LOGOUT_RELAY_TOKEN, or LOGOUT_RELAY_ISSUER, LOGOUT_RELAY_CLIENT_ID and LOGOUT_RELAY_CLIENT_SECRET (or …_SECRET_FILE); docs/cli.md has them all'

/**
 * The caller's access token: the one in `LOGOUT_RELAY_TOKEN`, else that of a login on this machine, renewed where it ends, else
 * one for the client that the environment names. A login may need that client's secret, and is no less a person's for it.
 *
 * @param ca certificates of CAs (PEM) that are trusted in addition
 * @throws RelayError `config_invalid` where there is none, or what there is cannot be used; `access_denied`, `idp_unavailable`
 */
export async function accessToken(env: Env, nowMs: number, ca?: string): Promise<string> {
  const given = env['LOGOUT_RELAY_TOKEN']
  if (given !== undefined && given !== '') {
    if (!/^[\w.~+/-]+=*$/.test(given)) {
      throw new RelayError('config_invalid', `LOGOUT_RELAY_TOKEN holds something that is no access token. ${HOW}`)
    }
    return given
  }
  const login = keptLogin(env)
  if (login) {
    return login.expires_at_ms - RENEW_BEFORE_MS > nowMs ? login.access_token : renewed(login, env, nowMs, ca)
  }
  if (clientSecretIn(env) === undefined) {
    throw new RelayError('config_invalid', `There is no access token. ${HOW}`)
  }
  return tokenOf({ ...ownClient(env), ca })
}

/**
 * A new one, which the realm has signed just now. One that was given in `LOGOUT_RELAY_TOKEN` is what it is.
 *
 * @throws as {@link accessToken}
 */
export async function freshToken(env: Env, nowMs: number, ca?: string): Promise<string> {
  const given = (env['LOGOUT_RELAY_TOKEN'] ?? '') !== ''
  const login = given ? undefined : keptLogin(env)
  return login?.refresh_token === undefined ? accessToken(env, nowMs, ca) : renewed(login, env, nowMs, ca)
}

/** The secret of the caller's client; undefined where the environment names none. */
export function clientSecretIn(env: Env): string | undefined {
  const [secret, file] = [
    env['LOGOUT_RELAY_CLIENT_SECRET'] || undefined,
    env['LOGOUT_RELAY_CLIENT_SECRET_FILE'] || undefined,
  ]
  if (secret !== undefined && file !== undefined) {
    throw new RelayError(
      'config_invalid',
      'LOGOUT_RELAY_CLIENT_SECRET and LOGOUT_RELAY_CLIENT_SECRET_FILE are both set: leave one of them out',
    )
  }
  if (file === undefined) {
    return secret
  }
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (cause) {
    throw new RelayError(
      'config_invalid',
      `LOGOUT_RELAY_CLIENT_SECRET_FILE: ${file} cannot be read by this user (${codeOf(cause) ?? 'unknown'}): put the client’s secret there`,
    )
  }
  if (text === '') {
    throw new RelayError(
      'config_invalid',
      `LOGOUT_RELAY_CLIENT_SECRET_FILE: ${file} is empty: put the client’s secret there`,
    )
  }
  return text
}

/**
 * The client that the environment names, for what runs by itself: never the login of whoever has started it.
 *
 * @throws RelayError `config_invalid`
 */
export function ownClient(env: Env): RealmClient {
  const clientSecret = clientSecretIn(env)
  if (clientSecret === undefined) {
    throw new RelayError(
      'config_invalid',
      'There is no client to log in by: set LOGOUT_RELAY_ISSUER, LOGOUT_RELAY_CLIENT_ID and LOGOUT_RELAY_CLIENT_SECRET_FILE',
    )
  }
  return { ...namedIn(env), clientSecret }
}

/** One that is fetched anew shortly before it ends, for what takes longer than a token lives. */
export function lasting(fetchOne: () => Promise<string>): () => Promise<string> {
  let token: string | undefined
  return async () => {
    if (token === undefined || endMs(token) - RENEW_BEFORE_MS < Date.now()) {
      token = await fetchOne()
    }
    return token
  }
}

/** Of one that says nothing: never. */
function endMs(token: string): number {
  try {
    return (decodeJwt(token).exp ?? Infinity) * 1000
  } catch {
    return Infinity
  }
}

function namedIn(env: Env): RealmClient {
  const [issuer = '', clientId = ''] = [env['LOGOUT_RELAY_ISSUER'], env['LOGOUT_RELAY_CLIENT_ID']]
  const missing = [
    ...(issuer === '' ? ['LOGOUT_RELAY_ISSUER'] : []),
    ...(clientId === '' ? ['LOGOUT_RELAY_CLIENT_ID'] : []),
  ]
  if (missing.length > 0) {
    throw new RelayError(
      'config_invalid',
      `There is a client’s secret in the environment and no ${missing.join(' and no ')}. Example: LOGOUT_RELAY_ISSUER=https://idp.example.org/realms/main LOGOUT_RELAY_CLIENT_ID=logout-relay-operator`,
    )
  }
  return { issuer, clientId }
}

/** One for its service account. @throws RelayError `access_denied`, `idp_unavailable` */
export async function tokenOf(client: RealmClient): Promise<string> {
  try {
    return (await clientToken(await discover(client))).access_token
  } catch (cause) {
    throw whyNoToken(client, cause)
  }
}

async function renewed(login: KeptLogin, env: Env, nowMs: number, ca: string | undefined): Promise<string> {
  const { issuer, client_id, refresh_token, expires_at_ms } = login
  const client = { issuer, clientId: client_id, clientSecret: clientSecretIn(env), ca }
  const over = () => {
    const since = nowMs - expires_at_ms
    const when = since < 1000 ? 'has ended' : `expired ${duration(since)} ago`
    return new RelayError('access_denied', `The login at ${issuer} ${when}: run logout-relay login`)
  }
  if (refresh_token === undefined) {
    throw over()
  }
  try {
    const tokens = await oidc.refreshTokenGrant(await discover(client), refresh_token)
    keepLogin(env, keptOf(client, tokens, nowMs))
    return tokens.access_token
  } catch (cause) {
    if (cause instanceof oidc.ResponseBodyError && cause.error === 'invalid_grant') {
      forgetLogin(env)
      throw over()
    }
    throw whyNoToken(client, cause)
  }
}

/** What is kept of the tokens that a realm has given out. */
export function keptOf(client: RealmClient, tokens: oidc.TokenEndpointResponse, nowMs: number): KeptLogin {
  return {
    ...{ issuer: client.issuer, client_id: client.clientId, access_token: tokens.access_token },
    expires_at_ms: nowMs + (tokens.expires_in ?? 60) * 1000,
    ...(tokens.refresh_token === undefined ? {} : { refresh_token: tokens.refresh_token }),
  }
}
