import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { call } from './http.ts'
import { freePort, ROOT, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

export interface RelayServer extends Running {
  readonly url: string
  readonly dir: string
  /** The same relay once more, on the same store and port. */
  restart(): Promise<RelayServer>
  metrics(): Promise<string>
}

export interface RelayOptions {
  /** Chosen before Keycloak starts, which is told where to push. */
  readonly port?: number
  readonly issuers: readonly {
    issuer: string
    client_secret: string
    poll_interval_s?: number
    former_issuers?: string[]
  }[]
  readonly console?: { issuer: string; client_secret: string; url: string }
  readonly upstreams?: readonly object[]
  readonly securityFeed?: { url: string } | { file: string }
  /** Whether to wait until it is ready, or only until it listens. */
  readonly ready?: boolean
}

/** The relay as a process of its own, with relying parties on loopback over http allowed. */
export async function startRelayProcess(options: RelayOptions): Promise<RelayServer> {
  const dir = temporary('relay')
  const port = options.port ?? (await freePort())
  const config = {
    listen: { host: '127.0.0.1', port },
    store: { sqlite: join(dir, 'relay.db') },
    issuers: options.issuers,
    ...(options.console ? { console: options.console } : {}),
    ...(options.upstreams ? { upstreams: options.upstreams } : {}),
    ...(options.securityFeed ? { security_feed: options.securityFeed } : {}),
    delivery: { allow_http_on_loopback: true },
    guard: { key_file: join(dir, 'guard.pem') },
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  writeFileSync(config.guard.key_file, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 })
  writeFileSync(join(dir, 'relay.yaml'), stringify(config), { mode: 0o600 })
  return run(dir, port, options.ready ?? true)
}

async function run(dir: string, port: number, ready: boolean): Promise<RelayServer> {
  const url = `http://127.0.0.1:${port}`
  const args = [join(ROOT, 'relay', 'cli.ts'), 'start', '--config', join(dir, 'relay.yaml')]
  const running = start(process.execPath, args, { logFile: join(dir, 'log') })
  const path = ready ? '/readyz' : '/healthz'
  await untilUp('The relay does not come up', running, async () => (await call('GET', url + path)).status === 200, 60)
  return {
    ...running,
    url,
    dir,
    restart: () => run(dir, port, ready),
    metrics: async () => (await call('GET', `${url}/metrics`)).text,
  }
}
