import { expect, test } from 'vitest'
import { Flow } from '../../relay/flow/flow.ts'
import { Process, VirtualTime } from '../../sim/clock.ts'
import { run } from '../../sim/run.ts'
import { SABOTAGES } from '../../sim/sabotage.ts'
import { Disk } from '../../sim/disk.ts'
import { openModelStore } from '../../sim/store.ts'
import { targetAt } from '../../relay/domain/target.ts'
import { acceptInto, deliverersBy, ISSUER, NOW_MS, securityEvent } from './given.ts'

const SEEDS = 25
/** Every sabotage is found in fewer; `npm run sim -- --sabotage` says by which. */
const SABOTAGED_SEEDS = 100

test('every guarantee holds in the first worlds of the simulation', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    expect({ seed, violation: (await run(seed)).violation }).toEqual({ seed, violation: undefined })
  }
})

for (const [name, { finds, hands }] of Object.entries(SABOTAGES)) {
  test(`the simulation finds the sabotage: ${name}`, async () => {
    for (let seed = 1; seed <= SABOTAGED_SEEDS; seed++) {
      const { violation } = await run(seed, hands)
      if (violation) {
        expect(finds).toContain(violation.guarantee)
        return
      }
    }
    expect.fail(`not found in ${SABOTAGED_SEEDS} seeds`)
  })
}

test('a seed is one world, step by step', async () => {
  const first = await run(7, undefined, true)
  expect(first.trace.length).toBeGreaterThan(100)
  expect((await run(7, undefined, true)).trace).toEqual(first.trace)
})

test('a process that stood still between minting and sending does not send what it had minted (seed 71)', async () => {
  const time = new VirtualTime(NOW_MS)
  const process = new Process(time, 0)
  const disk = new Disk()
  const soon = () => Promise.resolve()
  const store = openModelStore(disk, { arrive: soon, answered: soon, synced: soon }, true)
  const event = securityEvent(1, ['orders'])
  await acceptInto(store, event)
  const sent: string[] = []
  const flow = new Flow({
    store,
    idps: new Map([
      [
        ISSUER,
        {
          mint: (deliveries) => {
            const token = `minted at ${time.nowMs}`
            return process.learn(
              time.sleep(5).then(() => ({
                tokens: new Map(deliveries.map(({ id }) => [id, token])),
                refused: new Map<string, string>(),
              })),
            )
          },
          report: () => Promise.resolve([]),
        },
      ],
    ]),
    registry: {
      target: (_, __, named) => targetAt(named),
      lane: () => ({ http: 'never', timeoutMs: 1000, concurrency: 1, allowAddresses: [] }),
    },
    deliverers: deliverersBy((_, token) => {
      sent.push(token)
      return Promise.resolve({ kind: 'response', status: 200 })
    }),
    clock: process.clock,
    random: () => 0,
    observer: {
      received: () => undefined,
      attempted: () => undefined,
      watched: () => undefined,
      refusedAfter: () => undefined,
      dismissed: () => undefined,
      lane: () => undefined,
      changed: () => undefined,
      trouble: () => undefined,
    },
  })
  flow.start()
  await time.run(1)
  process.pause()
  await time.run(130_000)
  process.resume()
  const resumedMs = time.nowMs
  await time.run(5000)
  expect(sent).toEqual([`minted at ${resumedMs + 1000}`])
})
