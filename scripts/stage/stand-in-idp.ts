import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { request } from 'undici'
import { LOGOUT_EVENT } from '../../guard/logout-token.ts'
import { freePort } from './process.ts'

const HOLD_REFUSED_MS = 300_000
const MONTH_S = 2_592_000
const ROWS = 500
const CREDENTIAL_CHANGE = 'https://schemas.openid.net/secevent/caep/event-type/credential-change'

export interface Client {
  readonly clientId: string
  readonly logoutUri: string
}

/** One row of the outbox: a reset that is committed. */
export interface OutboxRow {
  readonly jti: string
  readonly set: string
  readonly sessions: readonly { readonly id: string; readonly clientId: string; readonly sid: string }[]
  acknowledged: boolean
  refused?: { readonly err: string; readonly atMs: number }
}

/**
 * The extension's side of docs/protocol.md over HTTP, with real signatures and an outbox in memory. It stands in for
 * Keycloak where a test needs thousands of resets in a minute; it loses nothing and signs as fast as the machine can.
 */
export class StandInIdp {
  readonly issuer: string
  readonly clientSecret = randomUUID()
  readonly outbox = new Map<string, OutboxRow>()
  /** What the extension says of the realm beside its relying parties; undefined where it does not tell. */
  realm: object | undefined
  /** What the relay has reported of a session, by its id. */
  readonly answers = new Map<string, string>()
  readonly #clients: readonly Client[]
  readonly #alg: string
  readonly #key: CryptoKey
  readonly #jwks: unknown
  readonly #accessToken = randomUUID()
  readonly #sessions = new Map<string, { clientId: string; sid: string; sub: string }>()
  readonly #server = createServer((question, response) => {
    void this.#serve(question).then(({ status, body }) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
    )
  })
  #asked: (() => void)[] = []
  #pushUrl: string | undefined

  private constructor(port: number, clients: readonly Client[], alg: string, key: CryptoKey, jwk: object) {
    this.issuer = `http://127.0.0.1:${port}/realms/stand-in`
    this.#clients = clients
    this.#alg = alg
    this.#key = key
    this.#jwks = { keys: [{ ...jwk, kid: 'stand-in', use: 'sig', alg }] }
  }

  static async start(clients: readonly Client[], alg = 'ES256'): Promise<StandInIdp> {
    const { publicKey, privateKey } = await generateKeyPair(alg)
    const port = await freePort()
    const idp = new StandInIdp(port, clients, alg, privateKey, await exportJWK(publicKey))
    await new Promise<void>((resolve) => idp.#server.listen(port, '127.0.0.1', resolve))
    return idp
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  /** An access token of a program with these roles at the relay, for an hour; @param more claims in place of the right ones */
  operatorToken(roles: readonly string[], more: object = {}): Promise<string> {
    const iat = Math.floor(Date.now() / 1000)
    return new SignJWT({
      iss: this.issuer,
      sub: 'operator',
      azp: 'logout-relay-operator',
      aud: 'logout-relay',
      typ: 'Bearer',
      iat,
      exp: iat + 3600,
      resource_access: { 'logout-relay': { roles } },
      ...more,
    })
      .setProtectedHeader({ alg: this.#alg, kid: 'stand-in', typ: 'JWT' })
      .sign(this.#key)
  }

  pushTo(url: string): void {
    this.#pushUrl = url
  }

  /** Resolves when the relay asks for something the next time: a sign of life. */
  asked(): Promise<void> {
    return new Promise((resolve) => this.#asked.push(resolve))
  }

  /** A reset commits. One session at each of the clients is listed, each with its own `sid`. */
  async reset(clientIds: readonly string[]): Promise<OutboxRow> {
    const jti = randomUUID()
    const sub = randomUUID()
    const now = Math.floor(Date.now() / 1000)
    const sessions = clientIds.map((clientId, at) => ({ id: `${jti}.${at}`, clientId, sid: `${jti}-${at}` }))
    for (const { id, clientId, sid } of sessions) {
      this.#sessions.set(id, { clientId, sid, sub })
    }
    const listed = sessions.map(({ id, clientId, sid }) => ({
      id,
      client_id: clientId,
      sid,
      sub,
      iss: this.issuer,
      alg: this.#alg,
      backchannel_logout_uri: this.#clients.find((client) => client.clientId === clientId)?.logoutUri,
      backchannel_logout_session_required: true,
      offline: false,
      login_began: now - 1000,
      latest_end: now + MONTH_S,
    }))
    const set = await new SignJWT({
      iss: this.issuer,
      aud: 'logout-relay',
      iat: now,
      jti,
      txn: jti,
      sub_id: { format: 'iss_sub', iss: this.issuer, sub },
      events: {
        [CREDENTIAL_CHANGE]: {
          credential_type: 'password',
          change_type: 'update',
          event_timestamp: now,
          'logout-relay': {
            trigger: 'admin-reset-password',
            watermark_ms: Date.now(),
            removed_at_ms: Date.now(),
            part: 1,
            parts: 1,
            sessions: listed,
          },
        },
      },
    })
      .setProtectedHeader({ alg: this.#alg, kid: 'stand-in', typ: 'secevent+jwt' })
      .sign(this.#key)
    const row: OutboxRow = { jti, set, sessions, acknowledged: false }
    this.outbox.set(jti, row)
    return row
  }

  /** Pushes once, as the extension does (RFC 8935). Says the status, or undefined where nobody answered. */
  async push(row: OutboxRow): Promise<number | undefined> {
    try {
      const { statusCode, body } = await request(this.#pushUrl ?? '', {
        method: 'POST',
        headers: { 'content-type': 'application/secevent+jwt', accept: 'application/json' },
        body: row.set,
        signal: AbortSignal.timeout(5000),
      })
      await body.dump()
      row.acknowledged ||= statusCode === 202
      return statusCode
    } catch {
      return undefined
    }
  }

  async #serve(question: IncomingMessage): Promise<{ status: number; body: unknown }> {
    const path = new URL(question.url ?? '', this.issuer).pathname.replace('/realms/stand-in/', '')
    let text = ''
    for await (const part of question.setEncoding('utf8')) {
      text += String(part)
    }
    this.#asked.splice(0).forEach((tell) => tell())
    switch (path) {
      case '.well-known/openid-configuration':
        return {
          status: 200,
          body: {
            issuer: this.issuer,
            jwks_uri: `${this.issuer}/certs`,
            token_endpoint: `${this.issuer}/token`,
            authorization_endpoint: `${this.issuer}/auth`,
            response_types_supported: ['code'],
            subject_types_supported: ['public'],
            id_token_signing_alg_values_supported: [this.#alg],
          },
        }
      case 'certs':
        return { status: 200, body: this.#jwks }
      case 'token': {
        const [, basic = ''] = question.headers.authorization?.split(' ') ?? []
        // Both parts are form-encoded (RFC 6749 §2.3.1).
        const [id, secret = ''] = Buffer.from(basic, 'base64').toString().split(':')
        return id !== undefined && unescaped(id) === 'logout-relay' && unescaped(secret) === this.clientSecret
          ? { status: 200, body: { access_token: this.#accessToken, token_type: 'Bearer', expires_in: 300 } }
          : { status: 401, body: { error: 'invalid_client' } }
      }
    }
    if (question.headers.authorization !== `Bearer ${this.#accessToken}`) {
      return { status: 401, body: { error: 'invalid_token' } }
    }
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
    switch (path) {
      case 'logout-relay/outbox':
        return { status: 200, body: this.#poll(body) }
      case 'logout-relay/outbox/rows':
        return { status: 200, body: this.#rows(body) }
      case 'logout-relay/outbox/sets': {
        const rows = (body['jtis'] as string[]).flatMap((jti) => this.outbox.get(jti) ?? [])
        const ended = rows.flatMap(({ sessions }) => sessions.map(({ id }) => [id, this.answers.get(id)] as const))
        return {
          status: 200,
          body: {
            sets: Object.fromEntries(rows.map(({ jti, set }) => [jti, set])),
            ended: Object.fromEntries(ended.filter(([, outcome]) => outcome !== undefined)),
          },
        }
      }
      case 'logout-relay/logout-tokens':
        return { status: 200, body: await this.#mint(body['ids'] as string[]) }
      case 'logout-relay/answers':
        return { status: 200, body: this.#record(body['answers'] as { id: string; outcome: string }[]) }
      case 'logout-relay/relying-parties':
        return {
          status: 200,
          body: {
            ...(this.realm ? { realm: this.realm } : {}),
            relying_parties: this.#clients.map(({ clientId, logoutUri }) => ({
              client_id: clientId,
              backchannel_logout_uri: logoutUri,
              backchannel_logout_session_required: true,
              enabled: true,
            })),
          },
        }
      default:
        return { status: 404, body: { error: 'not_found' } }
    }
  }

  #poll(body: Record<string, unknown>): unknown {
    const {
      maxEvents = 20,
      ack = [],
      setErrs = {},
    } = body as {
      maxEvents?: number
      ack?: string[]
      setErrs?: Record<string, { err: string }>
    }
    for (const jti of ack) {
      const row = this.outbox.get(jti)
      if (row) {
        row.acknowledged = true
      }
    }
    const atMs = Date.now()
    for (const [jti, { err }] of Object.entries(setErrs)) {
      const row = this.outbox.get(jti)
      if (row) {
        row.refused = { err, atMs }
      }
    }
    const open = [...this.outbox.values()].filter(
      ({ acknowledged, refused }) => !acknowledged && (!refused || refused.atMs < atMs - HOLD_REFUSED_MS),
    )
    const handed = open.slice(0, Math.min(maxEvents, 50))
    return {
      sets: Object.fromEntries(handed.map(({ jti, set }) => [jti, set])),
      moreAvailable: open.length > handed.length,
    }
  }

  /** In the order of their commits. Since a time, which is 0 in all uses, or those that are not complete. */
  #rows(body: Record<string, unknown>): unknown {
    const rows = [...this.outbox.values()].filter(
      ({ acknowledged, sessions }) =>
        body['since_ms'] !== undefined || (acknowledged && sessions.some(({ id }) => !this.answers.has(id))),
    )
    const from = rows.findIndex(({ jti }) => jti === body['after']) + 1
    const page = rows.slice(from, from + ROWS).map(({ jti }) => jti)
    return { jtis: page, ...(from + ROWS < rows.length ? { next: page.at(-1) } : {}) }
  }

  async #mint(ids: readonly string[]): Promise<unknown> {
    const refused: Record<string, string> = {}
    const tokens: Record<string, string> = {}
    await Promise.all(
      ids.map(async (id) => {
        const session = this.#sessions.get(id)
        if (!session || this.answers.has(id)) {
          refused[id] = session ? (this.answers.get(id) ?? '') : 'unknown'
          return
        }
        tokens[id] = await this.#logoutToken(session)
      }),
    )
    return { tokens, refused }
  }

  #logoutToken({ clientId, sid, sub }: { clientId: string; sid: string; sub: string }): Promise<string> {
    const iat = Math.floor(Date.now() / 1000)
    return new SignJWT({
      iss: this.issuer,
      aud: clientId,
      iat,
      exp: iat + 120,
      jti: randomUUID(),
      sid,
      sub,
      events: { [LOGOUT_EVENT]: {} },
    })
      .setProtectedHeader({ alg: this.#alg, kid: 'stand-in', typ: 'logout+jwt' })
      .sign(this.#key)
  }

  #record(answers: readonly { id: string; outcome: string }[]): unknown {
    const known = answers.filter(({ id }) => this.#sessions.has(id))
    for (const { id, outcome } of known) {
      this.answers.set(id, outcome)
    }
    const refused = answers.filter(({ id }) => !this.#sessions.has(id)).map(({ id }) => [id, 'unknown'])
    return { recorded: known.map(({ id }) => id), refused: Object.fromEntries(refused) as Record<string, string> }
  }
}

function unescaped(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '))
}
