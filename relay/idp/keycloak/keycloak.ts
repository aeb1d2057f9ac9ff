import { createRemoteJWKSet, customFetch, type JWK } from 'jose'
import * as oidc from 'openid-client'
import { Agent } from 'undici'
import { z } from 'zod'
import type { Finding } from '../../domain/finding.ts'
import type {
  Delivery,
  RelyingParty,
  TokenNames,
  OperatorRequest,
  OperatorOutcome,
  UpstreamOutcome,
  UpstreamWord,
} from '../../domain/model.ts'
import { codeOf, RelayError, whyUntrusted } from '../../errors.ts'
import { exchange, fetchTrusting, type HttpAnswer, trusting } from '../../http.ts'
import { named } from '../../delivery/kinds.ts'
import type { Genuine, Minted } from '../../delivery/port.ts'
import { targetAt } from '../../domain/target.ts'
import { type IdentityProvider, KEYS_COOLDOWN_MS, type RealmLook, type SetError, type Which } from '../port.ts'
import { isJwt, signatureComplaint } from '../unverifiable.ts'
import { clientToken, type Sleep } from './come-again.ts'
import { DirectoryItem } from './directories.ts'
import { dismissedIn } from './dismissed.ts'
import { RealmLogoutItem } from './realm-logouts.ts'
import { UpstreamItem } from './upstreams.ts'

const TIMEOUT_MS = 10_000
/** A token is renewed this long before it ends, so that it never ends on its way. */
const RENEW_BEFORE_MS = 10_000
/** A token that may not is renewed this soon: its roles are those of when it was made, and somebody may have given one since. */
const RENEW_REFUSED_MS = 10_000
const PAGE = 500

const PollAnswer = z.object({ sets: z.record(z.string(), z.string()), moreAvailable: z.boolean().optional() })
const RowsAnswer = z.object({ jtis: z.array(z.string()), next: z.string().optional() })
const SetsAnswer = z.object({ sets: z.record(z.string(), z.string()), ended: z.record(z.string(), z.string()) })
const Names = z.enum(['sid+sub', 'sid', 'sub'])
const MintAnswer = z.object({
  tokens: z.record(z.string(), z.string()),
  names: z.record(z.string(), Names).optional(),
  refused: z.record(z.string(), z.string()),
})
const ProbeAnswer = z.object({
  tokens: z.partialRecord(Names, z.string()),
  refused: z.string().optional(),
})
const AnswersAnswer = z.object({ recorded: z.array(z.string()), refused: z.record(z.string(), z.string()) })
const RealmSaid = z
  .object({
    listener: z.boolean(),
    push: z.boolean().optional(),
    policy: z.record(z.string(), z.string()).exactOptional(),
    outbox: z.object({ waiting: z.number(), refused: z.number(), oldest_ms: z.number().optional() }).optional(),
    directories: z.array(DirectoryItem).optional(),
    upstreams: z.array(UpstreamItem).optional(),
    realm_logouts: z.array(RealmLogoutItem).optional(),
  })
  .transform((said) => ({
    realm: {
      listener: said.listener,
      ...(said.policy ? { policy: said.policy } : {}),
      ...dismissedIn(said),
    },
    pushes: said.push,
    outbox: said.outbox && {
      waiting: said.outbox.waiting,
      refused: said.outbox.refused,
      ...(said.outbox.oldest_ms === undefined ? {} : { oldestMs: said.outbox.oldest_ms }),
    },
    directories: said.directories,
    upstreams: said.upstreams,
  }))
const RelyingPartiesAnswer = z.object({
  relying_parties: z.array(z.looseObject({ client_id: z.string(), enabled: z.boolean() })),
  next: z.number().optional(),
  realm: z
    .looseObject({})
    .transform((raw, context) => {
      const said = RealmSaid.safeParse(raw)
      if (!said.success) {
        context.addIssue({ code: 'custom', message: 'is not as docs/protocol.md has it' })
        return z.NEVER
      }
      // Word for word as well, for whoever judges it: what has been read once cannot be read again.
      return { ...said.data, raw }
    })
    .optional(),
})

const HearAnswer = z.object({ contained: z.number(), held: z.number(), known: z.number() })
const ContainAnswer = z.object({
  subject: z.string(),
  client_id: z.string().optional(),
  sessions: z.number(),
  relying_parties: z.number(),
  unreachable: z.number(),
  shadow: z.boolean(),
  confirmation_required: z.boolean(),
  txn: z.string().optional(),
})
const Refused = z.object({ error: z.string(), error_description: z.string() })

