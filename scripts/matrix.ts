import { inspect, parseArgs } from 'node:util'
import { KINDS } from './matrix/access.ts'
import { ACTS } from './matrix/acts.ts'
import { asItShouldBe, type Cell, play } from './matrix/play.ts'
import { writeCoverage } from './matrix/coverage.ts'
import { asMarkdown, asText, type Run } from './matrix/table.ts'
import { playWorkloads, type WorkloadRun, workloadsAreRight, workloadsAsMarkdown } from './matrix/workloads.ts'
import { startWorld } from './matrix/world.ts'
import { KEYCLOAK_VERSIONS } from './stage/keycloak-versions.ts'

const USAGE = `npm run matrix [-- --keycloak VERSION]... [--trigger TRIGGER]... [--workloads] [--json] [--write]

Every trigger times every kind of access, on a real Keycloak. Exit status 0 only if each cell is as it should be.

  --keycloak  a version that scripts/setup has brought; ${KEYCLOAK_VERSIONS.join(' and ')} unless given
  --trigger   only this one; may be repeated
  --workloads clients and what their service accounts have, instead of people
  --json      one line of JSON for each version instead of the tables
  --write     write the tables into docs/coverage.md; takes the whole matrix`

const began = performance.now()
const seconds = () => Math.round((performance.now() - began) / 1000)
const progress = (what: string) => void process.stderr.write(`${String(seconds()).padStart(4)} s  ${what}\n`)
const print = (text: string) => void process.stdout.write(`${text}\n`)

const parts: { stop(): Promise<void> }[] = []
const stopAll = async () => {
  await Promise.all(parts.splice(0).map((part) => part.stop()))
}
const end = async (status: number) => {
  await stopAll()
  process.exit(status)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void end(1))
}

const options = read()
const acts = ACTS.filter(({ trigger }) => options.trigger?.includes(trigger) ?? true)
try {
  const ok = await (options.workloads ? workloads() : people())
  progress(ok ? 'Every cell is as it should be' : 'NOT as it should be')
  await end(ok ? 0 : 1)
} catch (cause) {
  process.stderr.write(
    `The matrix failed: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`,
  )
  await end(1)
}

async function people(): Promise<boolean> {
  const runs: Run[] = []
  for (const keycloak of options.keycloak) {
    const run = await playAll(keycloak)
    runs.push(run)
    print(options.json ? JSON.stringify(run) : `\n${asText(run)}\n`)
  }
  if (options.write) {
    writeCoverage('people', runs, asMarkdown(runs))
  }
  return runs.every(({ cells }) => cells.length === acts.length * KINDS.length && cells.every(asItShouldBe))
}

async function workloads(): Promise<boolean> {
  const runs: WorkloadRun[] = []
  for (const keycloak of options.keycloak) {
    const from = performance.now()
    const rows = await playWorkloads(keycloak, progress, (part) => void parts.push(part))
    await stopAll()
    const run = { keycloak, seconds: Math.round((performance.now() - from) / 1000), rows }
    runs.push(run)
    print(options.json ? JSON.stringify(run) : `\nKeycloak ${keycloak}\n\n${workloadsAsMarkdown([run])}\n`)
  }
  if (options.write) {
    writeCoverage('workloads', runs, workloadsAsMarkdown(runs))
  }
  return runs.every(workloadsAreRight)
}

async function playAll(keycloak: string): Promise<Run> {
  const from = performance.now()
  const world = await startWorld(progress, keycloak)
  parts.push(world)
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
  await stopAll()
  return { keycloak, seconds: Math.round((performance.now() - from) / 1000), cells }
}

function read() {
  try {
    const { values } = parseArgs({
      options: {
        keycloak: { type: 'string', multiple: true, default: [...KEYCLOAK_VERSIONS] },
        trigger: { type: 'string', multiple: true },
        workloads: { type: 'boolean' },
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
    if (values.workloads && values.trigger) {
      throw new Error('--trigger chooses among the triggers of people; --workloads plays all of clients')
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
