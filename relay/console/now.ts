import { html } from 'hono/html'
import type { Containment } from '../store/port.ts'
import { duration, many } from '../text.ts'
import { type Html, instant } from './layout.ts'
import type { ConsolePorts } from './ports.ts'
import { timeline } from './timeline.ts'
import { triggerWords } from './words.ts'

const LATEST = 30
const SHOWN = 6
const BARS = 12
/** More sessions of one containment than this do not make its picture clearer. */
const SESSIONS = 500

/** What is going on: containments under way as they go on, and who has not answered, oldest first. */
export async function nowPage({ store, nowMs }: Pick<ConsolePorts, 'store' | 'nowMs'>, issuer: string): Promise<Html> {
  const [latest, open] = await Promise.all([store.containments(issuer, LATEST), store.open()])
  const lanes = open.filter((lane) => lane.issuer === issuer).sort((a, b) => a.oldestMs - b.oldestMs)
  const sessions = lanes.reduce((sum, { count }) => sum + count, 0)
  const underWay = latest.filter(({ closedMs }) => closedMs === undefined)
  const shown = underWay.slice(0, SHOWN)
  const done = latest.filter((one) => one.open === 0).slice(0, SHOWN - Math.min(shown.length, SHOWN - 2))
  return html`<h1>Now</h1>
    <section class="summary ${sessions === 0 ? 'calm' : 'waiting'}" role="status">
      ${
        sessions === 0
          ? html`<p class="big">All answered</p>
              <p>Every relying party has confirmed every logout.</p>`
          : html`<p class="big">${many(sessions, 'session')} open</p>
              <p>
                ${many(lanes.length, 'relying party has', 'relying parties have')} not answered yet, the oldest for
                ${duration(nowMs() - (lanes[0]?.oldestMs ?? nowMs()))}.
              </p>`
      }
    </section>
    ${
      lanes.length === 0
        ? ''
        : html`<section>
            <h2>Not answered, oldest first</h2>
            <ul class="rows three">
              ${lanes.slice(0, 50).map(
                ({ clientId, count, oldestMs }) =>
                  html`<li>
                    <a href="/console/deliveries?client_id=${encodeURIComponent(clientId)}">${clientId}</a>
                    <span>${many(count, 'session')}</span><span>for ${duration(nowMs() - oldestMs)}</span>
                  </li>`,
              )}
            </ul>
          </section>`
    }
    ${
      shown.length === 0
        ? ''
        : html`<section>
            <h2>Under way</h2>
            ${await cards(shown, { store, nowMs }, issuer)}
          </section>`
    }
    ${
      done.length === 0
        ? ''
        : html`<section>
            <h2>Lately contained</h2>
            <div class="pair">${await cards(done, { store, nowMs }, issuer)}</div>
          </section>`
    }
    ${
      latest.length === 0
        ? html`<p class="empty">
            Nothing has happened yet. A password reset in the realm shows up here the moment it is made.
          </p>`
        : ''
    }`
}

async function cards(
  containments: readonly Containment[],
  { store, nowMs }: Pick<ConsolePorts, 'store' | 'nowMs'>,
  issuer: string,
): Promise<Html[]> {
  return Promise.all(
    containments.map(async (one) => {
      const deliveries = await store.deliveries({ issuer, containmentId: one.id, limit: SESSIONS })
      return html`<article class="card">
        <h3><a href="/console/containments/${encodeURIComponent(one.id)}">${triggerWords(one.trigger)}</a></h3>
        <p class="meta">${instant(one.eventMs)} · ${summary(one)}</p>
        ${deliveries.length === 0 ? '' : timeline(one, deliveries, nowMs(), BARS)}
      </article>`
    }),
  )
}

/** A containment in one line. */
export function summary({ deliveries, open, closedMs, eventMs, parts, arrived }: Containment): string {
  if (open > 0 || arrived < parts) {
    const missing = arrived < parts ? `, ${arrived} of ${parts} parts have come` : ''
    return `${(deliveries - open).toLocaleString('en')} of ${many(deliveries, 'session')} ended${missing}`
  }
  return deliveries === 0
    ? 'no logout was owed'
    : `${many(deliveries, 'session')} ended${closedMs === undefined ? '' : ` in ${duration(closedMs - eventMs)}`}`
}
