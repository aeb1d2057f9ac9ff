import { setTimeout as delay } from 'node:timers/promises'
import { openBrowserApp, showsOrders } from '../stage/browser-app.ts'
import { Browser } from '../stage/browser.ts'
import type { Guarded, GuardedWorld } from './guarded.ts'
import { type Access, allDelivered, diesWithin, NEXT_SECOND_MS, whichLive } from './seen.ts'
import { applications, type Realm, type Twin, type World } from './world.ts'

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

interface User {
  readonly realm: string
  readonly id: string
}

/** What an app keeps, and the scope that it asks for. */
export const TOKENS = [
  ['refresh token', 'openid'],
  ['offline token', 'openid offline_access'],
] as const

/** How long stock Keycloak is given to end what it leaves alive. */
const STOCK_WATCH_MS = 3000

/** Plays the whole story and tells it line by line. Nothing in it is simulated. */
export async function play(world: World, guarded: GuardedWorld, progress: (what: string) => void): Promise<Line[]> {
  const { stock, demo, password } = world
  const { admin } = world.keycloak
  const alice = { realm: 'demo', id: await admin.userId('demo', 'alice') }
  progress('Alice and Bob log in everywhere, in both realms')
  const logIn = async (realm: Twin, username: string, newest: string) => [
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
  await allDelivered(world.relay, world.operatorToken)
  const anewAfter = await whichLive(anew)

  progress('A relying party goes down, her password is reset again, the relying party comes back')
  const missed = await resetWhileDown(world, alice, `${password}-2`, `${password}-3`)
  await allDelivered(world.relay, world.operatorToken)
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
  return [...accesses, ...(await byPassword(realm, username, password))]
}

/** The tokens of an app on a telephone, which has asked for the password itself. */
export async function byPassword(realm: Realm, username: string, password: string): Promise<Access[]> {
  const clientId = 'mobile-app'
  const accesses: Access[] = []
  for (const [access, scope] of TOKENS) {
    const tokens = await realm.tokens.directGrant(clientId, username, password, scope)
    accesses.push({ access, clientId, isAlive: () => realm.tokens.lives(clientId, tokens) })
  }
  return accesses
}

/** What no back-channel logout reaches: an API and a proxy that take access tokens, and a single-page app. */
async function logInWithoutSessions(
  realm: Twin,
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
