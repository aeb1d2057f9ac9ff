import type { Finding } from '../domain/finding.ts'

/**
 * What is amiss now, as `logout-relay check` would say it, by what the relay's own work has met: nobody is asked anything for
 * it, so that every page may show it.
 */
export class Findings {
  readonly #toDo = new Map<string, readonly Finding[]>()

  /** Of one check about one thing only what is found at once counts, such as of each directory of a realm; and the latest of it. */
  found(...findings: readonly Finding[]): void {
    for (const [key, some] of Map.groupBy(findings, ({ about, check }) => `${about} ${check}`)) {
      const amiss = some.filter(({ ok }) => !ok)
      if (amiss.length === 0) {
        this.#toDo.delete(key)
      } else {
        this.#toDo.set(key, amiss)
      }
    }
  }

  all(): readonly Finding[] {
    return [...this.#toDo.values()].flat()
  }

  /** Those about one of these; the same cause of several is told once. */
  about(...things: readonly string[]): readonly Finding[] {
    const those = this.all().filter(({ about }) => things.includes(about))
    return those.filter(
      (one, n) => those.findIndex(({ says, about }) => says === one.says && about === one.about) === n,
    )
  }
}
