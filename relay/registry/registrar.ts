import { z } from 'zod'
import type { Finding } from '../domain/finding.ts'
import { backchannelAt } from '../delivery/backchannel/target.ts'
import type { Deliverer, Genuine } from '../delivery/port.ts'
import { type Allowed, type Change, differences, type RealmSeen, settingsDifferences } from '../domain/change.ts'
import { DISMISSED } from '../domain/decision.ts'
import type { FailureCode, RelyingParty } from '../domain/model.ts'
import { laneOf } from '../domain/model.ts'
import { isProvider } from '../domain/provider.ts'
import { logoutUriComplaint } from '../domain/uri.ts'
import { RelayError } from '../errors.ts'
import type { Observer } from '../flow/ports.ts'
import type { Notes } from '../store/notes.ts'
import type { Kept, ListedRelyingParty, RelyingParties } from './registry.ts'

const REALM = 'realm'
const SETTINGS = 'settings'
const PARTY = 'relying-party '
/** Others who change the same note are met so often in a row only by a fault. */
const TRIES = 10
/** A logout URL at which no attempt would ever be made; nobody may register it in spite of that. */
const NEVER: readonly FailureCode[] = ['bad_url', 'http_not_allowed', 'address_not_allowed']

const SaidNote = z.object({ by: z.string(), atMs: z.number(), reason: z.string().exactOptional() })
const KeptNote = z.object({
  registered: SaidNote.extend({ logoutUri: z.string() }).exactOptional(),
  paused: SaidNote.exactOptional(),
})
const DismissalNote = z.object({
  kind: z.enum(DISMISSED),
  data: z.record(z.string(), z.string()),
  atMs: z.number(),
  by: z.string(),
  reason: z.string(),
})
const SeenNote = z.object({
  listener: z.boolean().exactOptional(),
  policy: z.record(z.string(), z.string()).exactOptional(),
  dismissed: z.record(z.string(), DismissalNote).exactOptional(),
  targets: z.record(z.string(), z.object({ kind: z.string(), uri: z.string() }).catchall(z.string())),
})

const AllowedNote = z.record(z.string(), z.string())

export interface RegistrarPorts {
  readonly notes: Notes
  readonly relyingParties: RelyingParties
  /** The kinds of delivery, by name. */
  readonly deliverers: ReadonlyMap<string, Pick<Deliverer, 'probe'>>
  /** Of a realm; absent where nobody can be asked. */
  readonly genuine?: (issuer: string) => Genuine | undefined
  readonly observer: Pick<Observer, 'changed'>
  readonly nowMs: () => number
}

/** Who decides, and why. */
export interface Decision {
  readonly by: string
  readonly reason: string
}

export interface Checked {
  readonly finding: Finding
  readonly atMs: number
}

export interface Registration {
  readonly issuer: string
  readonly clientId: string
  readonly logoutUri: string
}

/**
 * What people say of relying parties, and what is seen of the realms: kept in the store, put into the registry, and each
 * change of it noted with who made it. Every process of a cluster has one and looks at the store now and then.
 */
export class Registrar {
  readonly #ports: RegistrarPorts
  readonly #texts = new Map<string, string>()
  readonly #checked = new Map<string, Checked>()
  readonly #listenersOff = new Set<string>()

  constructor(ports: RegistrarPorts) {
    this.#ports = ports
  }

