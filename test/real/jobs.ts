import { randomUUID } from 'node:crypto'
import { decodeJwt } from 'jose'
import type { RealmAdmin } from '../../scripts/stage/admin.ts'
import { call } from '../../scripts/stage/http.ts'
import { TokenEndpoint, type Tokens } from '../../scripts/stage/tokens.ts'

const CHECKER = { client_id: 'checker', client_secret: 'of-the-checker' }

interface Key {
  readonly id: string
  readonly name: string
  readonly config: Record<string, string[]>
}

/** A realm in which jobs run, with a client that may introspect their tokens. */
export async function startPlace(admin: RealmAdmin, issuer: string): Promise<Place> {
  await admin.createClient({ clientId: CHECKER.client_id, secret: CHECKER.client_secret })
  return new Place(admin, issuer)
}

export class Place {
  readonly admin: RealmAdmin
  readonly issuer: string
  readonly tokens: TokenEndpoint

  constructor(admin: RealmAdmin, issuer: string) {
    this.admin = admin
    this.issuer = issuer
    this.tokens = new TokenEndpoint(issuer)
  }

  /** In the second of an event Keycloak may answer 400 to a token from before that has no session. */
  async isActive(token: string): Promise<boolean> {
    const url = `${this.issuer}/protocol/openid-connect/token/introspect`
    const answer = await call<{ active: boolean }>('POST', url, { form: { token, ...CHECKER } })
    return answer.status === 200 && answer.json().active
  }

  /** Another token for this one, as the client for which it is. */
  exchange(subject_token: string) {
    return this.tokens.ask({
      ...{ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', ...CHECKER, subject_token },
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    })
  }

  async activeKey(): Promise<{ id: string; key: Key }> {
    const { active, keys } = (
      await this.admin.must<{ active: Record<string, string>; keys: { kid: string; providerId: string }[] }>(
        'GET',
        '/keys',
      )
    ).json()
    const id = keys.find(({ kid }) => kid === active['RS256'])?.providerId ?? ''
    return { id, key: (await this.admin.must<Key>('GET', `/components/${id}`)).json() }
  }

  /** One that counts before all that there are. */
  async addKey(): Promise<void> {
    const { id } = (await this.admin.must<{ id: string }>('GET', '')).json()
    const { key } = await this.activeKey()
    const priority = [String(Number(key.config['priority']?.[0] ?? 100) + 1)]
    await this.admin.must('POST', '/components', {
      ...{ name: `key-${randomUUID()}`, providerId: 'rsa-generated', providerType: 'org.keycloak.keys.KeyProvider' },
      ...{ parentId: id, config: { priority, enabled: ['true'], active: ['true'], algorithm: ['RS256'] } },
    })
  }

  /** From now on a new secret leaves the old one good for so long, for every confidential client. */
  async rotate(seconds = 3600): Promise<void> {
    const configuration = {
      'expiration-period': 7200,
      'rotated-expiration-period': seconds,
      'remaining-rotation-period': 3600,
    }
    const profile = { name: 'rotation', executors: [{ executor: 'secret-rotation', configuration }] }
    await this.admin.must('PUT', '/client-policies/profiles', { profiles: [profile] })
    const conditions = [{ condition: 'client-access-type', configuration: { type: ['confidential'] } }]
    const policy = { name: 'rotation', enabled: true, conditions, profiles: ['rotation'] }
    await this.admin.must('PUT', '/client-policies/policies', { policies: [policy] })
  }

  async rotateNoMore(): Promise<void> {
    await this.admin.must('PUT', '/client-policies/policies', { policies: [] })
    await this.admin.must('PUT', '/client-policies/profiles', { profiles: [] })
  }
}

const client = (clientId: string, secret: string) => ({
  ...{ clientId, secret, serviceAccountsEnabled: true, standardFlowEnabled: false },
  protocolMappers: [
    {
      ...{ name: 'checker', protocol: 'openid-connect', protocolMapper: 'oidc-audience-mapper' },
      config: { 'included.client.audience': CHECKER.client_id, 'access.token.claim': 'true' },
    },
  ],
})

/** A workload with a token without a session, which is Keycloak's default, and one with a session and a refresh token. */
export async function startJob(place: Place, more: Record<string, unknown> = {}): Promise<Job> {
  const clientId = `job-${randomUUID()}`
  const secret = randomUUID()
  await place.admin.createClient({ ...client(clientId, secret), ...more })
  const uuid = await place.admin.clientUuid(clientId)
  const job = new Job(place, clientId, uuid, secret)
  if (more['serviceAccountsEnabled'] !== false) {
    await job.begin()
  }
  return job
}

export class Job {
  readonly place: Place
  readonly clientId: string
  readonly uuid: string
  account = ''
  secret: string
  #plain = ''
  #withSession: Tokens | undefined

  constructor(place: Place, clientId: string, uuid: string, secret: string) {
    this.place = place
    this.clientId = clientId
    this.uuid = uuid
    this.secret = secret
  }

