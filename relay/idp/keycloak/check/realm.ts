import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JWK } from 'jose'
import { z } from 'zod'
import { ApplicationItem, applicationOf } from '../audit/application.ts'
import type { Application } from '../audit/realm.ts'
import { named } from '../../../delivery/kinds.ts'
import type { Genuine } from '../../../delivery/port.ts'
import type { RelyingParty } from '../../../domain/model.ts'
import { targetAt } from '../../../domain/target.ts'
import { isJwt, signatureComplaint } from '../../unverifiable.ts'
import { RelayError, whyUntrusted } from '../../../errors.ts'
import type { HttpAnswer } from '../../../http.ts'
import { type Ask, asking } from './ask.ts'
import { type Sleep, untilTold } from '../come-again.ts'
import { DirectoryItem } from '../directories.ts'
import { RealmLogoutItem } from '../realm-logouts.ts'
import { UpstreamItem } from '../upstreams.ts'
import { judgeClients } from './clients.ts'
import { judgeDirectories, judgeDirectoriesNow } from './directories.ts'
import { type Finding, findingsOn } from '../../../domain/finding.ts'
import { judgeRealmLogouts } from './realm-logouts.ts'
import { judgeRoles } from './roles.ts'
import { judgeUpstreams } from './upstreams.ts'
import { judgeVersion } from './version.ts'

/** Half of what a security event's `iat` may be off is left for what else goes wrong. */
const SKEW_MS = 30_000
const WAITING_MS = 60_000
/** What NTP keeps well within. */
const NODE_SKEW_MS = 2000
const PAGE = 500
/** Triggers that somebody who has lost an account counts on. */
const ENDS_BY_DEFAULT = ['admin-reset-password', 'admin-set-password', 'user-update-password', 'account-disabled']
/** Nobody's session, so that a minted token would be a fault. */
const NO_SESSION = '00000000-0000-4000-8000-000000000000.0'

const Metadata = z.object({ issuer: z.string(), jwks_uri: z.string(), token_endpoint: z.string() })
const Keys = z.object({
  keys: z.array(z.looseObject({ use: z.string().exactOptional(), kty: z.string(), alg: z.string().exactOptional() })),
})
const Refusal = z.object({ error: z.string() })
const Token = z.object({ access_token: z.string() })
const Extension = z.object({
  relying_parties: z.array(z.looseObject({ client_id: z.string(), enabled: z.boolean() })),
  untold: z.array(ApplicationItem).optional(),
  next: z.number().optional(),
  realm: z
    .object({
      listener: z.boolean(),
      push: z.boolean(),
      audience: z.string(),
      keycloak: z.string(),
      outbox: z.object({ waiting: z.number(), refused: z.number(), oldest_ms: z.number().optional() }),
      policy: z.record(z.string(), z.string()).optional(),
      policy_of_nobody: z.array(z.object({ attribute: z.string(), alias: z.string() })).optional(),
      issuer_fixed: z.boolean().default(true),
      clock_ahead_ms: z.number().default(0),
      directories: z.array(DirectoryItem).optional(),
      upstreams: z.array(UpstreamItem).optional(),
      realm_logouts: z.array(RealmLogoutItem).optional(),
    })
    .optional(),
})
const Minted = z.object({ refused: z.record(z.string(), z.string()) })
const NAMES = ['sid+sub', 'sid', 'sub'] as const
const Probed = z.object({ tokens: z.partialRecord(z.enum(NAMES), z.string()), refused: z.string().optional() })

export interface RealmToCheck {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  /** The relay's `identifier`, which must be the audience of the events. */
  readonly identifier: string
  /** Certificates of CAs (PEM) that are trusted for this realm in addition. */
  readonly ca?: string | undefined
  /** The clients whose tokens may act at the relay. */
  readonly clients: readonly string[]
  /** The client of the relay's console, where it is in this realm. */
  readonly console?: string | undefined
  /** Whether upstreams tell the relay of its users. */
  readonly hears?: boolean
}

