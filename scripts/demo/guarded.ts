import type { Browser as Chrome } from 'playwright-core'
import { type BrowserApp, openChromium, startBrowserApp } from '../stage/browser-app.ts'
import { type Intranet, proxyIsThere, startIntranet, startVerifier } from '../stage/intranet.ts'
import { type OrdersApi, startOrders } from '../stage/orders.ts'
import type { Twin, World } from './world.ts'
import type { KeycloakAt } from '../stage/keycloak.ts'

/** What has no sessions that anybody could end: in the demo realm it is guarded, in the stock realm as it is today. */
export interface Guarded {
  readonly orders: OrdersApi
  readonly browserApp: BrowserApp
  /** Absent where Debian's nginx is not to be had. */
  readonly intranet?: Intranet
}

export interface GuardedWorld {
  readonly demo: Guarded
  readonly stock: Guarded
  /** Absent where Chromium is not installed: what the browser app would ask for is then asked over HTTP. */
  readonly chrome?: Chrome
  stop(): Promise<void>
}

/** Starts the three examples of the guard, once for each realm. */
export async function startGuarded(world: World<KeycloakAt>): Promise<GuardedWorld> {
  const started: { stop(): Promise<void> }[] = []
  const stop = async () => {
    await Promise.all(started.map((part) => part.stop()))
  }
  const realm = async ({ issuer, browserAppPort }: Twin, relayUrl?: string): Promise<Guarded> => {
    const orders = await startOrders({
      issuer,
      clientId: 'orders-api',
      clientSecret: world.appSecret,
      ...(relayUrl === undefined ? {} : { relayUrl }),
      allowOrigin: `http://localhost:${browserAppPort}`,
    })
    started.push(orders)
    const options = { issuer, clientId: 'browser-app', apiUrl: orders.url, port: browserAppPort }
    const browserApp = await startBrowserApp(options)
    started.push(browserApp)
    if (!proxyIsThere('nginx')) {
      return { orders, browserApp }
    }
    const clientId = 'intranet'
    const verifier = relayUrl === undefined ? await startVerifier({ issuer, audience: clientId }) : undefined
    started.push(...(verifier ? [verifier] : []))
    const intranet = await startIntranet('nginx', { clientId, checkUrl: verifier?.url ?? world.relay.url })
    started.push(intranet)
    return { orders, browserApp, intranet }
  }
  try {
    const [chrome, demo, stock] = await Promise.all([
      openChromium(),
      realm(world.demo, world.relay.url),
      realm(world.stock),
    ])
    started.push(...(chrome ? [{ stop: () => chrome.close() }] : []))
    return { demo, stock, ...(chrome ? { chrome } : {}), stop }
  } catch (cause) {
    await stop()
    throw cause
  }
}
