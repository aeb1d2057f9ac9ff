import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import type { Application } from './apache.ts'
import { call } from './http.ts'
import { freePort, ROOT, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

export interface ExpressApplication extends Application {
  /** The same application once more, with the sessions it had. */
  restart(): Promise<ExpressApplication>
}

/** The example with express-openid-connect, as a process of its own. */
export async function startExpress(options: {
  issuer: string
  clientId: string
  clientSecret: string
  port?: number
}): Promise<ExpressApplication> {
  const port = options.port ?? (await freePort())
  return run({ ...options, port, dir: temporary('express'), cookieSecret: randomUUID() })
}

async function run(options: {
  issuer: string
  clientId: string
  clientSecret: string
  port: number
  dir: string
  cookieSecret: string
}): Promise<ExpressApplication> {
  const base = `http://localhost:${options.port}`
  const running = start(process.execPath, [join(ROOT, 'examples', 'express-openid-connect', 'server.ts')], {
    env: {
      ISSUER: options.issuer,
      CLIENT_ID: options.clientId,
      CLIENT_SECRET: options.clientSecret,
      PORT: String(options.port),
      SESSIONS_DIR: options.dir,
      COOKIE_SECRET: options.cookieSecret,
    },
    logFile: join(options.dir, 'log'),
  })
  await untilUp(
    'The Express application does not come up',
    running,
    async () => (await call('GET', `${base}/`)).status === 200,
    30,
  )
  return {
    ...running,
    clientId: options.clientId,
    url: `${base}/protected`,
    logoutUri: `${base}/backchannel-logout`,
    restart: () => run(options),
  }
}
