import { z } from 'zod'
import { RelayError } from '../../../errors.ts'
import { Forbidden, mustBeEncrypted, realmAt, Rest } from '../rest.ts'
import type { NewKey, RealmKey, RealmKeySet } from './plan.ts'

const PROVIDER_TYPE = 'org.keycloak.keys.KeyProvider'
const RIGHT = 'manage-realm of realm-management'

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
const Client = z.object({
  id: z.string(),
  enabled: z.boolean().default(false),
  protocol: z.string().optional(),
  serviceAccountsEnabled: z.boolean().default(false),
})

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
  readonly #rest: Rest
  readonly #admin: string

  /**
   * @param ca certificates of CAs (PEM) that are trusted in addition
   * @throws RelayError `config_invalid` for an issuer that is no realm of Keycloak's
   */
  constructor(issuer: string, token: () => string, ca?: string) {
    mustBeEncrypted(issuer)
    const { url, admin } = realmAt(issuer)
    this.#rest = new Rest({ url, ca }, () => Promise.resolve(token()))
    this.#admin = admin
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
        if (cause instanceof Forbidden) {
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
    const path = `${this.#admin}/components`
    const wanted = { json: { id, ...key, providerType: PROVIDER_TYPE }, right: RIGHT }
    const answer = await this.#rest.ask(path, wanted)
    const there = (await this.#components()).find((one) => one.id === id)
    if (!there) {
      this.#rest.taken(answer, path, wanted)
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
    const json = { providerId, providerType: PROVIDER_TYPE, config }
    await this.#rest.send(`${this.#admin}${path}`, { method: 'PUT', json, right: RIGHT })
  }

  #components() {
    return this.#get(`/components?type=${PROVIDER_TYPE}`, z.array(Component))
  }

  async #clients(): Promise<Pick<Signed, 'serviceAccounts' | 'saml'>> {
    const all = await this.#rest.all(`${this.#admin}/clients`, Client, 'view-clients of realm-management')
    const clients = all.filter(({ enabled }) => enabled)
    return {
      serviceAccounts: clients.filter(({ serviceAccountsEnabled }) => serviceAccountsEnabled).length,
      saml: clients.filter(({ protocol }) => protocol === 'saml').length,
    }
  }

  #get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    return this.#rest.get(`${this.#admin}${path}`, schema, RIGHT)
  }
}