export interface CheckedRealm {
  readonly findings: readonly Finding[]
  /** Whether the realm gives out tokens, so that it can be asked for more. */
  readonly reached: boolean
  /** The realm's key set; absent where it could not be had. */
  readonly published?: readonly JWK[]
  /** Absent where the extension could not be asked. */
  readonly relyingParties?: readonly RelyingParty[]
  /** Absent where the realm makes no logout tokens. */
  readonly genuine?: Genuine
  /** Clients without a logout URL. Absent where the extension does not tell. */
  readonly untold?: readonly Application[]
}

/** Asks a realm what the relay will ask it, step by step, as far as the steps before it let it. Nothing is changed there. */
export async function checkRealm(realm: RealmToCheck, nowMs: () => number, sleep?: Sleep): Promise<CheckedRealm> {
  const { issuer } = realm
  const { ok, todo } = findingsOn(issuer)
  const ask = asking(realm.ca)
  const findings: Finding[] = []
  let published: readonly JWK[] | undefined = undefined
  let reached = false
  const stop = (check: string, says: string): CheckedRealm => {
    findings.push(todo(check, says))
    return { findings, reached, ...(published ? { published } : {}) }
  }

  const discovery = await ask(`${issuer}/.well-known/openid-configuration`, {})
  if (typeof discovery === 'string') {
    return stop(
      'keycloak',
      whyUntrusted(discovery, 'issuers[].ca_file') ??
        `cannot be reached (${discovery}): is it up, and do name, port and certificate agree with issuers.issuer?`,
    )
  }
  const metadata = Metadata.safeParse(discovery.json)
  if (discovery.status !== 200 || !metadata.success) {
    return stop(
      'keycloak',
      `${discovery.status} instead of the realm’s metadata: is the realm there and enabled, and is the path in issuers.issuer complete?`,
    )
  }
  findings.push(ok('keycloak', 'answers'))
  if (metadata.data.issuer !== issuer) {
    return stop(
      'issuer',
      `the realm calls itself ${metadata.data.issuer}: write that in relay.yaml, or set Keycloak’s --hostname`,
    )
  }
  findings.push(ok('issuer', 'is what the realm calls itself'))
  published = await keys(ask, metadata.data.jwks_uri)
  const publishes = judgeKeys(issuer, published)
  findings.push(publishes)

  const { clientId, clientSecret } = realm
  const basic = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64')
  const request = { authorization: `Basic ${basic}`, form: 'grant_type=client_credentials' }
  const granted = await untilTold(
    () => ask(metadata.data.token_endpoint, request),
    (answer) => (typeof answer === 'string' ? undefined : answer),
    sleep,
  )
  const token = typeof granted === 'string' ? undefined : Token.safeParse(granted.json).data?.access_token
  if (token === undefined) {
    return stop('client', whyNoToken(clientId, granted))
  }
  findings.push(ok('client', `${clientId} has its secret and a service account`))
  const clock = judgeClocks(issuer, token, nowMs())
  if (publishes.ok) {
    findings.push(await judgeSignature(issuer, token, published ?? []))
  }
  findings.push(...(clock ? [clock] : []), ...judgeRoles(issuer, token, realm.hears))
  reached = true

  const extension = await readExtension(ask, issuer, token)
  if (typeof extension === 'string') {
    return stop('extension', extension)
  }
  findings.push(...extension.findings)
  if (extension.realm) {
    findings.push(judgeVersion(issuer, extension.realm.keycloak))
  }
  const minted = await minting(ask, issuer, token)
  findings.push(minted)
  findings.push(...judgeRealm(realm, extension.realm, nowMs()))
  const { relyingParties, untold } = extension
  if (extension.realm) {
    const told = relyingParties.map((party) => party.clientId)
    const atKeycloak = extension.realm.policy?.['clients']
    findings.push(
      judgeClients(issuer, { here: realm.clients, atKeycloak, console: realm.console, told, untold: untold ?? [] }),
    )
  }
  const genuine: Genuine = (client) => genuineTokens(ask, issuer, token, client)
  return {
    ...{ findings, reached, relyingParties },
    // Where the realm makes no tokens, the line about that says so, and not one for each relying party.
    ...(minted.ok ? { genuine } : {}),
    ...(untold ? { untold } : {}),
    ...(published ? { published } : {}),
  }
}