  /**
   * Reads what is kept. At the start, before anything is delivered: until a realm has been asked, what was last seen of it
   * counts, so that no registration comes before its word.
   */
  async load(): Promise<void> {
    const { notes, relyingParties } = this.#ports
    const before = new Set(this.#texts.keys())
    for (const { issuer, name, text } of await notes.notes()) {
      const key = laneOf(issuer, name)
      before.delete(key)
      if (this.#texts.get(key) !== text) {
        const first = !this.#texts.has(key)
        this.#texts.set(key, text)
        if (name.startsWith(PARTY)) {
          relyingParties.keep(issuer, name.slice(PARTY.length), keptOf(text))
        } else if (name === REALM && first) {
          this.#replace(issuer, seenOf(text))
        }
      }
    }
    for (const key of before) {
      const [issuer = '', ...name] = key.split(' ')
      this.#texts.delete(key)
      relyingParties.keep(issuer, name.join(' ').slice(PARTY.length), {})
    }
  }

  /** What is kept of a realm under a name that it had before is moved under its name of today. Before {@link load}. */
  async adopt(issuer: string, formerNames: readonly string[]): Promise<void> {
    const { notes } = this.#ports
    for (const { issuer: formerly, name, text } of await notes.notes()) {
      if (formerNames.includes(formerly) && (name === REALM || name === SETTINGS || name.startsWith(PARTY))) {
        // Where there is one under the name of today, that is the newer one.
        await notes.replaceNote({ issuer, name }, undefined, text, [])
        await notes.replaceNote({ issuer: formerly, name }, text, undefined, [])
      }
    }
  }

  /**
   * The realm has said what it has now. What is new since the last look is told once, by the process that is first.
   *
   * @param readMs when it was asked
   */
  async saw(
    issuer: string,
    parties: readonly RelyingParty[],
    realm: Omit<RealmSeen, 'targets'>,
    readMs = this.#ports.nowMs(),
  ): Promise<void> {
    this.#ports.relyingParties.replace(issuer, parties, readMs)
    this.#listener(issuer, realm.listener)
    const sorted = parties
      .map(({ clientId, target }) => [clientId, target] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const now = { ...realm, targets: Object.fromEntries(sorted) }
    await this.#compare(issuer, REALM, JSON.stringify(now), (was) =>
      differences(was === undefined ? undefined : seenOf(was), now),
    )
  }

  /** What relay.yaml allows now, at the start. Of what is more or less than at the last start is told once. */
  async configured(issuer: string, allowed: Allowed): Promise<void> {
    await this.#compare(issuer, SETTINGS, JSON.stringify(allowed), (was) =>
      settingsDifferences(was === undefined ? undefined : AllowedNote.parse(JSON.parse(was)), allowed),
    )
  }

