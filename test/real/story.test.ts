import { expect, test } from 'vitest'
import { held, play } from '../../scripts/demo/story.ts'
import { startWorld } from '../../scripts/demo/world.ts'

test.each(['26.7.3', '26.5.0'])(
  'on Keycloak %s a reset with the relay ends all that stock Keycloak leaves alive, and nothing else',
  async (version) => {
    const world = await startWorld(() => undefined, version)
    try {
      const story = await play(world, () => undefined)
      expect(story.filter((line) => !held(line))).toEqual([])
      expect(new Set(story.map((line) => line.clientId))).toEqual(new Set(['apache-app', 'express-app', 'mobile-app']))
    } finally {
      await world.stop()
    }
  },
)
