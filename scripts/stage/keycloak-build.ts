import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ROOT } from './process.ts'

const BUILDS = join(ROOT, '.cache', 'builds')

/**
 * What Keycloak builds of itself at its first start, kept from one home to the next: 12 s to come up instead of 33.
 * Only ever a short cut: Keycloak sees for itself whether a build fits its jars and options, and else makes a new one.
 */
export function buildOf(version: string, jars: readonly string[], db: string) {
  const parts = [version, db, ...jars.map((jar) => `${basename(jar)} ${statSync(jar).mtimeMs}`)]
  const kept = join(BUILDS, createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16))
  const partOf = (home: string) => join(home, 'lib', 'quarkus')
  return {
    restore(home: string): void {
      if (existsSync(kept)) {
        cpSync(kept, partOf(home), { recursive: true, preserveTimestamps: true })
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
    },
  }
}
