import { html } from 'hono/html'
import { median } from './answers.ts'
import { duration, type Html, many } from './layout.ts'
import type { ConsolePorts } from './ports.ts'

const SHOWN = 200

/** Whom the relay tells: how each has answered lately, and what it owes. Those that owe come first. */
export async function relyingPartiesPage(
  { store, relyingParties, answers, nowMs }: Pick<ConsolePorts, 'store' | 'relyingParties' | 'answers' | 'nowMs'>,
  issuer: string,
): Promise<Html> {
  const backlog = new Map(
    (await store.open()).filter((lane) => lane.issuer === issuer).map((lane) => [lane.clientId, lane]),
  )
  const parties = relyingParties.list(issuer).sort((a, b) => {
    const [since, other] = [a, b].map(({ clientId }) => backlog.get(clientId)?.oldestMs ?? Infinity)
    return since === other ? a.clientId.localeCompare(b.clientId) : (since ?? 0) - (other ?? 0)
  })
  return html`<h1>Relying parties</h1>
    <p class="meta">${many(parties.length, 'client')} of this realm with a back-channel logout URL.</p>
    <div class="cards">
      ${parties.slice(0, SHOWN).map(({ clientId, logoutUri, enabled }) => {
        const owed = backlog.get(clientId)
        const last = answers.of(issuer, clientId)
        const latest = last.at(-1)
        return html`<article class="card party ${owed ? 'open' : 'confirmed'}">
          <h2>
            <a href="/console/deliveries?client_id=${encodeURIComponent(clientId)}">${clientId}</a
            >${enabled ? '' : html` <small>disabled</small>`}
          </h2>
          <p>
            <span class="state"
              >${owed ? `${many(owed.count, 'session')} open for ${duration(nowMs() - owed.oldestMs)}` : 'nothing open'}</span
            >
          </p>
          ${
            latest === undefined
              ? html`<p class="meta">Not asked since the relay started.</p>`
              : html`<svg class="answers" width="100%" height="18" aria-hidden="true">
                    ${last.map(
                      ({ outcome }, n) =>
                        html`<rect
                          class="${outcome === 'delivered' ? 'yes' : 'no'}"
                          x="${(n * 100) / 24}%"
                          width="3%"
                          height="18"
                          rx="2"
                        />`,
                    )}
                  </svg>
                  <p class="meta">
                    Of the last ${last.length}: ${last.filter(({ outcome }) => outcome === 'delivered').length}
                    confirmed, half of them within ${duration(median(last) ?? 0)}. The latest:
                    ${latest.reason.replaceAll('_', ' ')}, ${duration(nowMs() - latest.atMs)} ago.
                  </p>`
          }
          <p class="meta uri">${logoutUri}</p>
        </article>`
      })}
    </div>
    ${parties.length > SHOWN ? html`<p class="meta">The first ${SHOWN}. All: <code>logout-relay relying-parties</code></p>` : ''}`
}

/** What is configured; what a reset ends is policy of the realm and is not here. */
export function settingsPage({ settings, client }: Pick<ConsolePorts, 'settings' | 'client'>): Html {
  return html`<h1>Settings in force</h1>
    <p class="meta">
      From the relay’s config. What a reset ends is decided in the realm ${client.issuer} and cannot be changed here.
    </p>
    <dl class="settings">
      ${settings.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>`
}
