import { type Answer, call } from './http.ts'

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

/** The administrator of a Keycloak that was started here, over its Admin API. */
export class Admin {
  readonly #url: string
  readonly #username: string
  readonly #password: string
  #token: { value: string; endsMs: number } | undefined

  constructor(url: string, username: string, password: string) {
    this.#url = url
    this.#username = username
    this.#password = password
  }

  async token(): Promise<string> {
    if (!this.#token || this.#token.endsMs < performance.now()) {
      const answer = await call<{ access_token: string }>(
        'POST',
        `${this.#url}/realms/master/protocol/openid-connect/token`,
        {
          form: { grant_type: 'password', client_id: 'admin-cli', username: this.#username, password: this.#password },
        },
      )
      this.#token = { value: answer.json().access_token, endsMs: performance.now() + 30_000 }
    }
    return this.#token.value
  }

  async call<T = unknown>(method: Method, path: string, json?: unknown): Promise<Answer<T>> {
    const headers = { authorization: `Bearer ${await this.token()}` }
    return call<T>(method, `${this.#url}/admin/realms${path}`, { headers, ...(json === undefined ? {} : { json }) })
  }

  /** Like {@link call}, and throws for anything but a 2xx. */
  async must<T = unknown>(method: Method, path: string, json?: unknown): Promise<Answer<T>> {
    const answer = await this.call<T>(method, path, json)
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    }
    return answer
  }

  async userId(realm: string, username: string): Promise<string> {
    const found = (await this.must<{ id: string }[]>('GET', `/${realm}/users?username=${username}&exact=true`)).json()
    if (!found[0]) {
      throw new Error(`No user ${username} in ${realm}`)
    }
    return found[0].id
  }

  async clientUuid(realm: string, clientId: string): Promise<string> {
    const found = (await this.must<{ id: string }[]>('GET', `/${realm}/clients?clientId=${clientId}`)).json()
    if (!found[0]) {
      throw new Error(`No client ${clientId} in ${realm}`)
    }
    return found[0].id
  }

  async createClient(realm: string, client: { readonly clientId: string } & Record<string, unknown>): Promise<void> {
    await this.must('POST', `/${realm}/clients`, client)
  }

  /** The features that are on, by the names that `--features` has for them. */
  async features(): Promise<ReadonlySet<string>> {
    const headers = { authorization: `Bearer ${await this.token()}` }
    const info = await call<{ features: { name: string; enabled: boolean }[] }>(
      'GET',
      `${this.#url}/admin/serverinfo`,
      { headers },
    )
    const enabled = info.json().features.filter((feature) => feature.enabled)
    return new Set(enabled.map(({ name }) => name.toLowerCase().replaceAll('_', '-')))
  }

  /** A required action that the realm has, but not in use. */
  async enableAction(
    realm: string,
    action: { readonly alias: string; readonly name: string },
    config: Record<string, string> = {},
  ): Promise<void> {
    const path = `/${realm}/authentication/required-actions/${action.alias}`
    await this.must('PUT', path, { ...action, providerId: action.alias, enabled: true, config })
  }

  /** Sets these attributes of a client and leaves its others as they are. */
  async setClientAttributes(realm: string, clientId: string, attributes: Record<string, string>): Promise<void> {
    const path = `/${realm}/clients/${await this.clientUuid(realm, clientId)}`
    const client = (await this.must<{ attributes?: object }>('GET', path)).json()
    await this.must('PUT', path, { ...client, attributes: { ...client.attributes, ...attributes } })
  }

  async createUser(realm: string, username: string, password: string): Promise<string> {
    await this.must('POST', `/${realm}/users`, {
      username,
      enabled: true,
      emailVerified: true,
      email: `${username}@example.org`,
      firstName: username,
      lastName: 'Example',
      credentials: [{ type: 'password', value: password }],
    })
    return this.userId(realm, username)
  }

