import { html } from 'hono/html'
import type { Delivery } from '../domain/model.ts'
import { partiesIn } from '../domain/provider.ts'
import { duration, many } from '../text.ts'
import { groupList, groupsOf, type LanePorts, WRONGS, wrongChoice } from './lanes.ts'
import { csrf, done, type Html, instant, partyHref, reasonField } from './layout.ts'
import { who } from './names.ts'
import { type Age, AGES, Open, type OpenAt, type OpenFilter, openQuery } from './open.ts'
import type { ConsolePorts } from './ports.ts'
import type { Session } from './sessions.ts'

/** From so many relying parties on, what is wrong is said before who they are. */
const GROUPED = 2
const AGE_WORDS: Readonly<Record<Age, string>> = { '1h': 'an hour', '1d': 'a day', '7d': 'a week' }

type Ports = LanePorts & Pick<ConsolePorts, 'nowMs'>

/** Open deliveries, a page at a time, all or what a filter takes; with what this person may do about them. */
export async function deliveriesPage(
  ports: Ports,
  issuer: string,
  session: Session,
  { filter, from, says }: { filter: OpenFilter; from: OpenAt | undefined; says: string | undefined },
): Promise<Html> {
  const nowMs = ports.nowMs()
  const open = await Open.find(ports, issuer, filter, nowMs)
  const { found, next } = await open.page(from)
  const isFiltered = Object.keys(filter).length > 0
  const mayAct = session.roles.includes('operate') || session.roles.includes('dismiss')
  return html`${isFiltered ? html`<p class="back"><a href="/console/deliveries">All open deliveries</a></p>` : ''}
    <h1>Open deliveries${headOf(filter, open.subject)}</h1>
    ${done(says)} ${open.lanes.length === 0 ? '' : searchForm(session, filter)}
    ${isFiltered || open.lanes.length < GROUPED ? '' : groupList(groupsOf(open.lanes), nowMs, '/deliveries')}
    ${
      found.length === 0
        ? html`<p class="empty">
            ${open.lanes.length === 0 ? 'None: nobody owes an answer.' : next ? 'None among those that were looked at.' : 'None that the filter takes.'}
          </p>`
        : html`<p class="meta">
              ${open.total === undefined ? '' : html`<strong>${many(open.total, 'session')}</strong> `}${filter.of === undefined ? html`at ${partiesIn(open.chosen.map(({ clientId }) => clientId))}` : ''}
            </p>
            <form method="post" class="deliveries">
              ${csrf(session)} ${hidden(filter)}
              <input type="hidden" name="shown" value="${nowMs}" />
              <input type="hidden" name="digest" value="${open.digest}" />
              ${table(ports, issuer, found, mayAct)} ${mayAct ? actions(filter, open, session) : ''}
            </form>`
    }
    ${next === undefined ? '' : html`<p><a class="button quiet" href="/console/deliveries?${openQuery(filter, { ...next })}">More</a></p>`}`
}

function headOf({ clientId, wrong }: OpenFilter, subject: string | undefined): Html {
  return html`${clientId === undefined ? '' : html` of <a href="${partyHref(clientId)}">${clientId}</a>`}${
    subject === undefined ? '' : html` for ${who(subject)}`
  }${wrong === undefined ? '' : html`: ${WRONGS[wrong][0].toLowerCase()}`}`
}

/** Posted, since a name goes into no address. */
function searchForm(session: Session, { clientId, q, wrong, of, age }: OpenFilter): Html {
  return html`<form method="post" action="/console/deliveries" class="filter" role="search">
    ${csrf(session)} ${hidden({ ...(clientId === undefined ? {} : { clientId }), ...(of === undefined ? {} : { of }) })}
    <label
      >Owed to <input name="q" value="${q ?? ''}" maxlength="255" autocomplete="off" placeholder="part of the name"
    /></label>
    <label>User <input name="user" maxlength="255" autocomplete="off" placeholder="name, email or id" /></label>
    ${wrongChoice(wrong)}
    <label
      >Open for
      <select name="age">
        <option value="">any time</option>
        ${Object.keys(AGES).map(
          (one) =>
            html`<option value="${one}" ${one === age ? 'selected' : ''}>${AGE_WORDS[one as Age]} or longer</option>`,
        )}
      </select></label
    >
    <button class="quiet">Search</button>
  </form>`
}

function hidden({ clientId, q, wrong, of, age }: OpenFilter): Html {
  const given = Object.entries({ client_id: clientId, q, wrong, of, age })
  return html`${given.map(([name, value]) => (value === undefined ? '' : html`<input type="hidden" name="${name}" value="${value}" />`))}`
}

function table(
  { relyingParties, nowMs }: Pick<Ports, 'relyingParties' | 'nowMs'>,
  issuer: string,
  found: readonly Delivery[],
  mayAct: boolean,
): Html {
  const again = (client: string, dueMs: number) =>
    relyingParties.find(issuer, client)?.paused
      ? 'paused'
      : dueMs <= nowMs()
        ? 'being attempted'
        : `in ${duration(dueMs - nowMs())}`
  return html`<table class="grid choose">
    <thead>
      <tr>
        ${mayAct ? html`<th scope="col"><span class="unseen">Tick</span></th>` : ''}
        <th scope="col">Owed to</th>
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
  </table>`
}

function actions(filter: OpenFilter, { total, chosen }: Open, { roles }: Session): Html {
  const isFiltered = Object.keys(filter).length > 0
  const all = total === undefined ? 'with all that the filter takes' : `with all ${total.toLocaleString('en')}`
  const at = filter.of === undefined ? ` at ${partiesIn(chosen.map(({ clientId }) => clientId))}` : ''
  return html`<fieldset class="actions">
    <legend>What to do</legend>
    <p class="row">
      <label class="tick"><input type="radio" name="which" value="chosen" checked />with those ticked</label>
      <label class="tick"><input type="radio" name="which" value="all" />${all}${at}, also those not shown</label>
    </p>
    ${roles.includes('operate') ? html`<p class="row"><button formaction="/console/deliveries/retry" formnovalidate>Attempt now</button></p>` : ''}
    ${
      roles.includes('dismiss')
        ? html`<p class="row">
              ${reasonField()}
              <button class="danger" formaction="/console/deliveries/dismiss" formnovalidate>Give up</button>
            </p>
            <p class="meta">
              A session that is given up is not ended. The reason and who gave it stay in the
              evidence.${isFiltered ? '' : ' To give up all, filter first.'}
            </p>`
        : ''
    }
  </fieldset>`
}
