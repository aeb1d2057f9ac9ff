import { html } from 'hono/html'
import { many } from '../text.ts'
import { csrf, type Html, instant, reasonField } from './layout.ts'
import { who } from './names.ts'
import type { Ending, Session } from './sessions.ts'

/** What leads there from a list, for who may. */
export function endAnybody({ roles }: Session): Html | '' {
  return roles.includes('operate') ? html`<a class="button quiet" href="/console/end">End everything of a user</a>` : ''
}

/** The same for whoever a containment was of. */
export function endThem(session: Session, containmentId: string): Html | '' {
  return session.roles.includes('operate')
    ? html`<form method="post" action="/console/end">
        ${csrf(session)} <input type="hidden" name="of" value="${containmentId}" />
        <button class="quiet">End everything of this user</button>
      </form>`
    : ''
}

/** Whom somebody means, before anything is looked at. */
export function endPage(session: Session, problem?: Html | string): Html {
  return html`${BACK}
    <h1>End everything of a user</h1>
    <p class="meta">
      ${WHAT_ENDS} The password stays what it is. First you see what would end; nothing ends before you have said why.
    </p>
    ${alarm('Nobody was looked at.', problem)}
    <form method="post" action="/console/end" class="card fields">
      ${csrf(session)}
      <label
        >User <input name="user" maxlength="255" required autocomplete="off" placeholder="user name, email or id"
      /></label>
      <p><button>See what would end</button></p>
    </form>`
}

/** What would end of one user, and the question why. */
export function lookPage(session: Session, name: string, ending: Ending, problem?: string): Html {
  const { subject, atMs, found } = ending
  return html`${BACK}
    <h1>End everything of ${who(subject)}</h1>
    <p class="meta">As it was at ${instant(atMs)}. Nothing has ended yet.</p>
    ${alarm('Nothing has ended.', problem)}
    ${found.shadow ? html`<p class="alarm">The realm is in shadow mode: it is put on record, and nothing ends.</p>` : ''}
    <dl class="card look">
      <dt>At Keycloak</dt>
      <dd>${WHAT_ENDS}</dd>
      <dt>Told, and ended there</dt>
      <dd>
        <strong>${many(found.sessions - found.unreachable, 'session')}</strong> at
        ${many(found.relyingParties, 'application')}
      </dd>
      <dt>Cannot be told</dt>
      <dd class="${found.unreachable > 0 ? 'open' : 'confirmed'}">
        <span class="state">${untold(found.unreachable)}</span>
      </dd>
    </dl>
    ${found.confirmationRequired ? NEEDS_CONFIRM : reason(session, name)}`
}

/** It is done at Keycloak, and the relay has not heard of it yet, or has. */
export function endedPage({ subject, containmentId = '' }: Ending, isHere: boolean, name: string): Html {
  return html`${BACK}
    <h1>End everything of ${who(subject)}</h1>
    <p class="done" role="status">It is done at Keycloak.</p>
    ${
      isHere
        ? html`<p><a class="button" href="/console/containments/${encodeURIComponent(containmentId)}">Follow it</a></p>`
        : html`<p>The relay has not received the event yet, so no application has been told.</p>
            <p><a class="button" href="/console/end/${name}">Look again</a></p>`
    }`
}

const BACK = html`<p class="back"><a href="/console/containments">Containments</a></p>`
const WHAT_ENDS =
  'All logins end, with their access, refresh and offline tokens and the links that were mailed, but for offline tokens that the realm’s policy spares.'
const NEEDS_CONFIRM = html`<p class="alarm" role="alert">
  <strong>It takes one more word.</strong> More users were ended on somebody’s word of late than the realm’s limit
  allows. Somebody with the role confirm can do it on the command line: <code>logout-relay contain --confirm</code>.
</p>`

function untold(count: number): string {
  return count === 0
    ? 'none'
    : `${many(count, 'session')} at applications without a logout URL: one that has a session of its own lives on until that ends by itself, one that has nothing but tokens loses them`
}

function reason(session: Session, name: string): Html {
  return html`<form method="post" action="/console/end/${name}" class="card fields">
    ${csrf(session)} ${reasonField()}
    <p><button class="danger">End everything</button></p>
    <p class="meta">The reason and who gave it stay in the evidence.</p>
  </form>`
}

function alarm(title: string, says: Html | string | undefined): Html | '' {
  return says === undefined ? '' : html`<p class="alarm" role="alert"><strong>${title}</strong> ${says}</p>`
}
