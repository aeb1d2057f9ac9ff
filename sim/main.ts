import { readOptions, wholeOption } from '../scripts/stage/options.ts'
import { type Figures, noFigures, run } from './run.ts'
import { SABOTAGES } from './sabotage.ts'

/** The command: worlds by the thousand, one world in words, or the proof that broken ones are noticed. */
const options = readOptions({
  seeds: { type: 'string', default: '1000' },
  seed: { type: 'string' },
  sabotage: { type: 'boolean' },
})
const seeds = wholeOption('seeds', options.seeds)
const say = (line: string) => void process.stdout.write(`${line}\n`)

const held = options.sabotage
  ? await sabotage()
  : options.seed !== undefined
    ? await one(wholeOption('seed', options.seed))
    : await many()
process.exitCode = held ? 0 : 1

async function many(): Promise<boolean> {
  const began = performance.now()
  const sum = noFigures()
  let broken = 0
  for (let seed = 1; seed <= seeds; seed++) {
    const { violation, figures } = await run(seed)
    for (const key of Object.keys(sum) as (keyof Figures)[]) {
      sum[key] += figures[key]
    }
    if (violation) {
      broken++
      say(`seed ${seed}: ${violation.guarantee} is broken. ${violation.says}. Replay: npm run sim -- --seed ${seed}`)
    }
  }
  const { events, deliveries, attempts, crashes, pauses, powerLosses, storesLost, failovers, virtualMs } = sum
  say(
    `${seeds - broken} of ${seeds} seeds held: ${events} events, ${deliveries} deliveries, ${attempts} attempts, ` +
      `${crashes} crashes, ${pauses} pauses, ${powerLosses} power losses, ${storesLost} stores lost, ${failovers} failovers, ${Math.round(virtualMs / 3_600_000)} hours ` +
      `in ${((performance.now() - began) / 1000).toFixed(1)} s`,
  )
  return broken === 0
}

async function one(seed: number): Promise<boolean> {
  const { violation, figures, trace } = await run(seed, undefined, true)
  trace.forEach(say)
  say(
    `seed ${seed} ${violation ? `broke ${violation.guarantee}: ${violation.says}` : 'held'}; ${JSON.stringify(figures)}`,
  )
  return !violation
}

async function sabotage(): Promise<boolean> {
  let found = 0
  for (const [name, { finds, hands }] of Object.entries(SABOTAGES)) {
    let says = `not found in ${seeds} seeds: the simulation is too tame`
    for (let seed = 1; seed <= seeds; seed++) {
      const { violation } = await run(seed, hands)
      if (violation) {
        const meant = finds.includes(violation.guarantee)
        found += meant ? 1 : 0
        says = `found by ${meant ? '' : 'the wrong invariant, '}${violation.guarantee} with seed ${seed}: ${violation.says}`
        break
      }
    }
    say(`${name}: ${says}`)
  }
  const all = Object.keys(SABOTAGES).length
  say(`${found} of ${all} sabotages found`)
  return found === all
}
