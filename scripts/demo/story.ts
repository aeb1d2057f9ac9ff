import { setTimeout as delay } from 'node:timers/promises'
import { Browser } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import { until } from '../stage/process.ts'
import { applications, type Realm, type World } from './world.ts'

/** One line of the story. What is not asked of an access is absent. */
export interface Line {
  readonly access: string
  readonly clientId: string
  readonly aliveBefore: boolean
  readonly aliveAfterStockReset?: boolean
  readonly aliveAfterRelayReset: boolean
  /** Milliseconds from the administrator's request until it was seen dead. */
  readonly deadAfterMs?: number
  /** Some sessions come back to life when their owner logs in again; these must not. */
  readonly aliveAfterNewLogin?: boolean
  /** What it must be after the reset with the relay. */
  readonly expected: 'dead' | 'alive'
}

interface Access {
  readonly access: string
  readonly clientId: string
  readonly isAlive: () => Promise<boolean>
}

const STOCK_WATCH_MS = 2000
const GIVE_UP_MS = 15_000
/** Login times are whole seconds, and a login in the reset's own second counts as from before it. */
const NEXT_SECOND_MS = 1100

/** Everything that a person's password unlocked in one realm: two browsers at each application, and two kinds of token. */
async function logInEverywhere(realm: Realm, username: string, password: string): Promise<Access[]> {
  const accesses: Access[] = []
  for (const n of [1, 2]) {
    const browser = new Browser()
    for (const app of applications(realm)) {
      await browser.login(app.url, username, password)
      accesses.push({ access: `browser session ${n}`, clientId: app.clientId, isAlive: () => browser.isAlive(app.url) })
    }
  }
  for (const [access, scope] of [
    ['refresh token', 'openid'],
    ['offline token', 'openid offline_access'],
  ] as const) {
    const tokens = await realm.tokens.directGrant('mobile-app', username, password, scope)
    accesses.push({ access, clientId: 'mobile-app', isAlive: () => realm.tokens.lives('mobile-app', tokens) })
  }
  return accesses
}

/** Milliseconds since `began` until it was first seen dead, or undefined if it lives on. */
async function diesWithin({ isAlive }: Access, began: number, withinMs: number): Promise<number | undefined> {
  while (performance.now() - began < withinMs) {
    if (!(await isAlive())) {
      return Math.round(performance.now() - began)
    }
    await delay(10)
  }
  return undefined
}

/** Plays the whole story and tells it line by line. Nothing in it is simulated. */
export async function play(world: World, progress: (what: string) => void): Promise<Line[]> {
  const { keycloak, stock, demo, password } = world
  const { admin } = keycloak
  progress('Alice and Bob log in everywhere, in both realms')
  const before = await logInEverywhere(stock, 'alice', password)
  const hers = await logInEverywhere(demo, 'alice', password)
  const his = await logInEverywhere(demo, 'bob', password)
  const aliveBefore = await Promise.all(hers.map(({ isAlive }) => isAlive()))
  await delay(NEXT_SECOND_MS)

  progress('An administrator resets her password on stock Keycloak')
  await admin.resetPassword('stock', await admin.userId('stock', 'alice'), `${password}-2`)
  await delay(STOCK_WATCH_MS)
  const aliveOnStock = await Promise.all(before.map(({ isAlive }) => isAlive()))

  progress('And where Logout Relay watches')
  const alice = await admin.userId('demo', 'alice')
  const began = performance.now()
  await admin.resetPassword('demo', alice, `${password}-2`)
  const deadAfterMs = await Promise.all(hers.map((access) => diesWithin(access, began, GIVE_UP_MS)))

  progress('She logs in again with the new password')
  await delay(NEXT_SECOND_MS)
  const anew = await logInEverywhere(demo, 'alice', `${password}-2`)
  const hersAnew = await Promise.all(anew.map(({ isAlive }) => isAlive()))
  const revived = await Promise.all(hers.map(({ isAlive }) => isAlive()))
  await allDelivered(world)
  const hersAfterAll = await Promise.all(anew.map(({ isAlive }) => isAlive()))
  const hisAfterAll = await Promise.all(his.map(({ isAlive }) => isAlive()))

  progress('A relying party goes down, her password is reset again, the relying party comes back')
  const down = await logInOnce(demo, `${password}-2`)
  await delay(NEXT_SECOND_MS)
  await demo.express.stop()
  const beganDown = performance.now()
  await admin.resetPassword('demo', alice, `${password}-3`)
  await delay(NEXT_SECOND_MS)
  demo.express = await demo.express.restart()
  const downDeadMs = await diesWithin(down, beganDown, GIVE_UP_MS)
  await allDelivered(world)

  return [
    ...hers.map(({ access, clientId }, n): Line => {
      const ms = deadAfterMs[n]
      return {
        access,
        clientId,
        aliveBefore: aliveBefore[n] ?? false,
        aliveAfterStockReset: aliveOnStock[n] ?? false,
        aliveAfterRelayReset: ms === undefined,
        ...(ms === undefined ? {} : { deadAfterMs: ms }),
        aliveAfterNewLogin: revived[n] ?? true,
        expected: 'dead',
      }
    }),
    ...anew.map(({ access, clientId }, n): Line => {
      return {
        access: `${access} of her new login`,
        clientId,
        aliveBefore: hersAnew[n] ?? false,
        aliveAfterRelayReset: hersAfterAll[n] ?? false,
        expected: 'alive',
      }
    }),
    ...his.map(({ access, clientId }, n): Line => {
      return {
        access: `Bob's ${access}`,
        clientId,
        aliveBefore: true,
        aliveAfterRelayReset: hisAfterAll[n] ?? false,
        expected: 'alive',
      }
    }),
    {
      access: 'browser session while the application was down',
      clientId: down.clientId,
      aliveBefore: true,
      aliveAfterRelayReset: downDeadMs === undefined,
      ...(downDeadMs === undefined ? {} : { deadAfterMs: downDeadMs }),
      expected: 'dead',
    },
  ]
}

async function logInOnce(realm: Realm, password: string): Promise<Access> {
  const browser = new Browser()
  await browser.login(realm.express.url, 'alice', password)
  const access = { access: '', clientId: realm.express.clientId, isAlive: () => browser.isAlive(realm.express.url) }
  if (!(await access.isAlive())) {
    throw new Error('The session that was to be ended did not live')
  }
  return access
}

/** Until the relay says that nothing is owed any more. */
async function allDelivered({ relay, operatorToken }: World): Promise<void> {
  await until(
    'every delivery has its end',
    async () => {
      const headers = { authorization: `Bearer ${operatorToken}` }
      const answer = await call<{ deliveries: unknown[] }>('GET', `${relay.url}/api/v1/deliveries?state=open`, {
        headers,
      })
      if (answer.status !== 200) {
        throw new Error(`the relay answered ${answer.status} ${answer.text}`)
      }
      return answer.json().deliveries.length === 0
    },
    { seconds: 60, everyMs: 100 },
  )
}

/** Whether it all held. */
export function held(line: Line): boolean {
  const onStock = line.aliveAfterStockReset ?? true
  return (
    line.aliveBefore &&
    onStock &&
    line.aliveAfterNewLogin !== true &&
    line.aliveAfterRelayReset === (line.expected === 'alive')
  )
}
