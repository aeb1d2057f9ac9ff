import { createHash, randomUUID } from 'node:crypto'
import { decodeJwt } from 'jose'
import { titleOf } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import type { Tokens } from '../stage/tokens.ts'
import type { Attack } from './attack.ts'
import { REDIRECT_URI } from './clients.ts'
import type { Target } from './target.ts'
import { Thief } from './thief.ts'
import { PASSWORD, Victim } from './victim.ts'

const BY_ITSELF = 'Keycloak by itself drops what is under way in a browser with the session that is logged out'

/** What becomes of the session by which the link was begun, before the reset. */
const ENDS: readonly {
  readonly id: string
  readonly says: string
  readonly noControl?: string
  readonly end?: (target: Target, tokens: Tokens) => Promise<number>
}[] = [
  { id: 'live', says: 'stays' },
  {
    id: 'logged-out',
    says: 'is logged out by its refresh token',
    noControl: BY_ITSELF,
    end: async (target, { refresh_token }) => {
      const form = { client_id: 'flows-app', refresh_token }
      return (await call('POST', target.endpoint('logout'), { form })).status
    },
  },
  {
    id: 'revoked',
    says: 'ends by the revocation of its refresh token',
    end: async (target, { refresh_token }) => {
      const form = { client_id: 'flows-app', token: refresh_token, token_type_hint: 'refresh_token' }
      return (await call('POST', target.endpoint('revoke'), { form })).status
    },
  },
  {
    id: 'signed-out',
    says: 'is signed out in the account console',
    noControl: BY_ITSELF,
    end: async (target, { access_token }) => {
      const headers = { authorization: `Bearer ${access_token}`, accept: 'application/json' }
      return (await call('DELETE', `${target.issuer}/account/sessions/${sidOf(access_token)}`, { headers })).status
    },
  },
]

const sidOf = (token: string) => String(decodeJwt(token)['sid'])

/** The address at which `flows-app` has an account elsewhere linked, with the hash that it knows this session by. */
export function linking(target: Target, alias: string, sid: string): string {
  const nonce = randomUUID()
  const clientId = 'flows-app'
  const hash = createHash('sha256')
    .update(nonce + sid + clientId + alias)
    .digest('base64url')
  const query = new URLSearchParams({ client_id: clientId, redirect_uri: REDIRECT_URI, nonce, hash })
  return `${target.issuer}/broker/${alias}/link?${query.toString()}`
}

/** Somebody with a session of the victim, at the login page of the identity provider whose account is to be linked. */
export async function beginLink(victim: Victim, alias: string) {
  const thief = new Thief()
  const tokens = await victim.tokens(thief.browser)
  const login = await thief.open(linking(victim.target, alias, sidOf(tokens.access_token)))
  if (!login.text.includes('kc-form-login')) {
    throw new Error(`The link is not begun: ${login.status} at ${login.url}: ${titleOf(login.text)}`)
  }
  return { thief, tokens, login }
}

export const ACCOUNT_LINK: readonly Attack[] = ENDS.map(({ id, says, end, noControl }): Attack => ({
  id: `account-link-${id}`,
  family: 'account-link',
  title: `An account link begun before is not completed after, where its session ${says}`,
  tries: `begins to link an account elsewhere that is their own; the session ${says}; completes the link after the reset`,
  loot: ['link'],
  ...(noControl === undefined ? {} : { noControl }),
  ...(id === 'live' || id === 'revoked' ? { quick: 1 } : {}),
  run: async (target, name) => {
    const victim = await Victim.create(target, name)
    await target.upstream.createUser(name, PASSWORD)
    const { thief, tokens, login } = await beginLink(victim, 'upstream')
    const status = await end?.(target, tokens)
    if (status !== undefined && status > 299) {
      throw new Error(`The session does not end: ${status}`)
    }
    await victim.reset()
    await thief.submit(login, { username: name, password: PASSWORD })
    return (await victim.links()).length > 0 ? ['link'] : []
  },
}))
