import { html } from 'hono/html'
import type { Month } from '../domain/month.ts'
import { duration } from '../text.ts'
import type { Html } from './layout.ts'

/** A year and the month it is compared with. */
const SHOWN = 13

/** What came of the containments of each month, the newest first. */
export function monthsTable(months: readonly Month[]): Html | '' {
  const count = (n: number) => n.toLocaleString('en')
  const share = (n: number, of: number) => (of === 0 ? '–' : `${Math.floor((100 * n) / of)} %`)
  return months.length === 0
    ? ''
    : html`<section>
        <h2 id="months">By month</h2>
        <table class="grid" aria-labelledby="months">
          <thead>
            <tr>
              <th scope="col">Month (UTC)</th>
              <th scope="col" class="num">Containments</th>
              <th scope="col" class="num">Sessions ended</th>
              <th scope="col" class="num">All told within 1 s</th>
              <th scope="col" class="num">within 1 min</th>
              <th scope="col" class="num">Longest</th>
              <th scope="col" class="num">Not ended</th>
            </tr>
          </thead>
          <tbody>
            ${months
              .slice(0, SHOWN)
              .map(({ month, containments, closed, sessions, told, withinSecond, withinMinute, longestMs }) => {
                // Two versions of the relay on one Redis may have counted an end twice.
                const open = Math.max(0, containments - closed)
                return html`<tr>
                  <th scope="row">${month}</th>
                  <td class="num" data-label="Containments">${count(containments)}</td>
                  <td class="num" data-label="Sessions ended">${count(sessions)}</td>
                  <td class="num" data-label="All told within 1 s">${share(withinSecond, told)}</td>
                  <td class="num" data-label="All told within 1 min">${share(withinMinute, told)}</td>
                  <td class="num" data-label="Longest">${told === 0 ? '–' : duration(longestMs)}</td>
                  <td class="num ${open > 0 ? 'open' : ''}" data-label="Not ended">
                    <span class="${open > 0 ? 'state' : 'none'}">${count(open)}</span>
                  </td>
                </tr>`
              })}
          </tbody>
        </table>
        <p class="meta">
          By the month in which the event came. All are told with the last answer; where nobody was to be told, or
          something was given up, it does not count there. The longest stays where more has come to that containment
          since.
        </p>
      </section>`
}
