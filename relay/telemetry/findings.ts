import type { Finding } from '../domain/finding.ts'

/**
 * What is amiss now, as `logout-relay check` would say it, by what the relay's own work has met: nobody is asked anything for
 * it, so that every page may show it.
 */
export class Findings {
  readonly #toDo = new Map<string, Finding>()

  /** The latest of one check about one thing counts. */
  found(finding: Finding): void {
    const key = `${finding.about} ${finding.check}`
    if (finding.ok) {
      this.#toDo.delete(key)
    } else {
      this.#toDo.set(key, finding)
    }
  }

  all(): readonly Finding[] {
    return [...this.#toDo.values()]
  }

  /** Those about one of these; the same cause of several is told once. */
  about(...things: readonly string[]): readonly Finding[] {
    const those = [...this.#toDo.values()].filter(({ about }) => things.includes(about))
    return those.filter(
      (one, n) => those.findIndex(({ says, about }) => says === one.says && about === one.about) === n,
    )
  }
}
