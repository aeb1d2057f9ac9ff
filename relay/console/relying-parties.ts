import { html } from 'hono/html'
import { isProvider } from '../domain/provider.ts'
import type { ListedRelyingParty } from '../registry/registry.ts'
import { duration, many } from '../text.ts'
import { quantile } from '../telemetry/answers.ts'
import { badges, type HealthPorts, healthOf, picture, time } from './health.ts'
import {
  groupList,
  groupsOf,
  isWrong,
  type LanePorts,
  type Owing,
  owing,
  type Wrong,
  WRONGS,
  wrongChoice,
} from './lanes.ts'
import { type Html, partyHref } from './layout.ts'
import type { Session } from './sessions.ts'

const PAGE = 50
const PICTURED = 24
/** Up to so many need neither a search nor groups. */
const FEW = 12

/** Which relying parties somebody looks for. */
export interface PartyFilter {
  /** A part of the client id. */
  readonly q?: string
  readonly wrong?: Wrong
}

/** From a query, of which nothing is taken that is not understood. */
export function partyFilter(field: (name: string) => string | undefined): PartyFilter {
  const [q, wrong] = [field('q')?.trim().slice(0, 255), field('wrong')]
  return { ...(q === undefined || q === '' ? {} : { q }), ...(isWrong(wrong) ? { wrong } : {}) }
}

/** Whom the relay tells: how each has answered lately, and what it owes. Those that need somebody come first. */
export async function relyingPartiesPage(
  ports: HealthPorts & LanePorts,
  issuer: string,
  session: Session,
  filter: PartyFilter,
  page: number,
): Promise<Html> {
  const lanes = await owing(ports, issuer)
  const backlog = new Map(lanes.map((one) => [one.clientId, one]))
  const rank = ({ clientId, paused }: ListedRelyingParty) =>
    paused ? 0 : (backlog.get(clientId)?.oldestMs ?? Number.MAX_SAFE_INTEGER)
  const all = ports.relyingParties.list(issuer)
  const providers = all.filter(({ clientId }) => isProvider(clientId)).length
  const part = filter.q?.toLowerCase()
  const chosen = all
    .filter(
      ({ clientId }) =>
        (part === undefined || clientId.toLowerCase().includes(part)) &&
        (filter.wrong === undefined || backlog.get(clientId)?.wrong === filter.wrong),
    )
    .map((party) => ({ party, rank: rank(party) }))
    .sort((a, b) => a.rank - b.rank || (a.party.clientId < b.party.clientId ? -1 : 1))
    .map(({ party }) => party)
  const pages = Math.max(1, Math.ceil(chosen.length / PAGE))
  const at = Number.isInteger(page) ? Math.min(Math.max(page, 1), pages) : 1
  const shown = chosen.slice((at - 1) * PAGE, at * PAGE)
  const isFiltered = Object.keys(filter).length > 0
  return html`<div class="head">
      <h1>Relying parties${filter.wrong === undefined ? '' : `: ${WRONGS[filter.wrong][0].toLowerCase()}`}</h1>
      ${
        session.roles.includes('operate')
          ? html`<a class="button quiet" href="/console/relying-parties/register">Register</a>`
          : ''
      }
    </div>
    <p class="meta">
      ${many(all.length - providers, 'application')} with a back-channel logout
      URL${providers > 0 ? `, and ${many(providers, 'identity provider')} that ${providers === 1 ? 'is' : 'are'} told by relay.yaml` : ''}.
      Those that owe an answer come first.
    </p>
    ${all.length <= FEW && !isFiltered ? '' : searchForm(filter)}
    ${isFiltered || lanes.length <= FEW ? '' : groupList(groupsOf(lanes), ports.nowMs(), '/relying-parties')}
    ${
      shown.length === 0
        ? html`<p class="empty">
            ${all.length === 0 ? html`None. Give a client in the realm a <em>Backchannel logout URL</em>, and it is here within a minute.` : 'None that the filter takes.'}
          </p>`
        : table(ports, issuer, shown, backlog)
    }
    ${pages === 1 ? (isFiltered ? html`<p class="meta">${chosen.length.toLocaleString('en')} of ${all.length.toLocaleString('en')}</p>` : '') : pager(filter, at, pages, chosen.length)}`
}

function searchForm({ q, wrong }: PartyFilter): Html {
  return html`<form action="/console/relying-parties" class="filter" role="search">
    <label
      >Name <input name="q" value="${q ?? ''}" maxlength="255" autocomplete="off" placeholder="part of it"
    /></label>
    ${wrongChoice(wrong)}
    <button class="quiet">Search</button>
    ${q === undefined && wrong === undefined ? '' : html`<a href="/console/relying-parties">All</a>`}
  </form>`
}

function pager(filter: PartyFilter, at: number, pages: number, count: number): Html {
  const link = (page: number, text: string) =>
    page < 1 || page > pages
      ? ''
      : html`<a
          class="button quiet"
          href="/console/relying-parties?${new URLSearchParams({ ...filter, page: String(page) }).toString()}"
          >${text}</a
        >`
  return html`<div class="row pager" role="navigation" aria-label="More of the list">
    ${link(at - 1, 'Previous')}
    <span>${(at - 1) * PAGE + 1} to ${Math.min(at * PAGE, count)} of ${count.toLocaleString('en')}</span>
    ${link(at + 1, 'Next')}
  </div>`
}

function table(
  ports: HealthPorts,
  issuer: string,
  shown: readonly ListedRelyingParty[],
  backlog: ReadonlyMap<string, Owing>,
): Html {
  const { answers, nowMs } = ports
  const health = healthOf(ports, issuer)
  return html`<table class="grid">
    <thead>
      <tr>
        <th scope="col">Name</th>
        <th scope="col">Last answers</th>
        <th scope="col" class="num">p50</th>
        <th scope="col" class="num">p99</th>
        <th scope="col">Open</th>
      </tr>
    </thead>
    <tbody>
      ${shown.map((party) => {
        const owed = backlog.get(party.clientId)
        const last = answers.of(issuer, party.clientId)
        return html`<tr>
          <th scope="row">
            <a href="${partyHref(party.clientId)}">${party.clientId}</a>
            ${badges(ports, party, health.get(party.clientId))}
          </th>
          <td data-label="Last answers">
            ${last.length === 0 ? html`<span class="none">not asked yet</span>` : picture(last, PICTURED)}
          </td>
          <td class="num" data-label="p50">${time(quantile(last, 0.5))}</td>
          <td class="num" data-label="p99">${time(quantile(last, 0.99))}</td>
          <td data-label="Open" class="${owed ? 'open' : ''}">
            ${
              owed
                ? html`<a class="state" href="/console/deliveries?client_id=${encodeURIComponent(party.clientId)}"
                      >${many(owed.count, 'session')}</a
                    ><small>${WRONGS[owed.wrong][0].toLowerCase()}, for ${duration(nowMs() - owed.oldestMs)}</small>`
                : html`<span class="none">none</span>`
            }
          </td>
        </tr>`
      })}
    </tbody>
  </table>`
}
