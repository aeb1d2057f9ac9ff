import { html } from 'hono/html'
import { CATALOGUE } from '../idp/keycloak/audit/catalogue.ts'
import { type Finding, type Level, LEVELS, levelOf } from '../idp/keycloak/audit/danger.ts'
import { findings, lasts } from '../idp/keycloak/audit/findings.ts'
import { isContained, type Survival, survivals } from '../idp/keycloak/audit/survive.ts'
import { duration, many } from '../text.ts'
import type { Html } from './layout.ts'
import { AUDIT_SCOPE } from './login.ts'
import type { ConsolePorts } from './ports.ts'
import type { Session } from './sessions.ts'

const SHOWN = 200
/** A scale on which five minutes and two months can both be seen. */
const [SHORTEST, LONGEST] = [60, 90 * 86_400]

/** What would survive a reset made now, as the audit finds it with this person's own rights. */
export function coveragePage({ nowMs, client }: Pick<ConsolePorts, 'nowMs' | 'client'>, { audit }: Session): Html {
  const head = (button: string) =>
    html`<div class="head">
      <h1>Coverage</h1>
      <a class="button ${audit ? 'quiet' : ''}" href="/console/coverage/read">${button}</a>
    </div>`
  if (!audit || 'refused' in audit) {
    return html`${head('Audit now')}
      ${audit ? html`<p class="alarm" role="alert"><strong>Not read.</strong> ${audit.refused}</p>` : ''}
      <section class="card">
        <p>What would go on working after a password reset that is made now, at which application, and for how long.</p>
        <p class="meta">
          The relay itself may not read the realm. It is read with your own rights and at your word, once: you need
          <code>view-realm</code>, <code>view-clients</code> and <code>view-identity-providers</code> of the client
          <code>realm-management</code>, and ${client.clientId} the optional client scope
          <code>${AUDIT_SCOPE}</code> with the same roles. What is read is kept until your session ends, for you alone;
          docs/console.md says how to set it up.
        </p>
      </section>`
  }
  const { realm, atMs } = audit
  const found = findings(realm)
  const rows = survivals(realm)
  const groups = [...Map.groupBy(found, ({ id, level }) => `${level} ${id}`).values()]
  return html`${head('Audit again')}
    <p class="meta">
      Realm ${realm.realm}, read ${duration(nowMs() - atMs)} ago with your rights.
      ${isContained(realm) ? 'Resets are answered by the extension; this is what is left.' : ''}
    </p>
    ${
      isContained(realm)
        ? ''
        : html`<p class="alarm">
            <strong>Resets end nothing here.</strong> The extension is not there, or not switched on in this realm.
          </p>`
    }
    ${realm.unread.map(({ what, why }) => html`<p class="alarm wait"><strong>Not read: ${what}.</strong> ${why}</p>`)}
    <dl class="figures levels">
      ${LEVELS.map((level) => {
        const count = found.filter((one) => one.level === level).length
        return html`<div class="${count > 0 ? level : ''}">
          <dt>${level}</dt>
          <dd>${count}</dd>
        </div>`
      })}
    </dl>
    <h2>What survives a reset, at worst</h2>
    ${rows.length === 0 ? html`<p class="empty">No client that people log in to.</p>` : survivalTable(rows.slice(0, SHOWN))}
    ${rows.length > SHOWN ? html`<p class="meta">The first ${SHOWN}; all: <code>logout-relay audit</code></p>` : ''}
    <h2>${many(found.length, 'finding')}</h2>
    ${groups.map(findingCard)}`
}

function survivalTable(rows: readonly Survival[]): Html {
  return html`<table class="grid survive">
      <thead>
        <tr>
          <th scope="col">Client</th>
          ${['Application', 'Refresh token', 'Offline token', 'Access token'].map((name) => html`<th scope="col">${name}</th>`)}
          <th scope="col" class="num">Sessions now</th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ({ client, application, assumed, refreshToken, offlineToken, accessToken }) =>
            html`<tr>
              <th scope="row">${client.clientId}</th>
              ${life('Application', application, assumed)}${life('Refresh token', refreshToken)}
              ${life('Offline token', offlineToken)}${life('Access token', accessToken)}
              <td class="num" data-label="Sessions now">
                ${client.alive ? (client.alive.online + client.alive.offline).toLocaleString('en') : '–'}
              </td>
            </tr>`,
        )}
      </tbody>
    </table>
    ${rows.some(({ assumed }) => assumed) ? html`<p class="meta">* nobody has said how long; 30 days are assumed.</p>` : ''}`
}

function life(name: string, seconds: number | undefined, assumed = false): Html {
  if (seconds === undefined || seconds === 0) {
    return html`<td data-label="${name}">
      <span class="${seconds === 0 ? 'good' : 'none'}">${seconds === 0 ? 'ended' : 'none'}</span>
    </td>`
  }
  const share = Math.log(Math.min(Math.max(seconds, SHORTEST), LONGEST) / SHORTEST) / Math.log(LONGEST / SHORTEST)
  return html`<td data-label="${name}" class="life ${levelOf(seconds)}">
    ${lasts(seconds)}${assumed ? '*' : ''}
    <svg width="100%" height="6" aria-hidden="true">
      <rect class="rail" width="100%" height="6" rx="3" />
      <rect class="bar" width="${Math.max(3, 100 * share).toFixed(0)}%" height="6" rx="3" />
    </svg>
  </td>`
}

function findingCard(group: readonly Finding[]): Html | '' {
  const [one] = group
  if (!one) {
    return ''
  }
  const { title, remedy } = CATALOGUE[one.id]
  return html`<article class="card finding ${one.level}">
    <h3><span class="badge ${badge(one.level)}">${one.level}</span> ${title}</h3>
    <ul>
      ${group
        .slice(0, SHOWN)
        .map(
          ({ kind, name, worst, detail }) =>
            html`<li>
              <strong>${kind === 'client' ? '' : `${kind} `}${name}</strong
              >${worst === undefined ? '' : `, ${lasts(worst)}`}. ${detail}
            </li>`,
        )}
    </ul>
    <p class="remedy">${remedy}</p>
  </article>`
}

function badge(level: Level): string {
  return level === 'critical' || level === 'high' ? 'bad' : level === 'medium' ? 'wait' : ''
}
