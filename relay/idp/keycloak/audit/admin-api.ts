import { z } from 'zod'
import { isLoopback } from '../../../domain/uri.ts'
import { networkCodeOf, RelayError, whyUntrusted } from '../../../errors.ts'
import { exchange } from '../../../http.ts'

const TIMEOUT_MS = 15_000
const PAGE = 100

/** Whose eyes the audit reads with; from the environment alone, since others can see a command line. */
type Account =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'grant'; readonly form: Readonly<Record<string, string>> }

const Issued = z.object({ access_token: z.string() })
const HOW_TO_LOG_IN =
  'Set LOGOUT_RELAY_TOKEN (an access token), or LOGOUT_RELAY_AUDIT_CLIENT_ID and LOGOUT_RELAY_AUDIT_CLIENT_SECRET, or LOGOUT_RELAY_AUDIT_USERNAME and LOGOUT_RELAY_AUDIT_PASSWORD, and no more than one of them; docs/audit.md has an example'

/** Keycloak said that the account may not read this. */
export class Forbidden extends RelayError {
  constructor(path: string) {
    super('access_denied', `Keycloak lets this account not read ${path} (403)`)
    this.name = 'Forbidden'
  }
}

/** Keycloak's Admin REST API, for reading alone. */
export class AdminApi {
  readonly #url: string
  readonly #tokenUrl: string
  readonly #account: Account
  readonly #ca: string | undefined
  #token: string | undefined

  /**
   * @param loginRealm the realm in which the account is
   * @param ca certificates of CAs (PEM) that are trusted in addition
   * @throws RelayError `config_invalid` for an address or an environment that cannot be used
   */
  constructor(url: string, loginRealm: string, env: Readonly<Record<string, string | undefined>>, ca?: string) {
    this.#url = checked(url)
    this.#tokenUrl = `${this.#url}/realms/${encodeURIComponent(loginRealm)}/protocol/openid-connect/token`
    this.#account = accountOf(env)
    this.#ca = ca
  }

  /** @throws Forbidden for a 403; RelayError for everything else that is not the expected answer */
  async get<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    let answer = await this.#send(path, await this.#accessToken(false))
    if (answer.status === 401 && this.#account.kind === 'grant') {
      // A large realm takes longer to read than a token of the administrators' client lives.
      answer = await this.#send(path, await this.#accessToken(true))
    }
    const shown = path.split('?')[0] ?? path
    switch (answer.status) {
      case 200:
        break
      case 401:
        throw new RelayError(
          'access_denied',
          'Keycloak refused the token (401): it has ended, or is of another realm or server. Get a fresh one; LOGOUT_RELAY_TOKEN is sent as it is',
        )
      case 403:
        throw new Forbidden(shown)
      case 404:
        throw new RelayError('invalid_request', `${this.#url}${shown} is not there (404): check --url and --realm`)
      default:
        throw new RelayError('idp_unavailable', `${this.#url}${shown} answered ${answer.status}: is --url Keycloak’s?`)
    }
    const parsed = schema.safeParse(answer.json)
    if (!parsed.success) {
      const field = (parsed.error.issues[0]?.path.join('.') ?? '').replace(/[^\w.-]/g, '?')
      throw new RelayError(
        'idp_unavailable',
        `${this.#url}${shown} answered something that Keycloak 26 does not (${field || 'the whole'}): is --url Keycloak’s?`,
      )
    }
    return parsed.data
  }

  /** All pages of a list whose items have an `id`. */
  async all<T extends { readonly id: string }>(path: string, item: z.ZodType<T>): Promise<T[]> {
    const found = new Map<string, T>()
    for (let first = 0; ; first += PAGE) {
      const page = await this.get(`${path}?first=${first}&max=${PAGE}`, z.array(item))
      // A page may be short because items are hidden, and a server that knows no pages must not be asked for ever.
      if (page.every(({ id }) => found.has(id))) {
        return [...found.values()]
      }
      page.forEach((one) => found.set(one.id, one))
    }
  }

  async #accessToken(anew: boolean): Promise<string> {
    if (this.#account.kind === 'token') {
      return this.#account.token
    }
    if (this.#token === undefined || anew) {
      const body = new URLSearchParams(this.#account.form).toString()
      const answer = await this.#reach(this.#tokenUrl, { 'content-type': 'application/x-www-form-urlencoded' }, body)
      const parsed = Issued.safeParse(answer.json)
      if (answer.status !== 200 || !parsed.success) {
        throw new RelayError(
          'access_denied',
          `Keycloak gave no token (${answer.status}): check the credentials in LOGOUT_RELAY_AUDIT_… and --login-realm, the realm in which the account is`,
        )
      }
      this.#token = parsed.data.access_token
    }
    return this.#token
  }

  #send(path: string, token: string) {
    return this.#reach(`${this.#url}${path}`, { authorization: `Bearer ${token}`, accept: 'application/json' })
  }

  async #reach(url: string, headers: Record<string, string>, body?: string) {
    try {
      const content = body === undefined ? {} : { body }
      return await exchange(url, { headers, timeoutMs: TIMEOUT_MS, ca: this.#ca, ...content })
    } catch (cause) {
      const code = networkCodeOf(cause)
      const why = whyUntrusted(code, '--ca-file')
      throw new RelayError(
        'idp_unavailable',
        why === undefined ? `No Keycloak answers at ${this.#url} (${code})` : `${this.#url} ${why}`,
        { cause },
      )
    }
  }
}

