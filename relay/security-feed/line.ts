import { createHash } from 'node:crypto'
import { z } from 'zod'
import { type Change, weakens } from '../domain/change.ts'
import type { EvidenceLine } from '../store/port.ts'

/**
 * A line of the security feed; docs/security-feed.schema.json is made of this. By default it names no subject: who it was is known
 * where people are known, at the identity provider, by the containment's id.
 */
export const SecurityFeedLine = z
  .strictObject({
    id: z.string().length(22).describe('the same whenever this line is sent again; drop what you have seen'),
    time: z.iso.datetime().describe('when it happened, UTC, milliseconds'),
    issuer: z.string().describe('the realm'),
    containment: z
      .string()
      .optional()
      .describe('the answer to one security event; at Keycloak the TXN of its outbox rows; absent for a change'),
    trigger: z.string().optional().describe('what happened to the identity: docs/policy.md; absent for a change'),
    subject: z
      .string()
      .optional()
      .describe(
        'whose account it was, by the `sub` of the user; only where security_feed.subject says so, and while it is kept',
      ),
    kind: z
      .string()
      .describe(
        'received, planned, attempt, closed and the others of the evidence, or the kind of a change: docs/operate.md; one that is new to you may come',
      ),
    data: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
      .describe(
        'what the kind has to say, such as client_id, outcome and reason of an attempt; for people: says. Of a change: weakening, client_id, by, reason, and what it was and is',
      ),
  })
  .meta({ title: 'A line of the security feed of Logout Relay' })

/** @param named whether it says whose account it was */
export function lineOf(issuer: string, line: EvidenceLine, named = false): string {
  const { containmentId, trigger, subject, evidence } = line
  const { kind, data } = evidence
  const whose = named && subject !== undefined ? { subject } : {}
  return withId({ time: timeOf(evidence.atMs), issuer, containment: containmentId, trigger, ...whose, kind, data })
}

/** A change that could keep an attacker in, or takes such a one back. */
export function changeLineOf({ issuer, atMs, kind, clientId, by, reason, data }: Change): string {
  const who = {
    ...(clientId === undefined ? {} : { client_id: clientId }),
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { reason }),
  }
  return withId({ time: timeOf(atMs), issuer, kind, data: { ...data, weakening: weakens(kind), ...who } })
}

/** Of the content, not of its place: places are given again when a store is put back from a backup. */
function withId(line: object): string {
  const id = createHash('sha256').update(JSON.stringify(line)).digest('base64url').slice(0, 22)
  return JSON.stringify({ id, ...line })
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
