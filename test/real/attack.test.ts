import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Attack } from '../../scripts/attack/attack.ts'
import { ATTACKS } from '../../scripts/attack/list.ts'
import { play, verdictOn } from '../../scripts/attack/play.ts'
import { SECRET } from '../../scripts/attack/clients.ts'
import { furnish, type Targets } from '../../scripts/attack/world.ts'
import { demoRealm } from '../../scripts/stage/demo-realm.ts'
import { type CibaDevice, startCibaDevice } from '../../scripts/stage/ciba.ts'
import { type Mailbox, startMail } from '../../scripts/stage/mail.ts'
import { route, shared } from './shared.ts'

// The short form of `npm run attack`, each attack with its control on a stock realm.

let world: Targets
let mail: Mailbox
let ciba: CibaDevice
beforeAll(async () => {
  const { keycloak, postgres, token, ...server } = await shared()
  const guarded = await server.bring('demo', 'attack', demoRealm(SECRET))
  const stock = await server.bring('demo', 'attack-stock', demoRealm(SECRET))
  await stock.must('PUT', '', { eventsListeners: ['jboss-logging'] })
  const upstream = await server.make('attack-upstream')
  ;[mail, ciba] = [await startMail(), await startCibaDevice()]
  await route('ciba', 'attack', ciba.url)
  await route('ciba', 'attack-stock', ciba.url)
  const parts = { keycloak, postgres, token, mail, ciba, features: await server.features() }
  world = await furnish(parts, { guarded, stock, upstream })
})
afterAll(async () => {
  await Promise.all([mail.stop(), ciba.stop()])
})

const SHORT = ATTACKS.filter(({ quick }) => quick !== undefined)
const isStorm = ({ family }: Attack) => family === 'storm'
const named = (attacks: readonly Attack[]) => attacks.map((attack) => [attack.title, attack.id, attack] as const)

async function fails(_title: string, _id: string, attack: Attack): Promise<void> {
  const result = await play(world, attack, true)
  expect(result.guarded).toMatchObject({ survivors: [], failures: [] })
  expect(verdictOn(attack, result), JSON.stringify(result.stock)).toBe('held')
}

// These wait most of the time, for a whole second to pass.
describe.concurrent('an attacker', () => {
  test.each(named(SHORT.filter((attack) => !isStorm(attack))))('%s (%s)', fails)
})

// These are as much as the machine can do.
describe('a storm', () => {
  test.each(named(SHORT.filter(isStorm)))('%s (%s)', fails)
})
