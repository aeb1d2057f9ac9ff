import { backchannelAt } from '../delivery/backchannel/target.ts'
import type { LanePolicy, Named, RelyingParty, Target } from '../domain/model.ts'
import { laneOf } from '../domain/model.ts'
import { isProvider, REVOCATION } from '../domain/provider.ts'
import { targetAt } from '../domain/target.ts'
import type { Registry } from '../flow/ports.ts'

/** What relay.yaml says about one relying party, or about all. Policy on what a reset ends is never here. */
export interface DeliverySettings {
  /** Names that a realm had before, with its name of today. */
  readonly formerIssuers?: ReadonlyMap<string, string>
  /** Implies that addresses of this machine are allowed, over https as well. */
  readonly allowHttpOnLoopback: boolean
  /** Networks (CIDR) that are not public and where relying parties may be nevertheless. */
  readonly allowAddresses: readonly string[]
  readonly timeoutMs: number
  readonly concurrency: number
  readonly overrides: readonly {
    readonly issuer: string
    readonly clientId: string
    /** Registers the relying party, should its realm not name a logout URL. */
    readonly logoutUri?: string
    readonly allowHttp?: boolean
    /** In addition to those for all. */
    readonly allowAddresses?: readonly string[]
    readonly timeoutMs?: number
    readonly concurrency?: number
  }[]
  /** Identity providers that are told, and where; by what they are called in place of a client id. */
  readonly told?: readonly {
    readonly issuer: string
    readonly clientId: string
    readonly url: string
    readonly allowHttp?: boolean
    readonly allowAddresses: readonly string[]
  }[]
}

/** Who names a logout URL, in the order in which their word counts. */
export const SOURCES = ['realm', 'file', 'registered'] as const
export type Source = (typeof SOURCES)[number]

/** A person's word on a relying party. `by` is the `sub` of their token. */
export interface Said {
  readonly by: string
  readonly atMs: number
  readonly reason?: string
}

export interface ListedRelyingParty extends RelyingParty {
  readonly source: Source
  /** Other targets that are named for this client, and do not count. */
  readonly outvoted: readonly { readonly source: Source; readonly target: Target }[]
  readonly paused?: Said
}

/** What is kept of a relying party because a person said so. */
export interface Kept {
  readonly registered?: Said & { readonly logoutUri: string }
  readonly paused?: Said
}

const LOOPBACK = ['127.0.0.0/8', '::1/128']

/**
 * The relying parties of every issuer. The realm's word on a logout URL counts before relay.yaml's, and that before what
 * people register here: else whoever may operate the relay could send the logouts of any client to a place that says yes.
 */
