import type { Context, Hono, MiddlewareHandler } from 'hono'
import { html } from 'hono/html'
import { RelayError } from '../errors.ts'
import type { OperatorOutcome } from '../domain/model.ts'
import { subjectNamed, subjectOf } from './account.ts'
import { type ConsoleEnv, formOf, forged, reasonOf, type Show } from './acts.ts'
import { endedPage, endPage, lookPage } from './ending.ts'
import type { Html } from './layout.ts'
import type { Names } from './names.ts'
import type { ConsolePorts } from './ports.ts'
import { rightsOf } from './rights.ts'
import type { Ending, Sessions } from './sessions.ts'

const TITLE = 'End everything of a user'
/** What Keycloak wants to hear even where nothing is done. */
const TO_LOOK = 'to see what would end'
/** So often the store is asked for what has just been done, before somebody is asked to look again. */
const LOOKS = 30
const LOOK_MS = 100
const FORGOTTEN = 'Whose account that was is not known any more. Give the user name or the id.'
const TOO_OLD =
  'What you looked at is not there any more: it is from an earlier session, or from long ago. Look once more.'
const SAY_WHY = 'This takes a reason of 3 to 500 characters, for whoever reads it later.'
const NOT_KNOWN =
  'Keycloak did not answer, so it is not known whether anything has ended. Do it again: twice does no harm.'
const LOGIN_ENDED = html`Your login at the realm has ended, or it may not do this any more.
  <a href="/console/login?to=/console/end">Log in once more</a>.`

type Status = 400 | 403 | 409 | 503

/**
 * Everything of a user ends on the word of a person who has the role `operate`, by the same path as `logout-relay contain`: the
 * realm judges the person's own token, which must be of a client that the realm lets act.
 */
export function addEndOfUser(
  app: Hono<ConsoleEnv>,
  ports: ConsolePorts,
  { names, sessions }: { readonly names: Names; readonly sessions: Sessions },
  needs: (role: string) => MiddlewareHandler<ConsoleEnv>,
  show: Show,
): void {
  const { store } = ports
  const { issuer } = ports.client
  const shown = (c: Context<ConsoleEnv>, body: Html, status: 200 | Status = 200) =>
    show(c, '/containments', TITLE, body, status)
  const notLooked = (c: Context<ConsoleEnv>, says: Html | string, status: Status) =>
    shown(c, endPage(c.var.session, says), status)
  const ask = async ({ var: { session } }: Context<ConsoleEnv>, subject: string, reason: string, dryRun: boolean) => {
    const rights = await rightsOf(session, ports)
    return rights && ports.contain(rights.accessToken, { subject, reason, dryRun, confirm: false })
  }
  const askOnce = (c: Context<ConsoleEnv>, ending: Ending, reason: string) => {
    ending.asking ??= ask(c, ending.subject, reason, false)
      .then((done) => {
        if (done?.kind === 'done') {
          ending.containmentId = done.containmentId ?? ''
        }
        return done
      })
      .finally(() => {
        delete ending.asking
      })
    return ending.asking
  }

  app.use('/end', needs('operate'))
  app.use('/end/*', needs('operate'))
  app.get('/end', (c) => shown(c, endPage(c.var.session)))
  app.post('/end', async (c) => {
    const form = await formOf(c)
    if (!form) {
      return forged(c)
    }
    const text = (name: string) => (typeof form[name] === 'string' ? form[name].trim().slice(0, 255) : '')
    const [user, of] = [text('user'), text('of')]
    const known = of === '' ? undefined : await subjectOf(store, issuer, of)
    const who =
      of === ''
        ? await subjectNamed(names, c.var.session, user)
        : known === undefined
          ? { says: FORGOTTEN }
          : { subject: known }
    if ('says' in who) {
      return notLooked(c, who.says, 400)
    }
    const found = await ask(c, who.subject, TO_LOOK, true)
    if (found?.kind !== 'done') {
      return notLooked(c, found?.description ?? LOGIN_ENDED, statusOf(found))
    }
    const name = sessions.look(c.var.session, { subject: found.subject, atMs: ports.nowMs(), found })
    return c.redirect(`/console/end/${name}`, 303)
  })

  const isHere = async (containmentId: string) =>
    (await store.containment(issuer, containmentId, { from: 0, limit: 1 })) !== undefined
  app.get('/end/:name', async (c) => {
    const name = c.req.param('name')
    const ending = c.var.session.endings.get(name)
    if (!ending) {
      return notLooked(c, TOO_OLD, 400)
    }
    const { containmentId } = ending
    return containmentId === undefined
      ? shown(c, lookPage(c.var.session, name, ending))
      : shown(c, endedPage(ending, await isHere(containmentId), name))
  })
  app.post('/end/:name', async (c) => {
    const form = await formOf(c)
    if (!form) {
      return forged(c)
    }
    const name = c.req.param('name')
    const { session } = c.var
    const ending = session.endings.get(name)
    if (!ending) {
      return notLooked(c, TOO_OLD, 400)
    }
    const again = (says: string, status: Status) => shown(c, lookPage(session, name, ending, says), status)
    const reason = reasonOf(form)
    if (reason === undefined) {
      return again(SAY_WHY, 400)
    }
    if (ending.containmentId === undefined) {
      let done: OperatorOutcome | undefined
      try {
        done = await askOnce(c, ending, reason)
      } catch (cause) {
        if (cause instanceof RelayError && cause.code === 'idp_unavailable') {
          return again(NOT_KNOWN, 503)
        }
        throw cause
      }
      if (done?.kind !== 'done') {
        return done ? again(done.description, statusOf(done)) : notLooked(c, LOGIN_ENDED, 403)
      }
    }
    const { containmentId = '' } = ending
    // Keycloak pushes the event once it is committed, so it is here in a moment.
    for (let n = 0; n < LOOKS && !session.ended.signal.aborted; n++) {
      if (await isHere(containmentId)) {
        return c.redirect(`/console/containments/${encodeURIComponent(containmentId)}`, 303)
      }
      await ports.sleep(LOOK_MS, session.ended.signal)
    }
    return c.redirect(`/console/end/${name}`, 303)
  })
}

function statusOf(outcome: Extract<OperatorOutcome, { kind: 'refused' }> | undefined): Status {
  return outcome === undefined || outcome.status === 401 || outcome.status === 403
    ? 403
    : outcome.status === 409
      ? 409
      : 400
}
