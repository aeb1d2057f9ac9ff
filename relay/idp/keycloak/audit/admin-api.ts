import { RelayError } from '../../../errors.ts'
import type { HttpAnswer } from '../../../http.ts'
import { checked, grant, Issued, Rest, type Server, type TokenOf, type Wanted } from '../rest.ts'

/** Whose eyes the audit reads with; from the environment alone, since others can see a command line. */
type Account =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'grant'; readonly form: Readonly<Record<string, string>> }

const HOW_TO_LOG_IN =
  'Set LOGOUT_RELAY_TOKEN (an access token), or LOGOUT_RELAY_AUDIT_CLIENT_ID and LOGOUT_RELAY_AUDIT_CLIENT_SECRET, or LOGOUT_RELAY_AUDIT_USERNAME and LOGOUT_RELAY_AUDIT_PASSWORD, and no more than one of them; docs/audit.md has an example'

/** Keycloak's Admin REST API, for reading alone. */
export class AdminApi extends Rest {
  /**
   * @param loginRealm the realm in which the account is
   * @param ca certificates of CAs (PEM) that are trusted in addition
   * @throws RelayError `config_invalid` for an address or an environment that cannot be used
   */
  constructor(url: string, loginRealm: string, env: Readonly<Record<string, string | undefined>>, ca?: string) {
    const server = { url: checked(url), ca, given: '--url' }
    super(server, tokenOf(server, loginRealm, accountOf(env)))
  }

  protected override refusal(answer: HttpAnswer, path: string, wanted: Wanted): RelayError {
    return answer.status === 404
      ? new RelayError('invalid_request', `${this.shown(path)} is not there (404): check --url and --realm`)
      : super.refusal(answer, path, wanted)
  }
}

function tokenOf(server: Server, realm: string, account: Account): TokenOf {
  let token = account.kind === 'token' ? account.token : undefined
  return async (anew) => {
    if (account.kind === 'grant' && (token === undefined || anew)) {
      const { status, json } = await grant(server, realm, account.form)
      token = Issued.safeParse(json).data?.access_token
      if (token === undefined) {
        throw new RelayError(
          'access_denied',
          `Keycloak gave no token (${status}): check the credentials in LOGOUT_RELAY_AUDIT_… and --login-realm, the realm in which the account is`,
        )
      }
    }
    return token ?? ''
  }
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