export class RelyingParties implements Registry {
  readonly #settings: DeliverySettings
  readonly #bySource: Readonly<Record<Source, Map<string, RelyingParty>>> = {
    realm: new Map(),
    file: new Map(),
    registered: new Map(),
  }
  readonly #paused = new Map<string, Said>()
  /** When the last look at each realm began. */
  readonly #readMs = new Map<string, number>()
  /** For everybody, and for those that relay.yaml names: asked for at every attempt, so made once. */
  readonly #policy: LanePolicy
  readonly #policies: ReadonlyMap<string, LanePolicy>

  constructor(settings: DeliverySettings) {
    this.#settings = settings
    const { allowHttpOnLoopback, allowAddresses, timeoutMs, concurrency, told = [] } = settings
    this.#policy = {
      http: allowHttpOnLoopback ? 'loopback' : 'never',
      allowAddresses: [...(allowHttpOnLoopback ? LOOPBACK : []), ...allowAddresses],
      timeoutMs,
      concurrency,
    }
    this.#policies = new Map(
      [...settings.overrides, ...told].map((o) => [laneOf(o.issuer, o.clientId), policyOf(this.#policy, o)]),
    )
    for (const { issuer, clientId, logoutUri } of settings.overrides) {
      if (logoutUri !== undefined) {
        const party = { issuer, clientId, target: backchannelAt(logoutUri), enabled: true }
        this.#bySource.file.set(laneOf(issuer, clientId), party)
      }
    }
    for (const { issuer, clientId, url } of told) {
      const party = { issuer, clientId, target: { kind: REVOCATION, uri: url }, enabled: true }
      this.#bySource.file.set(laneOf(issuer, clientId), party)
    }
  }

  /**
   * Replaces what is known of an issuer by what its realm says.
   *
   * @param readMs when it was asked; absent where it was asked before the start
   */
  replace(issuer: string, parties: readonly RelyingParty[], readMs = -Infinity): void {
    const { realm } = this.#bySource
    this.#readMs.set(issuer, readMs)
    for (const [lane, party] of realm) {
      if (party.issuer === issuer) {
        realm.delete(lane)
      }
    }
    for (const party of parties) {
      realm.set(laneOf(issuer, party.clientId), party)
    }
  }

  /** Replaces what people have said of a relying party. */
  keep(issuer: string, clientId: string, { registered, paused }: Kept): void {
    const lane = laneOf(issuer, clientId)
    this.#bySource.registered.delete(lane)
    this.#paused.delete(lane)
    if (registered) {
      const target = backchannelAt(registered.logoutUri)
      this.#bySource.registered.set(lane, { issuer, clientId, target, enabled: true })
    }
    if (paused) {
      this.#paused.set(lane, paused)
    }
  }

  list(issuer: string): ListedRelyingParty[] {
    const lanes = new Set(SOURCES.flatMap((source) => [...this.#bySource[source].keys()]))
    return [...lanes]
      .map((lane) => this.#listed(lane))
      .filter((party) => party?.issuer === issuer) as ListedRelyingParty[]
  }

  find(issuer: string, clientId: string): ListedRelyingParty | undefined {
    return this.#listed(this.#laneOf(issuer, clientId))
  }

  target(issuer: string, clientId: string, named: Named, sinceMs: number): Target | undefined {
    const today = this.find(issuer, clientId)
    if (isProvider(clientId) || named.kind === REVOCATION) {
      // Where it waited before counts for nothing: the credential is that of relay.yaml today.
      return today?.target.kind === named.kind ? today.target : undefined
    }
    const readMs = this.#readMs.get(this.#nameOfToday(issuer)) ?? -Infinity
    const newest = readMs > sinceMs ? today : named.uri !== undefined ? undefined : today && unlessTheRealm(today)
    // What the realm makes for a client of one kind is of no use at a logout URL of another.
    return targetAt(named, newest?.target.kind === named.kind ? newest.target.uri : named.uri)
  }

  paused(issuer: string, clientId: string): Said | undefined {
    return this.#paused.get(this.#laneOf(issuer, clientId))
  }

  lane(issuer: string, clientId: string): LanePolicy {
    const lane = this.#laneOf(issuer, clientId)
    const policy = this.#policies.get(lane) ?? this.#policy
    return this.#paused.has(lane) ? { ...policy, concurrency: 0 } : policy
  }

  #laneOf(issuer: string, clientId: string): string {
    return laneOf(this.#nameOfToday(issuer), clientId)
  }

  #nameOfToday(issuer: string): string {
    return this.#settings.formerIssuers?.get(issuer) ?? issuer
  }

  #listed(lane: string): ListedRelyingParty | undefined {
    const [first, ...others] = SOURCES.flatMap((source) => {
      const party = this.#bySource[source].get(lane)
      return party && isItself(party) ? [{ ...party, source }] : []
    })
    const paused = this.#paused.get(lane)
    return (
      first && {
        ...first,
        outvoted: others.map(({ source, target }) => ({ source, target })),
        ...(paused ? { paused } : {}),
      }
    )
  }
}

/** Whoever may make a client could give it an identity provider's name, and with that its lane: such a client is not told. */
function isItself({ clientId, target }: RelyingParty): boolean {
  return isProvider(clientId) === (target.kind === REVOCATION)
}

/** Who counts next where the realm's word is too old. */
function unlessTheRealm(party: ListedRelyingParty): { readonly target: Target } | undefined {
  return party.source === 'realm' ? party.outvoted[0] : party
}

function policyOf(everybody: LanePolicy, override: DeliverySettings['overrides'][number]): LanePolicy {
  return {
    http: override.allowHttp === true ? 'always' : everybody.http,
    allowAddresses: [...everybody.allowAddresses, ...(override.allowAddresses ?? [])],
    timeoutMs: override.timeoutMs ?? everybody.timeoutMs,
    concurrency: override.concurrency ?? everybody.concurrency,
  }
}
