import { readOptions, refuse, wholeOption } from '../scripts/stage/options.ts'
import type { Result } from './cases.ts'
import { redis } from './redis.ts'
import { sqlite } from './sqlite.ts'

/** The command: a real relay process, with everything done to it that a machine can do, and a ledger outside of it. */
const options = readOptions({
  store: { type: 'string', default: 'sqlite' },
  kills: { type: 'string', default: '25' },
  seed: { type: 'string', default: '1' },
  short: { type: 'boolean', default: false },
})
/** The cases of each store, as they end. */
const STORES: Readonly<Record<string, (seed: number, kills: number, short: boolean) => AsyncIterable<Result>>> = {
  sqlite,
  redis,
}
const say = (line: string) => void process.stdout.write(`${line}\n`)
const cases =
  STORES[options.store] ?? refuse(`--store ${options.store} is no store; give one of ${Object.keys(STORES).join(', ')}`)
const [seed, kills] = [wholeOption('seed', options.seed), wholeOption('kills', options.kills)]
const began = performance.now()
const sum = { acknowledged: 0, sessions: 0, lost: 0, twice: 0, unexplained: 0, untrue: 0, wrong: 0 }
for await (const { name, says, account, wrong } of cases(seed, kills, options.short)) {
  say(
    `${name}: ${says}; ${account.sessions} sessions, ${account.lost} lost, ${account.twice} told twice, ${account.unexplained} without a fault`,
  )
  wrong.forEach((what) => say(`  WRONG: ${what}`))
  for (const key of Object.keys(sum) as (keyof typeof sum)[]) {
    sum[key] += account[key]
  }
  sum.wrong += wrong.length
}
say(
  `${sum.acknowledged} events acknowledged with ${sum.sessions} sessions: ${sum.lost} never delivered; ` +
    `${sum.twice} told twice after a fault, ${sum.unexplained} without one; ${sum.untrue} reported without an answer; ` +
    `${sum.wrong} other faults; store ${options.store}, seed ${options.seed}, ` +
    `${Math.round((performance.now() - began) / 1000)} s`,
)
process.exitCode = sum.lost + sum.unexplained + sum.untrue + sum.wrong === 0 && sum.sessions > 0 ? 0 : 1