  get admin(): RealmAdmin {
    return this.place.admin
  }

  get path(): string {
    return `/clients/${this.uuid}`
  }

  async begin(): Promise<void> {
    this.#plain = (await this.#must()).access_token
    await this.put({ attributes: { 'client_credentials.use_refresh_token': 'true' } })
    this.#withSession = await this.#must()
    this.account = String(decodeJwt(this.#plain).sub)
    if (!(await this.alive()).every(Boolean)) {
      throw new Error('The tokens of the job do not live to begin with, so nothing that comes after shows anything')
    }
  }

  async #must(): Promise<Tokens> {
    const answer = await this.ask()
    if (answer.status !== 200) {
      throw new Error(`client credentials: ${answer.status} ${answer.text}`)
    }
    return answer.json()
  }

  /** Asks for a token with the secret of now. */
  ask() {
    return this.askFor({ grant_type: 'client_credentials', scope: 'openid' })
  }

  askFor(grant: Record<string, string>) {
    return this.place.tokens.ask({ client_id: this.clientId, client_secret: this.secret, ...grant })
  }

  askWith(secret: string) {
    return this.askFor({ grant_type: 'client_credentials', client_secret: secret })
  }

  /** The token without a session, that with one, and the refresh token, which is tried with the secret of now. */
  async alive(): Promise<[boolean, boolean, boolean]> {
    const { access_token = '', refresh_token = '' } = this.#withSession ?? {}
    return [
      await this.place.isActive(this.#plain),
      await this.place.isActive(access_token),
      (await this.askFor({ grant_type: 'refresh_token', refresh_token })).status === 200,
    ]
  }

  /** Changes the client, as an administrator. */
  put(change: Record<string, unknown>) {
    return this.admin.must('PUT', this.path, { clientId: this.clientId, ...change })
  }

  async newSecret(): Promise<void> {
    this.secret = (await this.admin.must<{ value: string }>('POST', `${this.path}/client-secret`)).json().value
  }

  /** Which secret it is, of several that were set at once. */
  async readSecret(): Promise<void> {
    this.secret = (await this.admin.must<{ value: string }>('GET', `${this.path}/client-secret`)).json().value
  }

  /** The same client once more. */
  again() {
    return client(this.clientId, this.secret)
  }

  /** Its service account as an export has it. */
  accountAgain() {
    return { username: `service-account-${this.clientId}`, enabled: true, serviceAccountClientId: this.clientId }
  }

  async setSecret(secret: string): Promise<void> {
    await this.put({ secret })
    this.secret = secret
  }

  /** A token by which the client itself may read and change what it is. */
  async registrationToken(): Promise<string> {
    const answer = await this.admin.must<{ registrationAccessToken: string }>(
      'POST',
      `${this.path}/registration-access-token`,
    )
    return answer.json().registrationAccessToken
  }

  /** Changes the client by the registration API. */
  async register(change: { readonly secret: string }): Promise<void> {
    const answer = await call('PUT', `${this.place.issuer}/clients-registrations/default/${this.clientId}`, {
      headers: { authorization: `Bearer ${await this.registrationToken()}` },
      json: { clientId: this.clientId, ...change },
    })
    if (answer.status !== 200) {
      throw new Error(`registration: ${answer.status} ${answer.text}`)
    }
    this.secret = change.secret
  }

  /** What userinfo answers to the token without a session, and the exchange of the one with a session by its audience. */
  async uses(): Promise<number[]> {
    const userinfo = await call('GET', `${this.place.issuer}/protocol/openid-connect/userinfo`, {
      headers: { authorization: `Bearer ${this.#plain}` },
    })
    return [userinfo.status, (await this.place.exchange(this.#withSession?.access_token ?? '')).status]
  }
}

/** Who has the secret of a job, and uses it and what it gives over and over until it is refused. */
export class Thief {
  readonly tokens: string[] = []
  readonly refreshTokens: string[] = []
  readonly refused: Promise<unknown>

  constructor(job: Job) {
    const secret = job.secret
    this.refused = Promise.all([1, 2, 3].map(() => this.#work(job, secret)))
  }

  async #work(job: Job, client_secret: string): Promise<void> {
    for (;;) {
      const first = await job.askFor({ grant_type: 'client_credentials', client_secret })
      if (first.status === 401) {
        return
      }
      if (first.status === 200) {
        const { refresh_token = '' } = this.#keep(first.json())
        const second = await job.askFor({ grant_type: 'refresh_token', refresh_token, client_secret })
        if (second.status === 200) {
          this.#keep(second.json())
        }
      }
    }
  }

  #keep(tokens: { readonly access_token: string; readonly refresh_token?: string }) {
    this.tokens.push(tokens.access_token)
    if (tokens.refresh_token !== undefined) {
      this.refreshTokens.push(tokens.refresh_token)
    }
    return tokens
  }
}
