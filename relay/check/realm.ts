import { request } from 'undici'
import { z } from 'zod'
import { codeOf, type Finding, findingsOn } from './finding.ts'
import { judgeRoles } from './roles.ts'

const TIMEOUT_MS = 5000
/** Half of what a security event's `iat` may be off is left for what else goes wrong. */
const SKEW_MS = 30_000
const WAITING_MS = 60_000
const PAGE = 500
/** Nobody's session, so that a minted token would be a fault. */
const NO_SESSION = '00000000-0000-4000-8000-000000000000.0'

const Metadata = z.object({ issuer: z.string(), jwks_uri: z.string(), token_endpoint: z.string() })
const Keys = z.object({
  keys: z.array(z.object({ use: z.string().optional(), kty: z.string(), alg: z.string().optional() })),
})
const Refusal = z.object({ error: z.string() })
const Token = z.object({ access_token: z.string() })
const Extension = z.object({
  relying_parties: z.array(
    z.object({ client_id: z.string(), backchannel_logout_uri: z.string(), enabled: z.boolean() }),
  ),
  next: z.number().optional(),
  realm: z
    .object({
      listener: z.boolean(),
      push: z.boolean(),
      audience: z.string(),
      keycloak: z.string(),
      outbox: z.object({ waiting: z.number(), refused: z.number(), oldest_ms: z.number().optional() }),
    })
    .optional(),
})
const Minted = z.object({ refused: z.record(z.string(), z.string()) })

export interface RealmToCheck {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
  /** The relay's `identifier`, which must be the audience of the events. */
  readonly identifier: string
}

export interface CheckedRealm {
  readonly findings: readonly Finding[]
  readonly relyingParties: readonly {
    readonly clientId: string
    readonly logoutUri: string
    readonly enabled: boolean
  }[]
}

