import { html } from 'hono/html'
import { csrf, duration, type Html, many } from './layout.ts'
import type { ConsolePorts } from './ports.ts'
import type { Session } from './sessions.ts'

const PAGE = 50

/** Open deliveries, a page at a time, of one relying party or all; with what this person may do about them. */
export async function deliveriesPage(
  { store, nowMs }: Pick<ConsolePorts, 'store' | 'nowMs'>,
  issuer: string,
  session: Session,
  { clientId, after, done }: { clientId: string | undefined; after: string | undefined; done: string | undefined },
): Promise<Html> {
  const found = await store.deliveries({
    issuer,
    state: 'open',
    limit: PAGE,
    ...(clientId === undefined ? {} : { clientId }),
    ...(after === undefined ? {} : { after }),
  })
  const of = clientId === undefined ? '' : `client_id=${encodeURIComponent(clientId)}&`
  const next = found.length === PAGE ? found.at(-1)?.id : undefined
  const may = (role: string) => session.roles.includes(role)
  return html`<h1>Open deliveries${clientId === undefined ? '' : html` of ${clientId}`}</h1>
    ${done === undefined ? '' : html`<p class="done" role="status">${done}</p>`}
    ${clientId === undefined ? '' : html`<p class="back"><a href="/console/deliveries">All relying parties</a></p>`}
    ${
      found.length === 0
        ? html`<p class="empty">None: every relying party has answered.</p>`
        : html`<form method="post" class="deliveries">
            ${csrf(session)}
            ${clientId === undefined ? '' : html`<input type="hidden" name="client_id" value="${clientId}" />`}
            <ul class="rows choose">
              ${found.map(
                ({ id, clientId: client, containmentId, attempts, createdMs, dueMs, lastReason, lastStatus }) =>
                  html`<li>
                    ${
                      may('operate') || may('dismiss')
                        ? html`<input type="checkbox" name="id" value="${id}" aria-label="${client}, ${id}" />`
                        : ''
                    }
                    <a href="/console/containments/${encodeURIComponent(containmentId)}">${client}</a>
                    <span>open for ${duration(nowMs() - createdMs)}, ${many(attempts, 'attempt')}</span>
                    <span
                      >${lastReason === undefined ? '' : lastReason.replaceAll('_', ' ')}${lastStatus === undefined ? '' : ` (${lastStatus})`}</span
                    >
                    <span>${dueMs <= nowMs() ? 'being attempted' : `again in ${duration(dueMs - nowMs())}`}</span>
                  </li>`,
              )}
            </ul>
            ${may('operate') || may('dismiss') ? actions(clientId, may('operate'), may('dismiss')) : ''}
          </form>`
    }
    ${next === undefined ? '' : html`<p><a class="button quiet" href="/console/deliveries?${of}after=${encodeURIComponent(next)}">More</a></p>`}`
}

function actions(clientId: string | undefined, operate: boolean, dismiss: boolean): Html {
  return html`<fieldset class="actions">
    <legend>What to do</legend>
    <label><input type="radio" name="which" value="chosen" checked />with those ticked</label>
    ${
      clientId === undefined
        ? ''
        : html`<label
            ><input type="radio" name="which" value="all" />with all of ${clientId}, also those not shown</label
          >`
    }
    ${operate ? html`<p><button formaction="/console/deliveries/retry">Attempt now</button></p>` : ''}
    ${
      dismiss
        ? html`<p class="dismiss">
              <label>Reason <input name="reason" maxlength="500" autocomplete="off" /></label>
              <button class="danger" formaction="/console/deliveries/dismiss">Give up</button>
            </p>
            <p class="meta">
              A session that is given up is not ended. The reason and who gave it stay in the evidence.
            </p>`
        : ''
    }
  </fieldset>`
}
