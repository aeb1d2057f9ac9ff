import { html } from 'hono/html'
import type { Finding } from '../domain/finding.ts'
import { duration } from '../text.ts'
import { type Html, partyHref } from './layout.ts'
import type { NameOf } from './names.ts'
import type { ConsolePorts } from './ports.ts'

const SHOWN = 5

/** What a finding is about. Its words go on from there, or begin with an endpoint where there is a colon. */
const LEADS: Readonly<Record<string, string>> = {
  keycloak: 'Keycloak:',
  poll: 'Keycloak’s outbox cannot be read:',
  'relying parties': 'Keycloak’s list of relying parties cannot be read:',
  'logout tokens': 'Nobody is told of anything, since Keycloak makes no logout tokens:',
  answers: 'Keycloak is not told of the ends of sessions:',
  roles: 'The relay lacks rights at Keycloak:',
  clocks: 'The clocks of Keycloak and the relay',
  'node clock': 'The clock',
  audience: 'The audience',
  signature: 'The realm’s signature cannot be verified:',
  outbox: 'Keycloak’s outbox',
  events: 'Security events are refused:',
  policy: 'The realm',
  directory: 'Directory',
  'realm logout': 'That everybody was signed out',
  push: 'Keycloak’s push',
  store: 'The store does not work:',
  room: 'The store',
}
/** What lets something live that is to end, or may do so soon; all else that is found does so now. */
const SOON = ['push', 'node clock', 'policy', 'room', 'answers', 'relying parties']

type AlarmPorts = Pick<ConsolePorts, 'relyingParties' | 'registrar' | 'findings' | 'nowMs'>

/** What everybody must know whatever page they are on: what is amiss, that nothing is seen, or that somebody is told nothing. */
export function alarms(
  { relyingParties, registrar, findings, nowMs }: AlarmPorts,
  issuer: string,
  nameOf: NameOf,
): Html | '' {
  const paused = relyingParties
    .list(issuer)
    .flatMap(({ clientId, paused }) => (paused ? [{ clientId, ...paused }] : []))
  const off = registrar.isListenerOff(issuer)
  // The listener has words of its own, which are there before the realm has been asked.
  const toDo = findings().filter(({ check }) => check !== 'listener')
  if (!off && toDo.length === 0 && paused.length === 0) {
    return ''
  }
  return html`<section class="alarms" aria-label="Alarms">
    ${
      off
        ? html`<p class="alarm">
            <strong>Resets end nothing in this realm.</strong> The event listener logout-relay is not switched on: Realm
            settings, Events, Event listeners.
          </p>`
        : ''
    }
    ${toDo.map((finding) => html`<p class="alarm ${SOON.includes(finding.check) ? 'wait' : ''}">${told(finding)}</p>`)}
    ${paused.slice(0, SHOWN).map(
      ({ clientId, by, atMs, reason = '' }) =>
        html`<p class="alarm wait">
          <strong><a href="${partyHref(clientId)}">${clientId}</a> is paused</strong>, already for
          ${duration(nowMs() - atMs)}, by ${nameOf(by)}: “${reason}”
        </p>`,
    )}
    ${
      paused.length > SHOWN
        ? html`<p class="alarm wait">
            and ${paused.length - SHOWN} more <a href="/console/relying-parties">relying parties</a> are paused
          </p>`
        : ''
    }
  </section>`
}

/** Whether something is amiss that lets a session live which is to end: then nothing that is shown is all there is. */
export function isBlind({ registrar, findings }: Pick<AlarmPorts, 'registrar' | 'findings'>, issuer: string): boolean {
  return registrar.isListenerOff(issuer) || findings().some(({ check }) => !SOON.includes(check))
}

function told({ check, says }: Finding): Html {
  const lead = LEADS[check] ?? `${check}:`
  return html`<strong>${lead}</strong> ${says}`
}
