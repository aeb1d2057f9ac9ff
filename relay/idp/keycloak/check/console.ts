import { createHash, randomBytes } from 'node:crypto'
import { z } from 'zod'
import { asking } from './ask.ts'
import { type Finding, findingsOn } from '../../../domain/finding.ts'
import type { CheckedRealm } from './realm.ts'

const CHECK = 'console'
const Endpoints = z.object({ authorization_endpoint: z.string(), token_endpoint: z.string() })
const Refusal = z.object({ error: z.string() })

/** As relay.yaml has it. */
interface ConsoleToCheck {
  readonly issuer: string
  readonly client_id: string
  readonly client_secret: string
  readonly url: string
  /** Certificates of CAs (PEM) that are trusted for the realm in addition. */
  readonly ca?: string | undefined
}

/**
 * Whether people can log in at the console, and whether a logout there can reach it. It asks for a login that must not show
 * a page, and for tokens with a code that nobody has, so that nothing is left behind at the realm.
 *
 * @param relyingParties of the realm; undefined where they are not known
 */
export async function checkConsole(
  { issuer, client_id: clientId, client_secret, url, ca }: ConsoleToCheck,
  relyingParties: CheckedRealm['relyingParties'],
): Promise<Finding[]> {
  const { ok, todo } = findingsOn(clientId)
  const ask = asking(ca)
  const discovery = await ask(`${issuer}/.well-known/openid-configuration`, {})
  const endpoints = typeof discovery === 'string' ? undefined : Endpoints.safeParse(discovery.json).data
  if (!endpoints) {
    return [todo(CHECK, 'cannot be checked: see the line about keycloak')]
  }
  const redirectUri = `${url}/callback`
  const basic = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(client_secret)}`).toString('base64')
  const exchange = await ask(endpoints.token_endpoint, {
    authorization: `Basic ${basic}`,
    form: new URLSearchParams({
      grant_type: 'authorization_code',
      code: randomBytes(16).toString('base64url'),
      redirect_uri: redirectUri,
      code_verifier: randomBytes(32).toString('base64url'),
    }).toString(),
  })
  const refusal = typeof exchange === 'string' ? exchange : (Refusal.safeParse(exchange.json).data?.error ?? '')
  if (refusal !== 'invalid_grant') {
    return [
      todo(CHECK, `its client is refused (${refusal}): is it there and enabled, and is this its secret (Credentials)?`),
    ]
  }
  const challenge = createHash('sha256').update(randomBytes(32)).digest('base64url')
  const login = new URLSearchParams({
    ...{ response_type: 'code', scope: 'openid', prompt: 'none', client_id: clientId, redirect_uri: redirectUri },
    ...{ code_challenge: challenge, code_challenge_method: 'S256', state: challenge, nonce: challenge },
  })
  const answer = await ask(`${endpoints.authorization_endpoint}?${login.toString()}`, {})
  if (typeof answer === 'string') {
    return [todo(CHECK, `cannot be checked (${answer}): the realm does not show its login`)]
  }
  const back = answer.location === undefined ? undefined : new URL(answer.location)
  const error = back?.href.startsWith(redirectUri) === true ? back.searchParams.get('error') : undefined
  if (error !== 'login_required') {
    return [
      todo(
        CHECK,
        error
          ? `nobody can log in (${error}): switch its client’s standard flow on`
          : `nobody can log in: add ${redirectUri} to its client’s valid redirect URIs`,
      ),
    ]
  }
  const works = ok(CHECK, 'people can log in')
  if (!relyingParties) {
    return [works]
  }
  const logoutUri = `${url}/backchannel-logout`
  const told = relyingParties.find((party) => party.clientId === clientId)?.target.uri
  return [
    works,
    told === logoutUri
      ? ok(CHECK, 'learns of logouts at the realm')
      : todo(
          CHECK,
          `${told === undefined ? 'has no' : 'has another'} Backchannel logout URL, so an operator’s own reset does not end their session here: set ${logoutUri}`,
        ),
  ]
}
