import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { getCookie, setCookie } from 'hono/cookie'
import { createMiddleware } from 'hono/factory'
import { html } from 'hono/html'
import { streamSSE } from 'hono/streaming'
import { RelayError } from '../errors.ts'
import { containmentOf, subjectNamed } from './account.ts'
import { addActs, type ConsoleEnv, forged, formOf, type Show } from './acts.ts'
import { alarms } from './alarms.ts'
import { logoutTokenVerifier } from './backchannel.ts'
import { changesPage } from './changes.ts'
import { containmentPage } from './containment.ts'
import { addressOf, containmentQuery, containmentsPage } from './containments.ts'
import { coveragePage } from './coverage.ts'
import { deliveriesPage } from './deliveries.ts'
import { addEndOfUser } from './end-user.ts'
import { notice, page, type Way } from './layout.ts'
import { AUDIT_SCOPE } from './login.ts'
import { Names, who } from './names.ts'
import { nowPage } from './now.ts'
import { openFilter, openQuery } from './open.ts'
import type { ConsolePorts } from './ports.ts'
import { registerPage } from './register.ts'
import { partyFilter, relyingPartiesPage } from './relying-parties.ts'
import { relyingPartyPage } from './relying-party.ts'
import { type Session, Sessions } from './sessions.ts'
import { settingsPage } from './settings.ts'

const MAX_BODY = 128 * 1024
const MAX_STREAMS = 200
const MAX_STREAMS_OF_ONE = 6
const LOOK_MS = 1000
/** A word now and then, so that a broken connection is noticed at both ends and nothing between closes a quiet one. */
const QUIET_LOOKS = 10
const UNREAD_MS = 30_000
const NOTHING = { clientId: '', logoutUri: '', reason: '' }
const NO_SCOPE = `The realm does not give the client scope ${AUDIT_SCOPE} to the console’s client; docs/console.md says how it is made.`
/** What was done, by the name in the address: nobody else’s words come onto a page by a link. */
const SAYS = new Map([
  ['check', 'Checked; what it answered is below'],
  ['pause', 'Paused: it is told of nothing'],
  ['resume', 'Resumed: what waited is attempted now'],
  ['registered', 'Registered'],
])

const TYPES = { 'console.css': 'text/css', 'console.js': 'text/javascript', 'icon.svg': 'image/svg+xml' } as const

