import { setTimeout as delay } from 'node:timers/promises'
import { call } from '../stage/http.ts'
import { until } from '../stage/process.ts'
import type { RelayServer } from '../stage/relay.ts'

/** What somebody's login has opened to them, and whether it is open still. */
export interface Access {
  readonly access: string
  readonly clientId: string
  readonly isAlive: () => Promise<boolean>
}

/** Login times are whole seconds, and a login in the reset's own second counts as from before it. */
export const NEXT_SECOND_MS = 1100

export function whichLive(accesses: readonly Access[]): Promise<boolean[]> {
  return Promise.all(accesses.map(({ isAlive }) => isAlive()))
}

/** Milliseconds since `began` until it was first seen dead, or undefined if it lives on. */
export async function diesWithin(
  { isAlive }: Access,
  began: number,
  { giveUpMs = 15_000, everyMs = 10 } = {},
): Promise<number | undefined> {
  while (performance.now() - began < giveUpMs) {
    if (!(await isAlive())) {
      return Math.round(performance.now() - began)
    }
    await delay(everyMs)
  }
  return undefined
}

/** What the relay's API answers to this operator. */
export async function askRelay<T>(relay: Pick<RelayServer, 'url'>, token: string, path: string): Promise<T> {
  const headers = { authorization: `Bearer ${token}` }
  const answer = await call<T>('GET', `${relay.url}/api/v1/${path}`, { headers })
  if (answer.status !== 200) {
    throw new Error(`The relay answered ${answer.status} ${answer.text}`)
  }
  return answer.json()
}

/** Until the relay says of every delivery of the operator's realm that it is delivered. */
export async function allDelivered(relay: Pick<RelayServer, 'url'>, token: string): Promise<void> {
  await until(
    'every delivery is delivered',
    async () => {
      const path = 'deliveries?limit=500'
      const { deliveries } = await askRelay<{ deliveries: { state: string }[] }>(relay, token, path)
      return deliveries.length > 0 && deliveries.every(({ state }) => state === 'delivered')
    },
    { seconds: 60, everyMs: 100 },
  )
}
