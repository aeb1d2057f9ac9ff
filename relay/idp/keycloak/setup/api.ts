import { z } from 'zod'
import { RelayError } from '../../../errors.ts'
import type { HttpAnswer } from '../../../http.ts'
import { plain } from '../../../text.ts'
import { checked, grant, Issued, reach, Rest, type Server, type TokenOf, type Wanted } from '../rest.ts'

export interface Credentials {
  readonly username: string
  readonly password: string
  /** Of the account's second factor, if it has one. */
  readonly oneTimeCode?: string
}

const Metadata = z.object({ issuer: z.string() })
const Refusal = z.object({ error: z.string().optional() })

/**
 * What the realm calls itself, as it stands in its tokens; nobody has to log in for it.
 *
 * @throws RelayError `config_invalid` for an address that cannot be one, `idp_unavailable` where no Keycloak answers there,
 *   `invalid_request` where it has no such realm
 */
export async function issuerAt({ url, ca }: Server, realm: string): Promise<string> {
  const address = checked(url)
  const { status, json } = await reach(
    { url: address, ca, given: '--url' },
    `/realms/${encodeURIComponent(realm)}/.well-known/openid-configuration`,
  )
  const { data } = Metadata.safeParse(json)
  if (status === 200 && data) {
    return data.issuer
  }
  if (status === 404) {
    throw new RelayError(
      'invalid_request',
      `There is no realm ${plain(realm)} at ${address}, or it is disabled (404): check --realm, and whether the address has a path such as /auth`,
    )
  }
  throw new RelayError('idp_unavailable', `${address} answers ${status} for a realm: is --url Keycloak’s address?`)
}

/**
 * An administrator, by user name and password through the client `admin-cli` that every realm has.
 *
 * @throws RelayError `access_denied` where the realm does not let them in
 */
export async function administrator({ url, ca }: Server, realm: string, credentials: Credentials): Promise<TokenOf> {
  const server = { url: checked(url), ca, given: '--url' }
  const { username, password, oneTimeCode } = credentials
  const given = async (form: Record<string, string>) => {
    const { status, json } = await grant(server, realm, { client_id: 'admin-cli', ...form })
    const { data } = Issued.safeParse(json)
    if (!data) {
      const error = Refusal.safeParse(json).data?.error ?? 'no reason'
      throw new RelayError(
        'access_denied',
        `The realm ${plain(realm)} does not let ${plain(username)} in (${status} ${plain(error)}): check name, password and --login-realm, the realm in which the account is. Somebody with a second factor other than a one-time code takes LOGOUT_RELAY_TOKEN`,
      )
    }
    return data
  }
  const totp = oneTimeCode === undefined ? {} : { totp: oneTimeCode }
  let tokens = await given({ grant_type: 'password', username, password, ...totp })
  return async (anew) => {
    if (anew && tokens.refresh_token !== undefined) {
      // Such a token ends within a minute, and somebody may read a plan for longer.
      tokens = await given({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token })
    }
    return tokens.access_token
  }
}

/** A realm at Keycloak's Admin REST API, to read and to change. */
export class RealmApi extends Rest {
  readonly #realm: string

  constructor({ url, ca }: Server, realm: string, token: TokenOf) {
    super({ url: checked(url), ca, given: '--url' }, token)
    this.#realm = realm
  }

  /** The path of the realm, as requests have it. */
  get base(): string {
    return `/admin/realms/${encodeURIComponent(this.#realm)}`
  }

  protected override refusal(answer: HttpAnswer, path: string, wanted: Wanted): RelayError {
    const { right } = wanted
    return answer.status === 403 && right !== undefined ? this.lacking([right]) : super.refusal(answer, path, wanted)
  }

  /**
   * That the account has all that a change of the realm takes, before anything is changed. Nothing is: the realm is exported, a
   * description of a client is converted, and failures to log in are forgotten of a user that there is not.
   *
   * @throws RelayError `access_denied` naming every role that is missing
   */
  async requireRights(): Promise<void> {
    const nobody = '00000000-0000-4000-8000-000000000000'
    const probes = {
      'manage-realm': () => this.ask(`${this.base}/partial-export`, { json: {} }),
      'manage-clients': () => this.ask(`${this.base}/client-description-converter`, { json: { clientId: 'any' } }),
      'manage-users': () => this.ask(`${this.base}/attack-detection/brute-force/users/${nobody}`, { method: 'DELETE' }),
    }
    const missing: string[] = []
    for (const [right, probe] of Object.entries(probes)) {
      if ((await probe()).status === 403) {
        missing.push(right)
      }
    }
    if (missing.length > 0) {
      throw this.lacking(missing)
    }
  }

  /** What is said of an account that may not do something. */
  lacking(rights: readonly string[]): RelayError {
    return new RelayError(
      'access_denied',
      `The account lacks ${rights.join(' and ')} of the client realm-management (of ${plain(this.#realm)}-realm, for an account in the realm master)`,
    )
  }
}