/** The console: pages for people, logged in at the realm, and its own logout receiver. All of it lies under /console. */
export function consoleRoutes(ports: ConsolePorts): Hono<ConsoleEnv> {
  const { client, login, nowMs } = ports
  const { issuer } = client
  const secure = client.url.startsWith('https:')
  const cookie = `${secure ? '__Host-' : ''}logout-relay-console`
  const loginCookie = `${cookie}-login`
  const cookieOptions = { path: '/', secure, httpOnly: true, sameSite: 'Lax' } as const
  const sessions = new Sessions(nowMs)
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
  const streams = new Map<string, number>()

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
          ? 'The store cannot be read now. Every page says so, and what to do, as soon as one can be shown.'
          : known
            ? 'Keycloak does not answer now. Try again in a minute.'
            : 'That is a fault of the relay. Load the page once more; if it stays, report it (SECURITY.md, CONTRIBUTING.md).',
      ),
      known ? 503 : 500,
    )
  })

  for (const [name, type] of Object.entries(TYPES)) {
    const text = readFileSync(join(import.meta.dirname, 'assets', name), 'utf8')
    app.get(`/assets/${name}`, (c) => c.body(text, 200, { 'Content-Type': type, 'Cache-Control': 'max-age=300' }))
  }

  app.post('/backchannel-logout', bodyLimit({ maxSize: 16 * 1024 }), async (c) => {
    // A form that is none, such as multipart without a boundary, has no token either.
    const { logout_token } = await c.req.parseBody().catch((): Record<string, unknown> => ({}))
    const ended = typeof logout_token === 'string' ? await verifyLogoutToken(logout_token) : undefined
    if (!ended) {
      return c.json({ error: 'invalid_request', error_description: 'The logout token is not valid' }, 400)
    }
    sessions.loggedOut(ended)
    return c.body(null, 200)
  })

  const lacks = (role: string, session?: Session, way?: Way) =>
    notice('You may not do that', `It takes the role ${role} of the client ${client.audience}.`, session, way)
  const begin = async (c: Context, returnTo: string, audit = false) => {
    const { to, login: begun } = await login.begin(returnTo, audit)
    setCookie(c, loginCookie, await sessions.sealLogin(begun), { ...cookieOptions, maxAge: 600 })
    return c.redirect(to.href)
  }
  app.get('/login', (c) => {
    // It has to fit into a cookie.
    const wanted = c.req.query('to')?.slice(0, 1000) ?? ''
    return begin(c, /^\/console(\/[\w/?=&%.+*-]*)?$/.test(wanted) ? wanted : '/console')
  })
  app.get('/callback', async (c) => {
    const begun = await sessions.openLogin(getCookie(c, loginCookie) ?? '')
    setCookie(c, loginCookie, '', { ...cookieOptions, maxAge: 0 })
    const { search, searchParams } = new URL(c.req.url)
    const before = sessions.find(getCookie(c, cookie) ?? '')
    if (begun?.audit === true && before && searchParams.has('error')) {
      before.audit = { atMs: nowMs(), refused: NO_SCOPE }
      return c.redirect(begun.returnTo)
    }
    const found = begun && (await login.finish(search, begun).catch(() => undefined))
    if (found && !found.person.roles.includes('view')) {
      // Anybody of the realm can log in there; who may see nothing here takes no room among the sessions. Single sign-on would
      // bring them back here for ever, so the way out is the realm's; without an ID token it asks first.
      const out = { href: (await login.logoutUrl()).href, text: 'Log out at the realm' }
      return c.html(lacks('view', undefined, out), 403)
    }
    const counts = found && !(await ports.isRevoked(found.person.claims))
    const session = counts && sessions.begin(found.person, found.rights)
    if (!session) {
      return c.html(
        notice('The login did not succeed', 'It took too long, or it was not begun in this browser. Try again.'),
        400,
      )
    }
    sessions.end(before?.id ?? '')
    setCookie(c, cookie, session.id, cookieOptions)
    if (begun.audit) {
      // The token is used here and now, and kept nowhere.
      session.audit = await ports.readRealm(found.accessToken).then(
        (realm) => ({ atMs: nowMs(), realm }),
        (cause: unknown) => ({ atMs: nowMs(), refused: cause instanceof RelayError ? cause.message : 'It failed.' }),
      )
    }
    return c.redirect(begun.returnTo)
  })
  app.get('/bye', (c) => c.html(notice('You are logged out', 'The relay goes on without you.')))
  app.get('/ended', (c) =>
    c.html(notice('Your session has ended', 'Your realm has logged you out, here as everywhere.')),
  )

  /** Not by the logout token alone: whoever stole the session could pause the console, and nobody would tell it. */
  const stillIn = async (id: string) => {
    const session = sessions.find(id)
    if (session && (await ports.isRevoked(session.claims))) {
      sessions.end(id, 'at the realm')
      return undefined
    }
    return session
  }
  const loggedIn = createMiddleware<ConsoleEnv>(async (c, next) => {
    const session = await stillIn(getCookie(c, cookie) ?? '')
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
        return c.html(lacks(role, session), 403)
      }
      await next()
      return undefined
    })

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
  const names = new Names(ports)
  const nameOf = (subject: string) => who(subject, sessions.nameOf(subject))
  const show: Show = async (c, path, title, body, status = 200) => {
    const { session } = c.var
    const drawn = await page({ session, path, title, live: path === '' }, body, alarms(ports, issuer, nameOf))
    return c.html(await names.shown(session, drawn.toString()), status)
  }

  /** One drawing for all who watch. */
  let drawn: { readonly atMs: number; readonly body: Promise<string> } | undefined
  const draw = (): Promise<string> => {
    if (!drawn || nowMs() - drawn.atMs >= LOOK_MS / 2) {
      const body = nowPage(ports, issuer).then(async (now) =>
        (await html`${alarms(ports, issuer, nameOf)}${now}`).toString(),
      )
      drawn = { atMs: nowMs(), body }
    }
    return drawn.body
  }

  const before = (c: Context<ConsoleEnv>) => {
    const number = Number(c.req.query('before'))
    return number > 0 ? number : undefined
  }
  app.get('/', async (c) => show(c, '', 'Now', await nowPage(ports, issuer)))
  app.get('/containments', async (c) =>
    show(
      c,
      '/containments',
      'Containments',
      await containmentsPage(ports, issuer, c.var.session, {
        query: containmentQuery((name) => c.req.query(name)),
        before: before(c),
      }),
    ),
  )
  // Nobody's name or id goes into an address: it is posted, and what comes back is by a containment of theirs.
  const search = (path: string, addressFor: (field: (name: string) => string | undefined) => string) =>
    app.post(path, async (c) => {
      const form = await formOf(c)
      if (!form) {
        return forged(c)
      }
      const text = (name: string) => (typeof form[name] === 'string' ? form[name] : undefined)
      const user = text('user')?.trim().slice(0, 255) ?? ''
      const named = user === '' ? undefined : await subjectNamed(names, c.var.session, user)
      if (named && 'says' in named) {
        return c.html(notice('Nobody was found', named.says, c.var.session), 400)
      }
      const of = named ? await containmentOf(ports.store, issuer, named.subject) : text('of')
      const query = addressFor((name) => (name === 'of' ? of : text(name)))
      return c.redirect(`/console${path}${query === '' ? '' : `?${query}`}`, 303)
    })
  search('/containments', (field) => addressOf(containmentQuery(field)))
  search('/deliveries', (field) => openQuery(openFilter(field)))
  app.get('/containments/:id', async (c) => {
    const body = await containmentPage(ports, issuer, c.req.param('id'), c.var.session, nameOf)
    return body
      ? show(c, '/containments', 'A containment', body)
      : c.html(notice('There is no such containment', 'It is not one of this realm.', c.var.session), 404)
  })
  app.get('/deliveries', async (c) => {
    const done = /^(retry|dismiss)\.(\d{1,9})$/.exec(c.req.query('done') ?? '')
    const at = c.req.query('at')
    const body = await deliveriesPage(ports, issuer, c.var.session, {
      filter: openFilter((name) => c.req.query(name)),
      from: at === undefined ? undefined : { at, after: c.req.query('after') ?? '' },
      says: done ? `${done[2] ?? ''} ${done[1] === 'retry' ? 'due now' : 'given up'}` : undefined,
    })
    return show(c, '/deliveries', 'Open deliveries', body)
  })
  app.get('/relying-parties', async (c) => {
    const filter = partyFilter((name) => c.req.query(name))
    const body = await relyingPartiesPage(ports, issuer, c.var.session, filter, Number(c.req.query('page')))
    return show(c, '/relying-parties', 'Relying parties', body)
  })
  app.get('/relying-parties/register', needs('operate'), (c) =>
    show(c, '/relying-parties', 'Register a relying party', registerPage(c.var.session, NOTHING, undefined)),
  )
  app.get('/relying-party', async (c) => {
    const says = SAYS.get(c.req.query('done') ?? '')
    const clientId = c.req.query('client_id') ?? ''
    const body = await relyingPartyPage(ports, issuer, c.var.session, clientId, { says, nameOf })
    return body
      ? show(c, '/relying-parties', clientId, body)
      : c.html(notice('There is no such relying party', 'Nobody names a logout URL for it.', c.var.session), 404)
  })
  app.get('/changes', async (c) => show(c, '/changes', 'Changes', await changesPage(ports, issuer, before(c), nameOf)))
  app.get('/settings', (c) => show(c, '/settings', 'Settings', settingsPage(ports)))
  app.get('/coverage', (c) => show(c, '/coverage', 'Coverage', coveragePage(ports, c.var.session)))
  app.get('/coverage/read', (c) => begin(c, '/console/coverage', true))
  addActs(app, ports, needs, show)
  addEndOfUser(app, ports, { names, sessions }, needs, show)

  app.get('/live', (c) => {
    const { session } = c.var
    const own = streams.get(session.id) ?? 0
    if (streams.size >= MAX_STREAMS || own >= MAX_STREAMS_OF_ONE) {
      return c.text('Too many are watching', 503)
    }
    streams.set(session.id, own + 1)
    return streamSSE(c, async (stream) => {
      const gone = new AbortController()
      stream.onAbort(() => gone.abort())
      const stop = AbortSignal.any([gone.signal, session.ended.signal])
      const isOver = () => stop.aborted
      try {
        let shown = ''
        // A write waits for the reader. One that never reads costs one page of memory, and its place for half a minute.
        const isRead = (write: Promise<unknown>) =>
          Promise.race([write.then(() => true), ports.sleep(UNREAD_MS, stop).then(() => false)])
        // Looking for the session ends one that is too old.
        for (let quiet = 0; (await stillIn(session.id)) && !isOver(); quiet++) {
          const body = await names.shown(session, await draw())
          let read = true
          if (body !== shown) {
            read = await isRead(stream.writeSSE({ event: 'now', data: body }))
            shown = body
            quiet = 0
          } else if (quiet % QUIET_LOOKS === QUIET_LOOKS - 1) {
            read = await isRead(stream.writeSSE({ event: 'still', data: '' }))
          }
          if (!read && !isOver()) {
            hangUp(c)
            break
          }
          await ports.sleep(LOOK_MS, stop)
        }
        if (session.ended.signal.reason === 'at the realm') {
          await stream.writeSSE({ event: 'ended', data: 'ended' })
        }
      } finally {
        const left = (streams.get(session.id) ?? 1) - 1
        if (left > 0) {
          streams.set(session.id, left)
        } else {
          streams.delete(session.id)
        }
      }
    })
  })
  return app
}

/** Ends the connection itself: what it has not read would else be kept for as long as it likes. */
function hangUp({ env }: Context): void {
  const { outgoing } = (env ?? {}) as { outgoing?: { destroy(): void } }
  outgoing?.destroy()
}