  /** The act that everything here is about; answers what Keycloak answered. */
  async resetPassword(realm: string, userId: string, password: string): Promise<Answer> {
    return this.call('PUT', `/${realm}/users/${userId}/reset-password`, {
      type: 'password',
      value: password,
      temporary: false,
    })
  }

  /** "Force login after reset" of the demo realm's mailed link: `true` as it is, `false` or `only-federated`. */
  async setForceLogin(realm: string, value: string): Promise<void> {
    const flow = encodeURIComponent('reset credentials, then log in')
    const path = `/${realm}/authentication/flows/${flow}/executions`
    const executions = (await this.must<{ authenticationConfig?: string }[]>('GET', path)).json()
    const id = executions.flatMap(({ authenticationConfig }) => authenticationConfig ?? [])[0] ?? ''
    const config = { id, alias: 'log in after the reset', config: { 'force-login': value } }
    await this.must('PUT', `/${realm}/authentication/config/${id}`, config)
  }

  async sessions(realm: string, userId: string): Promise<{ id: string }[]> {
    return (await this.must<{ id: string }[]>('GET', `/${realm}/users/${userId}/sessions`)).json()
  }
}

/** The same of one realm alone: every path is within it. */
export class RealmAdmin {
  readonly realm: string
  readonly #admin: Admin

  constructor(admin: Admin, realm: string) {
    this.#admin = admin
    this.realm = realm
  }

  call<T = unknown>(method: Method, path: string, json?: unknown): Promise<Answer<T>> {
    return this.#admin.call<T>(method, this.#within(path), json)
  }

  must<T = unknown>(method: Method, path: string, json?: unknown): Promise<Answer<T>> {
    return this.#admin.must<T>(method, this.#within(path), json)
  }

  userId(username: string): Promise<string> {
    return this.#admin.userId(this.realm, username)
  }

  clientUuid(clientId: string): Promise<string> {
    return this.#admin.clientUuid(this.realm, clientId)
  }

  createClient(client: { readonly clientId: string } & Record<string, unknown>): Promise<void> {
    return this.#admin.createClient(this.realm, client)
  }

  setClientAttributes(clientId: string, attributes: Record<string, string>): Promise<void> {
    return this.#admin.setClientAttributes(this.realm, clientId, attributes)
  }

  createUser(username: string, password: string): Promise<string> {
    return this.#admin.createUser(this.realm, username, password)
  }

  resetPassword(userId: string, password: string): Promise<Answer> {
    return this.#admin.resetPassword(this.realm, userId, password)
  }

  enableAction(...how: [{ readonly alias: string; readonly name: string }, Record<string, string>?]): Promise<void> {
    return this.#admin.enableAction(this.realm, ...how)
  }

  setForceLogin(value: string): Promise<void> {
    return this.#admin.setForceLogin(this.realm, value)
  }

  /** Gives a user a role of a client. */
  async giveRole(userId: string, clientId: string, name: string): Promise<void> {
    const client = await this.clientUuid(clientId)
    const role = (await this.must<object>('GET', `/clients/${client}/roles/${name}`)).json()
    await this.must('POST', `/users/${userId}/role-mappings/clients/${client}`, [role])
  }

  /** The relay of this realm may tell what identity providers say: docs/upstream.md. */
  async letRelayHearUpstreams(): Promise<void> {
    const path = `/clients/${await this.clientUuid('logout-relay')}/service-account-user`
    const account = (await this.must<{ id: string }>('GET', path)).json()
    await this.giveRole(account.id, 'logout-relay', 'upstream-events')
  }

  sessions(userId: string): Promise<{ id: string }[]> {
    return this.#admin.sessions(this.realm, userId)
  }

  #within(path: string): string {
    if (!/^(\/|$)/.test(path) || path.split('/').includes('..')) {
      throw new TypeError(`${path} is no path within a realm; give one like /users`)
    }
    return `/${this.realm}${path}`
  }
}
