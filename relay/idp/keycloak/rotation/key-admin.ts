import { z } from 'zod'
import { isLoopback } from '../../../domain/uri.ts'
import { networkCodeOf, RelayError, whyUntrusted } from '../../../errors.ts'
import { exchange, type HttpAnswer, type HttpRequest } from '../../../http.ts'
import type { NewKey, RealmKey, RealmKeySet } from './plan.ts'

const TIMEOUT_MS = 15_000
const PROVIDER_TYPE = 'org.keycloak.keys.KeyProvider'
const PAGE = 100

const Keys = z.object({
  keys: z.array(
    z.object({
      kid: z.string().optional(),
      providerId: z.string(),
      providerPriority: z.number(),
      status: z.enum(['ACTIVE', 'PASSIVE', 'DISABLED']),
      algorithm: z.string().optional(),
      use: z.string().optional(),
    }),
  ),
})
const Component = z.object({
  id: z.string(),
  name: z.string().default(''),
  providerId: z.string(),
  parentId: z.string(),
  config: z.record(z.string(), z.array(z.string())).default({}),
})
const Stats = z.array(z.object({ clientId: z.string(), active: z.coerce.number(), offline: z.coerce.number() }))
const Clients = z.array(
  z.object({
    id: z.string(),
    enabled: z.boolean().default(false),
    protocol: z.string().optional(),
    serviceAccountsEnabled: z.boolean().default(false),
  }),
)

/** What a realm has that its keys have signed, as far as it can be counted. */
export interface Signed {
  /** Of people at clients, and the clients. */
  readonly logins: number
  readonly clients: number
  readonly offline: number
  /** Absent where the token may not list clients. */
  readonly serviceAccounts?: number
  readonly saml?: number
}

/** The keys of a realm by Keycloak's Admin API, with the right of whoever asks: `manage-realm` of `realm-management`. */
export class KeyAdmin {
  readonly #admin: string
  readonly #token: () => string
  readonly #ca: string | undefined

