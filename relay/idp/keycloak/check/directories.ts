import { type Directory, directoryState } from '../../../domain/directory.ts'
import { type Finding, findingsOn } from '../../../domain/finding.ts'

const CHECK = 'directory'
const TRIGGERS = ['directory-password-changed', 'directory-account-disabled', 'directory-account-deleted']
/** All users are gone through every half minute, and in some minutes where there are hundreds of thousands. */
const SLOW_MS = 600_000

const LATE =
  'so what changes there ends late: is each search there fast, by an attribute with an index, and is every node of Keycloak up?'

/** What to look at where the directory's or Java's word for a failure is one of these. */
const ADVICE: readonly (readonly [names: RegExp, advice: string])[] = [
  [/^(Communication|ServiceUnavailable)/, 'is it up, and does Keycloak reach it at the provider’s connection URL?'],
  [
    /^(Authentication|NoPermission|InsufficientResources)/,
    'does it take the provider’s bind DN and credential, and may that account search?',
  ],
  [/^(NameNotFound|InvalidName|it shows no user)/, 'are the provider’s users DN and user filter right?'],
  [/LimitExceeded/, 'does it let Keycloak’s account have a hundred entries in one search, within ten seconds?'],
]

export interface DirectoriesToCheck {
  /** Undefined where the extension does not tell. */
  readonly directories: readonly Directory[] | undefined
  readonly listener: boolean
  /** What each trigger causes. */
  readonly policy: Readonly<Record<string, string>>
}

/** Whether the realm hears what changes in the directories behind it: which it does, which not, why, and what to do. */
export function judgeDirectories(
  issuer: string,
  { directories, listener, policy }: DirectoriesToCheck,
  nowMs: number,
): Finding[] {
  const { ok, todo } = findingsOn(issuer)
  if (!directories) {
    return [todo(CHECK, 'changes cannot be seen with this extension: bring its jar to the relay’s version')]
  }
  if (directories.length === 0) {
    return [
      ok(CHECK, 'there is none behind this realm, so no password changes outside of it but at identity providers'),
    ]
  }
  const off = TRIGGERS.filter((trigger) => policy[trigger] === 'off')
  return [
    ...directories.map((directory) => judge(issuer, directory, listener, nowMs)),
    ...(off.length > 0 && directories.some((directory) => directoryState(directory) !== 'unwatched')
      ? [
          todo(
            CHECK,
            `changes of the kind ${off.join(', ')} end nothing: remove the realm attribute logout-relay.policy.${off[0]}`,
          ),
        ]
      : []),
  ]
}

/** What of it came about by itself, and so is for whoever is awake. How a directory is set up is left to the check. */
export function judgeDirectoriesNow(issuer: string, directories: readonly Directory[], nowMs: number): Finding[] {
  const amiss = directories.flatMap((directory) => judgeNow(issuer, directory, nowMs) ?? [])
  return amiss.length > 0 ? amiss : [findingsOn(issuer).ok(CHECK, 'each that is watched answers')]
}

function judgeNow(issuer: string, directory: Directory, nowMs: number): Finding | undefined {
  const { todo } = findingsOn(issuer)
  const { name, id, held, failing, lookedMs } = directory
  switch (directoryState(directory)) {
    case 'held':
      return todo(
        CHECK,
        `${name}: changes of ${held} users at once end nothing until somebody with the role confirm says so: logout-relay held confirm ${id} --reason …, or dismiss if it was a restore or a migration`,
      )
    case 'failing':
      return todo(
        CHECK,
        `${name} cannot be looked at since ${time(failing?.sinceMs ?? 0)} (${failing?.why ?? ''}), and what changes there ends nothing until it can: ${adviceFor(failing?.why ?? '')}`,
      )
    case 'watched':
      return lookedMs !== undefined && nowMs - lookedMs > SLOW_MS
        ? todo(CHECK, `${name} was gone through last at ${time(lookedMs)}, ${LATE}`)
        : undefined
    case 'off':
    case 'unwatched':
    case 'new':
      return undefined
  }
}

function judge(issuer: string, directory: Directory, listener: boolean, nowMs: number): Finding {
  const { ok, todo } = findingsOn(issuer)
  const { name, provider, users, lookedMs } = directory
  const now = judgeNow(issuer, directory, nowMs)
  if (now) {
    return now
  }
  switch (directoryState(directory)) {
    case 'off':
      return listener
        ? ok(CHECK, `${name} is not watched: it is switched off, and its users cannot log in`)
        : todo(CHECK, `${name} is not watched: see the line about the listener`)
    case 'unwatched':
      return todo(
        CHECK,
        `${name} is not watched: it is no LDAP directory that could be asked (${provider}). Where a password is changed or an account is taken back there, have that process sign the user out: logout-relay contain`,
      )
    case 'new':
      return todo(CHECK, `${name} has not been looked at yet: ask again in a minute, then see Keycloak’s log`)
    case 'held':
    case 'failing':
    case 'watched':
      if (lookedMs === undefined) {
        return todo(CHECK, `${name} was gone through not once yet, ${LATE}`)
      }
      if (users > 0 && directory.withoutClock === users) {
        return todo(
          CHECK,
          `${name} tells of none of its ${users} users who are logged in when the password was changed, so that a change of it is not heard; that an account is disabled or deleted is. Let Keycloak’s account read that attribute, switch it on (OpenLDAP: the overlay ppolicy; 389: passwordTrackUpdateTime), or name it in the realm attribute logout-relay.directories.clock`,
        )
      }
      return ok(CHECK, `${name} is watched: ${watched(directory)}`)
  }
}

function watched({ users, withoutClock, clockAheadMs, decided }: Directory): string {
  return [
    `${users} users there are logged in`,
    ...(withoutClock > 0 ? [`of ${withoutClock} of them it tells no time of the password`] : []),
    ...(clockAheadMs === undefined ? ['it does not tell its time, so run NTP there'] : []),
    ...(decided?.decision === 'dismissed' ? [`what had changed by ${time(decided.atMs)} was let go by somebody`] : []),
  ].join('; ')
}

function adviceFor(why: string): string {
  return ADVICE.find(([names]) => names.test(why))?.[1] ?? 'Keycloak’s log says more'
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}
