import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { FeedLine } from '../store/port.ts'

/**
 * A line of the security feed; docs/security-feed.schema.json is made of this. It names no subject: who
 * it was is known where people are known, at Keycloak, by the containment's id.
 */
export const SecurityFeedLine = z
  .strictObject({
    id: z.string().length(22).describe('the same whenever this line is sent again; drop what you have seen'),
    time: z.iso.datetime().describe('when it happened, UTC, milliseconds'),
    issuer: z.string().describe('the realm'),
    containment: z.string().describe('the answer to one security event; at Keycloak the TXN of its outbox rows'),
    trigger: z.string().describe('what happened to the identity: docs/policy.md'),
    kind: z
      .string()
      .describe('received, planned, attempt, closed and the others of the evidence; one that is new to you may come'),
    data: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
      .describe('what the kind has to say, such as client_id, outcome and reason of an attempt; for people: says'),
  })
  .meta({ title: 'A line of the security feed of Logout Relay' })

export function lineOf(issuer: string, { containmentId, trigger, evidence }: FeedLine): string {
  const line = {
    time: new Date(evidence.atMs).toISOString(),
    issuer,
    containment: containmentId,
    trigger,
    kind: evidence.kind,
    data: evidence.data,
  }
  // Of the content, not of its place: places are given again when a store is put back from a backup.
  const id = createHash('sha256').update(JSON.stringify(line)).digest('base64url').slice(0, 22)
  return JSON.stringify({ id, ...line })
}