async function keys(ask: Ask, uri: string): Promise<readonly JWK[] | undefined> {
  const answer = await ask(uri, {})
  return typeof answer === 'string' ? undefined : Keys.safeParse(answer.json).data?.keys
}

function judgeKeys(issuer: string, published: readonly JWK[] | undefined): Finding {
  const { ok, todo } = findingsOn(issuer)
  const signing = published?.filter(({ use, kty }) => use !== 'enc' && kty !== 'oct') ?? []
  return signing.length > 0
    ? ok('keys', `publishes ${signing.length} for signatures`)
    : todo('keys', 'publishes none for signatures: the realm needs an active key (Realm settings, Keys)')
}

/** Everything the listing tells, and the relying parties page by page; or what to do when it cannot be had. */
async function readExtension(ask: Ask, issuer: string, token: string) {
  const { ok } = findingsOn(issuer)
  const relyingParties: NonNullable<CheckedRealm['relyingParties']>[number][] = []
  let untold: readonly Application[] | undefined
  let realm: z.infer<typeof Extension>['realm']
  for (let first: number | undefined = 0; first !== undefined;) {
    const answer: HttpAnswer | string = await ask(
      `${issuer}/logout-relay/relying-parties?first=${first}&max=${PAGE}&untold=true`,
      {
        authorization: `Bearer ${token}`,
      },
    )
    if (typeof answer === 'string') {
      return `does not answer (${answer})`
    }
    if (answer.status === 404) {
      return 'is not there: copy its jar into Keycloak’s providers/ and start Keycloak again'
    }
    if (answer.status === 401 || answer.status === 403) {
      return `refuses the relay (${answer.status}): see the line about its roles`
    }
    const page = Extension.safeParse(answer.json)
    if (answer.status !== 200 || !page.success) {
      return `answers ${answer.status} and not what docs/protocol.md says: bring jar and relay to the same version`
    }
    realm ??= page.data.realm
    for (const party of page.data.relying_parties) {
      const target = targetAt(named(party, issuer))
      if (target) {
        relyingParties.push({ issuer, clientId: party.client_id, target, enabled: party.enabled })
      }
    }
    if (page.data.untold) {
      untold = [...(untold ?? []), ...page.data.untold.map(applicationOf)]
    }
    first = page.data.next
  }
  return {
    findings: [ok('extension', `answers, in Keycloak ${realm?.keycloak ?? 'of an unknown version'}`)],
    realm,
    relyingParties,
    untold,
  }
}

async function minting(ask: Ask, issuer: string, token: string): Promise<Finding> {
  const { ok, todo } = findingsOn(issuer)
  const answer = await ask(`${issuer}/logout-relay/logout-tokens`, {
    authorization: `Bearer ${token}`,
    json: { ids: [NO_SESSION] },
  })
  const refused = typeof answer === 'string' ? undefined : Minted.safeParse(answer.json).data?.refused[NO_SESSION]
  const how = typeof answer === 'string' ? answer : answer.status
  return refused === 'unknown'
    ? ok('logout tokens', 'are made for sessions in the outbox and for no other')
    : todo('logout tokens', `cannot be had (${how}): see the line about roles, then Keycloak’s log`)
}