  /**
   * @param ca certificates of CAs (PEM) that are trusted in addition
   * @throws RelayError `config_invalid` for an issuer that is no realm of Keycloak's
   */
  constructor(issuer: string, token: () => string, ca?: string) {
    const isSafe = URL.canParse(issuer) && (issuer.startsWith('https://') || isLoopback(issuer))
    if (!isSafe || !/\/realms\/[^/?#]+$/.test(issuer)) {
      throw new RelayError(
        'config_invalid',
        'The realm (--issuer) must be https, or http on this machine. Example: https://idp.example.org/realms/main',
      )
    }
    this.#admin = issuer.replace(/\/realms\/([^/]+)$/, '/admin/realms/$1')
    this.#token = token
    this.#ca = ca
  }

  async read(): Promise<RealmKeySet> {
    const { keys } = await this.#get('/keys', Keys)
    const components = await this.#components()
    const named = keys.flatMap(({ kid, algorithm, ...key }) =>
      kid === undefined || algorithm === undefined ? [] : [{ kid, alg: algorithm, ...key }],
    )
    return {
      keys: named.flatMap(({ kid, alg, providerId, providerPriority, status, use }): RealmKey[] =>
        status === 'DISABLED' || use !== 'SIG'
          ? []
          : [{ kid, alg, component: providerId, priority: providerPriority, status }],
      ),
      components,
      encryption: [
        ...new Set(named.flatMap(({ alg, use, status }) => (use === 'ENC' && status !== 'DISABLED' ? [alg] : []))),
      ],
    }
  }

  async signed(): Promise<Signed> {
    const stats = await this.#get('/client-session-stats', Stats)
    const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)
    return {
      logins: sum(stats.map(({ active }) => active)),
      clients: stats.filter(({ active }) => active > 0).length,
      offline: sum(stats.map(({ offline }) => offline)),
      ...(await this.#clients().catch((cause: unknown) => {
        if (cause instanceof RelayError && cause.code === 'access_denied') {
          return {}
        }
        throw cause
      })),
    }
  }

  /**
   * Makes a key that signs from then on.
   *
   * @returns its kid
   * @throws RelayError `access_denied` where another run has made one first
   */
  async make(alg: string, { id, ...key }: NewKey): Promise<string> {
    const body = JSON.stringify({ id, ...key, providerType: PROVIDER_TYPE })
    const answer = await this.#send('/components', { method: 'POST', body })
    const there = (await this.#components()).find((one) => one.id === id)
    if (!there) {
      this.#judge('/components', answer)
      throw new RelayError('idp_unavailable', `Keycloak has made the key for ${alg} under another id than it was given`)
    }
    // Nobody can make another component of that id, so whoever was first goes on.
    if (there.name !== key.name) {
      throw new RelayError(
        'access_denied',
        `Another run has just put a key in the place of the one that signed with ${alg} (${there.name})`,
      )
    }
    const signer = (await this.read()).keys.find((one) => one.alg === alg && one.status === 'ACTIVE')
    if (signer?.component !== id) {
      throw new RelayError(
        'idp_unavailable',
        `Keycloak has made a key for ${alg} and does not sign with it: ${key.name}`,
      )
    }
    return signer.kid
  }

  /** Changes these two settings and no other, so that nothing is lost that somebody else sets meanwhile. */
  async retire({ component }: RealmKey, disable: boolean): Promise<void> {
    const path = `/components/${component}`
    const { providerId } = await this.#get(path, Component)
    const config = disable ? { enabled: ['false'], active: ['false'] } : { active: ['false'] }
    const body = JSON.stringify({ providerId, providerType: PROVIDER_TYPE, config })
    this.#judge(path, await this.#send(path, { method: 'PUT', body }))
  }

  #components() {
    return this.#get(`/components?type=${PROVIDER_TYPE}`, z.array(Component))
  }

  async #clients(): Promise<Pick<Signed, 'serviceAccounts' | 'saml'>> {
    const found = new Map<string, z.infer<typeof Clients>[number]>()
    for (let first = 0; ; first += PAGE) {
      const page = await this.#get(`/clients?first=${first}&max=${PAGE}`, Clients)
      if (page.every(({ id }) => found.has(id))) {
        break
      }
      page.forEach((client) => found.set(client.id, client))
    }
    const clients = [...found.values()].filter(({ enabled }) => enabled)
    return {
      serviceAccounts: clients.filter(({ serviceAccountsEnabled }) => serviceAccountsEnabled).length,
      saml: clients.filter(({ protocol }) => protocol === 'saml').length,
    }
  }

  async #get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    const answer = await this.#send(path, {})
    this.#judge(path, answer)
    const parsed = schema.safeParse(answer.json)
    if (!parsed.success) {
      throw new RelayError(
        'idp_unavailable',
        `${this.#admin}${shown(path)} answered something that Keycloak 26 does not`,
      )
    }
    return parsed.data
  }

  #judge(path: string, { status }: HttpAnswer): void {
    if (status === 401) {
      throw new RelayError(
        'access_denied',
        `${this.#admin} refused the token (401): it has ended, or is of another realm`,
      )
    }
    if (status === 403) {
      throw new RelayError(
        'access_denied',
        `Keycloak lets this token not use ${shown(path)} (403): it takes the role manage-realm of realm-management, and view-clients to count, in the scope of the token’s client`,
      )
    }
    if (status < 200 || status > 299) {
      throw new RelayError('idp_unavailable', `Keycloak answered ${status} at ${shown(path)}`)
    }
  }

  async #send(path: string, request: Pick<HttpRequest, 'method' | 'body'>): Promise<HttpAnswer> {
    const headers = { authorization: `Bearer ${this.#token()}`, accept: 'application/json' }
    try {
      return await exchange(`${this.#admin}${path}`, {
        ...request,
        headers: { ...headers, ...(request.body === undefined ? {} : { 'content-type': 'application/json' }) },
        timeoutMs: TIMEOUT_MS,
        ca: this.#ca,
      })
    } catch (cause) {
      const code = networkCodeOf(cause)
      const why = whyUntrusted(code, '--ca-file or LOGOUT_RELAY_CA_FILE')
      throw new RelayError(
        'idp_unavailable',
        why === undefined ? `No Keycloak answers at ${this.#admin} (${code})` : `${this.#admin} ${why}`,
        { cause },
      )
    }
  }
}

const shown = (path: string) => path.split('?')[0] ?? path
