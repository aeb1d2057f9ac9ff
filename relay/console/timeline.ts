import { html } from 'hono/html'
import type { Delivery } from '../domain/model.ts'
import type { Containment } from '../store/port.ts'
import { duration, many } from '../text.ts'
import { type Html } from './layout.ts'

/** A relying party's part in a containment: a bar from the event to its last answer, or to now. */
interface Bar {
  readonly clientId: string
  readonly count: number
  readonly open: number
  /** Whether it was sent anything. */
  readonly asked: boolean
  readonly endMs: number
  readonly state: 'confirmed' | 'open' | 'given-up'
  readonly reason: string | undefined
}

export function barsOf(deliveries: readonly Delivery[], nowMs: number): Bar[] {
  return [...Map.groupBy(deliveries, ({ clientId }) => clientId)].map(([clientId, those]) => {
    const open = those.filter(({ state }) => state === 'open')
    const endMs = open.length > 0 ? nowMs : Math.max(...those.map(({ endedMs, createdMs }) => endedMs ?? createdMs))
    const all = those.every(({ state }) => state === 'delivered')
    const reason = open.find(({ lastReason }) => lastReason !== undefined)?.lastReason
    return {
      clientId,
      count: those.length,
      open: open.length,
      asked: those.some(({ attempts }) => attempts > 0),
      endMs,
      state: open.length > 0 ? 'open' : all ? 'confirmed' : 'given-up',
      reason,
    }
  })
}

const SAYS = { confirmed: 'confirmed', open: 'open', 'given-up': 'without an answer' } as const

/** When a relying party was asked, by its client id. */
export type Attempts = ReadonlyMap<string, readonly { readonly atMs: number; readonly confirmed: boolean }[]>

/** More dots than this in one bar are no picture. */
const DOTS = 100

/** Bars by who is told, those that are open first, and only so many of them. Drawn with SVG attributes, since a content-security policy as it should be allows no style. */
export function timeline(
  containment: Containment,
  deliveries: readonly Delivery[],
  nowMs: number,
  shown: number,
  attempts: Attempts = new Map(),
): Html {
  const bars = barsOf(deliveries, nowMs).sort((a, b) => Number(b.open > 0) - Number(a.open > 0))
  const spanMs = Math.max(1, ...bars.map(({ endMs }) => endMs - containment.eventMs))
  return html`<table class="timeline">
      <caption class="unseen">
        From the event to the answer, by who is told
      </caption>
      <thead>
        <tr>
          <th scope="col"><span class="unseen">Owed to</span></th>
          <th scope="col">
            <span class="axis"><span>event</span><span>+${duration(spanMs)}</span></span>
          </th>
          <th scope="col"><span class="unseen">Time</span></th>
        </tr>
      </thead>
      <tbody>
        ${bars.slice(0, shown).map(({ clientId, count, open, asked, endMs, state, reason }) => {
          const tookMs = Math.max(0, endMs - containment.eventMs)
          return html`<tr class="${state}">
            <th scope="row">
              <a href="/console/deliveries?client_id=${encodeURIComponent(clientId)}">${clientId}</a
              ><small>${many(count, 'session')}</small>
            </th>
            <td>
              <svg width="100%" height="14" aria-hidden="true">
                <rect class="rail" width="100%" height="14" rx="7" />
                <rect class="bar" width="${Math.max(2, (100 * tookMs) / spanMs).toFixed(1)}%" height="14" rx="7" />
                ${(attempts.get(clientId) ?? [])
                  .slice(-DOTS)
                  .map(
                    ({ atMs, confirmed }) =>
                      html`<circle
                        class="${confirmed ? 'yes' : 'no'}"
                        cx="${Math.min(99, Math.max(1, (100 * (atMs - containment.eventMs)) / spanMs)).toFixed(1)}%"
                        cy="7"
                        r="3.5"
                      />`,
                  )}
              </svg>
            </td>
            <td>
              <strong>${duration(tookMs)}</strong>
              <span class="state"
                >${state === 'open' ? (asked ? many(open, SAYS.open, SAYS.open) : 'not asked yet') : SAYS[state]}</span
              >${reason === undefined ? '' : html`<small>${reason.replaceAll('_', ' ')}</small>`}
            </td>
          </tr>`
        })}
      </tbody>
    </table>
    ${bars.length > shown ? html`<p class="meta">and ${(bars.length - shown).toLocaleString('en')} more</p>` : ''}`
}
