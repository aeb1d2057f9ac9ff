import { setTimeout as delay } from 'node:timers/promises'
import { Browser } from '../stage/browser.ts'
import type { Attack } from './attack.ts'
import { EXCHANGER, REDIRECT_URI } from './clients.ts'
import { given, type Held, livesOf, Loop, refreshing, type Step } from './loop.ts'
import { nextSecond, SIGHTS, type Target } from './target.ts'
import { PASSWORD, Victim } from './victim.ts'

const KINDS = ['online', 'offline', 'exchanged'] as const
const LOOPS = [1, 4, 16] as const
const PACES_MS = [0, 30, 400] as const

type Kind = (typeof KINDS)[number]

/** The loops run for so long before the reset, each try a little longer than the one before. */
const BEFORE_MS = { least: 500, step: 37, spread: 700 }
/** Longer than any answer takes that was under way at the reset. */
const AFTER_MS = 1200

/** Refreshes while an administrator resets. */
function storm(kind: Kind, loops: number, paceMs: number): Attack {
  const many = loops === 1 ? 'one loop' : `${loops} loops`
  return {
    id: `storm-${kind}-${loops}x${paceMs}`,
    family: 'storm',
    title: `Whoever keeps refreshing ${kind} tokens is out at the reset`,
    tries: `refreshes in ${many}${paceMs === 0 ? ' without a pause' : ` every ${paceMs} ms`} while an administrator resets`,
    loot: SIGHTS,
    times: 20,
    ...(loops === 4 && paceMs === 0 ? { quick: 3 } : {}),
    // Loops that never pause are as much as two cores can do.
    atOnce: paceMs === 400 ? 5 : Math.max(1, Math.floor(4 / loops)),
    run: async (target, name, n) => {
      const victim = await Victim.create(target, name)
      const held = await begin(target, kind, name)
      await nextSecond()
      const step = kind === 'exchanged' ? byTurns(target) : refreshing(target)
      const all = Array.from({ length: loops }, () => new Loop(held, step, paceMs))
      await resetAmid(victim, all, n)
      return livesOf(target, all)
    },
  }
}

async function resetAmid(victim: Victim, loops: readonly Loop[], n: number): Promise<void> {
  try {
    await delay(BEFORE_MS.least + ((n * BEFORE_MS.step) % BEFORE_MS.spread))
    await victim.resetNow()
    await delay(AFTER_MS)
  } finally {
    await Promise.all(loops.map((loop) => loop.end()))
  }
}

async function begin(target: Target, kind: Kind, name: string): Promise<Held> {
  const scope = kind === 'offline' ? 'openid offline_access' : 'openid'
  const tokens = await target.tokens.directGrant('flows-app', name, PASSWORD, scope)
  if (kind !== 'exchanged') {
    return { tokens, clientId: 'flows-app' }
  }
  const answer = await target.exchange(tokens.access_token, 'refresh_token')
  if (answer.status !== 200) {
    throw new Error(`The exchange: ${answer.status} ${answer.text}`)
  }
  return { tokens: answer.json(), clientId: EXCHANGER.client_id }
}

/** Exchange and refresh, so that both ways of making exchanged tokens anew are under way at the reset. */
function byTurns(target: Target): Step {
  return async (held, n) =>
    n % 2 === 1 ? given(await target.exchange(held.tokens.access_token, 'refresh_token')) : refreshing(target)(held, n)
}

/** Single sign-on while an administrator resets: each loop asks for codes with the same cookies. */
const BY_COOKIES: Attack = {
  id: 'storm-cookies-4x0',
  family: 'storm',
  title: 'Whoever keeps asking for codes with the cookies of a browser is out at the reset',
  tries:
    'asks for a code and redeems it in 4 loops without a pause, with copied cookies, while an administrator resets',
  loot: [...SIGHTS, 'copied cookies'],
  times: 20,
  run: async (target, name, n) => {
    const victim = await Victim.create(target, name)
    const browser = new Browser()
    const held = { tokens: await victim.tokens(browser), clientId: 'flows-app' }
    await nextSecond()
    const jars = Array.from({ length: 4 }, () => browser.copy())
    const code = (jar: Browser) => jar.open(target.authorization(), REDIRECT_URI)
    const all = jars.map((jar) => new Loop(held, async () => target.redeem(await code(jar))))
    await resetAmid(victim, all, n)
    const codes = await Promise.all(jars.map(async (jar) => target.redeem(await code(jar))))
    return [...(await livesOf(target, all)), ...(codes.some((one) => one) ? ['copied cookies'] : [])]
  },
}

export const STORMS: readonly Attack[] = [
  ...KINDS.flatMap((kind) => LOOPS.flatMap((loops) => PACES_MS.map((paceMs) => storm(kind, loops, paceMs)))),
  BY_COOKIES,
]
