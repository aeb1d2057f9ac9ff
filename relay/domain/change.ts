import type { Dismissals } from './decision.ts'
import type { Target } from './model.ts'
import { isSameTarget } from './target.ts'

/**
 * A change that can keep an attacker in, or that takes such a change back: who made it, when and why. `by` is the `sub` of
 * the person's token; absent for what was found changed at the realm, whose own admin events know it.
 */
export interface Change {
  readonly issuer: string
  readonly kind: ChangeKind
  readonly atMs: number
  readonly clientId?: string
  readonly by?: string
  readonly reason?: string
  /** What it was and what it is, in stable words. No person, no secret. */
  readonly data: Readonly<Record<string, string | number>>
}

const WEAKENING = {
  listener_off: true,
  listener_on: false,
  policy_weakened: true,
  policy_changed: false,
  settings_weakened: true,
  settings_changed: false,
  logout_uri_added: false,
  logout_uri_changed: true,
  logout_uri_removed: true,
  relying_party_registered: true,
  registration_removed: true,
  relying_party_paused: true,
  relying_party_resumed: false,
  deliveries_dismissed: true,
  directory_dismissed: true,
  upstream_dismissed: true,
  realm_logout_dismissed: true,
} as const
export type ChangeKind = keyof typeof WEAKENING

/**
 * Whether it could keep an attacker in. A registration counts: whoever names the address decides who answers for the
 * relying party.
 */
export function weakens(kind: ChangeKind): boolean {
  return WEAKENING[kind]
}

/** What was last seen of a realm, as far as a change of it could keep an attacker in. */
export interface RealmSeen {
  /** Absent where the extension does not tell. */
  readonly listener?: boolean
  /** What each trigger causes, and the other settings of the policy, as they are in force. */
  readonly policy?: Readonly<Record<string, string>>
  /** Absent where the extension does not tell. */
  readonly dismissed?: Dismissals
  /** Where and how it is told, by client. */
  readonly targets: Readonly<Record<string, Target>>
}

type Difference = Omit<Change, 'issuer' | 'atMs'>

/**
 * What has changed between two looks at a realm, whoever made it. At the first look there is nothing to compare with;
 * that the listener is off is told all the same.
 */
export function differences(before: RealmSeen | undefined, now: RealmSeen): Difference[] {
  const listener = before?.listener ?? true
  const found: Difference[] = []
  if (now.listener !== undefined && now.listener !== listener) {
    found.push({ kind: now.listener ? 'listener_on' : 'listener_off', data: {} })
  }
  if (!before) {
    return found
  }
  const [were, are] = [new Map(Object.entries(before.targets)), new Map(Object.entries(now.targets))]
  for (const clientId of new Set([...were.keys(), ...are.keys()])) {
    const [was, is] = [were.get(clientId), are.get(clientId)]
    if (is === undefined) {
      found.push({ kind: 'logout_uri_removed', clientId, data: { was: was?.uri ?? '' } })
    } else if (was === undefined) {
      found.push({ kind: 'logout_uri_added', clientId, data: { is: is.uri } })
    } else if (!isSameTarget(was, is)) {
      found.push({ kind: 'logout_uri_changed', clientId, data: { was: was.uri, is: is.uri } })
    }
  }
  found.push(...newlyDismissed(before.dismissed, now.dismissed))
  if (before.policy && now.policy) {
    for (const setting of new Set([...Object.keys(now.policy), ...ownSettings(before.policy)])) {
      const [was, is] = [inForce(before.policy, setting), inForce(now.policy, setting)]
      // An older extension tells the steps in another order after each start of the identity provider.
      if (was !== undefined && is !== undefined && !isSame(was, is)) {
        const kind = isWeaker(setting, was, is) ? 'policy_weakened' : 'policy_changed'
        found.push({ kind, data: { setting, was, is } })
      }
    }
  }
  return found
}

function newlyDismissed(before: Dismissals | undefined, now: Dismissals | undefined): Difference[] {
  return Object.entries((before && now) ?? {}).flatMap(([id, { kind, data, atMs, by, reason }]): Difference[] => {
    const said = { ...(by === '' ? {} : { by }), ...(reason === '' ? {} : { reason }) }
    return before?.[id]?.atMs === atMs
      ? []
      : [{ kind, ...said, data: { ...data, decided_at: new Date(atMs).toISOString() } }]
  })
}

/** What a trigger causes where one identity provider has said so: its id, a dot, and the provider's alias. */
const OF_ONE = /^(upstream-[a-z-]+)\./

function ownSettings(policy: Readonly<Record<string, string>>): string[] {
  return Object.keys(policy).filter((setting) => OF_ONE.test(setting))
}

/** Without a setting for one identity provider the one for all counts. */
function inForce(policy: Readonly<Record<string, string>>, setting: string): string | undefined {
  return policy[setting] ?? policy[OF_ONE.exec(setting)?.[1] ?? '']
}

/**
 * What the relay's own config allows in a realm beyond the default, by setting: words with commas between them, each of
 * which is something or somebody that is allowed or trusted. Nothing is the default.
 */
export type Allowed = Readonly<Record<string, string>>

/** What has changed of that between two starts: every further word is something more that is allowed. */
export function settingsDifferences(before: Allowed | undefined, now: Allowed): Difference[] {
  return [...new Set([...Object.keys(before ?? {}), ...Object.keys(now)])].flatMap((setting): Difference[] => {
    const [was, is] = [before?.[setting] ?? '', now[setting] ?? '']
    // Whoever names the address decides who answers; without one nobody is told.
    const weaker = missesOne(is, was) || setting.endsWith(': backchannel_logout_uri')
    const kind = weaker ? 'settings_weakened' : 'settings_changed'
    return before && was !== is ? [{ kind, data: { setting, was, is } }] : []
  })
}

/** Less is ended, fewer are privileged, more may act, a shorter time counts, or nothing is enforced any more. */
function isWeaker(setting: string, was: string, is: string): boolean {
  switch (setting) {
    case 'mode':
      return is === 'shadow'
    case 'recent-factors.window':
    case 'operator.limit':
    // Fewer changes of a directory end what is from before without somebody's word.
    case 'directories.limit':
    case 'upstreams.limit':
      return Number(is) < Number(was)
    // Longer, fewer users can be contained before somebody has to confirm.
    case 'operator.window':
    case 'upstreams.window':
      return Number(is) > Number(was)
    case 'step-up.users':
      return is === 'privileged'
    // Each further client is one whose tokens carry somebody's word.
    case 'clients':
    case 'spare-offline.clients':
      return missesOne(is, was)
    default:
      return is === 'off' || (was !== 'ask' && missesOne(was, is))
  }
}

function isSame(was: string, is: string): boolean {
  return was === is || words(was).sort().join() === words(is).sort().join()
}

function missesOne(was: string, is: string): boolean {
  const left = new Set(words(is))
  return was !== 'off' && words(was).some((word) => !left.has(word))
}

function words(text: string): string[] {
  return text
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean)
}
