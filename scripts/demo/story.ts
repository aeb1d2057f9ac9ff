import { setTimeout as delay } from 'node:timers/promises'
import { openBrowserApp, showsOrders } from '../stage/browser-app.ts'
import { Browser } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import { until } from '../stage/process.ts'
import type { Guarded, GuardedWorld } from './guarded.ts'
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
  readonly deadAfterNewLogin?: boolean
  /** What it must be after the reset with the relay. */
  readonly expected: 'dead' | 'alive'
}

interface Access {
  readonly access: string
  readonly clientId: string
  readonly isAlive: () => Promise<boolean>
}

interface User {
  readonly realm: string
  readonly id: string
}

/** How long stock Keycloak is given to end what it leaves alive. */
const STOCK_WATCH_MS = 3000
const GIVE_UP_MS = 15_000
/** Login times are whole seconds, and a login in the reset's own second counts as from before it. */
const NEXT_SECOND_MS = 1100

/** Plays the whole story and tells it line by line. Nothing in it is simulated. */
export async function play(world: World, guarded: GuardedWorld, progress: (what: string) => void): Promise<Line[]> {
  const { stock, demo, password } = world
  const { admin } = world.keycloak
  const alice = { realm: 'demo', id: await admin.userId('demo', 'alice') }
  progress('Alice and Bob log in everywhere, in both realms')
  const logIn = async (realm: Realm, username: string, newest: string) => [
    ...(await logInEverywhere(realm, username, newest)),
    ...(await logInWithoutSessions(realm, guarded, username, newest)),
  ]
  const onStock = await logIn(stock, 'alice', password)
  const hers = await logIn(demo, 'alice', password)
  const his = await logIn(demo, 'bob', password)
  const hersBefore = await whichLive(hers)
  const hisBefore = await whichLive(his)
  await delay(NEXT_SECOND_MS)

  progress('An administrator resets her password on stock Keycloak')
  await resetPassword(world, { realm: 'stock', id: await admin.userId('stock', 'alice') }, `${password}-2`)
  await delay(STOCK_WATCH_MS)
  const aliveOnStock = await whichLive(onStock)

  progress('And where Logout Relay watches')
  const began = performance.now()
  const [, ...deadAfterMs] = await Promise.all([
    resetPassword(world, alice, `${password}-2`),
    ...hers.map((access) => diesWithin(access, began)),
  ])

  progress('She logs in again with the new password')
  await delay(NEXT_SECOND_MS)
  const anew = await logIn(demo, 'alice', `${password}-2`)
  const anewBefore = await whichLive(anew)
  const revived = await whichLive(hers)
  await allDelivered(world)
  const anewAfter = await whichLive(anew)

  progress('A relying party goes down, her password is reset again, the relying party comes back')
  const missed = await resetWhileDown(world, alice, `${password}-2`, `${password}-3`)
  await allDelivered(world)
  // Asked last of all: his session at the relying party that was down shows that a restart ends none.
  const hisAfter = await whichLive(his)

  return [
    ...hers.map(({ access, clientId }, n): Line => {
      const ms = deadAfterMs[n]
      return {
        access,
        clientId,
        aliveBefore: hersBefore[n] ?? false,
        aliveAfterStockReset: aliveOnStock[n] ?? false,
        aliveAfterRelayReset: ms === undefined,
        ...(ms === undefined ? {} : { deadAfterMs: ms }),
        deadAfterNewLogin: revived[n] === false,
        expected: 'dead',
      }
    }),
    missed,
    ...stayAlive('of her new login', anew, anewBefore, anewAfter),
    ...stayAlive('of Bob', his, hisBefore, hisAfter),
  ]
}

/** Whether it all held. */
export function held(line: Line): boolean {
  return (
    line.aliveBefore &&
    line.aliveAfterStockReset !== false &&
    line.deadAfterNewLogin !== false &&
    line.aliveAfterRelayReset === (line.expected === 'alive')
  )
}

