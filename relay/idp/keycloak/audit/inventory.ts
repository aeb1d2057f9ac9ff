import type { Client, RealmDescription, Use } from './realm.ts'
import { tokensOf } from './survive.ts'

const DAY_MS = 86_400_000
/** The grants that a service account alone gets something by. */
const OF_SERVICE = 'client_credentials'
const BY_SECRET = ['client-secret', 'client-secret-jwt']
const MOST_ADDRESSES = 100
/** A person sleeps, and has a day off. */
const ROUND_THE_CLOCK = 20
const LEAST_DAYS = 7
const FIXED_HOURS = 2
const NEARLY_ALL = 0.8

/** A service account, with what is known of its use. Times in seconds. */
export interface Entry {
  readonly client: Client
  /** Undefined where it proves itself by something else than a secret, or Keycloak does not say. */
  readonly secretAge: number | undefined
  readonly hasSecret: boolean
  readonly accessToken: number
  readonly uses: number
  /** Undefined where it was not used, or that is not known. */
  readonly lastUsedMs: number | undefined
  readonly addresses: number
  /** Whether there are more than are kept. */
  readonly hasMoreAddresses: boolean
  readonly refresh: Use['refresh']
}

/** Every service account that is switched on, that with the oldest secret first. */
export function inventory(realm: RealmDescription): Entry[] {
  return realm.clients
    .filter(({ enabled, serviceAccount }) => enabled && serviceAccount)
    .map((client) => entry(realm, client))
    .sort((a, b) => (b.secretAge ?? -1) - (a.secretAge ?? -1) || a.client.clientId.localeCompare(b.client.clientId))
}

function entry(realm: RealmDescription, client: Client): Entry {
  const uses = usesOf(realm.workloads?.uses ?? [], client.clientId)
  const hasSecret = BY_SECRET.includes(client.authenticator)
  const created = Number(client.attributes['client.secret.creation.time'] ?? '')
  const known = hasSecret && created > 0 && realm.workloads !== undefined
  const addresses = new Set(uses.map(({ address }) => address).filter(Boolean))
  const kinds = uses.map(({ refresh }) => refresh)
  const mayRefresh = client.attributes['client_credentials.use_refresh_token'] === 'true'
  return {
    ...{ client, hasSecret, addresses: addresses.size },
    secretAge: known ? Math.max(0, Math.floor((realm.workloads.readAtMs - created * 1000) / 1000)) : undefined,
    accessToken: tokensOf(realm, client).accessToken ?? realm.lifespans.accessToken,
    uses: uses.reduce((sum, { count }) => sum + count, 0),
    lastUsedMs: uses.length === 0 ? undefined : Math.max(...uses.map(({ lastMs }) => lastMs)),
    hasMoreAddresses: uses.some(({ address }) => address === ''),
    refresh: kinds.includes('offline') ? 'offline' : mayRefresh || kinds.includes('refresh') ? 'refresh' : 'none',
  }
}

/** Its own, and those of its account's tokens at others. */
function usesOf(uses: readonly Use[], clientId: string): Use[] {
  const own = uses.filter((use) => use.clientId === clientId && (use.isService || use.kind === OF_SERVICE))
  const accounts = new Set(own.filter(({ kind }) => kind === OF_SERVICE).map(({ account }) => account))
  return uses.filter((use) => own.includes(use) || (use.isService && accounts.has(use.account)))
}

/** As people read it. */
export function addressesOf({ addresses, hasMoreAddresses }: Entry): string {
  return hasMoreAddresses ? `more than ${MOST_ADDRESSES}` : String(addresses)
}

/** A person's account that is used like a program's. */
export interface Job {
  readonly account: string
  readonly clientId: string
  readonly because: string
}

/** Nobody is accused: whoever reads it sees why. */
export function jobs(uses: readonly Use[]): Job[] {
  return uses.flatMap((use) => {
    const { account, clientId, address } = use
    const because = account === '' || clientId === undefined || use.isService ? undefined : reason(use, uses)
    return because === undefined ? [] : [{ account, clientId: clientId ?? '', because: `${because}, from ${address}` }]
  })
}

function reason(use: Use, uses: readonly Use[]): string | undefined {
  const { days, hours } = use
  if (days < LEAST_DAYS) {
    return undefined
  }
  const isAllDay = hours.length >= ROUND_THE_CLOCK
  switch (use.kind) {
    case 'password': {
      const span = Math.floor(use.lastMs / DAY_MS) - Math.floor(use.firstMs / DAY_MS) + 1
      const isDaily = hours.length <= FIXED_HOURS && days >= span * NEARLY_ALL
      return isAllDay
        ? `it has logged in with its password in ${hours.length} of the 24 hours of the day, on ${days} days`
        : isDaily
          ? `it has logged in with its password on ${days} of ${span} days, always at the same time (${hoursOf(hours)})`
          : undefined
    }
    case 'refresh_token': {
      const places = uses.filter(
        ({ kind, account, clientId }) => kind === use.kind && account === use.account && clientId === use.clientId,
      )
      return isAllDay && places.length === 1
        ? `its offline token was used in ${hours.length} of the 24 hours of the day, on ${days} days, from one place`
        : undefined
    }
    default:
      return undefined
  }
}

function hoursOf(hours: readonly number[]): string {
  return `${hours.map((hour) => `${String(hour).padStart(2, '0')}:00`).join(' and ')} UTC`
}
