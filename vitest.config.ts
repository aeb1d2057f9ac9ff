import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], restoreMocks: true } },
      {
        test: {
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          // Real servers on two cores: one file at a time, and a limit that only a hang reaches.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
})
