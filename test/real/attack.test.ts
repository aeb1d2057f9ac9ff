import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Attack } from '../../scripts/attack/attack.ts'
import { ATTACKS } from '../../scripts/attack/list.ts'
import { play, verdictOn } from '../../scripts/attack/play.ts'
import { startWorld, type World } from '../../scripts/attack/world.ts'
import { KEYCLOAK_VERSIONS } from '../../scripts/stage/keycloak-versions.ts'
import { type Audit, audit } from './audit-command.ts'

// The short form of `npm run attack`, each attack with its control on a stock realm.

let world: World
beforeAll(async () => {
  world = await startWorld(() => undefined, KEYCLOAK_VERSIONS.at(-1) ?? '')
})
afterAll(() => world.stop())

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

// Where the audit itself is tested, the server pushes its events.
test('a server that pushes no events is found by the audit', async () => {
  const { admin, realm } = world.guarded
  const server = ['--url', world.guarded.parts.keycloak.url, '--realm', realm]
  const { out } = await audit([...server, '--json'], { LOGOUT_RELAY_TOKEN: await admin.token() })
  const { findings } = JSON.parse(out) as Audit
  expect(findings.filter(({ id }) => id === 'push-off')).toMatchObject([{ level: 'low', where: { name: realm } }])
})
