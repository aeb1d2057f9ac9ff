import type { LanePolicy, RelyingParty } from '../domain/model.ts'
import { laneOf } from '../domain/model.ts'
import type { Registry } from '../flow/ports.ts'

/** What relay.yaml says about one relying party, or about all. Policy on what a reset ends is never here. */
export interface DeliverySettings {
  /** Implies that addresses of this machine are allowed, over https as well. */
  readonly allowHttpOnLoopback: boolean
  /** Networks (CIDR) that are not public and where relying parties may be nevertheless. */
  readonly allowAddresses: readonly string[]
  readonly timeoutMs: number
  readonly concurrency: number
  readonly overrides: readonly {
    readonly issuer: string
    readonly clientId: string
    readonly allowHttp?: boolean
    /** In addition to those for all. */
    readonly allowAddresses?: readonly string[]
    readonly timeoutMs?: number
    readonly concurrency?: number
  }[]
}

const LOOPBACK = ['127.0.0.0/8', '::1/128']

/** The relying parties of every issuer, as the realms last told them. */
export class RelyingParties implements Registry {
  readonly #settings: DeliverySettings
  readonly #byLane = new Map<string, RelyingParty>()
  readonly #overrides: ReadonlyMap<string, DeliverySettings['overrides'][number]>

  constructor(settings: DeliverySettings) {
    this.#settings = settings
    this.#overrides = new Map(settings.overrides.map((o) => [laneOf(o.issuer, o.clientId), o]))
  }

  /** Replaces what is known of an issuer by what its realm says now. */
  replace(issuer: string, parties: readonly RelyingParty[]): void {
    for (const [lane, party] of this.#byLane) {
      if (party.issuer === issuer) {
        this.#byLane.delete(lane)
      }
    }
    for (const party of parties) {
      this.#byLane.set(laneOf(issuer, party.clientId), party)
    }
  }

  list(issuer: string): RelyingParty[] {
    return [...this.#byLane.values()].filter((party) => party.issuer === issuer)
  }

  find(issuer: string, clientId: string): RelyingParty | undefined {
    return this.#byLane.get(laneOf(issuer, clientId))
  }

  lane(issuer: string, clientId: string): LanePolicy {
    const { allowHttpOnLoopback, allowAddresses } = this.#settings
    const override = this.#overrides.get(laneOf(issuer, clientId))
    const everybody = allowHttpOnLoopback ? 'loopback' : 'never'
    return {
      http: override?.allowHttp === true ? 'always' : everybody,
      allowAddresses: [
        ...(allowHttpOnLoopback ? LOOPBACK : []),
        ...allowAddresses,
        ...(override?.allowAddresses ?? []),
      ],
      timeoutMs: override?.timeoutMs ?? this.#settings.timeoutMs,
      concurrency: override?.concurrency ?? this.#settings.concurrency,
    }
  }
}
