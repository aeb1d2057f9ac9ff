import { html } from 'hono/html'
import { duration, many } from '../text.ts'
import { csrf, done, type Html, instant, partyHref, reasonField } from './layout.ts'
import type { ConsolePorts } from './ports.ts'
import type { Session } from './sessions.ts'

const PAGE = 50

/** Open deliveries, a page at a time, of one relying party or all; with what this person may do about them. */
export async function deliveriesPage(
  { store, relyingParties, nowMs }: Pick<ConsolePorts, 'store' | 'relyingParties' | 'nowMs'>,
  issuer: string,
  session: Session,
  { clientId, after, says }: { clientId: string | undefined; after: string | undefined; says: string | undefined },
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
  const [mayRetry, mayDismiss] = [session.roles.includes('operate'), session.roles.includes('dismiss')]
  const mayAct = mayRetry || mayDismiss
  const again = (client: string, dueMs: number) =>
    relyingParties.find(issuer, client)?.paused
      ? 'paused'
      : dueMs <= nowMs()
        ? 'being attempted'
        : `in ${duration(dueMs - nowMs())}`
  return html`${clientId === undefined ? '' : html`<p class="back"><a href="/console/deliveries">All relying parties</a></p>`}
    <h1>Open deliveries${clientId === undefined ? '' : html` of <a href="${partyHref(clientId)}">${clientId}</a>`}</h1>
    ${done(says)}
    ${
      found.length === 0
        ? html`<p class="empty">None: no relying party owes an answer.</p>`
        : html`<form method="post" class="deliveries">
            ${csrf(session)}
            ${clientId === undefined ? '' : html`<input type="hidden" name="client_id" value="${clientId}" />`}
            <table class="grid choose">
              <thead>
                <tr>
                  ${mayAct ? html`<th scope="col"><span class="unseen">Tick</span></th>` : ''}
                  <th scope="col">Relying party</th>
                  <th scope="col">Received</th>
                  <th scope="col">Open for</th>
                  <th scope="col">Last answer</th>
                  <th scope="col">Next attempt</th>
                </tr>
              </thead>
              <tbody>
                ${found.map(
                  ({ id, clientId: client, containmentId, attempts, createdMs, dueMs, lastReason, lastStatus }) =>
                    html`<tr>
                      ${
                        mayAct
                          ? html`<td class="tick">
                              <input type="checkbox" name="id" value="${id}" aria-label="${client}, ${id}" />
                            </td>`
                          : ''
                      }
                      <th scope="row">
                        <a href="/console/deliveries?client_id=${encodeURIComponent(client)}">${client}</a>
                      </th>
                      <td data-label="Received">
                        <a href="/console/containments/${encodeURIComponent(containmentId)}">${instant(createdMs)}</a>
                      </td>
                      <td data-label="Open for">${duration(nowMs() - createdMs)}</td>
                      <td data-label="Last answer" class="open">
                        ${lastReason === undefined ? html`<span class="none">${attempts === 0 ? 'not asked yet' : 'none yet'}</span>` : html`<span class="state">${lastReason.replaceAll('_', ' ')}${lastStatus === undefined ? '' : ` (${lastStatus})`}</span>`}<small
                          >${many(attempts, 'attempt')}</small
                        >
                      </td>
                      <td data-label="Next attempt">${again(client, dueMs)}</td>
                    </tr>`,
                )}
              </tbody>
            </table>
            ${mayAct ? actions(clientId, mayRetry, mayDismiss) : ''}
          </form>`
    }
    ${next === undefined ? '' : html`<p><a class="button quiet" href="/console/deliveries?${of}after=${encodeURIComponent(next)}">More</a></p>`}`
}

function actions(clientId: string | undefined, operate: boolean, dismiss: boolean): Html {
  return html`<fieldset class="actions">
    <legend>What to do</legend>
    ${
      clientId === undefined
        ? html`<input type="hidden" name="which" value="chosen" />
            <p class="meta">
              With those ticked. For all that one relying party is owed, open its deliveries from its page.
            </p>`
        : html`<p class="row">
            <label class="tick"><input type="radio" name="which" value="chosen" checked />with those ticked</label>
            <label class="tick"
              ><input type="radio" name="which" value="all" />with all of ${clientId}, also those not shown</label
            >
          </p>`
    }
    ${operate ? html`<p class="row"><button formaction="/console/deliveries/retry" formnovalidate>Attempt now</button></p>` : ''}
    ${
      dismiss
        ? html`<p class="row">
              ${reasonField()}
              <button class="danger" formaction="/console/deliveries/dismiss" formnovalidate>Give up</button>
            </p>
            <p class="meta">
              A session that is given up is not ended. The reason and who gave it stay in the evidence.
            </p>`
        : ''
    }
  </fieldset>`
}
