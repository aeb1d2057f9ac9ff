import { availableParallelism, cpus, totalmem } from 'node:os'
import { readOptions, refuse, wholeOption } from '../scripts/stage/options.ts'
import { breach } from './breach.ts'
import { cluster } from './cluster.ts'
import { pages } from './console.ts'
import { directory } from './directory.ts'
import { eventsIn } from './events-in.ts'
import { blackHole, fanOut, history, slow } from './fan-out.ts'
import { guard } from './guard.ts'
import { ledger } from './ledger.ts'
import { minted } from './minted.ts'
import { native } from './native.ts'
import { resume } from './resume.ts'
import { spine } from './spine.ts'
import { starting } from './start.ts'
import { type Line, reached, type Size } from './stats.ts'
import { workload } from './workload.ts'

/**
 * The command: every figure, or those of one bench, as a table, as JSON lines or as the rows of docs/performance.md. It
 * measures and judges nothing: its exit status is 0 if all of it ran. Its last line counts the goals that were reached.
 */
const options = readOptions({
  json: { type: 'boolean', default: false },
  markdown: { type: 'boolean', default: false },
  rounds: { type: 'string', default: '15' },
  share: { type: 'string', default: '1' },
  only: { type: 'string' },
})
const BENCHES: Readonly<Record<string, (size: Size) => Promise<Line[]>>> = {
  'fan-out': fanOut,
  minted,
  slow,
  'black-hole': blackHole,
  breach,
  'events-in': eventsIn,
  history,
  resume,
  start: starting,
  guard,
  cluster,
  native,
  spine,
  ledger,
  directory,
  workload,
  console: pages,
}
const size: Size = { rounds: wholeOption('rounds', options.rounds), share: Number(options.share) }
if (!(size.share > 0 && size.share <= 1)) {
  refuse(
    `--share ${options.share} is no share; give more than 0 and at most 1, which is the size that the goals are for`,
  )
}
if (options.only !== undefined && !Object.hasOwn(BENCHES, options.only)) {
  refuse(`--only ${options.only} is no bench; give one of ${Object.keys(BENCHES).join(', ')}`)
}
const machine = {
  cores: availableParallelism(),
  cpu: cpus()[0]?.model ?? '',
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
}
const say = (line: string) => void process.stdout.write(`${line}\n`)
if (options.json) {
  say(JSON.stringify({ machine, ...size }))
} else {
  say(`${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, Node ${machine.node}; ${size.rounds} rounds`)
}
if (options.markdown) {
  say('\n| | unit | median | min | max | wanted |\n| --- | --- | --- | --- | --- | --- |')
}
const all: Line[] = []
for (const [name, bench] of Object.entries(BENCHES)) {
  if (options.only !== undefined && options.only !== name) {
    continue
  }
  process.stderr.write(`· ${name}\n`)
  const lines = await bench(size)
  all.push(...lines)
  if (options.json) {
    lines.forEach((line) => say(JSON.stringify({ bench: name, ...line })))
  } else if (options.markdown) {
    for (const line of lines) {
      const { median, min, max } = line.figure
      say(`| ${[line.what, line.unit, median, min, max, reached(line)].join(' | ')} |`)
    }
  } else {
    console.table(
      lines.map((line) => {
        const { median, p99, min, max, n } = line.figure
        return { what: line.what, unit: line.unit, median, p99, min, max, n, goal: reached(line).replaceAll('*', '') }
      }),
    )
  }
}
const goals = all.filter(({ goal }) => goal !== undefined)
const missed = goals.filter((line) => reached(line).includes('not reached')).map(({ what }) => what)
if (options.json) {
  say(JSON.stringify({ figures: all.length, goals: goals.length, missed }))
} else {
  say(`\n${all.length} figures, ${goals.length - missed.length} of ${goals.length} goals reached`)
}
