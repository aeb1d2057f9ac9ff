import { createHash, timingSafeEqual } from 'node:crypto'
import type { Context, Hono, MiddlewareHandler } from 'hono'
import { RelayError } from '../errors.ts'
import type { Selection } from '../store/port.ts'
import { type Html, notice, partyHref } from './layout.ts'
import { Open, openFilter, openQuery } from './open.ts'
import type { ConsolePorts } from './ports.ts'
import { registerPage } from './register.ts'
import type { Session } from './sessions.ts'

export type ConsoleEnv = { Variables: { session: Session } }
type Form = Readonly<Record<string, unknown>>

/** Shows a page in the console's frame. */
export type Show = (
  c: Context<ConsoleEnv>,
  path: string,
  title: string,
  body: Html,
  status?: 200 | 400 | 403 | 409 | 422 | 503,
) => Response | Promise<Response>

/** Selections that are acted on at once, so that their changes share a commit. */
const AT_ONCE = 50

/** The form, once it is known to come from a page of ours. */
export async function formOf(c: Context<ConsoleEnv>): Promise<Form | undefined> {
  const form: Form = await c.req.parseBody({ all: true }).catch(() => ({}))
  const hash = (text: unknown) => createHash('sha256').update(String(text)).digest()
  return timingSafeEqual(hash(form['csrf']), hash(c.var.session.csrf)) ? form : undefined
}

export function forged(c: Context<ConsoleEnv>) {
  const says = 'It did not come from this console, or is of an earlier session. Nothing was done.'
  return c.html(notice('That form is not valid', says, c.var.session), 403)
}

/** What people may do here: each a form that is posted, for who has the role, and then a page that says what was done. */
export function addActs(
  app: Hono<ConsoleEnv>,
  ports: ConsolePorts,
  needs: (role: string) => MiddlewareHandler<ConsoleEnv>,
  show: Show,
): void {
  const { flow, registrar, nowMs } = ports
  const { issuer } = ports.client
  const posted = (path: string, role: string, act: (c: Context<ConsoleEnv>, form: Form) => Promise<Response>) =>
    app.post(path, needs(role), async (c) => {
      const form = await formOf(c)
      return form ? act(c, form) : forged(c)
    })
  const wrong = (c: Context<ConsoleEnv>, title: string, says: string) =>
    c.html(notice(title, `${says} Nothing was done.`, c.var.session), 400)
  const sayWhy = (c: Context<ConsoleEnv>) =>
    wrong(c, 'Say why', 'This takes a reason of 3 to 500 characters, for whoever reads it later.')

  const ofDeliveries = (
    what: 'retry' | 'dismiss',
    role: string,
    run: (s: Selection, by: string, reason: string) => Promise<number>,
  ) =>
    posted(`/deliveries/${what}`, role, async (c, form) => {
      const filter = openFilter((name) => (typeof form[name] === 'string' ? form[name] : undefined))
      const ids = [form['id'] ?? []].flat().filter((id) => typeof id === 'string')
      const all = form['which'] === 'all'
      const reason = reasonOf(form)
      if (!all && ids.length === 0) {
        return wrong(c, 'Nothing was ticked', 'Go back and tick what you mean.')
      }
      if (what === 'dismiss' && reason === undefined) {
        return sayWhy(c)
      }
      const open = all ? await Open.find(ports, issuer, filter, nowMs()) : undefined
      if (open && what === 'dismiss') {
        if (Object.keys(filter).length === 0) {
          return wrong(c, 'That is everything', 'To give up all, filter first for what you mean.')
        }
        if (form['digest'] !== open.digest) {
          const says = 'The filter takes others than it did when you looked. Go back, load the page once more and look.'
          return wrong(c, 'That is not so any more', says)
        }
      }
      const shownMs = Math.min(Number(form['shown']) || 0, nowMs())
      const selections = open ? await open.selections(shownMs) : ids.map((id) => ({ issuer, id }))
      let changed = 0
      for (let at = 0; at < selections.length; at += AT_ONCE) {
        const some = selections.slice(at, at + AT_ONCE)
        const counts = await Promise.all(some.map((one) => run(one, c.var.session.subject, reason ?? '')))
        changed += counts.reduce((sum, count) => sum + count, 0)
      }
      return c.redirect(`/console/deliveries?${openQuery(filter, { done: `${what}.${changed}` })}`, 303)
    })
  ofDeliveries('retry', 'operate', (selection, by) => flow.retryNow(selection, by))
  ofDeliveries('dismiss', 'dismiss', (selection, by, reason) => flow.dismiss(selection, by, reason))

  posted('/relying-parties/register', 'operate', async (c, form) => {
    const text = (name: string) => (typeof form[name] === 'string' ? form[name].trim() : '')
    const [clientId, logoutUri, reason] = [text('client_id'), text('backchannel_logout_uri'), reasonOf(form)]
    const again = (says: string, canInsist: boolean) =>
      show(
        c,
        '/relying-parties',
        'Register a relying party',
        registerPage(c.var.session, { clientId, logoutUri, reason: text('reason') }, { says, canInsist }),
        canInsist ? 422 : 400,
      )
    if (clientId === '' || clientId.length > 255) {
      return again('The client id is missing or longer than 255 characters.', false)
    }
    if (reason === undefined) {
      return again('Say why, in 3 to 500 characters.', false)
    }
    try {
      const { registered, finding } = await registrar.register(
        { issuer, clientId, logoutUri },
        { by: c.var.session.subject, reason },
        form['despite_check'] === 'true',
      )
      return registered ? c.redirect(`${partyHref(clientId)}&done=registered`, 303) : await again(finding.says, true)
    } catch (cause) {
      if (cause instanceof RelayError && cause.code === 'invalid_request') {
        return again(cause.message, false)
      }
      throw cause
    }
  })

  const ofParty = (
    what: string,
    takesReason: boolean,
    run: (clientId: string, by: string, reason: string) => Promise<unknown>,
  ) =>
    posted(`/relying-party/${what}`, 'operate', async (c, form) => {
      const clientId = typeof form['client_id'] === 'string' ? form['client_id'] : ''
      const reason = reasonOf(form)
      if (takesReason && reason === undefined) {
        return sayWhy(c)
      }
      try {
        await run(clientId, c.var.session.subject, reason ?? '')
      } catch (cause) {
        if (cause instanceof RelayError && cause.code === 'not_found') {
          return wrong(c, 'That is not so any more', 'It is gone, or somebody was quicker.')
        }
        throw cause
      }
      const stays = what !== 'unregister'
      return c.redirect(stays ? `${partyHref(clientId)}&done=${what}` : '/console/relying-parties', 303)
    })
  ofParty('check', false, (clientId) => registrar.check(issuer, clientId))
  ofParty('pause', true, (clientId, by, reason) => registrar.pause(issuer, clientId, { by, reason }))
  ofParty('unregister', true, (clientId, by, reason) => registrar.unregister(issuer, clientId, { by, reason }))
  ofParty('resume', false, async (clientId, by) => {
    await registrar.resume(issuer, clientId, by)
    await flow.retryNow({ issuer, clientId }, by)
  })
}

/** What somebody has typed in; undefined where that is none. */
export function reasonOf(form: Form): string | undefined {
  const reason = typeof form['reason'] === 'string' ? form['reason'].trim() : ''
  return reason.length < 3 || reason.length > 500 ? undefined : reason
}
