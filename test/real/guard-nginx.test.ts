import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { call } from '../../scripts/stage/http.ts'
import { freePort, ROOT, start, until, untilUp } from '../../scripts/stage/process.ts'
import { temporary } from '../../scripts/stage/temporary.ts'
import { guardWorld } from '../unit/guard-world.ts'

const NGINX = '/usr/sbin/nginx'

test.skipIf(!existsSync(NGINX))(
  'nginx lets an application that knows nothing of tokens obey a reset, and closes when the relay is gone',
  async () => {
    const world = await guardWorld()
    const application = createServer((request, response) => response.end(String(request.headers['x-guard-subject'])))
    await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void application.close())
    const dir = temporary('nginx')
    const port = await freePort()
    const values: Record<string, string> = {
      DIR: dir,
      PORT: String(port),
      RELAY: new URL(world.url).host,
      APPLICATION: `127.0.0.1:${(application.address() as AddressInfo).port}`,
      CLIENT_ID: 'orders',
    }
    const example = readFileSync(join(ROOT, 'examples', 'nginx-auth-request', 'nginx.conf'), 'utf8')
    const conf = join(dir, 'nginx.conf')
    writeFileSync(
      conf,
      example.replace(/\$\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole),
    )
    const running = start(NGINX, ['-c', conf, '-p', dir, '-e', 'stderr'], { logFile: join(dir, 'log') })
    onTestFinished(() => running.stop())
    const url = `http://127.0.0.1:${port}/`
    const ask = async (headers: Record<string, string> = {}) => call('GET', url, { headers })
    await untilUp('nginx does not come up', running, async () => (await ask()).status > 0, 30)

    const bare = await ask({ 'x-guard-subject': 'mallory' })
    expect([bare.status, bare.headers['www-authenticate']]).toEqual([401, 'Bearer'])
    const iat = Math.floor(Date.now() / 1000) - 60
    const authorization = `Bearer ${await world.token('mobile-app', { aud: 'orders', sub: 'alice', sid: 's', iat })}`
    const before = await ask({ authorization, 'x-guard-subject': 'mallory' })
    expect([before.status, before.text]).toEqual([200, 'alice'])
    await world.reset('alice')
    await until('nginx refuses', async () => (await ask({ authorization })).status === 401, { seconds: 20 })
    expect((await ask({ authorization })).headers['www-authenticate']).toMatch(/error="invalid_token"/)
    const other = `Bearer ${await world.token('mobile-app', { aud: 'orders', sub: 'bob', sid: 's', iat })}`
    expect((await ask({ authorization: other })).text).toBe('bob')
    world.wire = () => new Response(null, { status: 503 })
    expect((await ask({ authorization: other })).status).toBe(500)
  },
)
