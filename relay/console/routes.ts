import { timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { getCookie, setCookie } from 'hono/cookie'
import { createMiddleware } from 'hono/factory'
import { streamSSE } from 'hono/streaming'
import { RelayError } from '../errors.ts'
import type { Selection } from '../store/port.ts'
import { relyingPartiesPage, settingsPage } from './about.ts'
import { logoutTokenVerifier } from './backchannel.ts'
import { containmentPage, containmentsPage } from './containment.ts'
import { deliveriesPage } from './deliveries.ts'
import { type Html, notice, page } from './layout.ts'
import { realmLogin } from './login.ts'
import { nowPage } from './now.ts'
import type { ConsolePorts } from './ports.ts'
import { type Session, Sessions } from './sessions.ts'

const MAX_BODY = 128 * 1024
const MAX_STREAMS = 200
const LOOK_MS = 1000
/** A word now and then, so that a broken connection is noticed and nothing between closes a quiet one. */
const QUIET_LOOKS = 20

type ConsoleEnv = { Variables: { session: Session } }

const TYPES = { 'console.css': 'text/css', 'console.js': 'text/javascript', 'icon.svg': 'image/svg+xml' } as const

/** The console: pages for people, logged in at the realm, and its own logout receiver. All of it lies under /console. */
export function consoleRoutes(ports: ConsolePorts): Hono<ConsoleEnv> {
  const { client, nowMs, flow } = ports
  const { issuer } = client
  const secure = client.url.startsWith('https:')
  const cookie = `${secure ? '__Host-' : ''}logout-relay-console`
  const loginCookie = `${cookie}-login`
  const cookieOptions = { path: '/', secure, httpOnly: true, sameSite: 'Lax' } as const
  const sessions = new Sessions(nowMs)
  const login = realmLogin(client)
  const verifyLogoutToken = logoutTokenVerifier(
    () => ports.keysOf(issuer) ?? Promise.reject(new Error()),
    client,
    nowMs,
  )
  const policy = [
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'",
    // The realm, since a form's redirect to its logout page counts as well.
    `form-action 'self' ${new URL(issuer).origin}; frame-ancestors 'none'; base-uri 'none'`,
  ].join('; ')
  let streams = 0

  const app = new Hono<ConsoleEnv>()
  app.use('*', async (c, next) => {
    await next()
    c.header('Content-Security-Policy', policy)
    c.header('X-Frame-Options', 'DENY')
    c.header('X-Content-Type-Options', 'nosniff')
    c.header('Referrer-Policy', 'same-origin')
    c.header('Cross-Origin-Opener-Policy', 'same-origin')
    if (!c.res.headers.has('Cache-Control')) {
      c.header('Cache-Control', 'no-store')
    }
  })
  app.onError((cause, c) => {
    const known = cause instanceof RelayError && ['store_unavailable', 'idp_unavailable'].includes(cause.code)
    return c.html(
      notice(
        'That did not work',
        known && cause.code === 'store_unavailable'
          ? 'The store cannot be read now.'
          : 'Try again; the relay’s log says more.',
      ),
      known ? 503 : 500,
    )
  })

  for (const [name, type] of Object.entries(TYPES)) {
    const text = readFileSync(join(import.meta.dirname, 'assets', name), 'utf8')
    app.get(`/assets/${name}`, (c) => c.body(text, 200, { 'Content-Type': type, 'Cache-Control': 'max-age=300' }))
  }

  app.post('/backchannel-logout', bodyLimit({ maxSize: 16 * 1024 }), async (c) => {
    const { logout_token } = await c.req.parseBody()
    const ended = typeof logout_token === 'string' ? await verifyLogoutToken(logout_token) : undefined
    if (!ended) {
      return c.json({ error: 'invalid_request', error_description: 'The logout token is not valid' }, 400)
    }
    sessions.loggedOut(ended)
    return c.body(null, 200)
  })

  app.get('/login', async (c) => {
    const wanted = c.req.query('to') ?? ''
    const { to, login: begun } = await login.begin(/^\/console(\/[\w/?=&%.-]*)?$/.test(wanted) ? wanted : '/console')
    setCookie(c, loginCookie, sessions.beginLogin(begun), { ...cookieOptions, maxAge: 600 })
    return c.redirect(to.href)
  })
  app.get('/callback', async (c) => {
    const begun = sessions.takeLogin(getCookie(c, loginCookie) ?? '')
    const person = begun && (await login.finish(new URL(c.req.url).search, begun).catch(() => undefined))
    const session = person && sessions.begin(person)
    if (!session) {
      return c.html(
        notice('The login did not succeed', 'It took too long, or it was not begun in this browser. Try again.'),
        400,
      )
    }
    sessions.end(getCookie(c, cookie) ?? '')
    setCookie(c, loginCookie, '', { ...cookieOptions, maxAge: 0 })
    setCookie(c, cookie, session.id, cookieOptions)
    return c.redirect(begun.returnTo)
  })
  app.get('/bye', (c) => c.html(notice('You are logged out', 'The relay goes on without you.')))
  app.get('/ended', (c) =>
    c.html(notice('Your session has ended', 'Your realm has logged you out, here as everywhere.')),
  )

  const loggedIn = createMiddleware<ConsoleEnv>(async (c, next) => {
    const session = sessions.find(getCookie(c, cookie) ?? '')
    if (!session) {
      const here = new URL(c.req.url)
      return c.req.method === 'GET' && !c.req.path.endsWith('/live')
        ? c.redirect(`/console/login?to=${encodeURIComponent(here.pathname + here.search)}`)
        : c.html(notice('You are not logged in', 'Your session has ended; nothing was done.'), 401)
    }
    c.set('session', session)
    await next()
    return undefined
  })
  const needs = (role: string) =>
    createMiddleware<ConsoleEnv>(async (c, next) => {
      const { session } = c.var
      if (!session.roles.includes(role)) {
        return c.html(
          notice('You may not do that', `It takes the role ${role} of the client ${client.audience}.`, session),
          403,
        )
      }
      await next()
      return undefined
    })
  /** The form, once it is known to come from a page of ours. */
  const formOf = async (c: Context<ConsoleEnv>) => {
    const form: Readonly<Record<string, unknown>> = await c.req.parseBody({ all: true }).catch(() => ({}))
    const token = Buffer.from(typeof form['csrf'] === 'string' ? form['csrf'] : '')
    const expected = Buffer.from(c.var.session.csrf)
    return token.length === expected.length && timingSafeEqual(token, expected) ? form : undefined
  }
  const forged = (c: Context<ConsoleEnv>) =>
    c.html(
      notice(
        'That form is not valid',
        'It did not come from this console, or is of an earlier session. Nothing was done.',
        c.var.session,
      ),
      403,
    )

  app.use('*', bodyLimit({ maxSize: MAX_BODY }))
  app.use('*', loggedIn)
  app.post('/logout', async (c) => {
    if (!(await formOf(c))) {
      return forged(c)
    }
    const { id, idToken } = c.var.session
    sessions.end(id)
    setCookie(c, cookie, '', { ...cookieOptions, maxAge: 0 })
    return c.redirect((await login.logoutUrl(idToken)).href, 303)
  })

  app.use('*', needs('view'))
  const show = (c: Context<ConsoleEnv>, path: string, title: string, body: Html | Promise<Html>, live = false) =>
    c.html(page({ session: c.var.session, path, title, live }, body as Html))

  app.get('/', async (c) => show(c, '', 'Now', await nowPage(ports, issuer), true))
  app.get('/containments', async (c) => {
    const before = Number(c.req.query('before'))
    return show(
      c,
      '/containments',
      'Containments',
      await containmentsPage(ports, issuer, before > 0 ? before : undefined),
    )
  })
  app.get('/containments/:id', async (c) => {
    const body = await containmentPage(ports, issuer, c.req.param('id'))
    return body
      ? show(c, '/containments', 'A containment', body)
      : c.html(notice('There is no such containment', 'It is not one of this realm.', c.var.session), 404)
  })
  app.get('/relying-parties', async (c) =>
    show(c, '/relying-parties', 'Relying parties', await relyingPartiesPage(ports, issuer)),
  )
  app.get('/settings', (c) => show(c, '/settings', 'Settings', settingsPage(ports)))
  app.get('/deliveries', async (c) => {
    const done = /^(retry|dismiss)\.(\d{1,9})$/.exec(c.req.query('done') ?? '')
    const body = await deliveriesPage(ports, issuer, c.var.session, {
      clientId: c.req.query('client_id'),
      after: c.req.query('after'),
      done: done ? `${done[2] ?? ''} ${done[1] === 'retry' ? 'due now' : 'given up'}` : undefined,
    })
    return show(c, '/deliveries', 'Open deliveries', body)
  })

  const act = async (
    c: Context<ConsoleEnv>,
    what: 'retry' | 'dismiss',
    run: (selection: Selection, reason: string) => Promise<number>,
  ) => {
    const form = await formOf(c)
    if (!form) {
      return forged(c)
    }
    const clientId = typeof form['client_id'] === 'string' ? form['client_id'] : undefined
    const ids = [form['id'] ?? []].flat().filter((id) => typeof id === 'string')
    const reason = typeof form['reason'] === 'string' ? form['reason'].trim() : ''
    const all = form['which'] === 'all' && clientId !== undefined
    if (!all && ids.length === 0) {
      return c.html(
        notice('Nothing was ticked', 'Go back and tick what you mean. Nothing was done.', c.var.session),
        400,
      )
    }
    if (what === 'dismiss' && (reason.length < 3 || reason.length > 500)) {
      return c.html(
        notice('Say why', 'Giving up takes a reason, for whoever reads the evidence. Nothing was done.', c.var.session),
        400,
      )
    }
    let changed = 0
    for (const selection of all ? [{ issuer, clientId }] : ids.map((id) => ({ issuer, id }))) {
      changed += await run(selection, reason)
    }
    const of = clientId === undefined ? '' : `client_id=${encodeURIComponent(clientId)}&`
    return c.redirect(`/console/deliveries?${of}done=${what}.${changed}`, 303)
  }
  app.post('/deliveries/retry', needs('operate'), (c) =>
    act(c, 'retry', (selection) => flow.retryNow(selection, c.var.session.subject)),
  )
  app.post('/deliveries/dismiss', needs('dismiss'), (c) =>
    act(c, 'dismiss', (selection, reason) => flow.dismiss(selection, c.var.session.subject, reason)),
  )

  app.get('/live', (c) => {
    if (streams >= MAX_STREAMS) {
      return c.text('Too many are watching', 503)
    }
    streams++
    const { session } = c.var
    return streamSSE(c, async (stream) => {
      const gone = new AbortController()
      stream.onAbort(() => gone.abort())
      const stop = AbortSignal.any([gone.signal, session.ended.signal])
      try {
        let shown = ''
        // Looking for the session ends one that is too old.
        for (let quiet = 0; sessions.find(session.id) && !stop.aborted; quiet++) {
          const body = (await nowPage(ports, issuer)).toString()
          // A write waits for the reader: one that never reads costs one page of memory.
          if (body !== shown) {
            await stream.writeSSE({ event: 'now', data: body })
            shown = body
            quiet = 0
          } else if (quiet % QUIET_LOOKS === QUIET_LOOKS - 1) {
            await stream.write(': still here\n\n')
          }
          await ports.sleep(LOOK_MS, stop)
        }
        if (session.ended.signal.reason === 'at the realm') {
          await stream.writeSSE({ event: 'ended', data: 'ended' })
        }
      } finally {
        streams--
      }
    })
  })
  return app
}
