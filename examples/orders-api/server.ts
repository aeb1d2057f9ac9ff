import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { type Claims, honoGuard } from '../../guard/index.ts'
import { guard, options } from './guard.ts'

/** An API with stateless access tokens. It keeps no sessions, so nothing but the guard can log anybody out of it. */
const { PORT = '0', ALLOW_ORIGIN } = process.env

const app = new Hono<{ Variables: { claims: Claims } }>()
if (ALLOW_ORIGIN) {
  // Before the guard: a preflight carries no token, and the page must be able to read why it was refused.
  const exposeHeaders = ['WWW-Authenticate', 'Retry-After']
  app.use(cors({ origin: ALLOW_ORIGIN, allowHeaders: ['Authorization'], exposeHeaders }))
}
app.get('/', (c) => c.text('orders'))
app.use('/orders', honoGuard(options))
app.get('/orders', (c) => c.json({ orders: ['a book'], for: c.get('claims')['sub'] }))

await guard.ready()
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(PORT) })