/** Asks a realm what the relay will ask it, step by step, as far as the steps before it let it. Nothing is changed there. */
export async function checkRealm(realm: RealmToCheck, nowMs: () => number): Promise<CheckedRealm> {
  const { issuer } = realm
  const { ok, todo } = findingsOn(issuer)
  const findings: Finding[] = []
  const stop = (check: string, says: string): CheckedRealm => ({
    findings: [...findings, todo(check, says)],
    relyingParties: [],
  })

  const discovery = await ask(`${issuer}/.well-known/openid-configuration`, {})
  if (typeof discovery === 'string') {
    return stop(
      'keycloak',
      `cannot be reached (${discovery}): is it up, and do name, port and certificate agree with issuers.issuer?`,
    )
  }
  const metadata = Metadata.safeParse(discovery.body)
  if (discovery.status !== 200 || !metadata.success) {
    return stop(
      'keycloak',
      `${discovery.status} instead of the realm’s metadata: does the realm exist, and is the path in issuers.issuer complete?`,
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
  if (discovery.serverMs !== undefined) {
    const skewMs = Math.abs(discovery.serverMs - nowMs())
    findings.push(
      skewMs <= SKEW_MS
        ? ok('clocks', 'agree')
        : todo(
            'clocks',
            `differ by ${Math.round(skewMs / 1000)} s: run NTP on both machines; from 60 s on events are refused`,
          ),
    )
  }
  findings.push(await keys(issuer, metadata.data.jwks_uri))

  const { clientId, clientSecret } = realm
  const basic = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64')
  const granted = await ask(metadata.data.token_endpoint, {
    authorization: `Basic ${basic}`,
    form: 'grant_type=client_credentials',
  })
  const token = typeof granted === 'string' ? undefined : Token.safeParse(granted.body).data?.access_token
  if (token === undefined) {
    return stop('client', whyNoToken(clientId, granted))
  }
  findings.push(ok('client', `${clientId} has its secret and a service account`), ...judgeRoles(issuer, token))

  const extension = await readExtension(issuer, token)
  if (typeof extension === 'string') {
    return stop('extension', extension)
  }
  findings.push(...extension.findings, await minting(issuer, token))
  findings.push(...judgeRealm(realm, extension.realm, nowMs()))
  return { findings, relyingParties: extension.relyingParties }
}

async function keys(issuer: string, uri: string): Promise<Finding> {
  const { ok, todo } = findingsOn(issuer)
  const answer = await ask(uri, {})
  const parsed = typeof answer === 'string' ? undefined : Keys.safeParse(answer.body).data
  const signing = parsed?.keys.filter(({ use, kty }) => use !== 'enc' && kty !== 'oct') ?? []
  return signing.length > 0
    ? ok('keys', `publishes ${signing.length} for signatures`)
    : todo('keys', 'publishes none for signatures: the realm needs an active key (Realm settings, Keys)')
}

/** Everything the listing tells, and the relying parties page by page; or what to do when it cannot be had. */
async function readExtension(issuer: string, token: string) {
  const { ok } = findingsOn(issuer)
  const relyingParties: CheckedRealm['relyingParties'][number][] = []
  let realm: z.infer<typeof Extension>['realm']
  for (let first: number | undefined = 0; first !== undefined;) {
    const answer: Asked | string = await ask(`${issuer}/logout-relay/relying-parties?first=${first}&max=${PAGE}`, {
      authorization: `Bearer ${token}`,
    })
    if (typeof answer === 'string') {
      return `does not answer (${answer})`
    }
    if (answer.status === 404) {
      return 'is not there: copy its jar into Keycloak’s providers/ and start Keycloak again'
    }
    if (answer.status === 401 || answer.status === 403) {
      return `refuses the relay (${answer.status}): see the line about its roles`
    }
    const page = Extension.safeParse(answer.body)
    if (answer.status !== 200 || !page.success) {
      return `answers ${answer.status} and not what docs/protocol.md says: bring jar and relay to the same version`
    }
    realm ??= page.data.realm
    for (const { client_id, backchannel_logout_uri, enabled } of page.data.relying_parties) {
      relyingParties.push({ clientId: client_id, logoutUri: backchannel_logout_uri, enabled })
    }
    first = page.data.next
  }
  return {
    findings: [ok('extension', `answers, in Keycloak ${realm?.keycloak ?? 'of an unknown version'}`)],
    realm,
    relyingParties,
  }
}

async function minting(issuer: string, token: string): Promise<Finding> {
  const { ok, todo } = findingsOn(issuer)
  const answer = await ask(`${issuer}/logout-relay/logout-tokens`, {
    authorization: `Bearer ${token}`,
    json: { ids: [NO_SESSION] },
  })
  const refused = typeof answer === 'string' ? undefined : Minted.safeParse(answer.body).data?.refused[NO_SESSION]
  const how = typeof answer === 'string' ? answer : answer.status
  return refused === 'unknown'
    ? ok('logout tokens', 'are made for sessions in the outbox and for no other')
    : todo('logout tokens', `cannot be had (${how}): see the line about roles, then Keycloak’s log`)
}

/** Whether what the extension says of itself is as it must be. */
export function judgeRealm(
  { issuer, identifier }: RealmToCheck,
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
    realm.audience === identifier
      ? ok('audience', `of the events is ${identifier}`)
      : todo(
          'audience',
          `of the events is ${realm.audience}, and the relay’s identifier is ${identifier}: make them the same`,
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
  ]
}

function whyNoToken(clientId: string, answer: Asked | string): string {
  if (typeof answer === 'string') {
    return `gets no token (${answer})`
  }
  const error = Refusal.safeParse(answer.body).data?.error
  return error === 'invalid_client' || error === 'unauthorized_client'
    ? `${clientId} is refused: is it there and enabled, with client authentication and service account on, and is this its secret (Credentials)?`
    : `${clientId} gets no token (${answer.status})`
}

interface Asked {
  readonly status: number
  readonly body: unknown
  readonly serverMs?: number
}

/** One request, or the network's word for why there was no answer. */
async function ask(
  url: string,
  { authorization, form, json }: { authorization?: string; form?: string; json?: unknown },
): Promise<Asked | string> {
  const body = json === undefined ? form : JSON.stringify(json)
  try {
    const response = await request(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        accept: 'application/json',
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined
          ? {}
          : { 'content-type': json === undefined ? 'application/x-www-form-urlencoded' : 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const serverMs = Date.parse(String(response.headers['date']))
    return {
      status: response.statusCode,
      body: await response.body.json().catch(() => undefined),
      ...(Number.isNaN(serverMs) ? {} : { serverMs }),
    }
  } catch (cause) {
    return codeOf(cause)
  }
}
