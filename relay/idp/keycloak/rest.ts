import { z } from 'zod'
import { isLoopback } from '../../domain/uri.ts'
import { noAnswer, RelayError } from '../../errors.ts'
import { exchange, type HttpAnswer, type HttpRequest } from '../../http.ts'
import { plain } from '../../text.ts'
import { untilTold } from './come-again.ts'

const TIMEOUT_MS = 15_000
const PAGE = 100
const THE_ISSUER = 'the issuer'

/** A Keycloak, and how it is reached. */
export interface Server {
  /** In front of `/realms` and `/admin`. */
  readonly url: string
  /** Certificates of CAs (PEM) that are trusted in addition. */
  readonly ca?: string | undefined
  /** What names it, if not the issuer. */
  readonly given?: string
  /** Where CAs are named, if not at a command. */
  readonly setting?: string
  readonly timeoutMs?: number
}

/** Whose word counts at Keycloak. @param anew where the token of before has just been refused */
export type TokenOf = (anew: boolean) => Promise<string>

export interface Wanted {
  readonly method?: NonNullable<HttpRequest['method']>
  readonly json?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** The role that it takes, for whoever lacks it, such as `manage-realm of realm-management`. */
  readonly right?: string
}

/** What was given for a grant. */
export const Issued = z.object({ access_token: z.string(), refresh_token: z.string().optional() })
const Complaint = z.object({ errorMessage: z.string().optional(), error_description: z.string().optional() })

/** Keycloak said that the account may not. */
export class Forbidden extends RelayError {
  constructor(message: string) {
    super('access_denied', message)
    this.name = 'Forbidden'
  }
}

/** Keycloak's Admin API and the extension's endpoints, as whoever the token is of. */
export class Rest {
  readonly #server: Server
  readonly #token: TokenOf
  readonly #given: string

  constructor(server: Server, token: TokenOf) {
    this.#server = server
    this.#token = token
    this.#given = server.given ?? THE_ISSUER
  }

  /** What is there. Throws as `read` does. @param right as `Wanted` has it */
  get<T>(path: string, schema: z.ZodType<T>, right?: string): Promise<T> {
    return this.read(path, schema, right === undefined ? {} : { right })
  }

  /** @throws RelayError as `refusal` has it, `idp_unavailable` for another answer than the expected one */
  async read<T>(path: string, schema: z.ZodType<T>, wanted: Wanted): Promise<T> {
    return this.parsed(await this.send(path, wanted), path, schema)
  }

  /** All pages of a list whose items have an `id`. */
  async all<T extends { readonly id: string }>(path: string, item: z.ZodType<T>, right?: string): Promise<T[]> {
    const found = new Map<string, T>()
    for (let first = 0; ; first += PAGE) {
      const page = await this.get(`${path}?first=${first}&max=${PAGE}`, z.array(item), right)
      // A page may be short because items are hidden, and a server that knows no pages must not be asked for ever.
      if (page.every(({ id }) => found.has(id))) {
        return [...found.values()]
      }
      page.forEach((one) => found.set(one.id, one))
    }
  }

  /** Whatever is no refusal. Throws as `refusal` has it. */
  async send(path: string, wanted: Wanted = {}): Promise<HttpAnswer> {
    return this.taken(await this.ask(path, wanted), path, wanted)
  }

  /** Any status is an answer, but for a token that is none. @throws RelayError `access_denied`, `idp_unavailable` */
  async ask(path: string, wanted: Wanted = {}): Promise<HttpAnswer> {
    const token = await this.#token(false)
    let answer = await this.#once(path, wanted, token)
    // Some work takes longer than a token lives.
    const another = answer.status === 401 ? await this.#token(true) : token
    if (another !== token) {
      answer = await this.#once(path, wanted, another)
    }
    if (answer.status === 401) {
      throw new RelayError(
        'access_denied',
        'Keycloak refuses the token (401): it has ended, or is of another realm or server. Log in again, or get a fresh one',
      )
    }
    return answer
  }

  /** An answer that is no refusal. Throws as `refusal` has it. */
  taken(answer: HttpAnswer, path: string, wanted: Wanted = {}): HttpAnswer {
    if (answer.status >= 200 && answer.status <= 299) {
      return answer
    }
    throw this.refusal(answer, path, wanted)
  }

