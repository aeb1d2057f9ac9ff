import type { Named } from '../domain/model.ts'
import { backchannel } from './backchannel/backchannel.ts'
import { globalTokenRevocation } from './global-token-revocation/global-token-revocation.ts'
import type { Deliverer, DelivererPorts, DeliveryKind } from './port.ts'

/** Every kind of delivery. A realm that says of no kind means the first. */
const KINDS: readonly [DeliveryKind, ...DeliveryKind[]] = [backchannel, globalTokenRevocation]

/** How a client is told, as its realm says. One of a kind that this relay does not know has no logout URL here. */
export function named(fields: Readonly<Record<string, unknown>>, issuer: string): Named {
  const [first] = KINDS
  const { kind = first.kind } = fields
  const known = KINDS.find((each) => each.kind === kind)
  return known?.named(fields, issuer) ?? { kind: typeof kind === 'string' ? kind : '' }
}

/** The kinds at work, by name. */
export function openKinds(ports: DelivererPorts): ReadonlyMap<string, Deliverer> {
  return new Map(KINDS.map((each) => [each.kind, each.open(ports)]))
}
