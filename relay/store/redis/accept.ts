import { monthOf } from '../../domain/month.ts'
import type { Store } from '../port.ts'
import type { Accepts } from './accepts.ts'
import type { Closing } from './closings.ts'
import type { Read } from './reads.ts'
import { fieldsOfRow } from './rows.ts'
import { PREFIX } from './scripts.ts'

/** Taking events in: whole or not at all. */
export function acceptsOn(accepts: Accepts, read: Read, closing: Closing): Pick<Store, 'accept' | 'unknown'> {
  return {
    accept: async (event, { containmentId, atMs, deliveries, unreachable, evidence, watermarks, lastEndMs }) => {
      const answer = await accepts.accept([
        ...[event.issuer, event.jti, containmentId, event.trigger, event.watermarkMs],
        atMs,
        event.parts,
        lastEndMs,
        deliveries.length,
        ...deliveries.flatMap((delivery) => {
          const { id, clientId, dueMs, createdMs, privileged } = delivery
          const row = fieldsOfRow(delivery)
          return [id, clientId, delivery.sid, dueMs, createdMs, String(privileged), row.length, ...row]
        }),
        evidence.length,
        ...evidence.map((line) => JSON.stringify(line)),
        watermarks.length,
        ...watermarks.flatMap(({ kind, name, watermarkMs, untilMs }) => [kind, name, watermarkMs, untilMs]),
        event.subject,
        unreachable.length,
        ...unreachable.flatMap(({ clientId, sid, untilMs }) => [clientId, sid, untilMs]),
        monthOf(atMs),
      ])
      return closing(event.issuer, answer) as 'accepted' | 'duplicate'
    },

    unknown: (issuer, jtis) =>
      read(async (client) => {
        const known = await Promise.all(jtis.map((jti) => client.exists(`${PREFIX}event:${issuer} ${jti}`)))
        return jtis.filter((_, n) => known[n] === 0)
      }),
  }
}
