import { call } from './http.ts'

export interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly id_token?: string
}

/** The token endpoint of one realm, as a public client sees it. */
export class TokenEndpoint {
  readonly #url: string

  constructor(issuer: string) {
    this.#url = `${issuer}/protocol/openid-connect/token`
  }

  /** Resource owner password credentials: tokens without a browser. */
  async directGrant(clientId: string, username: string, password: string, scope = 'openid'): Promise<Tokens> {
    const answer = await this.ask({ grant_type: 'password', client_id: clientId, username, password, scope })
    if (answer.status !== 200) {
      throw new Error(`direct grant: ${answer.status} ${answer.text}`)
    }
    return answer.json()
  }

  /** Whether the refresh or offline token still mints access tokens. */
  async lives(clientId: string, { refresh_token }: Tokens): Promise<boolean> {
    return (await this.ask({ grant_type: 'refresh_token', client_id: clientId, refresh_token })).status === 200
  }

  ask(form: Record<string, string>) {
    return call<Tokens>('POST', this.#url, { form })
  }

  async serviceAccount(clientId: string, secret: string): Promise<string> {
    const answer = await this.ask({ grant_type: 'client_credentials', client_id: clientId, client_secret: secret })
    if (answer.status !== 200) {
      throw new Error(`client credentials: ${answer.status} ${answer.text}`)
    }
    return answer.json().access_token
  }
}
