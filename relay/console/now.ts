import { html } from 'hono/html'
import type { Containment, OpenLane, UnreachableAt } from '../store/port.ts'
import { isProvider, partiesIn } from '../domain/provider.ts'
import { duration, many } from '../text.ts'
import { isBlind } from './alarms.ts'
import { groupList, groupsOf, type LanePorts, owing } from './lanes.ts'
import { type Html, instant } from './layout.ts'
import { who } from './names.ts'
import type { ConsolePorts } from './ports.ts'
import { timeline } from './timeline.ts'
import { triggerWords } from './words.ts'

const LATEST = 30
const SHOWN = 6
const BARS = 12
/** More lines of one list than this are on a page of their own. */
const LINES = 50
/** From more relying parties on, what is wrong is said before who they are. */
const LANES = 12
/** More sessions of one containment than this do not make its picture clearer. */
const SESSIONS = 500

type NowPorts = LanePorts & Pick<ConsolePorts, 'registrar' | 'nowMs'>

/** What is going on: who has not answered or was never asked, whom nobody can tell, and containments as they go on. */
export async function nowPage(ports: NowPorts, issuer: string): Promise<Html> {
  const { store, nowMs } = ports
  const [latest, lanes, unreachable] = await Promise.all([
    store.containments({ issuer, limit: LATEST }),
    owing(ports, issuer),
    store.unreachable(nowMs()),
  ])
  const untold = unreachable.filter((one) => one.issuer === issuer).sort((a, b) => b.count - a.count)
  const underWay = latest.filter(({ closedMs }) => closedMs === undefined)
  const shown = underWay.slice(0, SHOWN)
  const done = latest.filter((one) => one.open === 0).slice(0, SHOWN - Math.min(shown.length, SHOWN - 2))
  return html`<h1>Now</h1>
    ${summaryOf(lanes, untold, ports, issuer, done)}
    ${
      lanes.length === 0
        ? ''
        : html`<section>
            ${
              lanes.length > LANES
                ? html`<h2>What is wrong</h2>
                    ${groupList(groupsOf(lanes), nowMs(), '/deliveries')}`
                : ''
            }
            <h2>Open, oldest first</h2>
            <ul class="rows">
              ${lanes.slice(0, LANES).map(
                (lane) =>
                  html`<li>
                    <a href="/console/deliveries?client_id=${encodeURIComponent(lane.clientId)}">${lane.clientId}</a>
                    <span>${many(lane.count, 'session')}</span><span>for ${duration(nowMs() - lane.oldestMs)}</span>
                    <span>${lane.asked ? 'has not answered' : 'not asked yet'}</span>
                  </li>`,
              )}
            </ul>
            ${lanes.length > LANES ? html`<p class="meta">and ${lanes.length - LANES} more: <a href="/console/relying-parties">Relying parties</a></p>` : ''}
          </section>`
    }
    ${
      untold.length === 0
        ? ''
        : html`<section>
            <h2>Nobody can be told</h2>
            <p class="meta">
              These clients have no logout URL. End the sessions there by their own means, or register a logout URL and
              end everything of the user once more.
              ${untold.some(({ clientId }) => isProvider(clientId)) ? 'An identity provider among them is told by the realm’s policy, and relay.yaml does not say where: give it upstreams.tell.' : ''}
            </p>
            <ul class="rows three">
              ${untold.slice(0, LINES).map(
                ({ clientId, count, untilMs }) =>
                  html`<li class="open">
                    <strong>${clientId}</strong>
                    <span class="state">${many(count, 'session')}</span><span>until ${instant(untilMs)} at worst</span>
                  </li>`,
              )}
            </ul>
            ${more(untold.length)}
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
            <h2>Recently contained</h2>
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

function more(count: number): Html | '' {
  return count > LINES ? html`<p class="meta">and ${count - LINES} more: <code>logout-relay status</code></p>` : ''
}

/** The whole in a box. It is calm only if nothing is open, everybody could be told, and the relay sees all that happens. */
function summaryOf(
  lanes: readonly OpenLane[],
  untold: readonly UnreachableAt[],
  ports: NowPorts,
  issuer: string,
  done: readonly Containment[],
): Html {
  const sessions = lanes.reduce((sum, { count }) => sum + count, 0)
  const living = untold.reduce((sum, { count }) => sum + count, 0)
  const blind = isBlind(ports, issuer)
  const head = [
    ...(sessions > 0 ? [`${many(sessions, 'session')} open`] : []),
    ...(living > 0 ? [`${many(living, 'session')} nobody can be told about`] : []),
  ].join(', ')
  const calm = head === '' && !blind
  return html`<section class="summary ${calm ? 'calm' : 'waiting'}" role="status">
    <p class="big">${calm ? 'All answered' : head === '' ? 'Nothing is known to be open' : head}</p>
    ${head === '' ? html`<p>${calm ? calmWords(done) : 'What is amiss is said above: until it is mended, a reset may end less than it should.'}</p>` : ''}
    ${sessions === 0 ? '' : html`<p>${owed(lanes, ports.nowMs())}</p>`}
    ${living === 0 ? '' : html`<p>${living === 1 ? 'The one that nobody can be told about lives' : 'Those that nobody can be told about live'} on at ${placesOf(untold)}.</p>`}
  </section>`
}

function calmWords(done: readonly Containment[]): string {
  return done.some(({ dismissed }) => dismissed > 0)
    ? 'Every relying party has confirmed every logout, but for what was given up below.'
    : 'Every relying party has confirmed every logout.'
}

function owed(lanes: readonly OpenLane[], nowMs: number): string {
  const asked = lanes.filter((lane) => lane.asked)
  const never = lanes.filter((lane) => !lane.asked)
  const oldest = duration(nowMs - (lanes[0]?.oldestMs ?? nowMs))
  const said = [
    ...(asked.length > 0 ? [`${whoHave(asked)} not answered yet`] : []),
    ...(never.length > 0 ? [`${whoHave(never)} not been asked yet`] : []),
  ]
  return `${said.join(', ')}, the oldest for ${oldest}.`
}

function whoHave(lanes: readonly OpenLane[]): string {
  return `${partiesIn(lanes.map(({ clientId }) => clientId))} ${lanes.length === 1 ? 'has' : 'have'}`
}

function placesOf(untold: readonly UnreachableAt[]): string {
  const providers = untold.filter(({ clientId }) => isProvider(clientId)).length
  const clients = untold.length - providers
  return [
    ...(clients > 0 ? [`${many(clients, 'client')} without a logout URL`] : []),
    ...(providers > 0 ? [`${many(providers, 'identity provider')} of which relay.yaml does not say where`] : []),
  ].join(' and ')
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
        <h3>
          <a href="/console/containments/${encodeURIComponent(one.id)}">${triggerWords(one.trigger)}</a
          >${one.subject === undefined ? '' : html` <small>${who(one.subject)}</small>`}
        </h3>
        <p class="meta ${toneOf(one, nowMs())}">${instant(one.eventMs)} · <span class="state">${summary(one)}</span></p>
        ${deliveries.length === 0 ? '' : timeline(one, deliveries, nowMs(), BARS)}
      </article>`
    }),
  )
}

/** A containment in one line. */
export function summary(one: Containment): string {
  const { deliveries, open, dismissed, closedMs, eventMs, parts, arrived, unreachable } = one
  const ended = deliveries - open - dismissed
  const untold = [
    ...(dismissed > 0 ? [`, ${dismissed.toLocaleString('en')} given up`] : []),
    ...(unreachable > 0 ? [`, ${many(unreachable, 'session')} that nobody could be told about`] : []),
  ].join('')
  if (open > 0 || arrived < parts) {
    const missing = arrived < parts ? `, ${arrived} of ${parts} parts have come` : ''
    return `${ended.toLocaleString('en')} of ${many(deliveries, 'session')} ended${missing}${untold}`
  }
  return deliveries === 0
    ? `no logout was owed${untold}`
    : `${many(ended, 'session')} ended${closedMs === undefined ? '' : ` in ${duration(closedMs - eventMs)}`}${untold}`
}

/** Green only where nothing of it can live any more. */
export function toneOf(
  { closedMs, dismissed, unreachableUntilMs }: Containment,
  nowMs: number,
): 'open' | 'given-up' | 'confirmed' {
  const lives = closedMs === undefined || unreachableUntilMs > nowMs
  return lives ? 'open' : dismissed > 0 ? 'given-up' : 'confirmed'
}
