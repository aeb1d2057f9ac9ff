import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/real/order.ts'
import { QUICK } from './test/real/quick.ts'

export default defineConfig({
  test: {
    reporters: ['default', './test/slowest.ts'],
    sequence: { sequencer: LongestFirst },
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], restoreMocks: true, testTimeout: 60_000 } },
      {
        test: {
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          env: QUICK,
          // Three files at a time, since more than half of it is waiting for real servers, and a limit that only a hang reaches.
          maxWorkers: 3,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
})
