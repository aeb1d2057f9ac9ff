import { html } from 'hono/html'
import type { LaneHealth } from '../flow/ports.ts'
import type { ListedRelyingParty } from '../registry/registry.ts'
import { duration } from '../text.ts'
import type { LastAnswer } from '../telemetry/answers.ts'
import type { Html } from './layout.ts'
import type { ConsolePorts } from './ports.ts'

export type HealthPorts = Pick<ConsolePorts, 'store' | 'relyingParties' | 'registrar' | 'answers' | 'flow' | 'nowMs'>

/** Bars of the last answers: green for a confirmed logout, amber for anything else; the height is the time, by its logarithm. */
export function picture(answers: readonly LastAnswer[], shown: number): Html {
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

/** What is out of the ordinary with a relying party, in a word each. */
export function badges({ registrar }: HealthPorts, party: ListedRelyingParty, health: LaneHealth | undefined): Html {
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

/** The lanes that are not healthy, by client. */
export function healthOf({ flow }: HealthPorts, issuer: string): ReadonlyMap<string, LaneHealth> {
  return new Map(
    flow
      .unhealthyLanes()
      .filter((lane) => lane.issuer === issuer)
      .map((lane) => [lane.clientId, lane]),
  )
}

export function time(ms: number | undefined): string {
  return ms === undefined ? '–' : duration(ms)
}
