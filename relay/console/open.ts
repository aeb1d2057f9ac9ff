import { createHash } from 'node:crypto'
import type { Delivery } from '../domain/model.ts'
import type { Selection } from '../store/port.ts'
import { subjectOf } from './account.ts'
import { isWrong, type LanePorts, type Owing, owing, type Wrong } from './lanes.ts'

const PAGE = 50
/** So many deliveries are looked at for one page, where the time leaves out some. */
const LOOKED = 2000
const AT_ONCE = 500
/** Of the containments of one user, the newest. */
const CONTAINMENTS = 200
/** Of the open deliveries of one containment, to see which relying parties they are of. */
const OF_CONTAINMENT = 5000

export const AGES = { '1h': 3_600_000, '1d': 86_400_000, '7d': 604_800_000 } as const
export type Age = keyof typeof AGES

/** Which open deliveries somebody means. All that is given must hold. */
export interface OpenFilter {
  readonly clientId?: string
  /** A part of the client id. */
  readonly q?: string
  readonly wrong?: Wrong
  /** For whoever this containment was of. */
  readonly of?: string
  /** Open for at least so long. */
  readonly age?: Age
}

/** Where their pages go on. */
export interface OpenAt {
  readonly at: string
  readonly after: string
}

/** From a query or a form, of which nothing is taken that is not understood. */
export function openFilter(field: (name: string) => string | undefined): OpenFilter {
  const [clientId, wrong, of, age] = ['client_id', 'wrong', 'of', 'age'].map(field)
  const q = field('q')?.trim().slice(0, 255)
  return {
    ...(clientId === undefined || clientId === '' ? {} : { clientId }),
    ...(q === undefined || q === '' ? {} : { q }),
    ...(isWrong(wrong) ? { wrong } : {}),
    ...(of === undefined || of === '' ? {} : { of }),
    ...(age !== undefined && Object.hasOwn(AGES, age) ? { age: age as Age } : {}),
  }
}

/** The same as it stands in an address. */
export function openQuery({ clientId, q, wrong, of, age }: OpenFilter, more: Record<string, string> = {}): string {
  const given = Object.entries({ client_id: clientId, q, wrong, of, age, ...more })
  return new URLSearchParams(given.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))).toString()
}

/** A list of open deliveries that has an index: those of a relying party, or of a containment. */
interface Source {
  readonly key: string
  readonly of: { readonly clientId: string } | { readonly containmentId: string }
}

/** What a filter means now. */
export class Open {
  readonly lanes: readonly Owing[]
  readonly chosen: readonly Owing[]
  /** How many there are; undefined where only looking at each would tell. */
  readonly total: number | undefined
  /** Names what is chosen, so that what was shown can be told from what has come about since. */
  readonly digest: string
  /** Whose deliveries alone; undefined for everybody's, and where nobody knows that any more: then there are none. */
  readonly subject: string | undefined
  readonly #ports: Pick<LanePorts, 'store'>
  readonly #issuer: string
  readonly #sources: readonly Source[]
  readonly #createdBeforeMs: number | undefined
  /** Of a containment only what is of these; undefined for all. */
  readonly #clients: ReadonlySet<string> | undefined

  static async find(ports: LanePorts, issuer: string, filter: OpenFilter, nowMs: number): Promise<Open> {
    const { of } = filter
    const [lanes, subject] = await Promise.all([
      owing(ports, issuer),
      of === undefined ? undefined : subjectOf(ports.store, issuer, of),
    ])
    const containments =
      of === undefined
        ? undefined
        : subject === undefined
          ? []
          : await ports.store.containments({ issuer, subject, limit: CONTAINMENTS })
    return new Open(
      ports,
      issuer,
      filter,
      nowMs,
      lanes,
      subject,
      containments?.filter(({ open }) => open > 0),
    )
  }

