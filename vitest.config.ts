import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], restoreMocks: true, testTimeout: 60_000 } },
      {
        test: {
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          // Three files at a time, since more than half of it is waiting for real servers, and a limit that only a hang reaches.
          maxWorkers: 3,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
})
