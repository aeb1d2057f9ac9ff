import { availableParallelism, cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { breach } from './breach.ts'
import { eventsIn } from './events-in.ts'
import { blackHole, fanOut, history, slow } from './fan-out.ts'
import { native } from './native.ts'
import { resume } from './resume.ts'
import { spine } from './spine.ts'
import type { Line } from './stats.ts'

/** The command: every figure, or those of one bench, as a table or as JSON lines. It measures; it judges nothing. */
const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '15' },
    only: { type: 'string' },
    share: { type: 'string', default: '0.02' },
  },
})
const BENCHES: Readonly<Record<string, (rounds: number) => Promise<Line[]>>> = {
  'fan-out': fanOut,
  slow,
  'black-hole': blackHole,
  history,
  breach: () => breach(Number(options.share)),
  'events-in': eventsIn,
  resume,
  native,
  spine,
}
const rounds = whole('rounds', options.rounds)
if (options.only !== undefined && !(options.only in BENCHES)) {
  throw new TypeError(`--only must be one of ${Object.keys(BENCHES).join(', ')}`)
}
const machine = {
  cores: availableParallelism(),
  cpu: cpus()[0]?.model ?? '',
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
}
const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`)
if (options.json) {
  say({ machine, rounds })
}
for (const [name, bench] of Object.entries(BENCHES)) {
  if (options.only !== undefined && options.only !== name) {
    continue
  }
  process.stderr.write(`· ${name}\n`)
  const lines = await bench(rounds)
  if (options.json) {
    lines.forEach((line) => say({ bench: name, ...line }))
  } else {
    console.table(
      lines.map(({ what, unit, figure, goal = '' }) => {
        const { median, p99, min, max, n } = figure
        return { what, unit, median, p99, min, max, n, goal }
      }),
    )
  }
}

function whole(option: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) {
    throw new TypeError(`--${option} must be a whole number from 1 up; got something else`)
  }
  return Number(text)
}
