/** A person's word at the identity provider about what waited for one there. */
export interface Decided {
  /** `confirmed` or `dismissed`. */
  readonly decision: string
  /** In ms of the realm's database. */
  readonly atMs: number
  /** The `sub` of the person's token. */
  readonly by: string
  readonly reason: string
}

export const DISMISSED = ['directory_dismissed', 'upstream_dismissed', 'realm_logout_dismissed'] as const
export type DismissedKind = (typeof DISMISSED)[number]

/** What somebody has let go, so that it ends nothing. */
export interface Dismissal extends Omit<Decided, 'decision'> {
  readonly kind: DismissedKind
  /** What it was, in stable words. */
  readonly data: Readonly<Record<string, string>>
}

/** By the id of what waited. */
export type Dismissals = Readonly<Record<string, Dismissal>>

/** Those of one kind; `data` says what one of them is. */
export function dismissalsOf<T extends { readonly id: string; readonly decided?: Decided }>(
  kind: DismissedKind,
  all: readonly T[],
  data: (one: T) => Dismissal['data'],
): Dismissals {
  return Object.fromEntries(
    all.flatMap((one) => {
      if (one.decided?.decision !== 'dismissed') {
        return []
      }
      const { atMs, by, reason } = one.decided
      return [[one.id, { kind, data: data(one), atMs, by, reason }]]
    }),
  )
}
