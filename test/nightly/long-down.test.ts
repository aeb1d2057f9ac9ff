import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { World } from '../../scripts/demo/world.ts'
import { Browser } from '../../scripts/stage/browser.ts'
import type { KeycloakAt } from '../../scripts/stage/keycloak.ts'
import { until } from '../../scripts/stage/process.ts'
import { nextSecond } from '../real/demo-realm.ts'
import { startSharedWorld } from '../real/shared.ts'

const LONGER_THAN_A_TOKEN_LIVES_MS = 125_000

let world: World<KeycloakAt>

beforeAll(async () => {
  world = await startSharedWorld('long-down')
})

afterAll(() => world.stop())

// For some seconds, and by the token that is made then: test/real/relay.test.ts.
test('a relying party that was down for longer than a logout token lives is told when it is back', async () => {
  const { demo } = world
  const user = await demo.admin.createUser('dora', 'password')
  const browser = new Browser()
  await browser.login(demo.express.url, 'dora', 'password')
  expect(await browser.isAlive(demo.express.url)).toBe(true)
  await nextSecond()
  await demo.express.stop()
  expect((await demo.admin.resetPassword(user, 'another')).status).toBe(204)
  await delay(LONGER_THAN_A_TOKEN_LIVES_MS)
  demo.express = await demo.express.restart()
  expect(await browser.isAlive(demo.express.url)).toBe(true)
  await until('the session is dead', async () => !(await browser.isAlive(demo.express.url)), { seconds: 150 })
}, 400_000)
