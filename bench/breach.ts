import { openEngine } from './engine.ts'
import { startReceivers } from './receivers.ts'
import { figure, type Line, scaled, type Size } from './stats.ts'

const SUBJECTS = 100_000
const RELYING_PARTIES = 10
const CONCURRENCY = 16
/** Each puts in the next event when its last one is accepted; what is in the store then grows as fast as it can take them. */
const SENDERS = 100

/**
 * Breach day: every subject is reset at once, each with a session at each of ten relying parties, over TLS with kept-alive
 * connections, a million deliveries in all. In the middle one more subject is reset, a privileged one.
 */
export async function breach({ share }: Size): Promise<Line[]> {
  const subjects = scaled(SUBJECTS, share)
  const receivers = await startReceivers({ origins: RELYING_PARTIES, tls: true })
  const engine = openEngine({ receivers, relyingParties: RELYING_PARTIES, concurrency: CONCURRENCY })
  const clients = Array.from({ length: RELYING_PARTIES }, (_, n) => n)
  await engine.deliver(clients)
  await engine.raw(clients)
  const measured = Array.from({ length: Math.min(subjects, 2000) }, () => clients).flat()
  const rawPerSecond = async () => (measured.length * 1000) / (await engine.raw(measured))
  const rawBefore = await rawPerSecond()

  const resident: number[] = []
  const watch = setInterval(() => resident.push(process.memoryUsage.rss() / 1e6), 250)
  const began = performance.now()
  const told = engine.delivered((subjects + 1) * RELYING_PARTIES)
  let next = 0
  let privileged = Promise.resolve(Number.NaN)
  const sender = async () => {
    for (let at = next++; at < subjects; at = next++) {
      if (at === Math.floor(subjects / 2)) {
        privileged = engine.deliver(clients, { privileged: true })
      }
      await engine.accept(clients)
    }
  }
  await Promise.all(Array.from({ length: SENDERS }, sender))
  await told
  const perSecond = (subjects * RELYING_PARTIES * 1000) / (performance.now() - began)
  clearInterval(watch)
  const raw = [rawBefore, await rawPerSecond()]
  await engine.close()
  receivers.stop()
  return [
    {
      what: `breach day, ${subjects * RELYING_PARTIES} deliveries over TLS`,
      unit: 'per second',
      figure: figure([perSecond]),
    },
    { what: 'bare loop over TLS, before and after it', unit: 'per second', figure: figure(raw) },
    {
      what: 'breach day, share of the bare loop',
      unit: 'ratio',
      figure: figure([(perSecond * raw.length) / raw.reduce((sum, each) => sum + each)]),
      goal: ['median', 'at least', 0.8],
    },
    { what: 'breach day, resident', unit: 'MB', figure: figure(resident), goal: ['max', 'at most', 400] },
    {
      what: 'breach day, resident in the last quarter beside the second',
      unit: 'ratio',
      figure: figure([figure(quarter(resident, 3)).median / figure(quarter(resident, 1)).median]),
      goal: ['median', 'at most', 1.1],
    },
    {
      what: 'a privileged reset in the middle of it',
      unit: 'ms',
      figure: figure([await privileged]),
      goal: ['median', 'at most', 1000],
    },
  ]
}

function quarter(values: readonly number[], n: number): readonly number[] {
  const size = values.length / 4
  return values.slice(Math.floor(n * size), Math.ceil((n + 1) * size))
}
