import { expect, onTestFinished, test } from 'vitest'
import { type Proxy, startIntranet } from '../../scripts/stage/intranet.ts'
import { until } from '../../scripts/stage/process.ts'
import { guardWorld } from '../unit/guard-world.ts'

test.each<Proxy>(['nginx', 'caddy'])(
  '%s lets an application that knows nothing of tokens obey a reset, and closes when the relay cannot judge or is gone',
  async (proxy) => {
    const world = await guardWorld()
    await world.stream.advance()
    const intranet = await startIntranet(proxy, { clientId: 'orders', checkUrl: world.url })
    onTestFinished(() => intranet.stop())
    const iat = Math.floor(Date.now() / 1000) - 60
    const token = (sub: string, more: object = {}) =>
      world.token('mobile-app', { aud: 'orders', sub, sid: 's', iat, ...more })
    const forged = { 'x-guard-subject': 'mallory', 'X-Guard-Sid': 'forged' }

    const bare = await intranet.ask(forged)
    expect([bare.status, bare.headers['www-authenticate']]).toEqual([401, 'Bearer'])
    const authorization = `Bearer ${await token('alice')}`
    const before = await intranet.ask({ authorization, ...forged })
    expect([before.status, before.text]).toEqual([200, 'alice'])
    // A subject that no header can carry does not become the one that the request has brought along.
    const odd = await intranet.ask({ authorization: `Bearer ${await token('zoë')}`, ...forged })
    expect(odd.status).toBe(401)
    await world.reset('alice')
    await until('the proxy refuses', async () => (await intranet.ask({ authorization })).status === 401, {
      seconds: 60,
    })
    expect((await intranet.ask({ authorization })).headers['www-authenticate']).toMatch(/error="invalid_token"/)
    const bob = await token('bob')
    expect((await intranet.ask({ authorization: `Bearer ${bob}` })).text).toBe('bob')
    world.wire = () => new Response(null, { status: 503, headers: { 'retry-after': '5' } })
    const closed = await intranet.ask({ authorization: `Bearer ${bob}` })
    expect([closed.status, closed.headers['retry-after']]).toEqual([503, '5'])
    world.close()
    expect(await intranet.status(bob)).toBeGreaterThanOrEqual(500)
  },
)