export interface KeycloakOptions {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  /** Only where the config names the exception, or the issuer is on loopback. */
  readonly allowHttp: boolean
  /** Certificates of CAs (PEM) that are trusted for this realm in addition. */
  readonly ca?: string | undefined
  readonly sleep?: Sleep
  /** Judges what comes by the way, as `logout-relay check` does. */
  readonly judges?: Judges
}

export interface Judges {
  /** An access token that the realm has just made. */
  token(accessToken: string): readonly Finding[]
  /** What the extension says of the realm. */
  realm(said: unknown): readonly Finding[]
}

/** The extension's endpoints in one realm (docs/protocol.md), called as the realm's service account `logout-relay`. */
export class Keycloak implements IdentityProvider {
  readonly issuer: string
  readonly #options: KeycloakOptions
  readonly #agent: Agent
  #config: oidc.Configuration | undefined
  #keys: ReturnType<typeof createRemoteJWKSet> | undefined
  #own: readonly Finding[] = []
  #token: { readonly value: Promise<string>; readonly madeMs: number; endsMs: number } | undefined

  constructor(options: KeycloakOptions) {
    this.issuer = options.issuer
    this.#options = options
    this.#agent = new Agent({ connect: { timeout: 2000, ...trusting(options.ca) } })
  }

  async connect(): Promise<void> {
    await this.#configuration()
    await this.#accessToken()
  }

