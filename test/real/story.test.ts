import { expect, onTestFinished, test } from 'vitest'
import { startGuarded } from '../../scripts/demo/guarded.ts'
import { held, play } from '../../scripts/demo/story.ts'
import { startWorld } from '../../scripts/demo/world.ts'

// On 26.7.3 it is played by the demo that tutorial.test.ts starts.
test('on the oldest Keycloak a reset with the relay ends all that stock Keycloak leaves alive, and nothing else', async () => {
  const world = await startWorld(() => undefined, '26.5.0')
  onTestFinished(() => world.stop())
  const guarded = await startGuarded(world)
  onTestFinished(() => guarded.stop())
  const story = await play(world, guarded, () => undefined)
  expect(story.filter((line) => !held(line))).toEqual([])
  expect(new Set(story.map((line) => line.clientId))).toEqual(
    new Set(['apache-app', 'express-app', 'mobile-app', 'orders-api', 'intranet', 'browser-app']),
  )
  expect(story.some(({ access }) => access === 'browser app in Chromium')).toBe(true)
}, 600_000)