  private constructor(
    ports: Pick<LanePorts, 'store'>,
    issuer: string,
    { clientId, q, wrong, age }: OpenFilter,
    nowMs: number,
    lanes: readonly Owing[],
    subject: string | undefined,
    containments: readonly { readonly id: string; readonly open: number }[] | undefined,
  ) {
    const createdBeforeMs = age === undefined ? undefined : nowMs - AGES[age]
    const part = q?.toLowerCase()
    this.#ports = ports
    this.#issuer = issuer
    this.#createdBeforeMs = createdBeforeMs
    this.lanes = lanes
    this.subject = subject
    this.chosen = lanes.filter(
      (lane) =>
        (clientId === undefined || lane.clientId === clientId) &&
        (part === undefined || lane.clientId.toLowerCase().includes(part)) &&
        (wrong === undefined || lane.wrong === wrong) &&
        (createdBeforeMs === undefined || lane.oldestMs < createdBeforeMs),
    )
    this.#clients =
      containments && this.chosen.length < lanes.length ? new Set(this.chosen.map((lane) => lane.clientId)) : undefined
    const sources: readonly Source[] = containments
      ? containments.map(({ id }) => ({ key: id, of: { containmentId: id } }))
      : this.chosen.map((lane) => ({ key: lane.clientId, of: { clientId: lane.clientId } }))
    this.#sources = [...sources].sort((a, b) => (a.key < b.key ? -1 : 1))
    const counts = containments ? containments.map(({ open }) => open) : this.chosen.map(({ count }) => count)
    const counted = createdBeforeMs === undefined && this.#clients === undefined
    this.total = counted ? counts.reduce((sum, count) => sum + count, 0) : undefined
    const names = [...this.#sources.map(({ key }) => key), '', ...(this.#clients ?? [])]
    this.digest = createHash('sha256').update(JSON.stringify(names)).digest('base64url')
  }

  /** A page by relying party, or of one user by containment. `next` may be there for an empty one: it has looked at enough. */
  async page(from?: OpenAt): Promise<{ readonly found: readonly Delivery[]; readonly next: OpenAt | undefined }> {
    const { store } = this.#ports
    const found: Delivery[] = []
    let looked = 0
    for (const { key, of } of this.#sources.filter((one) => from === undefined || one.key >= from.at)) {
      for (let after = key === from?.at ? from.after : '', full = true; full;) {
        const limit = this.#looksAtAll() ? PAGE + 1 - found.length : AT_ONCE
        const some = await store.deliveries({ ...{ issuer: this.#issuer, state: 'open', after, limit }, ...of })
        for (const one of some) {
          if (found.length === PAGE || looked === LOOKED) {
            return { found, next: { at: key, after } }
          }
          looked++
          after = one.id
          if (this.#takes(one)) {
            found.push(one)
          }
        }
        full = some.length === limit
      }
    }
    return { found, next: undefined }
  }

  /** All of it, as the store selects it, but for what was taken up after it was shown. */
  async selections(shownMs: number): Promise<Selection[]> {
    const issuer = this.#issuer
    const createdBeforeMs = Math.min(shownMs + 1, this.#createdBeforeMs ?? Infinity)
    const selected: Selection[] = []
    for (const { of } of this.#sources) {
      const clients = 'containmentId' in of && this.#clients ? await this.#clientsOf(of.containmentId) : undefined
      selected.push(
        ...(clients
          ? clients.map((clientId) => ({ issuer, ...of, clientId, createdBeforeMs }))
          : [{ issuer, ...of, createdBeforeMs }]),
      )
    }
    return selected
  }

  #looksAtAll(): boolean {
    return this.#createdBeforeMs === undefined && this.#clients === undefined
  }

  #takes({ clientId, createdMs }: Delivery): boolean {
    return createdMs < (this.#createdBeforeMs ?? Infinity) && (this.#clients?.has(clientId) ?? true)
  }

  async #clientsOf(containmentId: string): Promise<string[]> {
    const open = { issuer: this.#issuer, state: 'open', containmentId, limit: OF_CONTAINMENT } as const
    const deliveries = await this.#ports.store.deliveries(open)
    return [...new Set(deliveries.map(({ clientId }) => clientId))].filter((one) => this.#clients?.has(one))
  }
}
