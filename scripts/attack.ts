import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Described } from './attack/attack.ts'
import { clusterAttacks } from './attack/cluster.ts'
import { playCluster } from './attack/cluster-play.ts'
import { ATTACKS } from './attack/list.ts'
import { asItShouldBe, play, type Result, verdictOn } from './attack/play.ts'
import { asMarkdown, asText, type Run, word } from './attack/table.ts'
import { startWorld, type World } from './attack/world.ts'
import { KEYCLOAK_VERSIONS } from './stage/keycloak-versions.ts'
import { readOptions, refuse } from './stage/options.ts'
import { ROOT } from './stage/process.ts'

// npm run attack: every attack on a realm with Logout Relay, and its control on one without. Exit status 0 only if nothing
// lives on in the first, and everything in the second. docs/attacks.md says what the options do.

const PAGE = join(ROOT, 'docs', 'attacks.md')
const BEGIN = '<!-- written by npm run attack -- --write -->'
const END = '<!-- end -->'

const began = performance.now()
const secondsSince = (from: number) => Math.round((performance.now() - from) / 1000)
const progress = (what: string) => void process.stderr.write(`${String(secondsSince(began)).padStart(4)} s  ${what}\n`)
const print = (text: string) => void process.stdout.write(`${text}\n`)

let world: World | undefined
const end = async (status: number) => {
  await world?.stop()
  process.exit(status)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void end(1))
}

const options = readOptions({
  version: { type: 'string', multiple: true, default: [...KEYCLOAK_VERSIONS] },
  only: { type: 'string', multiple: true },
  quick: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  write: { type: 'boolean', default: false },
})
const [alone, inCluster] = [chosen(ATTACKS), chosen(clusterAttacks)]
const attacks: readonly Described[] = [...alone, ...inCluster]
if (attacks.length === 0) {
  refuseUnknown()
}
if (options.write && (options.only || options.quick || options.version.length < KEYCLOAK_VERSIONS.length)) {
  refuse('--write takes all attacks on all versions: leave out --only, --quick and --version')
}

try {
  const runs: Run[] = []
  for (const version of options.version) {
    const run = await playAll(version)
    runs.push(run)
    print(options.json ? JSON.stringify(run) : `\n${asText(attacks, run)}\n`)
  }
  if (options.write) {
    write(runs)
  }
  const held = runs.every(({ results }) =>
    attacks.every((attack) => results.some((result) => result.id === attack.id && asItShouldBe(attack, result))),
  )
  progress(held ? 'Nothing lives on, and every attack is one' : 'NOT as it should be')
  await end(held ? 0 : 1)
} catch (cause) {
  process.stderr.write(
    `The attacks failed: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}\n`,
  )
  await end(1)
}

async function playAll(version: string): Promise<Run> {
  const from = performance.now()
  const results: Result[] = []
  const tell = (attack: Described, result: Result) => {
    results.push(result)
    progress(`${version}, ${results.length} of ${attacks.length}: ${attack.id}: ${word(attack, result)}`)
    tellWhy(attack, result)
  }
  if (alone.length > 0) {
    world = await startWorld(progress, version)
    for (const attack of alone) {
      tell(attack, await play(world, attack, options.quick))
    }
    await world.stop()
    world = undefined
  }
  if (inCluster.length > 0) {
    const played = await playCluster(version, progress, { attacks: inCluster, quick: options.quick })
    played.forEach((result, n) => inCluster[n] && tell(inCluster[n], result))
  }
  return { keycloak: version, seconds: secondsSince(from), results }
}

function tellWhy(attack: Described, result: Result): void {
  if (asItShouldBe(attack, result)) {
    return
  }
  const { guarded, stock } = result
  const lived = (survivors: readonly (readonly string[])[] = []) => [...new Set(survivors.flat())].join(', ')
  progress(`      lives on: ${lived(guarded?.survivors)}`)
  if (verdictOn(attack, result) === 'no attack') {
    progress(`      the control should have kept ${attack.loot.join(', ')}, and kept ${lived(stock?.survivors)}`)
  }
  for (const failure of [...(guarded?.failures ?? []), ...(stock?.failures ?? [])]) {
    progress(`      ${failure}`)
  }
}

function chosen<T extends Described & { quick?: number }>(from: readonly T[]): readonly T[] {
  const { only, quick } = options
  return from.filter(
    ({ id, family, quick: tries }) =>
      (only?.some((name) => name === family || id.startsWith(name)) ?? true) && (!quick || tries !== undefined),
  )
}

function refuseUnknown(): never {
  const { only, quick } = options
  const families = [...new Set([...ATTACKS, ...clusterAttacks].map(({ family }) => family))].join(', ')
  refuse(
    `--only ${only?.join(' --only ') ?? ''} is no attack${quick ? ' of the short form' : ''}; the families are ${families}`,
  )
}

function write(runs: readonly Run[]): void {
  const text = readFileSync(PAGE, 'utf8')
  const [before, after] = [text.split(BEGIN)[0], text.split(END)[1]]
  if (before === undefined || after === undefined) {
    throw new Error(`${PAGE} has lost its marks ${BEGIN} and ${END}`)
  }
  const versions = runs.map(({ keycloak, seconds }) => `${keycloak} (${seconds} s)`).join(' and ')
  const when = `On ${new Date().toISOString().slice(0, 10)}, Keycloak ${versions}, PostgreSQL, ${availableParallelism()} cores for all parts together. A star: the attack is a part of the short form, and so of \`npm test\`.`
  writeFileSync(PAGE, `${before}${BEGIN}\n\n${when}\n\n${asMarkdown(attacks, runs)}\n\n${END}${after}`)
}
