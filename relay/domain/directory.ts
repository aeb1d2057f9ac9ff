import type { Decided } from './decision.ts'

/**
 * Where passwords of a realm's users lie and change without it, as its extension last told. Times in milliseconds of the
 * realm's database.
 */
export interface Directory {
  readonly id: string
  readonly name: string
  /** What the identity provider calls its kind: `ldap`, `kerberos`, or somebody's own. */
  readonly provider: string
  /**
   * As the extension says it: `watched`, `held` while changes wait for a person's word, `confirmed` or `dismissed` until all
   * users have been looked at since, `new`, `off`, `unwatched` where it cannot be asked.
   */
  readonly state: string
  /** Users of the last look, and those of them of whose password the directory tells no time. */
  readonly users: number
  readonly withoutClock: number
  /** Users whose changes wait. */
  readonly held: number
  /** When all users had been looked at last. */
  readonly lookedMs?: number
  /** Absent where it does not tell its time. */
  readonly clockAheadMs?: number
  readonly failing?: { readonly sinceMs: number; readonly why: string }
  /** The last decision on changes that waited. */
  readonly decided?: Decided
}

const STATES = ['watched', 'failing', 'held', 'new', 'off', 'unwatched'] as const
export type DirectoryState = (typeof STATES)[number]

/** In one word whether its changes are heard now. A state that a newer extension has is none that we know to be well. */
export function directoryState({ state, failing }: Directory): DirectoryState {
  const said = state === 'confirmed' || state === 'dismissed' ? 'watched' : state
  const known = STATES.find((one) => one === said) ?? 'unwatched'
  return failing && known === 'watched' ? 'failing' : known
}
