import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { type Claims, Guard, honoGuard } from '../../guard/index.ts'

/**
 * An API with stateless access tokens. It keeps no sessions, so nothing can log anybody out of it: a token counts until its
 * `exp`. With RELAY_URL the guard refuses what a password reset has revoked; without, it is as such APIs are today.
 */
const { ISSUER = '', RELAY_URL, CLIENT_ID = '', CLIENT_SECRET = '', PORT = '0', ALLOW_ORIGIN } = process.env

const guard = RELAY_URL
  ? new Guard({
      relay: RELAY_URL,
      issuer: ISSUER,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      onTrouble: ({ message }) => console.error(message),
    })
  : { issuer: ISSUER, check: () => 'ok' as const, maxAgeSeconds: () => 0, ready: () => Promise.resolve() }

const app = new Hono<{ Variables: { claims: Claims } }>()
if (ALLOW_ORIGIN) {
  // Before the guard: a preflight carries no token, and the page must be able to read why it was refused.
  const exposeHeaders = ['WWW-Authenticate', 'Retry-After']
  app.use(cors({ origin: ALLOW_ORIGIN, allowHeaders: ['Authorization'], exposeHeaders }))
}
app.get('/', (c) => c.text('orders'))
app.use('/orders', honoGuard({ guard, audience: CLIENT_ID }))
app.get('/orders', (c) => c.json({ orders: ['a book'], for: c.get('claims')['sub'] }))

await guard.ready()
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(PORT) })