  /** @throws RelayError `idp_unavailable` for another answer than the expected one */
  parsed<T>({ status, json }: HttpAnswer, path: string, schema: z.ZodType<T>): T {
    const parsed = schema.safeParse(json)
    if (parsed.success) {
      return parsed.data
    }
    const field = (parsed.error.issues[0]?.path.join('.') ?? '').replace(/[^\w.-]/g, '?')
    const who = isOurs(path) ? 'docs/protocol.md' : 'Keycloak 26'
    throw new RelayError(
      'idp_unavailable',
      `${this.shown(path)} answered ${status}, and something that ${who} does not (${field || 'the whole'}): is ${this.#given} Keycloak’s?`,
    )
  }

  /** What an answer means that is neither a success nor a token that is none. */
  protected refusal({ status, json }: HttpAnswer, path: string, { right }: Wanted): RelayError {
    const { errorMessage, error_description } = Complaint.safeParse(json).data ?? {}
    const said = errorMessage ?? error_description
    const says = said === undefined ? undefined : plain(said)
    if (status === 403) {
      const takes = right === undefined ? '' : `: it takes the role ${right}, in the scope of the token’s client`
      const why = says === undefined ? takes : `: ${says}`
      return new Forbidden(`Keycloak lets this account not use ${shortened(path)} (403)${why}`)
    }
    // The extension says of what it does not have that it does not; Keycloak alone says nothing.
    if (status === 404 && isOurs(path) && says === undefined) {
      const why = 'is the extension’s jar in Keycloak’s providers/, and is it of this version?'
      return new RelayError('idp_unavailable', `${this.shown(path)} answered 404: ${why}`)
    }
    const isRefused = status >= 400 && status < 500
    return new RelayError(
      isRefused ? (status === 404 ? 'not_found' : 'invalid_request') : 'idp_unavailable',
      `${this.shown(path)} answered ${status}: ${says ?? `is ${this.#given} Keycloak’s?`}`,
    )
  }

  protected shown(path: string): string {
    return `${this.#server.url}${shortened(path)}`
  }

  async #once(path: string, { method, json, headers }: Wanted, token: string): Promise<HttpAnswer> {
    return reach(this.#server, path, {
      ...(method === undefined ? {} : { method }),
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      headers: {
        ...{ authorization: `Bearer ${token}`, accept: 'application/json' },
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
    })
  }
}

/** One request of a Keycloak. @throws RelayError `idp_unavailable` where nobody answers */
export async function reach(
  { url, ca, given = THE_ISSUER, setting, timeoutMs = TIMEOUT_MS }: Server,
  path: string,
  request: Omit<HttpRequest, 'timeoutMs'> = {},
): Promise<HttpAnswer> {
  try {
    return await exchange(`${url}${path}`, { timeoutMs, ca, ...request })
  } catch (cause) {
    throw noAnswer(cause, {
      ...{ code: 'idp_unavailable', server: url, absent: `No Keycloak answers at ${url}` },
      hint: `: is it up, and are host, port and path of ${given} right?`,
      ...(setting === undefined ? {} : { setting }),
    })
  }
}

/** What the token endpoint of a realm answers. Throws as `reach` does. */
export async function grant(
  server: Server,
  realm: string,
  form: Readonly<Record<string, string>>,
): Promise<HttpAnswer> {
  const request = {
    body: new URLSearchParams(form).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  }
  const path = `/realms/${encodeURIComponent(realm)}/protocol/openid-connect/token`
  return untilTold(
    () => reach(server, path, request),
    (answer) => answer,
  )
}

/** A realm by its issuer. */
interface RealmAt {
  readonly url: string
  /** What the paths of its Admin API and of the extension's endpoints begin with. */
  readonly admin: string
  readonly extension: string
}

/** @throws RelayError `config_invalid` for an issuer that is no realm of Keycloak's */
export function realmAt(issuer: string): RealmAt {
  const [, url, realm] = /^(.*)\/realms\/([^/?#]+)$/.exec(issuer) ?? []
  if (url === undefined || realm === undefined) {
    throw notARealm()
  }
  return { url, admin: `/admin/realms/${realm}`, extension: `/realms/${realm}/logout-relay` }
}

/** @throws RelayError `config_invalid` for a realm to which nothing secret may be sent */
export function mustBeEncrypted(issuer: string): void {
  if (
    !URL.canParse(issuer) ||
    !(issuer.startsWith('https://') || (issuer.startsWith('http://') && isLoopback(issuer)))
  ) {
    throw notARealm()
  }
}

function notARealm(): RelayError {
  return new RelayError(
    'config_invalid',
    'The realm (--issuer, LOGOUT_RELAY_ISSUER) must be https, or http on this machine. Example: https://idp.example.org/realms/main',
  )
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

const shortened = (path: string) => path.split('?')[0] ?? path
const isOurs = (path: string) => path.includes('/logout-relay/')
