import { setTimeout as delay } from 'node:timers/promises'
import { Browser } from '../stage/browser.ts'
import type { Tokens } from '../stage/tokens.ts'
import type { Attack } from './attack.ts'
import { given } from './loop.ts'
import { nextSecond } from './target.ts'
import { PASSWORD, Victim } from './victim.ts'

/** The loop runs for so long before the reset, each try a little longer than the one before. */
const BEFORE_MS = { least: 400, step: 53, spread: 1000 }
/** What is alive so long after the reset lives on. */
const AFTER_MS = 2000

type LogIn = (victim: Victim) => Promise<Tokens | undefined>

const byDirectGrant: LogIn = async ({ target, name }) =>
  given(
    await target.tokens.ask({
      grant_type: 'password',
      client_id: 'flows-app',
      username: name,
      password: PASSWORD,
      scope: 'openid',
    }),
  )

/** Through the login page; whatever has refused the password has no code. */
const byBrowser: LogIn = async (victim) => victim.target.redeem(await victim.logIn(new Browser()))

/** Logs in by the old password again and again; answers all that it ever got. */
async function logInUntil(ended: () => boolean, logIn: () => Promise<Tokens | undefined>, paceMs: number) {
  const all: Tokens[] = []
  while (!ended()) {
    const tokens = await logIn()
    if (tokens) {
      all.push(tokens)
    }
    await delay(paceMs)
  }
  return all
}

function duringTheReset(id: string, logIn: LogIn, paceMs: number, says: string): Attack {
  return {
    id,
    family: 'old-password',
    title: 'What the old password gives during the reset is dead two seconds later',
    tries: `logs in with the old password ${says}, before, during and after the reset`,
    loot: ['session'],
    times: 20,
    atOnce: paceMs === 0 ? 2 : 5,
    run: async (target, name, n) => {
      const victim = await Victim.create(target, name)
      await nextSecond()
      let ended = false
      const logins = logInUntil(
        () => ended,
        () => logIn(victim),
        paceMs,
      )
      try {
        await delay(BEFORE_MS.least + ((n * BEFORE_MS.step) % BEFORE_MS.spread))
        await victim.resetNow()
        await delay(AFTER_MS)
      } finally {
        ended = true
      }
      // The newest are those that may have slipped through.
      const newest = (await logins).slice(-20)
      const alive = await Promise.all(newest.map(async (tokens) => (await target.livesOf(tokens)).length > 0))
      const accepted = await target.takesPassword(name, PASSWORD)
      return [...(alive.includes(true) ? ['session'] : []), ...(accepted ? ['old password'] : [])]
    },
  }
}

export const OLD_PASSWORD: readonly Attack[] = [
  duringTheReset('old-password-200', byDirectGrant, 200, 'by direct grant every 200 ms'),
  duringTheReset('old-password-loop', byDirectGrant, 0, 'by direct grant without a pause'),
  duringTheReset('old-password-browser', byBrowser, 0, 'at the login page without a pause'),
]
