import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { ROOT } from '../stage/process.ts'

const COVERAGE = join(ROOT, 'docs', 'coverage.md')

/** What is written into docs/coverage.md, each part between marks of its own. */
export const PARTS = {
  people: ['<!-- written by npm run matrix -- --write -->', '<!-- end -->'],
  workloads: ['<!-- written by npm run matrix -- --workloads --write -->', '<!-- end of workloads -->'],
} as const

interface Played {
  readonly keycloak: string
  readonly seconds: number
}

/** @param tables of all that was played */
export function writeCoverage(part: keyof typeof PARTS, played: readonly Played[], tables: string): void {
  const versions = played.map(({ keycloak, seconds: took }) => `${keycloak} (${took} s)`).join(' and ')
  const when = `On ${new Date().toISOString().slice(0, 10)}, Keycloak ${versions}, PostgreSQL, ${availableParallelism()} cores for all parts together.`
  writeFileSync(COVERAGE, replaced(readFileSync(COVERAGE, 'utf8'), part, `${when}\n\n${tables}`))
}

/** The text with this part anew, and everything else as it was. */
export function replaced(text: string, part: keyof typeof PARTS, written: string): string {
  const [begin, end] = PARTS[part]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) {
    throw new Error(`${COVERAGE} has lost its marks ${begin} and ${end}`)
  }
  return `${text.slice(0, from)}${begin}\n\n${written}\n\n${text.slice(to)}`
}
