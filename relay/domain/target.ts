import type { Named, Target } from './model.ts'

/** The target of a client at this logout URL, by default at the one that its realm names; undefined where it has none. */
export function targetAt(named: Named, uri: string | undefined = named.uri): Target | undefined {
  return uri === undefined ? undefined : { ...named, uri }
}

/** Whether whoever is told at the one is told in the same way at the other. */
export function isSameTarget(one: Target, other: Target): boolean {
  return [...Object.keys(one), ...Object.keys(other)].every((word) => one[word] === other[word])
}
