import { z } from 'zod'
import { networkCodeOf, RelayError, whyUntrusted } from '../../../errors.ts'
import { exchange, type HttpAnswer, type HttpRequest } from '../../../http.ts'
import { plain } from '../../../text.ts'
import { checked } from '../audit/admin-api.ts'

const TIMEOUT_MS = 15_000

/** Whose word counts at Keycloak. @param anew where the token of before has just been refused */
export type TokenOf = (anew: boolean) => Promise<string>

/** Keycloak, and the certificates of CAs (PEM) that are trusted in addition. */
export interface Server {
  readonly url: string
  readonly ca?: string | undefined
}

export interface Credentials {
  readonly username: string
  readonly password: string
  /** Of the account's second factor, if it has one. */
  readonly oneTimeCode?: string
}

const Metadata = z.object({ issuer: z.string() })
const Issued = z.object({ access_token: z.string(), refresh_token: z.string().optional() })
const Refusal = z.object({ error: z.string().optional() })
const Complaint = z.object({ errorMessage: z.string().optional(), error_description: z.string().optional() })

/**
 * What the realm calls itself, as it stands in its tokens; nobody has to log in for it.
 *
 * @throws RelayError `config_invalid` for an address that cannot be one, `idp_unavailable` where no Keycloak answers there,
 *   `invalid_request` where it has no such realm
 */
export async function issuerAt({ url, ca }: Server, realm: string): Promise<string> {
  const address = checked(url)
  const { status, json } = await reach(
    { url: address, ca },
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
  const server = { url: checked(url), ca }
  const { username, password, oneTimeCode } = credentials
  const grant = async (form: Record<string, string>) => {
    const path = `/realms/${encodeURIComponent(realm)}/protocol/openid-connect/token`
    const body = new URLSearchParams({ client_id: 'admin-cli', ...form }).toString()
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const { status, json } = await reach(server, path, { body, headers })
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
  let tokens = await grant({ grant_type: 'password', username, password, ...totp })
  return async (anew) => {
    if (anew && tokens.refresh_token !== undefined) {
      // Such a token ends within a minute, and somebody may read a plan for longer.
      tokens = await grant({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token })
    }
    return tokens.access_token
  }
}

/** A realm at Keycloak's Admin REST API, to read and to change. */
export class RealmApi {
  readonly #server: Server
  readonly #realm: string
  readonly #token: TokenOf

  constructor({ url, ca }: Server, realm: string, token: TokenOf) {
    this.#server = { url: checked(url), ca }
    this.#realm = realm
    this.#token = token
  }

  /** The path of the realm, as requests have it. */
  get base(): string {
    return `/admin/realms/${encodeURIComponent(this.#realm)}`
  }

  /**
   * @param path below the realm
   * @param right the role that it takes, for whoever lacks it
   * @throws RelayError `access_denied` naming the role, `idp_unavailable`, `invalid_request` with what Keycloak says of it
   */
  async get<T>(path: string, schema: z.ZodType<T>, right: string): Promise<T> {
    const { json } = await this.send('GET', `${this.base}${path}`, right)
    const parsed = schema.safeParse(json)
    if (!parsed.success) {
      throw new RelayError(
        'idp_unavailable',
        `${this.#server.url} answers something that Keycloak 26 does not: is --url right?`,
      )
    }
    return parsed.data
  }

  /** The whole path, and whatever is no refusal. Throws as above. */
  async send(
    method: NonNullable<HttpRequest['method']>,
    path: string,
    right: string,
    json?: unknown,
  ): Promise<HttpAnswer> {
    const answer = await this.ask(method, path, json)
    const { status } = answer
    if (status >= 200 && status <= 299) {
      return answer
    }
    if (status === 403) {
      throw this.lacking([right])
    }
    const { errorMessage, error_description } = Complaint.safeParse(answer.json).data ?? {}
    const says = errorMessage ?? error_description
    throw new RelayError(
      status < 500 ? 'invalid_request' : 'idp_unavailable',
      `Keycloak answers ${status} to ${method} ${path}${says === undefined ? '' : `: ${plain(says)}`}`,
    )
  }

  /** Any status is an answer, but for a token that is none. */
  async ask(method: NonNullable<HttpRequest['method']>, path: string, json?: unknown): Promise<HttpAnswer> {
    let answer = await this.#once(method, path, json, false)
    if (answer.status === 401) {
      answer = await this.#once(method, path, json, true)
    }
    if (answer.status === 401) {
      throw new RelayError(
        'access_denied',
        'Keycloak refuses the token (401): it has ended, or is of another realm or server than the account’s. Log in again',
      )
    }
    return answer
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
      'manage-realm': () => this.ask('POST', `${this.base}/partial-export`, {}),
      'manage-clients': () => this.ask('POST', `${this.base}/client-description-converter`, { clientId: 'any' }),
      'manage-users': () => this.ask('DELETE', `${this.base}/attack-detection/brute-force/users/${nobody}`),
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

  async #once(method: NonNullable<HttpRequest['method']>, path: string, json: unknown, anew: boolean) {
    const headers = {
      ...{ authorization: `Bearer ${await this.#token(anew)}`, accept: 'application/json' },
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
    }
    const body = json === undefined ? {} : { body: JSON.stringify(json) }
    return reach(this.#server, path, { method, headers, ...body })
  }
}

async function reach(
  { url, ca }: Server,
  path: string,
  request: Omit<HttpRequest, 'timeoutMs'> = {},
): Promise<HttpAnswer> {
  try {
    return await exchange(`${url}${path}`, { timeoutMs: TIMEOUT_MS, ca, ...request })
  } catch (cause) {
    const code = networkCodeOf(cause)
    const why = whyUntrusted(code, '--ca-file or LOGOUT_RELAY_CA_FILE')
    throw new RelayError(
      'idp_unavailable',
      why === undefined
        ? `No Keycloak answers at ${url} (${code}): is it up, and are host, port and path of --url right?`
        : `${url} ${why}`,
      { cause },
    )
  }
}
