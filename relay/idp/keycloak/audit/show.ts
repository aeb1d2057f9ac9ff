import { many, plain } from '../../../text.ts'
import { CATALOGUE } from './catalogue.ts'
import { type Finding, type Level, LEVELS } from './danger.ts'
import { findings, lasts } from './findings.ts'
import { addressesOf, inventory } from './inventory.ts'
import type { RealmDescription } from './realm.ts'
import { isContained, type Survival, survivals } from './survive.ts'

/** The whole audit as one JSON object; times are seconds, and `null` with `"unlimited": true` is no end. */
export function asJson(realm: RealmDescription, url: string, readAt: string): string {
  const time = (seconds: number | undefined) =>
    seconds === undefined ? null : seconds === Infinity ? { unlimited: true } : { seconds }
  const found = findings(realm)
  const audit = {
    realm: realm.realm,
    url,
    read_at: readAt,
    answered_by_the_extension: isContained(realm),
    count: Object.fromEntries(LEVELS.map((level) => [level, found.filter((one) => one.level === level).length])),
    survives: survivals(realm).map((one) => ({
      client_id: one.client.clientId,
      application_session: time(one.application),
      application_session_assumed: one.assumed,
      refresh_token: time(one.refreshToken),
      offline_token: time(one.offlineToken),
      access_token: time(one.accessToken),
      worst: time(one.worst),
      alive_now: one.client.alive ?? null,
    })),
    workloads: inventory(realm).map((entry) => ({
      client_id: entry.client.clientId,
      has_secret: entry.hasSecret,
      secret_age: time(entry.secretAge),
      last_used: entry.lastUsedMs === undefined ? null : new Date(entry.lastUsedMs).toISOString(),
      uses: entry.uses,
      access_token: time(entry.accessToken),
      addresses: entry.addresses,
      more_addresses: entry.hasMoreAddresses,
      refresh_token: entry.refresh,
    })),
    workloads_counted_since:
      realm.workloads?.sinceMs === undefined ? null : new Date(realm.workloads.sinceMs).toISOString(),
    workloads_unread: realm.workloads?.unread ?? null,
    findings: found.map(({ id, level, kind, name, worst, detail }) => ({
      id,
      level,
      where: { kind, name },
      worst: time(worst),
      title: CATALOGUE[id].title,
      detail,
      remedy: CATALOGUE[id].remedy,
    })),
  }
  // JSON itself lets some of these through, and JSON is looked at in terminals too.
  return JSON.stringify(audit, undefined, 2).replace(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped)
}

/** The audit for people. */
export function asText(realm: RealmDescription, url: string): string {
  const found = findings(realm)
  const lines = [
    `Realm ${plain(realm.realm)} at ${url}: what survives a password reset that is made now, and for how long at worst`,
    '',
    ...survivalTable(survivals(realm)),
    '',
    ...workloadTable(realm),
    ...found.flatMap((finding, at) => {
      const first = found.findIndex(({ id, level }) => id === finding.id && level === finding.level)
      const group = found.filter(({ id, level }) => id === finding.id && level === finding.level)
      return first === at ? section(group) : []
    }),
    summary(realm, found),
  ]
  return lines.join('\n')
}

function survivalTable(rows: readonly Survival[]): string[] {
  const life = (seconds: number | undefined, assumed = false) =>
    seconds === undefined ? '–' : seconds === 0 ? 'ended' : `${lasts(seconds)}${assumed ? '*' : ''}`
  const cells = [
    ['CLIENT', 'ITS SESSION', 'REFRESH TOKEN', 'OFFLINE TOKEN', 'ACCESS TOKEN', 'ALIVE NOW'],
    ...rows.map((row) => [
      plain(row.client.clientId),
      life(row.application, row.assumed),
      life(row.refreshToken),
      life(row.offlineToken),
      life(row.accessToken),
      row.client.alive ? many(row.client.alive.online + row.client.alive.offline, 'session') : 'not read',
    ]),
  ]
  if (rows.length === 0) {
    return ['No client that people log in to.']
  }
  const note = '* nobody has said how long; see docs/audit.md'
  return [...columns(cells), ...(rows.some(({ assumed }) => assumed) ? [note] : [])]
}

/** Service accounts: nobody logs in to them, so no reset is told, and their secret is what somebody may have. */
function workloadTable(realm: RealmDescription): string[] {
  const { workloads } = realm
  const entries = inventory(realm)
  if (workloads === undefined || entries.length === 0) {
    return []
  }
  const { unread, sinceMs } = workloads
  const counted = <T>(value: T) => (unread === undefined ? value : 'not read')
  const age = (ms: number | undefined) => (ms === undefined ? 'never seen' : `${lasts(secondsSince(ms))} ago`)
  const secondsSince = (ms: number) => Math.max(0, Math.floor((workloads.readAtMs - ms) / 1000))
  const cells = [
    ['SERVICE ACCOUNT', 'SECRET', 'LAST USED', 'ACCESS TOKEN', 'ADDRESSES', 'REFRESH TOKEN'],
    ...entries.map((entry) => [
      plain(entry.client.clientId),
      !entry.hasSecret ? 'none' : entry.secretAge === undefined ? 'age unknown' : `${lasts(entry.secretAge)} old`,
      counted(age(entry.lastUsedMs)),
      lasts(entry.accessToken),
      counted(addressesOf(entry)),
      entry.refresh === 'none' ? 'no' : entry.refresh,
    ]),
  ]
  const note =
    unread !== undefined
      ? `Who uses them was not read: ${unread}.`
      : sinceMs === undefined
        ? 'Nothing has been counted yet.'
        : `Counted for ${lasts(secondsSince(sinceMs))}.`
  return [...columns(cells), note, '']
}

/** One finding at all the places where it has this danger. */
function section(group: readonly Finding[]): string[] {
  const [one] = group
  if (one === undefined) {
    return []
  }
  const where = group.map(({ kind, name, worst, detail }) => [
    `  ${kind === 'client' ? '' : `${kind} `}${plain(name)}`,
    worst === undefined ? '–' : lasts(worst),
    plain(detail),
  ])
  const { title, remedy } = CATALOGUE[one.id]
  return [`${one.level.toUpperCase().padEnd(8)}  ${title}  [${one.id}]`, ...columns(where), `  → ${remedy}`, '']
}

function summary(realm: RealmDescription, found: readonly Finding[]): string {
  const counts = LEVELS.map((level) => `${found.filter((one) => one.level === level).length} ${level}`).join(', ')
  const read = realm.unread.length === 0 ? '' : ' Not everything could be read.'
  return `${counts}.${read} What each finding means: docs/audit.md`
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** As JSON escapes UTF-16 units; one character may be two of them. */
function escaped(character: string): string {
  return [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
    .join('')
}

/** Whether something is at this level or worse. */
export function reaches(realm: RealmDescription, limit: Level): boolean {
  return findings(realm).some(({ level }) => LEVELS.indexOf(level) <= LEVELS.indexOf(limit))
}
