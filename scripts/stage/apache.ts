import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { call } from './http.ts'
import { freePort, ROOT, type Running, start, untilUp } from './process.ts'
import { temporary } from './temporary.ts'

const MODULES = '/usr/lib/apache2/modules'

export interface Application extends Running {
  readonly clientId: string
  /** A page that only a logged-in browser sees. */
  readonly url: string
  readonly logoutUri: string
}

export function apacheIsThere(): boolean {
  return existsSync(join(MODULES, 'mod_auth_openidc.so'))
}

/** A private Apache with mod_auth_openidc, from the example's own config. */
export async function startApache(options: {
  issuer: string
  clientId: string
  clientSecret: string
  port?: number
}): Promise<Application> {
  const dir = temporary('apache')
  const port = options.port ?? (await freePort())
  mkdirSync(join(dir, 'htdocs', 'protected'), { recursive: true })
  writeFileSync(join(dir, 'htdocs', 'protected', 'index.html'), 'You are logged in.\n')
  const values: Record<string, string> = {
    DIR: dir,
    PORT: String(port),
    MODULES,
    ISSUER: options.issuer,
    CLIENT_ID: options.clientId,
    CLIENT_SECRET: options.clientSecret,
    PASSPHRASE: randomUUID(),
  }
  const template = readFileSync(join(ROOT, 'examples', 'apache-mod-auth-openidc', 'httpd.conf'), 'utf8')
  writeFileSync(
    join(dir, 'httpd.conf'),
    template.replace(/\$\{(\w+)\}/g, (_, name: string) => values[name] ?? ''),
  )
  const root = process.getuid?.() === 0
  if (root) {
    const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'www-data'], { encoding: 'utf8' })))
    execFileSync('chown', ['-R', `${uid}:${gid}`, dir])
    chownSync(dir, Number(uid), Number(gid))
  }
  const args = ['-f', join(dir, 'httpd.conf'), '-DFOREGROUND']
  const running = start('/usr/sbin/apache2', args, { logFile: join(dir, 'log') })
  const base = `http://localhost:${port}`
  await untilUp(
    'Apache does not come up',
    running,
    async () => (await call('GET', `${base}/protected/`)).status < 500,
    30,
  )
  return {
    ...running,
    clientId: options.clientId,
    url: `${base}/protected/`,
    logoutUri: `${base}/protected/callback?logout=backchannel`,
  }
}
