import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ROOT, until } from './process.ts'

const BUILDS = join(ROOT, '.cache', 'builds')
/** Longer than a build takes on a busy machine. */
const BUILD_MS = 120_000

/**
 * What Keycloak builds of itself at its first start, kept from one home to the next: 12 s to come up instead of 33. Who
 * comes while somebody else builds the same waits for it.
 * Only ever a short cut: Keycloak sees for itself whether a build fits its jars and options, and else makes a new one.
 */
export function buildOf(version: string, jars: readonly string[], db: string, options: readonly string[]) {
  // What else a build depends on. Options of a provider are read at every start.
  const built = options.filter((option) => /^--(cache=|features)/.test(option))
  const parts = [version, db, ...built, ...jars.map((jar) => `${basename(jar)} ${statSync(jar).mtimeMs}`)]
  const kept = join(BUILDS, createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16))
  const underWay = `${kept}.under-way`
  const partOf = (home: string) => join(home, 'lib', 'quarkus')
  const isUnderWay = () => Date.now() - (statSync(underWay, { throwIfNoEntry: false })?.mtimeMs ?? 0) < BUILD_MS
  return {
    async restore(home: string): Promise<void> {
      if (!existsSync(kept) && isUnderWay()) {
        await until('the build is there', () => existsSync(kept) || !isUnderWay(), { seconds: 2 * (BUILD_MS / 1000) })
      }
      if (existsSync(kept)) {
        cpSync(kept, partOf(home), { recursive: true, preserveTimestamps: true })
      } else {
        mkdirSync(BUILDS, { recursive: true })
        writeFileSync(underWay, '')
      }
    },
    save(home: string): void {
      if (existsSync(kept)) {
        return
      }
      mkdirSync(BUILDS, { recursive: true })
      const copy = mkdtempSync(join(BUILDS, 'new-'))
      cpSync(partOf(home), copy, { recursive: true, preserveTimestamps: true })
      try {
        renameSync(copy, kept)
      } catch {
        // Somebody else has just kept the same build.
        rmSync(copy, { recursive: true })
      }
      rmSync(underWay, { force: true })
    },
  }
}
