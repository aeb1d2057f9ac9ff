import { createHash, randomBytes } from 'node:crypto'
import type { Browser } from './browser.ts'
import { call } from './http.ts'

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly id_token?: string
}

/** What one realm does with tokens, as its clients see it. */
export class TokenEndpoint {
  readonly #base: string

  constructor(issuer: string) {
    this.#base = `${issuer}/protocol/openid-connect`
  }

  /** Resource owner password credentials: tokens without a browser. @param secret of a confidential client */
  async directGrant(
    clientId: string,
    username: string,
    password: string,
    scope = 'openid',
    secret?: string,
  ): Promise<Tokens> {
    const client = { client_id: clientId, ...(secret === undefined ? {} : { client_secret: secret }) }
    const answer = await this.ask({ grant_type: 'password', ...client, username, password, scope })
    if (answer.status !== 200) {
      throw new Error(`direct grant: ${answer.status} ${answer.text}`)
    }
    return answer.json()
  }

  /** The authorization code flow of a public client with PKCE, in that browser. */
  async codeFlow(
    browser: Browser,
    { clientId, redirectUri, scope = 'openid' }: { clientId: string; redirectUri: string; scope?: string },
    username: string,
    password: string,
  ): Promise<Tokens> {
    const code_verifier = randomBytes(32).toString('base64url')
    const code_challenge = createHash('sha256').update(code_verifier).digest('base64url')
    const pkce = { code_challenge, code_challenge_method: 'S256' }
    const query = { response_type: 'code', client_id: clientId, redirect_uri: redirectUri, scope, ...pkce }
    const request = `${this.#base}/auth?${new URLSearchParams(query).toString()}`
    const back = await browser.authorize(request, redirectUri, username, password)
    const code = back.searchParams.get('code') ?? ''
    const answer = await this.ask({
      grant_type: 'authorization_code',
      client_id: clientId,
      redirect_uri: redirectUri,
      code,
      code_verifier,
    })
    if (answer.status !== 200) {
      throw new Error(`code flow: ${answer.status} ${answer.text}`)
    }
    return answer.json()
  }

  /** Whether Keycloak calls the token active (RFC 7662), asked by a confidential client in its audience: false to others. */
  async isActive(token: string, clientId: string, secret: string): Promise<boolean> {
    const form = { token, client_id: clientId, client_secret: secret }
    const answer = await call<{ active: boolean }>('POST', `${this.#base}/token/introspect`, { form })
    if (answer.status !== 200) {
      throw new Error(`introspection: ${answer.status} ${answer.text}`)
    }
    return answer.json().active
  }

  /** Whether the refresh or offline token still mints access tokens. */
  async lives(clientId: string, { refresh_token }: Tokens): Promise<boolean> {
    return (await this.ask({ grant_type: 'refresh_token', client_id: clientId, refresh_token })).status === 200
  }

  /** @param spelled the endpoint, which Keycloak finds by more than one path */
  ask(form: Record<string, string>, spelled = 'token') {
    return call<Tokens>('POST', `${this.#base}/${spelled}`, { form })
  }

  async serviceAccount(clientId: string, secret: string): Promise<string> {
    const answer = await this.ask({ grant_type: 'client_credentials', client_id: clientId, client_secret: secret })
    if (answer.status !== 200) {
      throw new Error(`client credentials: ${answer.status} ${answer.text}`)
    }
    return answer.json().access_token
  }
}
