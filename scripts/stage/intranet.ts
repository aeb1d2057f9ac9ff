import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { nodeGuard } from '../../guard/index.ts'
import { call } from './http.ts'
import { freePort, ROOT, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

export type Proxy = 'nginx' | 'caddy'
const BINARIES: Readonly<Record<Proxy, string>> = { nginx: '/usr/sbin/nginx', caddy: '/usr/bin/caddy' }

export interface Intranet {
  readonly clientId: string
  readonly url: string
  ask(headers?: Record<string, string>): ReturnType<typeof call>
  /** What the proxy answers to that access token. */
  status(token: string): Promise<number>
  stop(): Promise<void>
}

export function proxyIsThere(proxy: Proxy): boolean {
  return existsSync(BINARIES[proxy])
}

/**
 * The example of that proxy, before an application that knows nothing of OpenID Connect and shows who it was told is there.
 * `checkUrl` is the relay, or what {@link startVerifier} has started.
 */
export async function startIntranet(proxy: Proxy, options: { clientId: string; checkUrl: string }): Promise<Intranet> {
  const application = await listen((request, response) => response.end(String(request.headers['x-guard-subject'])))
  const dir = temporary(proxy)
  const port = await freePort()
  const values: Record<string, string> = {
    DIR: dir,
    PORT: String(port),
    RELAY: new URL(options.checkUrl).host,
    APPLICATION: new URL(application.url).host,
    CLIENT_ID: options.clientId,
  }
  const running = start(BINARIES[proxy], proxy === 'nginx' ? nginx(dir, values) : CADDY, {
    // Caddy takes them from there, and its own folders too.
    env: { ...values, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir },
    logFile: join(dir, 'log'),
  })
  const url = `http://127.0.0.1:${port}/`
  const ask = (headers: Record<string, string> = {}) => call('GET', url, { headers })
  await untilUp(`${proxy} does not come up`, running, async () => (await ask()).status > 0, 30)
  return {
    clientId: options.clientId,
    url,
    ask,
    status: async (token) => (await ask({ authorization: `Bearer ${token}` })).status,
    stop: async () => {
      await running.stop()
      await application.stop()
    },
  }
}

const CADDY = ['run', '--config', join(ROOT, 'examples', 'caddy-forward-auth', 'Caddyfile'), '--adapter', 'caddyfile']

function nginx(dir: string, values: Record<string, string>): string[] {
  const example = readFileSync(join(ROOT, 'examples', 'nginx-auth-request', 'nginx.conf'), 'utf8')
  const conf = join(dir, 'nginx.conf')
  writeFileSync(
    conf,
    example.replace(/\$\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole),
  )
  return ['-c', conf, '-p', dir, '-e', 'stderr']
}

/** What stands in the relay's place where there is none: it verifies the token, and knows of nothing that happened since. */
export async function startVerifier({ issuer, audience }: { issuer: string; audience: string }) {
  const knowsNothing = { issuer, check: () => 'ok' as const, maxAgeSeconds: () => 0 }
  const verify = nodeGuard({ guard: knowsNothing, audience })
  return listen((request, response) => {
    void verify(request, response).then((claims) => {
      if (claims) {
        response.setHeader('X-Guard-Subject', String(claims['sub'])).end()
      }
    })
  })
}

async function listen(handle: RequestListener): Promise<{ url: string; stop(): Promise<void> }> {
  const server: Server = createServer(handle)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
