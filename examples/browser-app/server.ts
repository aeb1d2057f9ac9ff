import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'

/** Hands out three files; everything else happens in the browser. */
const { ISSUER = '', CLIENT_ID = '', API_URL = '', PORT = '0', EVERY_MS = '2000' } = process.env

const read = (name: string) => readFileSync(join(import.meta.dirname, name), 'utf8')
const settings = { issuer: ISSUER, clientId: CLIENT_ID, api: API_URL, everyMs: Number(EVERY_MS) }
const origins = [ISSUER, API_URL].map((url) => new URL(url).origin).join(' ')

const app = new Hono()
app.use(async (c, next) => {
  await next()
  // Tokens are in the page's memory: no script but its own runs there, and it speaks with nobody else.
  c.header(
    'Content-Security-Policy',
    `default-src 'none'; script-src 'self'; connect-src 'self' ${origins}; img-src data:; frame-ancestors 'none'; base-uri 'none'`,
  )
  c.header('Referrer-Policy', 'no-referrer')
  c.header('Cache-Control', 'no-store')
})
app.get('/', (c) => c.html(read('index.html')))
app.get('/app.js', (c) => c.body(read('app.js'), 200, { 'Content-Type': 'text/javascript' }))
app.get('/settings.json', (c) => c.json(settings))

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(PORT) })