/** As the running relay asks for them. */
async function genuineTokens(ask: Ask, issuer: string, token: string, clientId: string): ReturnType<Genuine> {
  const answer = await ask(`${issuer}/logout-relay/logout-tokens/probe`, {
    authorization: `Bearer ${token}`,
    json: { client_id: clientId },
  })
  const made = typeof answer === 'string' ? undefined : Probed.safeParse(answer.json).data
  if (typeof answer !== 'string' && answer.status === 404) {
    return { tokens: new Map() }
  }
  if (!made) {
    const how = typeof answer === 'string' ? answer : answer.status
    throw new RelayError('idp_unavailable', `logout-tokens/probe answers ${how}`)
  }
  return {
    tokens: new Map(NAMES.flatMap((names) => (made.tokens[names] === undefined ? [] : [[names, made.tokens[names]]]))),
    ...(made.refused === undefined ? {} : { refusal: made.refused }),
  }
}

/**
 * What of the findings a relay that runs has by the way: nothing is asked for them. Of policy and of how the realm and its
 * directories are set up those are left to the check that somebody has decided for good, but for shadow mode.
 */
export function judgesOf(realm: Pick<RealmToCheck, 'issuer' | 'identifier' | 'hears'>, nowMs: () => number) {
  const { issuer, hears } = realm
  const { ok } = findingsOn(issuer)
  return {
    token: (accessToken: string): readonly Finding[] => {
      const clock = judgeClocks(issuer, accessToken, nowMs())
      const roles = judgeRoles(issuer, accessToken, hears).filter(({ check }) => check === 'roles')
      return [...(clock ? [clock] : []), ...roles]
    },
    realm: (said: unknown): readonly Finding[] => {
      const known = Extension.shape.realm.safeParse(said).data
      const isShadow = known?.policy?.['mode'] === 'shadow'
      const found = judgeRealm(realm, known, nowMs()).filter(({ check }) => !['host name', 'directory'].includes(check))
      return [
        ...found.map((one) => (one.check === 'policy' && !isShadow ? ok('policy', 'is not in shadow mode') : one)),
        ...judgeDirectoriesNow(issuer, known?.directories ?? [], nowMs()),
      ]
    },
  }
}

/** Whether what the extension says of itself is as it must be. */
export function judgeRealm(
  { issuer, identifier }: Pick<RealmToCheck, 'issuer' | 'identifier'>,
  realm: z.infer<typeof Extension>['realm'],
  nowMs: number,
): Finding[] {
  const { ok, todo } = findingsOn(issuer)
  if (!realm) {
    return [todo('listener', 'cannot be seen with this extension: bring its jar to the relay’s version')]
  }
  const { waiting, refused, oldest_ms } = realm.outbox
  const oldMs = oldest_ms === undefined ? 0 : nowMs - oldest_ms
  return [
    realm.listener
      ? ok('listener', 'is on: password resets are recorded')
      : todo('listener', 'is OFF, resets end nothing: add logout-relay under Realm settings, Events, Event listeners'),
    ...(realm.policy ? [judgePolicy(issuer, realm.policy, realm.policy_of_nobody)] : []),
    realm.audience === identifier
      ? ok('audience', `of the events is ${identifier}`)
      : todo(
          'audience',
          `of the events is ${realm.audience}, and the relay’s identifier is ${identifier}: make them the same`,
        ),
    realm.issuer_fixed
      ? ok('host name', 'of Keycloak is fixed: events name the issuer that applications know')
      : todo(
          'host name',
          'of Keycloak follows each request: set its option hostname to the full address, or the realm’s frontend URL',
        ),
    Math.abs(realm.clock_ahead_ms) <= NODE_SKEW_MS
      ? ok('node clock', 'agrees with the database')
      : todo(
          'node clock',
          `of the Keycloak that answered is ${seconds(realm.clock_ahead_ms)} the database’s: run NTP on both machines; links mailed by that node count as that much ${realm.clock_ahead_ms > 0 ? 'newer' : 'older'}`,
        ),
    ok('push', realm.push ? 'Keycloak pushes events' : 'no push URL is set: events come by the poll, seconds later'),
    refused > 0
      ? todo('outbox', `holds ${refused} events that the relay refused: its log says why, and Keycloak’s row too`)
      : oldMs > WAITING_MS
        ? todo(
            'outbox',
            `holds ${waiting} events, the oldest for ${Math.round(oldMs / 1000)} s: start the relay; if it runs, its log says why`,
          )
        : ok('outbox', `${waiting} events wait`),
    ...judgeUpstreams(issuer, realm.upstreams ?? []),
    ...judgeRealmLogouts(issuer, realm.realm_logouts),
    ...judgeDirectories(issuer, { directories: undefined, ...realm, policy: realm.policy ?? {} }, nowMs),
  ]
}