  async keys() {
    const config = await this.#configuration()
    const { jwks_uri } = config.serverMetadata()
    if (jwks_uri === undefined) {
      throw new RelayError('idp_unavailable', `${this.issuer} publishes no jwks_uri`)
    }
    const { ca } = this.#options
    this.#keys ??= createRemoteJWKSet(new URL(jwks_uri), {
      timeoutDuration: 5000,
      cooldownDuration: KEYS_COOLDOWN_MS,
      ...(ca === undefined ? {} : { [customFetch]: fetchTrusting(ca) }),
    })
    return this.#keys
  }

  async published(): Promise<readonly JWK[]> {
    const keys = await this.keys()
    try {
      await keys.reload()
    } catch (cause) {
      throw unavailable(this.issuer, cause)
    }
    return keys.jwks()?.keys ?? []
  }

  /** By its own access token. */
  async signatureComplaint(): Promise<string | undefined> {
    const keys = await this.keys()
    const token = await this.#accessToken()
    if (!isJwt(token)) {
      // An access token may be opaque (RFC 6749 §1.4), and then says nothing.
      return undefined
    }
    try {
      return await signatureComplaint(token, keys)
    } catch (cause) {
      throw unavailable(this.issuer, cause)
    }
  }

  ownFindings(): readonly Finding[] {
    return this.#own
  }

  async poll(maxEvents: number, ack: readonly string[], setErrs: Readonly<Record<string, SetError>>) {
    return this.#post('outbox', { maxEvents, returnImmediately: true, ack, setErrs }, PollAnswer)
  }

  async rows({ sinceMs, after }: Which) {
    return this.#post('outbox/rows', { since_ms: sinceMs, after }, RowsAnswer)
  }

  /** At most 50. */
  async sets(jtis: readonly string[]) {
    const { sets, ended } = await this.#post('outbox/sets', { jtis }, SetsAnswer)
    return { sets, ended: new Set(Object.keys(ended)) }
  }

  async mint(deliveries: readonly Delivery[], audience?: string): Promise<Minted> {
    const ids = deliveries.map(({ id }) => id)
    // What a token names is told beside it: one that is encrypted cannot be read here.
    const { tokens, names = {}, refused } = await this.#post('logout-tokens', { ids, audience }, MintAnswer)
    return {
      tokens: new Map(Object.entries(tokens)),
      refused: new Map(Object.entries(refused)),
      names: new Map(Object.entries(names)),
    }
  }

  /** Logout tokens for a session that there never was; none from an extension that makes no such tokens. */
  async genuine(clientId: string): ReturnType<Genuine> {
    const body = JSON.stringify({ client_id: clientId })
    const { tokens, refused } = await this.#call('logout-tokens/probe', body, ProbeAnswer, { tokens: {} })
    return {
      tokens: new Map(Object.entries(tokens) as [TokenNames, string][]),
      ...(refused === undefined ? {} : { refusal: refused }),
    }
  }

  async report(ended: readonly Delivery[]): Promise<readonly string[]> {
    const answers = ended.map(({ id, state, lastStatus, endedMs, createdMs }) => ({
      id,
      outcome: state,
      at_ms: endedMs ?? createdMs,
      ...(lastStatus === undefined ? {} : { status: lastStatus }),
    }))
    const { recorded, refused } = await this.#post('answers', { answers }, AnswersAnswer)
    // A row that Keycloak no longer knows has been pruned there or belongs to a database that was restored.
    const done = new Set([...recorded, ...Object.keys(refused).filter((id) => refused[id] === 'unknown')])
    // Of these alone: ids are not of one realm in the store, and no realm has a word on the ends of another.
    return ended.map(({ id }) => id).filter((id) => done.has(id))
  }

  /** Of an extension that does not tell, without what the realm, its outbox and its directories are like. */
  async look(): Promise<RealmLook> {
    let answer: z.infer<typeof RelyingPartiesAnswer>['realm']
    const parties: RelyingParty[] = []
    for (let first: number | undefined = 0; first !== undefined;) {
      const page: z.infer<typeof RelyingPartiesAnswer> = await this.#call(
        `relying-parties?first=${first}&max=${PAGE}`,
        undefined,
        RelyingPartiesAnswer,
      )
      for (const party of page.relying_parties) {
        const target = targetAt(named(party, this.issuer))
        if (target) {
          parties.push({ issuer: this.issuer, clientId: party.client_id, target, enabled: party.enabled })
        }
      }
      answer = page.realm ?? answer
      first = page.next
    }
    const findings = answer ? (this.#options.judges?.realm(answer.raw) ?? []) : []
    return {
      ...{ parties, realm: answer?.realm ?? {}, findings, pushes: answer?.pushes },
      ...{ outbox: answer?.outbox, directories: answer?.directories, upstreams: answer?.upstreams },
    }
  }

  /** The relay's own service account has no such right to give. */
  async contain(
    callersToken: string,
    { subject, clientId, reason, dryRun, confirm }: OperatorRequest,
  ): Promise<OperatorOutcome> {
    const body = JSON.stringify({ user: subject, client: clientId, reason, dry_run: dryRun, confirm })
    const answer = await this.#request('containments', body, callersToken)
    const done = ContainAnswer.safeParse(answer.json)
    if (answer.status === 200 && done.success) {
      const { txn, client_id, sessions, relying_parties, unreachable, shadow, confirmation_required } = done.data
      return {
        kind: 'done',
        subject: done.data.subject,
        ...(client_id === undefined ? {} : { clientId: client_id }),
        ...(txn === undefined ? {} : { containmentId: txn }),
        sessions,
        relyingParties: relying_parties,
        unreachable,
        shadow,
        confirmationRequired: confirmation_required,
      }
    }
    const refused = Refused.safeParse(answer.json)
    if (answer.status < 500 && refused.success) {
      const { error, error_description } = refused.data
      return { kind: 'refused', status: answer.status, error, description: error_description }
    }
    if (answer.status === 401 || answer.status === 403) {
      const error = answer.status === 401 ? 'invalid_token' : 'insufficient_scope'
      const description = 'Keycloak does not take the token: it has ended, or its holder has lost the role operate'
      return { kind: 'refused', status: answer.status, error, description }
    }
    throw new RelayError(
      'idp_unavailable',
      `${this.issuer}: containments answered ${answer.status}${hint(answer.status, 'containments')}`,
    )
  }

  async hear(word: UpstreamWord): Promise<UpstreamOutcome> {
    const { issuer, client, subjects, type, credentialType, changeDirection, currentStatus, atMs, id, txn } = word
    const said = { credential_type: credentialType, change_direction: changeDirection, current_status: currentStatus }
    return this.#post(
      'upstream-events',
      { issuer, client_id: client, subjects, type, ...said, at_ms: atMs, id, txn },
      HearAnswer,
    )
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  #post<T>(path: string, body: unknown, schema: z.ZodType<T>): Promise<T> {
    return this.#call(path, JSON.stringify(body), schema)
  }

  /** @param absent what it means that there is nothing (404); else that is a failure */
  async #call<T>(path: string, body: string | undefined, schema: z.ZodType<T>, absent?: T): Promise<T> {
    let response = await this.#send(path, body)
    if (response.status === 401) {
      // The token may have been revoked, or Keycloak started again with other keys.
      this.#token = undefined
      response = await this.#send(path, body)
    }
    if (response.status === 403 && this.#token && performance.now() - this.#token.madeMs > RENEW_REFUSED_MS) {
      this.#token = undefined
    }
    const endpoint = path.split(/[?/]/)[0] ?? path
    if (response.status === 404 && absent !== undefined) {
      return absent
    }
    if (response.status !== 200) {
      // What it will not take however often it is sent must not hold up what comes after it.
      const isRefused = response.status === 400 && endpoint === 'upstream-events'
      throw new RelayError(
        isRefused ? 'invalid_request' : 'idp_unavailable',
        `${this.issuer}: ${endpoint} answered ${response.status}${hint(response.status, endpoint)}`,
      )
    }
    const parsed = schema.safeParse(response.json)
    if (!parsed.success) {
      throw new RelayError(
        'idp_unavailable',
        `${this.issuer}: ${endpoint} answered something that docs/protocol.md does not know`,
      )
    }
    return parsed.data
  }

  async #send(path: string, body: string | undefined): Promise<HttpAnswer> {
    return this.#request(path, body, await this.#accessToken())
  }

  async #request(path: string, body: string | undefined, token: string): Promise<HttpAnswer> {
    try {
      return await exchange(`${this.issuer}/logout-relay/${path}`, {
        dispatcher: this.#agent,
        headers: {
          authorization: `Bearer ${token}`,
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
        timeoutMs: TIMEOUT_MS,
      })
    } catch (cause) {
      throw unavailable(this.issuer, cause)
    }
  }

  async #configuration(): Promise<oidc.Configuration> {
    if (!this.#config) {
      const { clientId, clientSecret, allowHttp, ca } = this.#options
      try {
        this.#config = await oidc.discovery(
          new URL(this.issuer),
          clientId,
          undefined,
          oidc.ClientSecretBasic(clientSecret),
          {
            timeout: 5,
            // Marked deprecated so that nobody uses it by accident; here the config has named the exception.
            // eslint-disable-next-line @typescript-eslint/no-deprecated
            execute: allowHttp ? [oidc.allowInsecureRequests] : [],
            ...(ca === undefined ? {} : { [oidc.customFetch]: fetchTrusting(ca) }),
          },
        )
      } catch (cause) {
        throw unavailable(this.issuer, cause)
      }
    }
    return this.#config
  }

  /** One request for a token at a time, however many calls need it. */
  #accessToken(): Promise<string> {
    if (this.#token && this.#token.endsMs > performance.now()) {
      return this.#token.value
    }
    const token = {
      value: this.#requestToken((seconds) => (token.endsMs = performance.now() + seconds * 1000 - RENEW_BEFORE_MS)),
      madeMs: performance.now(),
      endsMs: Infinity,
    }
    this.#token = token
    token.value.catch(() => {
      if (this.#token === token) {
        this.#token = undefined
      }
    })
    return token.value
  }

  async #requestToken(lives: (seconds: number) => void): Promise<string> {
    const config = await this.#configuration()
    try {
      const answer = await clientToken(config, this.#options.sleep)
      lives(answer.expires_in ?? 60)
      this.#own = this.#options.judges?.token(answer.access_token) ?? []
      return answer.access_token
    } catch (cause) {
      throw unavailable(this.issuer, cause)
    }
  }
}

