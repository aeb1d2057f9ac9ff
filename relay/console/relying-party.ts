import { html } from 'hono/html'
import type { LaneHealth } from '../flow/ports.ts'
import { isProvider } from '../domain/provider.ts'
import type { ListedRelyingParty, Source } from '../registry/registry.ts'
import { duration, many } from '../text.ts'
import { quantile } from '../telemetry/answers.ts'
import { badges, type HealthPorts, healthOf, picture, time } from './health.ts'
import { csrf, done, type Html, reasonField } from './layout.ts'
import type { NameOf } from './names.ts'
import type { Session } from './sessions.ts'
import { sentence } from './words.ts'

const PICTURED = 60

const SOURCES: Readonly<Record<Source, string>> = {
  realm: 'its client in the realm',
  file: 'relay.yaml',
  registered: 'a registration here',
}

/** One relying party: how it answers, what it owes, who says where it is, and what this person may do about it. */
export async function relyingPartyPage(
  ports: HealthPorts,
  issuer: string,
  session: Session,
  clientId: string,
  { says, nameOf }: { says: string | undefined; nameOf: NameOf },
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
    [isProvider(clientId) ? 'Told at' : 'Logout URL', html`<code>${party.target.uri}</code>`],
    ['Named by', SOURCES[party.source]],
    ...party.outvoted.map(
      ({ source, target }) =>
        ['Does not count', html`<code>${target.uri}</code>, named by ${SOURCES[source]}`] as const,
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
          : html`${picture(last, PICTURED)}
              <p class="meta">
                The last ${Math.min(last.length, PICTURED)} answers, oldest first; the higher, the slower. The latest:
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
  nameOf: NameOf,
  nowMs: number,
): Html {
  const form = (act: string, fields: Html | '', button: string, says: Html | string, danger = false) =>
    html`<form method="post" action="/console/relying-party/${act}" class="act">
      ${csrf(session)}<input type="hidden" name="client_id" value="${clientId}" />
      <p class="row">${fields}<button class="${danger ? 'danger' : 'quiet'}">${button}</button></p>
      <p class="meta">${says}</p>
    </form>`
  const registered = source === 'registered' || outvoted.some((other) => other.source === 'registered')
  return html`<h2>What to do</h2>
    <div class="acts">
      ${form('check', '', 'Check now', isProvider(clientId) ? 'Sends it a request that nobody has signed, for a user who does not exist: it must refuse it.' : 'Sends it tokens that it must refuse, and some that it must take, for a session that does not exist.')}
      ${
        paused
          ? form(
              'resume',
              '',
              'Resume',
              html`Paused for ${duration(nowMs - paused.atMs)} by ${nameOf(paused.by)}: “${paused.reason ?? ''}”. All
              that waits is attempted at once.`,
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

function breaker({ state, failures, probeMs }: LaneHealth, nowMs: number): string {
  return state === 'recovering'
    ? 'It answers again and is given more with each answer.'
    : `It failed ${failures} times in a row and is only probed, the next time ${
        probeMs === undefined || probeMs <= nowMs ? 'now' : `in ${duration(probeMs - nowMs)}`
      }.`
}
