/**
 * A published hole of Keycloak itself by which something lives on that a reset, a sign-out or the disabling of an account
 * was to end, or by which somebody gets past the reset. One that the extension closes in part is in here as well, since the
 * audit knows realms without it. A hole without a release that mends it is not: nobody could do anything about such a
 * finding. Nor is one in the lock after wrong passwords, which ends nothing by default.
 */
export interface Hole {
  /** A CVE, or the issue of Keycloak where there is none. */
  readonly id: string
  /** github.com/keycloak/keycloak/issues/…; its labels name the releases that mend it. */
  readonly issue: number
  readonly level: 'critical' | 'high' | 'medium'
  /** What it lets live, or who it lets in. */
  readonly lives: string
  /** The first patch that mends it, by line of releases. A line that is not named has none, unless it is newer than all. */
  readonly mended: Readonly<Record<Line, number>>
  /** The first line that has it; absent where all have it. */
  readonly since?: Line
}

/** Major and minor number of a release, such as `26.5`. */
type Line = string

/**
 * The holes, in the order in which they were mended. Where the labels of an issue do not name 26.6 or 26.7, their first
 * release has the change: the classes of 26.6.0 and 26.7.0 were compared with those before and after it.
 */
export const HOLES: readonly Hole[] = [
  {
    id: 'keycloak#43853',
    issue: 43_853,
    level: 'high',
    lives: 'a login page that was open at the sign-out gives the next person in that browser the same session id',
    mended: { '26.4': 4, '26.5': 0 },
  },
  {
    id: 'CVE-2025-14559',
    issue: 45_651,
    level: 'high',
    lives: 'a client that may impersonate gets tokens of a disabled account by token exchange',
    mended: { '26.4': 9, '26.5': 2, '26.6': 0 },
  },
  {
    id: 'CVE-2026-1609',
    issue: 46_144,
    level: 'high',
    lives: 'an assertion (JWT authorization grant) gives tokens of a disabled account',
    mended: { '26.5': 3, '26.6': 0 },
    since: '26.5',
  },
  {
    id: 'CVE-2026-1486',
    issue: 46_146,
    level: 'high',
    lives: 'assertions of an identity provider that was disabled go on giving tokens',
    mended: { '26.4': 9, '26.5': 3, '26.6': 0 },
  },
  {
    id: 'CVE-2026-2603',
    issue: 46_911,
    level: 'high',
    lives: 'a SAML identity provider that was disabled goes on logging people in',
    mended: { '26.4': 10, '26.5': 5, '26.6': 0 },
  },
  {
    id: 'keycloak#46239',
    issue: 46_239,
    level: 'high',
    lives:
      'after a login for an offline token the next person in that browser gets the same session id, and the session',
    mended: { '26.4': 11, '26.5': 6, '26.6': 0 },
  },
  {
    id: 'CVE-2026-1035',
    issue: 45_647,
    level: 'medium',
    lives: 'a refresh token that may be used once gives several when it is used several times at once',
    mended: { '26.4': 11, '26.5': 6, '26.6': 0 },
  },
  {
    id: 'CVE-2026-4325',
    issue: 47_715,
    level: 'high',
    lives: 'a mailed link that was used, such as that of a forgotten password, can be used again',
    mended: { '26.4': 11, '26.5': 7, '26.6': 0 },
  },
  {
    id: 'CVE-2026-4282',
    issue: 47_719,
    level: 'critical',
    lives: 'somebody without an account forges authorization codes, and so tokens, also of administrators',
    mended: { '26.4': 11, '26.5': 7, '26.6': 0 },
  },
  {
    id: 'CVE-2026-7507',
    issue: 49_111,
    level: 'high',
    lives:
      'a login that an attacker has begun is finished by single sign-on of whoever follows a link, and is the attacker’s',
    mended: { '26.4': 12, '26.6': 2, '26.7': 0 },
  },
  {
    id: 'CVE-2026-37982',
    issue: 49_112,
    level: 'high',
    lives: 'a mailed link of an administrator that was used adds another passkey, of whoever has read the mail',
    mended: { '26.4': 12, '26.6': 2, '26.7': 0 },
  },
  {
    id: 'CVE-2026-8922',
    issue: 49_118,
    level: 'high',
    lives:
      'introspection goes on calling tokens active after everybody was signed out, where their client has a not-before',
    mended: { '26.4': 13, '26.6': 3, '26.7': 0 },
  },
  {
    id: 'CVE-2026-9087',
    issue: 49_175,
    level: 'high',
    lives: 'one confirmed link to an identity provider links another account there too, which then logs in',
    mended: { '26.4': 13, '26.6': 3, '26.7': 0 },
  },
  {
    id: 'CVE-2026-9802',
    issue: 49_426,
    level: 'medium',
    lives: 'refresh tokens that were used up count again after a restart',
    mended: { '26.4': 13, '26.6': 3, '26.7': 0 },
  },
  {
    id: 'CVE-2026-11800',
    issue: 50_357,
    level: 'high',
    lives:
      'a client forges assertions (JWT authorization grant), and so tokens of whoever is linked to the identity provider',
    mended: { '26.6': 4, '26.7': 0 },
    since: '26.5',
  },
  {
    id: 'CVE-2026-16442',
    issue: 51_470,
    level: 'high',
    lives: 'a SAML identity provider that is for linking alone logs in whoever is linked',
    mended: { '26.4': 14, '26.6': 5, '26.7': 1 },
  },
  {
    id: 'CVE-2026-18963',
    issue: 51_833,
    level: 'critical',
    lives: 'anybody sets a new password of any account without the mailed link, where “Forgot password” is on',
    mended: { '26.4': 15, '26.6': 6, '26.7': 2 },
  },
  {
    id: 'CVE-2026-15571',
    issue: 51_832,
    level: 'high',
    lives:
      'a client links an account of an attacker at an identity provider to whoever logs in, and that login outlives a reset',
    mended: { '26.6': 6, '26.7': 2 },
  },
  {
    id: 'CVE-2026-16089',
    issue: 51_003,
    level: 'high',
    lives: 'an authorization code that was intercepted gives tokens to another client than it was made for',
    mended: { '26.6': 7, '26.7': 3 },
  },
  {
    id: 'CVE-2026-18218',
    issue: 51_279,
    level: 'high',
    lives: 'tokens go on counting after the not-before of their client, where the realm has an older one',
    mended: { '26.6': 7, '26.7': 3 },
  },
]

