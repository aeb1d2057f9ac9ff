import { randomBytes } from 'node:crypto'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { deleteCookie, getSignedCookie, setSignedCookie } from 'hono/cookie'
import * as oidc from 'openid-client'
import { type Claims, LogoutReceiver } from '../../guard/index.ts'

/** A relying party whose sessions are signed cookies: there is nothing in it that a logout could delete. */
const { ISSUER = '', CLIENT_ID = '', CLIENT_SECRET = '', PORT = '3000' } = process.env
const redirect_uri = `http://localhost:${PORT}/callback`
const secret = process.env['COOKIE_SECRET'] ?? randomBytes(32).toString('hex')
const cookie = { httpOnly: true, sameSite: 'Lax', path: '/' } as const

// eslint-disable-next-line @typescript-eslint/no-deprecated -- for a realm on this machine; https needs no permission
const options = ISSUER.startsWith('http:') ? { execute: [oidc.allowInsecureRequests] } : {}
const realm = await oidc.discovery(
  new URL(ISSUER),
  CLIENT_ID,
  undefined,
  oidc.ClientSecretBasic(CLIENT_SECRET),
  options,
)
const receiver = new LogoutReceiver({ issuer: ISSUER, clientId: CLIENT_ID, endSession: () => undefined })

const app = new Hono()
app.post('/backchannel-logout', (c) => receiver.receive(c.req.raw))

app.get('/', (c) => c.html('Anybody may see this page. <a href="/protected">Log in</a>'))
app.get('/protected', async (c) => {
  const session = await getSignedCookie(c, secret, 'session')
  // What the receiver remembers is what ends a session here.
  if (session && receiver.check(JSON.parse(session) as Claims) === 'ok') {
    return c.text('You are logged in.')
  }
  const [state, verifier] = [oidc.randomState(), oidc.randomPKCECodeVerifier()]
  await setSignedCookie(c, 'login', JSON.stringify([state, verifier]), secret, { ...cookie, maxAge: 600 })
  const code_challenge = await oidc.calculatePKCECodeChallenge(verifier)
  const request = { redirect_uri, scope: 'openid', state, code_challenge, code_challenge_method: 'S256' }
  return c.redirect(oidc.buildAuthorizationUrl(realm, request))
})

app.get('/callback', async (c) => {
  const login = await getSignedCookie(c, secret, 'login')
  deleteCookie(c, 'login', cookie)
  if (!login) {
    return c.redirect('/protected')
  }
  const [expectedState = '', pkceCodeVerifier = ''] = JSON.parse(login) as string[]
  const back = new URL(redirect_uri + new URL(c.req.url).search)
  const tokens = await oidc.authorizationCodeGrant(realm, back, { expectedState, pkceCodeVerifier })
  const { iss, sub, sid, iat, auth_time }: Claims = { ...tokens.claims() }
  await setSignedCookie(c, 'session', JSON.stringify({ iss, sub, sid, iat, auth_time }), secret, cookie)
  return c.redirect('/protected')
})

serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(PORT) })