  /** Keeps the text in the place of what was kept, with what has changed; of several processes one tells. */
  async #compare(
    issuer: string,
    name: string,
    text: string,
    found: (was: string | undefined) => readonly Omit<Change, 'issuer' | 'atMs'>[],
  ): Promise<void> {
    const { notes, observer, nowMs } = this.#ports
    for (let tries = 0; tries < TRIES; tries++) {
      const was = this.#texts.get(laneOf(issuer, name))
      if (was === text) {
        return
      }
      const changes = found(was).map((difference): Change => ({ issuer, atMs: nowMs(), ...difference }))
      if (await notes.replaceNote({ issuer, name }, was, text, changes)) {
        this.#texts.set(laneOf(issuer, name), text)
        changes.forEach((change) => observer.changed(change))
        return
      }
      await this.load()
    }
    throw crowded()
  }

  /** Whether the realm's events go nowhere: then a reset there ends nothing. */
  isListenerOff(issuer: string): boolean {
    return this.#listenersOff.has(issuer)
  }

  /** Sends a relying party tokens that it must refuse, and some that it must take. */
  async check(issuer: string, clientId: string): Promise<Finding> {
    const party = this.#known(issuer, clientId)
    const { finding } = await this.#check(party)
    this.#remember(party, finding)
    return finding
  }

  lastCheck(issuer: string, clientId: string): Checked | undefined {
    return this.#checked.get(laneOf(issuer, clientId))
  }

  /**
   * Registers a relying party, if it refuses what it must refuse, or if the caller wants it in spite of what was found.
   *
   * @returns what was found, and whether it is registered
   * @throws RelayError `invalid_request` for a logout URL that is not usable or not allowed
   */
  async register(
    registration: Registration,
    { by, reason }: Decision,
    despite = false,
  ): Promise<{ registered: boolean; finding: Finding }> {
    const { issuer, clientId, logoutUri } = registration
    if (isProvider(clientId)) {
      throw new RelayError('invalid_request', 'client_id is a name that only identity providers have')
    }
    const complaint = logoutUriComplaint(logoutUri)
    if (complaint !== undefined) {
      throw new RelayError('invalid_request', `backchannel_logout_uri ${complaint}`)
    }
    const target = backchannelAt(logoutUri)
    const { finding, never } = await this.#check({ issuer, clientId, target, enabled: true })
    if (never) {
      throw new RelayError('invalid_request', `backchannel_logout_uri: ${finding.says}`)
    }
    if (!finding.ok && !despite) {
      return { registered: false, finding }
    }
    const data = { logout_uri: logoutUri, check: finding.ok ? 'ok' : 'failed' }
    const change = { kind: 'relying_party_registered', reason, data } as const
    await this.#alter(issuer, clientId, by, change, (kept, said) => ({
      ...kept,
      registered: { ...said, logoutUri },
    }))
    this.#remember({ issuer, clientId, target }, finding)
    return { registered: true, finding }
  }

  /** Takes back what was registered here. What the realm or relay.yaml names stays. */
  async unregister(issuer: string, clientId: string, { by, reason }: Decision): Promise<void> {
    const change = { kind: 'registration_removed', reason, data: {} } as const
    await this.#alter(issuer, clientId, by, change, ({ registered, ...kept }) => {
      if (!registered) {
        throw new RelayError('not_found', `${clientId} is not registered here`)
      }
      return kept
    })
  }

  /** Attempts nothing there until it is resumed. What is owed stays open. */
  async pause(issuer: string, clientId: string, { by, reason }: Decision): Promise<void> {
    this.#known(issuer, clientId)
    const change = { kind: 'relying_party_paused', reason, data: {} } as const
    await this.#alter(issuer, clientId, by, change, (kept, paused) => ({ ...kept, paused }))
  }

  async resume(issuer: string, clientId: string, by: string): Promise<void> {
    await this.#alter(issuer, clientId, by, { kind: 'relying_party_resumed', data: {} }, ({ paused, ...kept }) => {
      if (!paused) {
        throw new RelayError('not_found', `${clientId} is not paused`)
      }
      return kept
    })
  }

  async #alter(
    issuer: string,
    clientId: string,
    by: string,
    { reason, ...what }: Pick<Change, 'kind' | 'reason' | 'data'>,
    alter: (kept: Kept, said: { by: string; atMs: number; reason?: string }) => Kept,
  ): Promise<void> {
    const { notes, relyingParties, observer, nowMs } = this.#ports
    const name = PARTY + clientId
    const key = laneOf(issuer, name)
    for (let tries = 0; tries < TRIES; tries++) {
      const was = this.#texts.get(key)
      const said = { by, atMs: nowMs(), ...(reason === undefined ? {} : { reason }) }
      const kept = alter(was === undefined ? {} : keptOf(was), said)
      const text = Object.keys(kept).length === 0 ? undefined : JSON.stringify(kept)
      const change: Change = { issuer, clientId, ...said, ...what }
      if (await notes.replaceNote({ issuer, name }, was, text, [change])) {
        if (text === undefined) {
          this.#texts.delete(key)
        } else {
          this.#texts.set(key, text)
        }
        relyingParties.keep(issuer, clientId, kept)
        observer.changed(change)
        return
      }
      await this.load()
    }
    throw crowded()
  }

  #known(issuer: string, clientId: string): ListedRelyingParty {
    const party = this.#ports.relyingParties.find(issuer, clientId)
    if (!party) {
      throw new RelayError('not_found', `${clientId} is no relying party of this realm`)
    }
    return party
  }

  async #check(party: RelyingParty) {
    const { relyingParties, deliverers, genuine } = this.#ports
    const { issuer, clientId, target } = party
    const deliverer = deliverers.get(target.kind)
    if (!deliverer) {
      throw new RelayError('invalid_request', `${clientId} is told in a way that this relay does not know`)
    }
    const policy = relyingParties.lane(issuer, clientId)
    const { finding, answer } = await deliverer.probe(party, policy, genuine?.(issuer))
    return { finding, never: answer.kind === 'failure' && NEVER.includes(answer.code) }
  }

  /** Of a logout URL that does not count, what it answers says nothing of the relying party. */
  #remember({ issuer, clientId, target }: Omit<RelyingParty, 'enabled'>, finding: Finding): void {
    if (this.#ports.relyingParties.find(issuer, clientId)?.target.uri === target.uri) {
      this.#checked.set(laneOf(issuer, clientId), { finding, atMs: this.#ports.nowMs() })
    }
  }

  #listener(issuer: string, on: boolean | undefined): void {
    if (on === false) {
      this.#listenersOff.add(issuer)
    } else {
      this.#listenersOff.delete(issuer)
    }
  }

  #replace(issuer: string, { listener, targets }: RealmSeen): void {
    this.#listener(issuer, listener)
    const parties = Object.entries(targets).map(([clientId, target]) => ({
      ...{ issuer, clientId, target, enabled: true },
    }))
    this.#ports.relyingParties.replace(issuer, parties)
  }
}

function keptOf(text: string): Kept {
  return KeptNote.parse(JSON.parse(text))
}

function seenOf(text: string): RealmSeen {
  return SeenNote.parse(JSON.parse(text))
}

function crowded(): RelayError {
  return new RelayError('store_unavailable', 'Others keep changing the same; try again')
}
