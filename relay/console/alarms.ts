import { html } from 'hono/html'
import { duration } from '../text.ts'
import { type Html, partyHref } from './layout.ts'
import type { ConsolePorts } from './ports.ts'

const SHOWN = 5

/** What everybody must know whatever page they are on: that nothing is seen, or that somebody is told nothing. */
export function alarms(
  { relyingParties, registrar, nowMs }: Pick<ConsolePorts, 'relyingParties' | 'registrar' | 'nowMs'>,
  issuer: string,
  nameOf: (subject: string) => string,
): Html | '' {
  const paused = relyingParties
    .list(issuer)
    .flatMap(({ clientId, paused }) => (paused ? [{ clientId, ...paused }] : []))
  const off = registrar.isListenerOff(issuer)
  if (!off && paused.length === 0) {
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
