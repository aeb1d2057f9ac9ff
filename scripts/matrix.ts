import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { inspect, parseArgs } from 'node:util'
import { KINDS } from './matrix/access.ts'
import { ACTS } from './matrix/acts.ts'
import { asItShouldBe, type Cell, play } from './matrix/play.ts'
import { asMarkdown, asText, type Run } from './matrix/table.ts'
import { startWorld, type World } from './matrix/world.ts'
import { KEYCLOAK_VERSIONS } from './stage/keycloak-versions.ts'
import { ROOT } from './stage/process.ts'

const USAGE = `npm run matrix [-- --keycloak VERSION]... [--trigger TRIGGER]... [--json] [--write]

Every trigger times every kind of access, on a real Keycloak. Exit status 0 only if each cell is as it should be.

  --keycloak  a version that scripts/setup has brought; ${KEYCLOAK_VERSIONS.join(' and ')} unless given
  --trigger   only this one; may be repeated
  --json      one line of JSON for each version instead of the tables
  --write     write the tables into docs/coverage.md; takes the whole matrix`

const COVERAGE = join(ROOT, 'docs', 'coverage.md')
const BEGIN = '<!-- written by npm run matrix -- --write -->'
const END = '<!-- end -->'

const began = performance.now()
const seconds = () => Math.round((performance.now() - began) / 1000)
const progress = (what: string) => void process.stderr.write(`${String(seconds()).padStart(4)} s  ${what}\n`)
const print = (text: string) => void process.stdout.write(`${text}\n`)

let world: World | undefined
const end = async (status: number) => {
  await world?.stop()
  process.exit(status)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void end(1))
}

const options = read()
const acts = ACTS.filter(({ trigger }) => options.trigger?.includes(trigger) ?? true)
const runs: Run[] = []
let ok = true
try {
  for (const keycloak of options.keycloak) {
    const run = await playAll(keycloak)
    runs.push(run)
    ok &&= run.cells.length === acts.length * KINDS.length && run.cells.every(asItShouldBe)
    print(options.json ? JSON.stringify(run) : `\n${asText(run)}\n`)
  }
  if (options.write) {
    write(runs)
  }
  progress(ok ? 'Every cell is as it should be' : 'NOT as it should be')
  await end(ok ? 0 : 1)
} catch (cause) {
  process.stderr.write(
    `The matrix failed: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`,
  )
  await end(1)
}

async function playAll(keycloak: string): Promise<Run> {
  const from = performance.now()
  world = await startWorld(progress, keycloak)
  const cells: Cell[] = []
  for (const [n, act] of acts.entries()) {
    progress(`${n + 1} of ${acts.length}: ${act.trigger}${act.how === undefined ? '' : `, ${act.how}`}`)
    try {
      const played = await play(world, act, `person-${n + 1}`)
      cells.push(...played)
      for (const cell of played.filter((one) => !asItShouldBe(one))) {
        progress(`      WRONG ${inspect(cell)}`)
      }
    } catch (cause) {
      // The other triggers have people of their own.
      progress(`      FAILED ${inspect(cause)}`)
    }
  }
  await world.stop()
  world = undefined
  return { keycloak, seconds: Math.round((performance.now() - from) / 1000), cells }
}

function write(played: readonly Run[]): void {
  const text = readFileSync(COVERAGE, 'utf8')
  const [before, after] = [text.split(BEGIN)[0], text.split(END)[1]]
  if (before === undefined || after === undefined) {
    throw new Error(`${COVERAGE} has lost its marks ${BEGIN} and ${END}`)
  }
  const versions = played.map(({ keycloak, seconds: took }) => `${keycloak} (${took} s)`).join(' and ')
  const when = `On ${new Date().toISOString().slice(0, 10)}, Keycloak ${versions}, PostgreSQL, ${availableParallelism()} cores for all parts together.`
  writeFileSync(COVERAGE, `${before}${BEGIN}\n\n${when}\n\n${asMarkdown(played)}\n\n${END}${after}`)
}

function read() {
  try {
    const { values } = parseArgs({
      options: {
        keycloak: { type: 'string', multiple: true, default: [...KEYCLOAK_VERSIONS] },
        trigger: { type: 'string', multiple: true },
        json: { type: 'boolean' },
        write: { type: 'boolean' },
      },
    })
    const unknown = values.trigger?.filter((id) => !ACTS.some(({ trigger }) => trigger === id)) ?? []
    if (unknown.length > 0) {
      throw new Error(
        `No trigger is called ${unknown.join(', ')}; there are ${[...new Set(ACTS.map((a) => a.trigger))].join(', ')}`,
      )
    }
    if (values.write && (values.trigger || values.keycloak.length < KEYCLOAK_VERSIONS.length)) {
      throw new Error('--write takes the whole matrix: leave out --trigger and --keycloak')
    }
    return values
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}\n`)
    process.exit(2)
  }
}
