import type { Reporter, TestModule } from 'vitest/node'

const SHOWN = 10
const seconds = (ms: number) => `${(ms / 1000).toFixed(1).padStart(7)} s`

/** Where a run's time went: the slowest tests, and what files take to start and to stop what their tests need. */
export default class Slowest implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) =>
      [...module.children.allTests()].map((test) => ({
        ms: test.diagnostic()?.duration ?? 0,
        name: `${module.relativeModuleId}: ${test.name}`,
      })),
    )
    const slowest = tests.toSorted((a, b) => b.ms - a.ms).slice(0, SHOWN)
    // Tests of one file that run at once take longer together than their file does; such a file counts as one without starts.
    const starts = modules.map((module) => {
      const inTests = [...module.children.allTests()].reduce((sum, test) => sum + (test.diagnostic()?.duration ?? 0), 0)
      return Math.max(0, module.diagnostic().duration - inTests)
    })
    const sum = starts.reduce((one, other) => one + other, 0)
    const lines = slowest.map(({ ms, name }) => `${seconds(ms)}  ${name}`)
    const last = `${seconds(sum)}  starting and stopping in ${modules.length} files`
    process.stdout.write(`\n The slowest ${slowest.length} of ${tests.length} tests\n${[...lines, last].join('\n')}\n`)
  }
}