/**
 * The last patch of a line that Keycloak itself has published; later ones are tags that vendors build, for instance as Red
 * Hat build of Keycloak. Lines that are not named are published to their end.
 */
const PUBLISHED: Readonly<Record<Line, number>> = { '26.4': 7, '26.5': 7, '26.6': 4 }

export interface Verdict {
  readonly open: readonly OpenHole[]
  /** The next release without any of them that Keycloak itself publishes; undefined where nothing is open. */
  readonly upgradeTo: string | undefined
  /** The next one without any of them that somebody publishes. */
  readonly soonest: string | undefined
}

export interface OpenHole extends Hole {
  /** The next release without it: of the same line, or of the next line that has one. */
  readonly goneIn: string
}

/**
 * What is open in a release of Keycloak.
 *
 * @param version as Keycloak calls itself, also with a vendor's suffix: `26.4.11.redhat-00001`
 * @returns undefined for what is no release, such as `999.0.0-SNAPSHOT`, and for nothing: of that nobody can say
 */
export function knownHoles(version: string | undefined): Verdict | undefined {
  const found = /^(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:[.-](.*))?$/.exec(version ?? '')
  if (!found || /snapshot/i.test(found[4] ?? '')) {
    return undefined
  }
  const line = `${Number(found[1])}.${Number(found[2])}`
  const open = HOLES.filter((hole) => isOpen(hole, line, Number(found[3])))
  if (open.length === 0) {
    return { open: [], upgradeTo: undefined, soonest: undefined }
  }
  return {
    open: open.map((hole) => ({ ...hole, goneIn: nextWithout([hole], line) })),
    upgradeTo: nextWithout(open, line, PUBLISHED),
    soonest: nextWithout(open, line),
  }
}

/** What to do about them, in words. */
export function upgrade({ upgradeTo = '', soonest = '' }: Verdict): string {
  return soonest === upgradeTo
    ? `upgrade to ${upgradeTo} or newer`
    : `upgrade to ${upgradeTo} or newer; ${soonest} is enough, but comes from vendors alone`
}

const LINES = [...new Set(HOLES.flatMap(({ mended }) => Object.keys(mended)))].sort((a, b) => (isNewer(a, b) ? 1 : -1))

function isOpen(hole: Hole, line: Line, patch: number): boolean {
  if (hole.since !== undefined && isNewer(hole.since, line)) {
    return false
  }
  const first = firstPatch(hole, line)
  return first === undefined || patch < first
}

/** The first patch of a line without the hole; undefined where every patch of it has the hole. */
function firstPatch({ mended }: Hole, line: Line): number | undefined {
  const isAfterAll = Object.keys(mended).every((other) => isNewer(line, other))
  return mended[line] ?? (isAfterAll ? 0 : undefined)
}

/** The first release of this line or the next without any of them, among those up to the patch that is given of a line. */
function nextWithout(holes: readonly Hole[], line: Line, upTo: Readonly<Record<Line, number>> = {}): string {
  for (const next of [line, ...LINES.filter((other) => isNewer(other, line))]) {
    const patches = holes.map((hole) => firstPatch(hole, next) ?? Infinity)
    const patch = Math.max(...patches)
    if (patch <= (upTo[next] ?? Number.MAX_SAFE_INTEGER)) {
      return `${next}.${patch}`
    }
  }
  throw new TypeError('The newest line of the table mends every hole of it')
}

function isNewer(line: Line, other: Line): boolean {
  const [[major = 0, minor = 0], [otherMajor = 0, otherMinor = 0]] = [line, other].map((one) =>
    one.split('.').map(Number),
  ) as [number[], number[]]
  return major > otherMajor || (major === otherMajor && minor > otherMinor)
}
