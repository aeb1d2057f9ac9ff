import { html } from 'hono/html'
import type { LaneHealth } from '../flow/ports.ts'
import type { ListedRelyingParty, Source } from '../registry/registry.ts'
import { type LastAnswer, quantile } from './answers.ts'
import { csrf, done, type Html, partyHref, reasonField } from './layout.ts'
import type { ConsolePorts } from './ports.ts'
import type { Session } from './sessions.ts'
import { duration, many, sentence } from './words.ts'

const SHOWN = 200
const PICTURED = 24
const WIDE = 60

const SOURCES: Readonly<Record<Source, string>> = {
  realm: 'its client in the realm',
  file: 'relay.yaml',
  registered: 'a registration here',
}

type Ports = Pick<ConsolePorts, 'store' | 'relyingParties' | 'registrar' | 'answers' | 'flow' | 'nowMs'>

/** Whom the relay tells: how each has answered lately, and what it owes. Those that need somebody come first. */
export async function relyingPartiesPage(ports: Ports, issuer: string, session: Session): Promise<Html> {
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
            None. Give a client in Keycloak a <em>Backchannel logout URL</em>, and it is here within a minute.
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

/** One relying party: how it answers, what it owes, who says where it is, and what this person may do about it. */
export async function relyingPartyPage(
  ports: Ports,
  issuer: string,
  session: Session,
  clientId: string,
  { says, nameOf }: { says: string | undefined; nameOf: (subject: string) => string },
): Promise<Html | undefined> {
  const { store, relyingParties, registrar, answers, nowMs } = ports
  const party = relyingParties.find(issuer, clientId)
  if (!party) {
    return undefined
  }
  const owed = (await store.open()).find((lane) => lane.issuer === issuer && lane.clientId === clientId)
  const last = answers.of(issuer, clientId)
  const latest = last.at(-1)
  const health = healthOf(ports, issuer).get(clientId)
  const checked = registrar.lastCheck(issuer, clientId)
  const { http, allowAddresses, timeoutMs } = relyingParties.lane(issuer, clientId)
  const facts: readonly (readonly [string, Html | string])[] = [
    ['Logout URL', html`<code>${party.logoutUri}</code>`],
    ['Named by', SOURCES[party.source]],
    ...party.outvoted.map(
      ({ source, logoutUri }) =>
        ['Does not count', html`<code>${logoutUri}</code>, named by ${SOURCES[source]}`] as const,
    ),
    ['Deadline', duration(timeoutMs)],
    ['Plain http', http === 'never' ? 'never' : http === 'always' ? 'allowed' : 'on this machine alone'],
    ['Other than public addresses', allowAddresses.length === 0 ? 'none' : allowAddresses.join(', ')],
    [
      'Last check',
      checked
        ? html`<span class="${checked.finding.ok ? 'good' : 'bad'}">${sentence(checked.finding.says)}</span>
            ${duration(nowMs() - checked.atMs)} ago`
        : 'none since the relay started',
    ],
  ]
  return html`<p class="back"><a href="/console/relying-parties">Relying parties</a></p>
    <h1>${clientId} ${badges(ports, party, health)}</h1>
    ${done(says)}
    <section class="card">
      <dl class="figures">
        <div>
          <dt>Open</dt>
          <dd class="${owed ? 'open' : 'confirmed'}">
            ${
              owed
                ? html`<a class="state" href="/console/deliveries?client_id=${encodeURIComponent(clientId)}"
                    >${many(owed.count, 'session')}</a
                  >`
                : html`<span class="state">none</span>`
            }
          </dd>
        </div>
        <div>
          <dt>Oldest</dt>
          <dd>${owed ? duration(nowMs() - owed.oldestMs) : '–'}</dd>
        </div>
        <div>
          <dt>p50</dt>
          <dd>${time(quantile(last, 0.5))}</dd>
        </div>
        <div>
          <dt>p99</dt>
          <dd>${time(quantile(last, 0.99))}</dd>
        </div>
        <div>
          <dt>Confirmed</dt>
          <dd>
            ${last.length === 0 ? '–' : `${last.filter(({ outcome }) => outcome === 'delivered').length} of ${last.length}`}
          </dd>
        </div>
      </dl>
      ${
        latest === undefined
          ? html`<p class="meta">Not asked since the relay started.</p>`
          : html`${picture(last, WIDE)}
              <p class="meta">
                The last ${Math.min(last.length, WIDE)} answers, oldest first; the higher, the slower. The latest:
                ${latest.reason.replaceAll('_', ' ')}, ${duration(nowMs() - latest.atMs)} ago.
                ${health ? breaker(health, nowMs()) : ''}
              </p>`
      }
    </section>
    <dl class="settings">
      ${facts.map(
        ([name, value]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${value}</dd>
          </div>`,
      )}
    </dl>
    ${session.roles.includes('operate') ? actions(party, session, nameOf, nowMs()) : ''}`
}

function actions(
  { clientId, paused, source, outvoted }: ListedRelyingParty,
  session: Session,
  nameOf: (subject: string) => string,
  nowMs: number,
): Html {
  const form = (act: string, fields: Html | '', button: string, says: string, danger = false) =>
    html`<form method="post" action="/console/relying-party/${act}" class="act">
      ${csrf(session)}<input type="hidden" name="client_id" value="${clientId}" />
      <p class="row">${fields}<button class="${danger ? 'danger' : 'quiet'}">${button}</button></p>
      <p class="meta">${says}</p>
    </form>`
  const registered = source === 'registered' || outvoted.some((other) => other.source === 'registered')
  return html`<h2>What to do</h2>
    <div class="acts">
      ${form('check', '', 'Check now', 'Sends it a token that it must refuse, for a session that does not exist.')}
      ${
        paused
          ? form(
              'resume',
              '',
              'Resume',
              `Paused for ${duration(nowMs - paused.atMs)} by ${nameOf(paused.by)}: “${paused.reason ?? ''}”. All that waits is attempted at once.`,
            )
          : form(
              'pause',
              reasonField(),
              'Pause',
              'It is told of nothing until somebody resumes it: what is owed stays open, and its sessions live on.',
              true,
            )
      }
      ${
        registered
          ? form('unregister', reasonField(), 'Take back the registration', 'Only what was registered here.', true)
          : ''
      }
    </div>`
}

/** The form for a new one; after a check that failed, with what was found and the choice to register it all the same. */
export function registerPage(
  session: Session,
  given: { readonly clientId: string; readonly logoutUri: string; readonly reason: string },
  problem: { readonly says: string; readonly canInsist: boolean } | undefined,
): Html {
  return html`<p class="back"><a href="/console/relying-parties">Relying parties</a></p>
    <h1>Register a relying party</h1>
    <p class="meta">
      For a client that cannot be given a <em>Backchannel logout URL</em> in Keycloak. Where the realm or relay.yaml
      names one, that one counts. It is checked first: it is sent a token that it must refuse.
    </p>
    ${problem ? html`<p class="alarm" role="alert"><strong>Not registered.</strong> ${sentence(problem.says)}</p>` : ''}
    <form method="post" action="/console/relying-parties/register" class="card fields">
      ${csrf(session)}
      <label
        >Client id <input name="client_id" value="${given.clientId}" maxlength="255" required autocomplete="off"
      /></label>
      <label
        >Back-channel logout URL
        <input
          name="backchannel_logout_uri"
          value="${given.logoutUri}"
          maxlength="2000"
          required
          inputmode="url"
          placeholder="https://wiki.example.org/backchannel-logout"
          autocomplete="off"
      /></label>
      <label
        >Reason <input name="reason" value="${given.reason}" minlength="3" maxlength="500" required autocomplete="off"
      /></label>
      ${
        problem?.canInsist === true
          ? html`<label class="tick"
              ><input type="checkbox" name="despite_check" value="true" />Register it all the same</label
            >`
          : ''
      }
      <p><button>Check and register</button></p>
    </form>`
}

/** Bars of the last answers: green for a confirmed logout, amber for anything else; the height is the time, by its logarithm. */
function picture(answers: readonly LastAnswer[], shown: number): Html {
  const last = answers.slice(-shown)
  const confirmed = last.filter(({ outcome }) => outcome === 'delivered').length
  return html`<svg
    class="answers"
    viewBox="0 0 ${shown * 8} 32"
    height="32"
    preserveAspectRatio="xMinYMid meet"
    role="img"
    aria-label="${confirmed} of the last ${last.length} confirmed"
  >
    ${last.map(({ outcome, durationMs }, n) => {
      // 1 ms to 10 s, from low to high.
      const height = 6 + Math.min(26, (26 * Math.log10(1 + durationMs)) / 4)
      return html`<rect
        class="${outcome === 'delivered' ? 'yes' : 'no'}"
        x="${n * 8}"
        y="${(32 - height).toFixed(1)}"
        width="6"
        height="${height.toFixed(1)}"
        rx="1.5"
      />`
    })}
  </svg>`
}

function badges({ registrar }: Ports, party: ListedRelyingParty, health: LaneHealth | undefined): Html {
  const { issuer, clientId, enabled, paused, source, outvoted } = party
  const check = registrar.lastCheck(issuer, clientId)
  return html`${paused ? html`<span class="badge wait">paused</span>` : ''}${
    health ? html`<span class="badge wait">${health.state}</span>` : ''
  }${check && !check.finding.ok ? html`<span class="badge bad">check failed</span>` : ''}${
    enabled ? '' : html`<span class="badge">disabled</span>`
  }${source === 'realm' ? '' : html`<span class="badge">${source === 'file' ? 'relay.yaml' : 'registered here'}</span>`}${
    outvoted.length > 0 ? html`<span class="badge">named twice</span>` : ''
  }`
}

function breaker({ state, failures, probeMs }: LaneHealth, nowMs: number): string {
  return state === 'recovering'
    ? 'It answers again and is given more with each answer.'
    : `It failed ${failures} times in a row and is only probed, the next time ${
        probeMs === undefined || probeMs <= nowMs ? 'now' : `in ${duration(probeMs - nowMs)}`
      }.`
}

function healthOf({ flow }: Ports, issuer: string): ReadonlyMap<string, LaneHealth> {
  return new Map(
    flow
      .unhealthyLanes()
      .filter((lane) => lane.issuer === issuer)
      .map((lane) => [lane.clientId, lane]),
  )
}

function time(ms: number | undefined): string {
  return ms === undefined ? '–' : duration(ms)
}
