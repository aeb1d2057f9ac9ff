import { html } from 'hono/html'
import type { ListedRelyingParty } from '../registry/registry.ts'
import { duration, many } from '../text.ts'
import { quantile } from '../telemetry/answers.ts'
import { badges, type HealthPorts, healthOf, picture, time } from './health.ts'
import { type Html, partyHref } from './layout.ts'
import type { Session } from './sessions.ts'

const SHOWN = 200
const PICTURED = 24

/** Whom the relay tells: how each has answered lately, and what it owes. Those that need somebody come first. */
export async function relyingPartiesPage(ports: HealthPorts, issuer: string, session: Session): Promise<Html> {
  const { store, relyingParties, answers, nowMs } = ports
  const backlog = new Map(
    (await store.open()).filter((lane) => lane.issuer === issuer).map((one) => [one.clientId, one]),
  )
  const health = healthOf(ports, issuer)
  const rank = ({ clientId, paused }: ListedRelyingParty) =>
    paused ? 0 : (backlog.get(clientId)?.oldestMs ?? Number.MAX_SAFE_INTEGER)
  const parties = relyingParties.list(issuer).sort((a, b) => rank(a) - rank(b) || a.clientId.localeCompare(b.clientId))
  const shown = parties.slice(0, SHOWN)
  return html`<div class="head">
      <h1>Relying parties</h1>
      ${
        session.roles.includes('operate')
          ? html`<a class="button quiet" href="/console/relying-parties/register">Register</a>`
          : ''
      }
    </div>
    <p class="meta">
      ${many(parties.length, 'application')} with a back-channel logout URL. Those that owe an answer come first.
    </p>
    ${
      parties.length === 0
        ? html`<p class="empty">
            None. Give a client in the realm a <em>Backchannel logout URL</em>, and it is here within a minute.
          </p>`
        : html`<table class="grid">
            <thead>
              <tr>
                <th scope="col">Relying party</th>
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
                        ? html`<a
                              class="state"
                              href="/console/deliveries?client_id=${encodeURIComponent(party.clientId)}"
                              >${many(owed.count, 'session')}</a
                            ><small>for ${duration(nowMs() - owed.oldestMs)}</small>`
                        : html`<span class="none">none</span>`
                    }
                  </td>
                </tr>`
              })}
            </tbody>
          </table>`
    }
    ${parties.length > SHOWN ? html`<p class="meta">The first ${SHOWN}. All: <code>logout-relay relying-parties</code></p>` : ''}`
}
