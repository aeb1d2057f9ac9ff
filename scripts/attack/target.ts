import type { Page } from '../stage/browser.ts'
import type { RealmAdmin } from '../stage/admin.ts'
import { call } from '../stage/http.ts'
import { until } from '../stage/process.ts'
import { type Tokens, TokenEndpoint } from '../stage/tokens.ts'
import { EXCHANGER, REDIRECT_URI } from './clients.ts'
import type { Parts } from './world.ts'

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type'

/** By what ways of asking Keycloak tokens can be found alive. */
export const SIGHTS = ['refresh', 'userinfo', 'introspection', 'account API', 'token exchange'] as const

/** A realm that is attacked: the guarded one, or the stock one that is the control. */
export class Target {
  readonly parts: Parts
  readonly admin: RealmAdmin
  /** Of the realm whose accounts this one takes for logins. */
  readonly upstream: RealmAdmin
  readonly issuer: string
  readonly tokens: TokenEndpoint

  constructor(parts: Parts, admin: RealmAdmin, upstream: RealmAdmin) {
    this.parts = parts
    this.admin = admin
    this.upstream = upstream
    this.issuer = parts.keycloak.issuer(admin.realm)
    this.tokens = new TokenEndpoint(this.issuer)
  }

  get realm(): string {
    return this.admin.realm
  }

  endpoint(path: string): string {
    return `${this.issuer}/protocol/openid-connect/${path}`
  }

  /** An authorization request of `flows-app`, or of another public client. */
  authorization(more: Record<string, string> = {}): string {
    const query = {
      response_type: 'code',
      client_id: 'flows-app',
      redirect_uri: REDIRECT_URI,
      scope: 'openid',
      ...more,
    }
    return this.endpoint(`auth?${new URLSearchParams(query).toString()}`)
  }

  /** A client's refresh. */
  refresh(refresh_token: string, clientId = 'flows-app') {
    const secret = clientId === EXCHANGER.client_id ? EXCHANGER : {}
    return this.tokens.ask({ grant_type: 'refresh_token', client_id: clientId, ...secret, refresh_token })
  }

  /** Other tokens for this one (RFC 8693), by the one client that may. */
  exchange(subject_token: string, requested: 'access_token' | 'refresh_token' = 'access_token') {
    return this.tokens.ask({
      grant_type: EXCHANGE,
      ...EXCHANGER,
      scope: 'openid',
      subject_token,
      subject_token_type: `${TOKEN_TYPE}:access_token`,
      requested_token_type: `${TOKEN_TYPE}:${requested}`,
    })
  }

  /** The tokens of the code that a browser was sent back with; undefined where there is none, or it is worth nothing. */
  async redeem({ url }: Page, clientId = 'flows-app'): Promise<Tokens | undefined> {
    const code = url.startsWith(REDIRECT_URI) ? new URL(url).searchParams.get('code') : null
    const form = { grant_type: 'authorization_code', client_id: clientId, redirect_uri: REDIRECT_URI, code: code ?? '' }
    const answer = code === null ? undefined : await this.tokens.ask(form)
    return answer?.status === 200 ? answer.json() : undefined
  }

  /** By direct grant, which is refused in the second of an event. */
  async takesPassword(username: string, password: string): Promise<boolean> {
    await nextSecond()
    const form = { grant_type: 'password', client_id: 'flows-app', username, password }
    return (await this.tokens.ask(form)).status === 200
  }

  /** By what ways of asking Keycloak these tokens still count. */
  async livesOf(held: { access_token: string; refresh_token?: string }, clientId = 'flows-app'): Promise<string[]> {
    const { access_token, refresh_token } = held
    const headers = { authorization: `Bearer ${access_token}`, accept: 'application/json' }
    const isAlive: Record<(typeof SIGHTS)[number], () => Promise<boolean>> = {
      refresh: async () => refresh_token !== undefined && (await this.refresh(refresh_token, clientId)).status === 200,
      userinfo: async () => (await call('GET', this.endpoint('userinfo'), { headers })).status === 200,
      introspection: () => this.tokens.isActive(access_token, EXCHANGER.client_id, EXCHANGER.client_secret),
      'account API': async () => (await call('GET', `${this.issuer}/account/`, { headers })).status === 200,
      'token exchange': async () => (await this.exchange(access_token)).status === 200,
    }
    const lives: string[] = []
    for (const sight of SIGHTS) {
      if (await isAlive[sight]()) {
        lives.push(sight)
      }
    }
    return lives
  }
}

/** Keycloak's login times are whole seconds: what must be newer than an event begins in a later one. */
export async function nextSecond(): Promise<void> {
  const now = Math.floor(Date.now() / 1000)
  await until('the next second has begun', () => Math.floor(Date.now() / 1000) > now)
}