/** Everything that a person's password unlocks in one realm: two browsers at each application, and two kinds of token. */
async function logInEverywhere(realm: Realm, username: string, password: string): Promise<Access[]> {
  const accesses: Access[] = []
  for (const n of [1, 2]) {
    const browser = new Browser()
    for (const { clientId, url } of applications(realm)) {
      await browser.login(url, username, password)
      accesses.push({ access: `browser session ${n}`, clientId, isAlive: () => browser.isAlive(url) })
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

/** What no back-channel logout reaches: an API and a proxy that take access tokens, and a single-page app. */
async function logInWithoutSessions(
  realm: Realm,
  guarded: GuardedWorld,
  username: string,
  password: string,
): Promise<Access[]> {
  const { orders, intranet, browserApp }: Guarded = guarded[realm.name]
  const { access_token: token } = await realm.tokens.directGrant('mobile-app', username, password)
  const { clientId, url } = browserApp
  let app: Access
  if (guarded.chrome) {
    const page = await openBrowserApp(guarded.chrome, url, username, password)
    app = { access: 'browser app in Chromium', clientId, isAlive: () => showsOrders(page) }
  } else {
    const login = { clientId, redirectUri: url }
    const tokens = await realm.tokens.codeFlow(new Browser(), login, username, password)
    const isAlive = async () => (await orders.status(tokens.access_token)) === 200
    app = { access: 'browser app, over HTTP', clientId, isAlive }
  }
  return [
    { access: 'access token', clientId: 'orders-api', isAlive: async () => (await orders.status(token)) === 200 },
    ...(intranet
      ? [
          {
            access: 'access token, at nginx',
            clientId: intranet.clientId,
            isAlive: async () => (await intranet.status(token)) === 200,
          },
        ]
      : []),
    app,
  ]
}

function whichLive(accesses: readonly Access[]): Promise<boolean[]> {
  return Promise.all(accesses.map(({ isAlive }) => isAlive()))
}

/** Milliseconds since `began` until it was first seen dead, or undefined if it lives on. */
async function diesWithin({ isAlive }: Access, began: number): Promise<number | undefined> {
  while (performance.now() - began < GIVE_UP_MS) {
    if (!(await isAlive())) {
      return Math.round(performance.now() - began)
    }
    await delay(10)
  }
  return undefined
}

async function resetPassword({ keycloak }: World, user: User, password: string): Promise<void> {
  const answer = await keycloak.admin.resetPassword(user.realm, user.id, password)
  if (answer.status !== 204) {
    throw new Error(`The reset in ${user.realm}: ${answer.status} ${answer.text}`)
  }
}

/** A session at a relying party that is down during the reset: owed, and ended as soon as it is back. */
async function resetWhileDown(world: World, alice: User, password: string, newPassword: string): Promise<Line> {
  const { demo } = world
  const { clientId, url } = demo.express
  const browser = new Browser()
  await browser.login(url, 'alice', password)
  const access = 'session at an application that was down'
  const session = { access, clientId, isAlive: () => browser.isAlive(url) }
  const aliveBefore = await session.isAlive()
  await delay(NEXT_SECOND_MS)
  await demo.express.stop()
  const began = performance.now()
  await resetPassword(world, alice, newPassword)
  await delay(NEXT_SECOND_MS)
  demo.express = await demo.express.restart()
  const ms = await diesWithin(session, began)
  return {
    access,
    clientId,
    aliveBefore,
    aliveAfterRelayReset: ms === undefined,
    ...(ms === undefined ? {} : { deadAfterMs: ms }),
    expected: 'dead',
  }
}

function stayAlive(whose: string, accesses: readonly Access[], before: readonly boolean[], after: readonly boolean[]) {
  return accesses.map(({ access, clientId }, n): Line => {
    return {
      access: `${access} ${whose}`,
      clientId,
      aliveBefore: before[n] ?? false,
      aliveAfterRelayReset: after[n] ?? false,
      expected: 'alive',
    }
  })
}

/** Until the relay says of every delivery that it is delivered. */
async function allDelivered({ relay, operatorToken }: World): Promise<void> {
  const headers = { authorization: `Bearer ${operatorToken}` }
  await until(
    'every delivery is delivered',
    async () => {
      const answer = await call<{ deliveries: { state: string }[] }>(
        'GET',
        `${relay.url}/api/v1/deliveries?limit=500`,
        { headers },
      )
      if (answer.status !== 200) {
        throw new Error(`The relay answered ${answer.status} ${answer.text}`)
      }
      const { deliveries } = answer.json()
      return deliveries.length > 0 && deliveries.every(({ state }) => state === 'delivered')
    },
    { seconds: 60, everyMs: 100 },
  )
}