function seconds(aheadMs: number): string {
  return `${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'}`
}

/** Whether events will be believed: they are signed as this access token is, with the realm's default algorithm. */
async function judgeSignature(issuer: string, accessToken: string, published: readonly JWK[]): Promise<Finding> {
  const { ok, todo } = findingsOn(issuer)
  const check = 'signature'
  if (!isJwt(accessToken)) {
    return ok(check, 'of the realm is not known before its first event: its access tokens are opaque')
  }
  try {
    const complaint = await signatureComplaint(accessToken, createLocalJWKSet({ keys: [...published] }))
    return complaint === undefined
      ? ok(check, `of the realm (${decodeProtectedHeader(accessToken).alg ?? 'no algorithm'}) can be verified`)
      : todo(check, `every event would be refused. ${complaint}`)
  } catch {
    return todo(
      check,
      'of its access token does not fit the key that it names: does a proxy change what the realm answers?',
    )
  }
}

/** By the time at which the realm has just issued a token (RFC 7519 §4.1.6, whole seconds). */
function judgeClocks(issuer: string, accessToken: string, nowMs: number): Finding | undefined {
  const { ok, todo } = findingsOn(issuer)
  const iat = issuedAt(accessToken)
  const skewMs = iat === undefined ? undefined : Math.abs(iat * 1000 - nowMs)
  if (skewMs === undefined) {
    return undefined
  }
  return skewMs <= SKEW_MS
    ? ok('clocks', 'agree')
    : todo(
        'clocks',
        `differ by ${Math.round(skewMs / 1000)} s: run NTP on both machines; from 60 s on events are refused`,
      )
}

function issuedAt(accessToken: string): number | undefined {
  try {
    return decodeJwt(accessToken).iat
  } catch {
    return undefined
  }
}

/** Whether a reset, which is what all of this is for, ends anything in the realm. */
function judgePolicy(
  issuer: string,
  policy: Readonly<Record<string, string>>,
  ofNobody: readonly { readonly attribute: string; readonly alias: string }[] = [],
): Finding {
  const { ok, todo } = findingsOn(issuer)
  const off = ENDS_BY_DEFAULT.filter((trigger) => policy[trigger] === 'off')
  if (policy['mode'] === 'shadow') {
    return todo(
      'policy',
      'is in shadow mode, so everything is told and nothing ended: set the realm attribute logout-relay.mode to enforce once you have seen enough',
    )
  }
  if (off.length > 0) {
    return todo(
      'policy',
      `lets ${off.join(', ')} end nothing: remove the realm attribute logout-relay.policy.${off[0]}`,
    )
  }
  const [first, ...more] = ofNobody
  return first
    ? todo(
        'policy',
        `has ${first.attribute}, and no identity provider of the realm has the alias ${first.alias}: write the alias as the realm has it, or remove that${more.length > 0 ? `; likewise ${more.map(({ attribute, alias }) => `${attribute} (${alias})`).join(', ')}` : ''}`,
      )
    : ok('policy', 'is enforced: resets end what was there')
}

function whyNoToken(clientId: string, answer: HttpAnswer | string): string {
  if (typeof answer === 'string') {
    return `gets no token (${answer})`
  }
  const error = Refusal.safeParse(answer.json).data?.error
  return error === 'invalid_client' || error === 'unauthorized_client'
    ? `${clientId} is refused: is it there and enabled, with client authentication and service account on, and is this its secret (Credentials)?`
    : `${clientId} gets no token (${answer.status}${error === undefined ? '' : `, ${error}`}): is the realm enabled?`
}
