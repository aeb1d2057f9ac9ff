import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/real/order.ts'
import { QUICK } from './test/real/quick.ts'

const REAL = {
  globalSetup: ['test/real/shared-server.ts'],
  env: QUICK,
  // Limits that only a hang reaches.
  testTimeout: 180_000,
  hookTimeout: 300_000,
}

export default defineConfig({
  test: {
    reporters: ['default', './test/slowest.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], restoreMocks: true, testTimeout: 60_000 } },
      {
        test: {
          ...REAL,
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          // Three files at a time, since more than half of it is waiting for real servers.
          maxWorkers: 3,
          // Without it the two cannot be listed together.
          sequence: { groupOrder: 1 },
        },
      },
      // What takes minutes to show; each has a quick sibling in `real`.
      { test: { ...REAL, name: 'nightly', include: ['test/nightly/**/*.test.ts'] } },
    ],
  },
})
