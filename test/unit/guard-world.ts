import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import type { JWTVerifyGetKey } from 'jose'
import { onTestFinished, vi } from 'vitest'
import { Guard, type GuardOptions } from '../../guard/guard.ts'
import { readAccess } from '../../relay/idp/keycloak/claims.ts'
import type { SecurityEvent } from '../../relay/domain/model.ts'
import { endedBy } from '../../relay/watermarks/ended.ts'
import { WatermarkStream } from '../../relay/watermarks/stream.ts'
import { type StreamKey, streamKey } from '../../relay/watermarks/key.ts'
import type { WatermarkLog } from '../../relay/store/watermark-log.ts'
import { guardRoutes } from '../../relay/api/guard.ts'
import type { Store } from '../../relay/store/port.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { acceptInto, securityEvent, temporaryFolder } from './given.ts'
import { type Realm, realm } from './signed.ts'

export interface GuardWorld {
  readonly url: string
  readonly issuer: string
  readonly realm: Realm
  readonly store: Store
  readonly stream: WatermarkStream
  readonly app: Hono
  readonly key: StreamKey
  /** The relay and the realm go away. */
  close(): void
  /** What passes between relay and guards; a test may put its own hand in. */
  wire: (request: Request, answer: Response) => Response | Promise<Response>
  /** What the relay reads its watermarks from. */
  log: WatermarkLog
  /** How the relay gets the realm's keys. */
  keys: () => Promise<JWTVerifyGetKey>
  reset(subject: string, more?: Partial<SecurityEvent>): Promise<void>
  guard(clientId: string, more?: Partial<GuardOptions>): Guard
  /** What a token from an hour ago says. */
  old(sub: string, more?: object): { iss: string; sub: string; sid: string; iat: number; auth_time: number }
  /** A token of the realm: by default one that a guard of that client would get. */
  token: (clientId: string, claims?: Record<string, unknown>) => Promise<string>
}

export const NONCE = '?nonce=bm9uY2Utb2YtYS10ZXN0'
/** Waits far longer than it takes: a busy machine is no finding. */
export const until = (condition: () => unknown) => vi.waitUntil(condition, { timeout: 30_000, interval: 5 })

export const makeStreamKey = () => streamKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)

/** A realm's token endpoint and keys, and the relay's routes for guards, on one real port; the store is a real one. */
export async function guardWorld(): Promise<GuardWorld> {
  const app = new Hono()
  const outer = new Hono()
  const server = await new Promise<{ url: string; close: () => void }>((resolve) => {
    const listening = serve({ fetch: outer.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) =>
      resolve({
        url: `http://127.0.0.1:${port}`,
        close: () => {
          if ('closeAllConnections' in listening) {
            listening.closeAllConnections()
          }
          listening.close()
        },
      }),
    )
  })
  onTestFinished(server.close)
  const issuer = `${server.url}/realms/demo`
  const demo = await realm(issuer)
  const store = openSqliteStore(join(temporaryFolder(), 'relay.db'))
  onTestFinished(() => store.close())
  const key = await makeStreamKey()
  const watermarks: WatermarkLog['watermarks'] = (...asked) => world.log.watermarks(...asked)
  const stream = new WatermarkStream({ issuer, log: { watermarks }, key, nowMs: () => Date.now() })
  const timer = setInterval(() => void stream.advance().catch(() => undefined), 200)
  onTestFinished(() => clearInterval(timer))
  const keysOf = (of: string) => (of === issuer ? world.keys() : undefined)
  let events = 0
  const world: GuardWorld = {
    url: server.url,
    issuer,
    realm: demo,
    store,
    stream,
    app,
    key,
    close: server.close,
    wire: (_, answer) => answer,
    log: store,
    keys: () => Promise.resolve(demo.keys),
    async reset(subject, more = {}) {
      const event = securityEvent(++events, [], { issuer, subject, watermarkMs: Date.now(), ...more })
      await acceptInto(store, event, Date.now())
      await stream.advance().catch(() => undefined)
    },
    guard(clientId, more = {}) {
      const guard = new Guard({ relay: server.url, issuer, clientId, clientSecret: 'secret', ...more })
      onTestFinished(() => guard.close())
      return guard
    },
    old: (sub, more = {}) => {
      const iat = Math.floor(Date.now() / 1000) - 3600
      return { iss: issuer, sub, sid: 'some-session', iat, auth_time: iat, ...more }
    },
    token: (clientId, claims = {}) => {
      const now = Math.floor(Date.now() / 1000)
      const payload = { iss: issuer, aud: 'logout-relay', azp: clientId, sub: `service-${clientId}`, typ: 'Bearer' }
      const roles = { resource_access: { 'logout-relay': { roles: ['guard'] } } }
      return demo.sign({ ...payload, iat: now, exp: now + 300, ...roles, ...claims }, { typ: 'JWT' })
    },
  }
  app.route(
    '/',
    guardRoutes({
      streams: new Map([[issuer, stream]]),
      isEnded: endedBy(store, () => Date.now()),
      key,
      keysOf,
      readAccess,
      audience: 'logout-relay',
      nowMs: () => Date.now(),
    }),
  )
  outer.get('/realms/demo/.well-known/openid-configuration', (c) =>
    c.json({ issuer, token_endpoint: `${issuer}/protocol/openid-connect/token` }),
  )
  outer.get('/realms/demo/protocol/openid-connect/certs', (c) => c.json(demo.jwks))
  outer.post('/realms/demo/protocol/openid-connect/token', async (c) => {
    const basic = Buffer.from(c.req.header('authorization')?.slice(6) ?? '', 'base64').toString()
    return c.json({ access_token: await world.token(basic.split(':')[0] ?? ''), expires_in: 300 })
  })
  outer.all('/guard/*', async (c) => world.wire(c.req.raw, await app.fetch(c.req.raw)))
  return world
}