/** @throws RelayError `config_invalid` for what cannot be the address of a Keycloak */
export function checked(url: string): string {
  const wrong = (what: string) =>
    new RelayError('config_invalid', `--url ${what}. Give Keycloak’s address, for example https://idp.example.org`)
  if (!URL.canParse(url)) {
    throw wrong('is no URL')
  }
  const { protocol, username, password, search, hash, origin, pathname } = new URL(url)
  if (username !== '' || password !== '') {
    throw wrong('holds a user name or password, which others can see; they go into the environment')
  }
  if (protocol !== 'https:' && !(protocol === 'http:' && isLoopback(url))) {
    throw wrong('must be https, or http on this machine')
  }
  if (search !== '' || hash !== '' || /\/(realms|admin)(\/|$)/.test(pathname)) {
    throw wrong('names a page or a realm; the realm goes into --realm')
  }
  return origin + pathname.replace(/\/+$/, '')
}

function accountOf(env: Readonly<Record<string, string | undefined>>): Account {
  const of = (name: string) => env[`LOGOUT_RELAY_${name}`] || undefined
  const token = of('TOKEN')
  const [id, secret] = [of('AUDIT_CLIENT_ID'), of('AUDIT_CLIENT_SECRET')]
  const [username, password] = [of('AUDIT_USERNAME'), of('AUDIT_PASSWORD')]
  const accounts: Account[] = []
  if (token !== undefined) {
    if (!/^[\w.~+/-]+=*$/.test(token)) {
      throw new RelayError('config_invalid', 'LOGOUT_RELAY_TOKEN holds something that is no access token')
    }
    accounts.push({ kind: 'token', token })
  }
  if (id !== undefined && secret !== undefined) {
    const form = { grant_type: 'client_credentials', client_id: id, client_secret: secret }
    accounts.push({ kind: 'grant', form })
  }
  if (username !== undefined && password !== undefined) {
    accounts.push({ kind: 'grant', form: { grant_type: 'password', client_id: 'admin-cli', username, password } })
  }
  const halves = (id === undefined) !== (secret === undefined) || (username === undefined) !== (password === undefined)
  const [account, ...more] = accounts
  if (account === undefined || more.length > 0 || halves) {
    throw new RelayError('config_invalid', HOW_TO_LOG_IN)
  }
  return account
}
