import { Gauge, type Registry } from 'prom-client'
import type { UpstreamHeld } from '../domain/model.ts'

/** What waits at each realm for a person's word, by issuer, as it was last told. */
export function showHeld(registry: Registry): Map<string, readonly UpstreamHeld[]> {
  const told = new Map<string, readonly UpstreamHeld[]>()
  new Gauge({
    name: 'logout_relay_upstream_held',
    help: 'What an identity provider, by its own issuer, has said of users who are linked to it and that ends nothing until a person says so: by user and kind of event',
    labelNames: ['issuer', 'upstream_issuer'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [issuer, upstreams] of told) {
        for (const { issuer: upstream_issuer, held } of upstreams) {
          this.set({ issuer, upstream_issuer }, held)
        }
      }
    },
  })
  return told
}
