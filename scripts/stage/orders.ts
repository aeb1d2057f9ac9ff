import { join } from 'node:path'
import { call } from './http.ts'
import { freePort, ROOT, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

export interface OrdersApi extends Running {
  readonly url: string
  /** What the API answers to that access token. */
  status(token: string): Promise<number>
  ask(token: string): ReturnType<typeof call>
}

/** The example of an API with stateless tokens, as a process of its own; without `relayUrl` it has no guard. */
export async function startOrders(options: {
  issuer: string
  clientId: string
  clientSecret: string
  relayUrl?: string
  /** The browser app that may call it. */
  allowOrigin?: string
  /** Which of the examples: Hono's is `server`. */
  example?: 'server' | 'express' | 'node'
}): Promise<OrdersApi> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const running = start(process.execPath, [join(ROOT, 'examples', 'orders-api', `${options.example ?? 'server'}.ts`)], {
    env: {
      ISSUER: options.issuer,
      CLIENT_ID: options.clientId,
      CLIENT_SECRET: options.clientSecret,
      PORT: String(port),
      ...(options.relayUrl === undefined ? {} : { RELAY_URL: options.relayUrl }),
      ...(options.allowOrigin === undefined ? {} : { ALLOW_ORIGIN: options.allowOrigin }),
    },
    logFile: join(temporary('orders'), 'log'),
  })
  await untilUp('The orders API does not come up', running, async () => (await call('GET', url)).status === 200, 30)
  const ask = (token: string) => call('GET', `${url}/orders`, { headers: { authorization: `Bearer ${token}` } })
  return { ...running, url, ask, status: async (token) => (await ask(token)).status }
}
