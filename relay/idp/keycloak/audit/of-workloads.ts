import { duration } from '../../../text.ts'
import { type Finding, levelOf } from './danger.ts'
import { addressesOf, type Entry, inventory, jobs } from './inventory.ts'
import type { RealmDescription, Workloads } from './realm.ts'
import { isLoggedInTo } from './survive.ts'

const DAY = 86_400
const OLD_SECRET = 90 * DAY
const VERY_OLD_SECRET = 365 * DAY
/** A job that runs once a month is used. */
const IDLE = 35 * DAY
/** More instances than this are few, and a copy of a secret among them is not seen. */
const MANY_ADDRESSES = 10

/** What lives long at workloads, and is used where nobody looks. @param usual the life of an access token that alarms nobody */
export function ofWorkloads(realm: RealmDescription, usual: number): Finding[] {
  const { workloads } = realm
  return workloads === undefined
    ? []
    : [...inventory(realm).flatMap((entry) => ofEntry(entry, workloads, usual)), ...ofPeople(workloads)]
}

function ofEntry(entry: Entry, workloads: Workloads, usual: number): Finding[] {
  const { client, secretAge = 0, accessToken, refresh } = entry
  const found: Finding[] = []
  const add = (id: Finding['id'], level: Finding['level'], detail: string, worst?: number) =>
    found.push({ id, level, kind: 'client', name: client.clientId, worst, detail })
  if (secretAge > OLD_SECRET) {
    const detail = `It was made ${lasts(secretAge)} ago. Whoever has read it since has it still.`
    add('secret-old', secretAge > VERY_OLD_SECRET ? 'medium' : 'low', detail)
  }
  const idle = idleFor(entry, workloads)
  if (idle > IDLE) {
    add(
      'workload-idle',
      'low',
      `Nothing was counted of it in ${lasts(idle)}. While the extension was off, nothing was.`,
    )
  }
  if (entry.hasMoreAddresses || entry.addresses > MANY_ADDRESSES) {
    add('workload-addresses', 'low', `It has got tokens from ${addressesOf(entry)} addresses.`)
  }
  if (refresh !== 'none') {
    const offline =
      'It has got an offline token, which needs no secret to be kept, and has no end where the realm sets none.'
    const refreshing = 'It gets a refresh token, though it can ask with its secret each time.'
    add('workload-refresh', refresh === 'offline' ? 'medium' : 'low', refresh === 'offline' ? offline : refreshing)
  }
  const own = Number(client.attributes['access.token.lifespan'] ?? '')
  if (!isLoggedInTo(client) && (own > usual || own < 0)) {
    const detail = 'A service account. The client has a lifespan of its own.'
    add('access-token-lifespan', levelOf(accessToken), detail, accessToken)
  }
  return found
}

/** Seconds without a use that are known of; 0 where it is not known. */
function idleFor({ lastUsedMs }: Entry, { readAtMs, sinceMs = readAtMs }: Workloads): number {
  return Math.floor((readAtMs - Math.max(lastUsedMs ?? sinceMs, sinceMs)) / 1000)
}

function ofPeople({ uses }: Workloads): Finding[] {
  return jobs(uses).map(({ account, clientId, because }) => ({
    ...{ id: 'looks-like-a-job', level: 'low', kind: 'account', name: account, worst: undefined },
    detail: `At ${clientId}: looks like a job because ${because}.`,
  }))
}

function lasts(seconds: number): string {
  return duration(seconds * 1000)
}