function hint(status: number, endpoint: string): string {
  switch (status) {
    case 401:
      return ': check the client secret and that issuer and host name agree'
    case 403:
      return `: give the service account of the relay's client the role "${endpoint}" of the client logout-relay; a client of another name must also be in the realm attribute logout-relay.clients`
    case 404:
      return ': is the extension installed in this Keycloak?'
    default:
      return ''
  }
}

/** What the codes of openid-client mean to whoever has to mend it. */
const MEANS: Readonly<Record<string, string>> = {
  OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED:
    'calls itself something else: write that in issuers.issuer, or set Keycloak’s --hostname',
  OAUTH_RESPONSE_IS_NOT_CONFORM:
    'has no metadata there: is the realm there and enabled, and is the path in issuers.issuer complete?',
  OAUTH_RESPONSE_IS_NOT_JSON: 'has no metadata there: is it Keycloak that answers at issuers.issuer?',
}

function unavailable(issuer: string, cause: unknown): RelayError {
  if (cause instanceof RelayError) {
    return cause
  }
  if (cause instanceof oidc.ResponseBodyError) {
    const why = `${cause.status} ${cause.error}`
    return new RelayError(
      'idp_unavailable',
      `${issuer} gives the relay no token (${why}): is its client there and enabled, with a service account, and is this its secret?`,
      { cause },
    )
  }
  const code = codeOf(cause)
  const means = whyUntrusted(code, 'issuers[].ca_file') ?? (code === undefined ? undefined : MEANS[code])
  const words = means ?? `cannot be reached (${code ?? (cause instanceof Error ? cause.name : 'unknown')})`
  return new RelayError('idp_unavailable', `${issuer} ${words}`, { cause })
}
