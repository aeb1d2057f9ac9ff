import type { ContainedClient, Delivery, Evidence, ListedSession, SecurityEvent, Target, Unreachable } from './model.ts'
import { REVOCATION } from './provider.ts'
import { targetAt } from './target.ts'
import { type Watermark, watermarksOf } from './watermark.ts'

/** What is owed for one security event, to be written in one transaction. */
export interface Plan {
  readonly containmentId: string
  /** When the event was taken. */
  readonly atMs: number
  readonly deliveries: readonly Delivery[]
  readonly unreachable: readonly Unreachable[]
  /** In the order in which it happened: what the identity provider had done before it told comes first. */
  readonly evidence: readonly Evidence[]
  readonly watermarks: readonly Watermark[]
  /** When none of the sessions that the event lists can live any more, told or not. */
  readonly lastEndMs: number
}

/** Supplementary events and parts of a large one share a `txn` and so a containment. */
function containmentIdOf(event: SecurityEvent): string {
  return event.txn
}

/**
 * One delivery for each session whose client can be told. A session whose client has no logout URL is not forgotten: the
 * evidence says that it lives on, and for how long at worst, or that its client has nothing but tokens.
 *
 * @param targetOf where and how the client of a session is told; by default as the event says
 * @param ended ids of sessions that have an end already, of an event that is read again; nothing is owed for them
 */
export function plan(
  event: SecurityEvent,
  nowMs: number,
  targetOf: (session: ListedSession) => Target | undefined = ({ named }) => targetAt(named),
  ended: ReadonlySet<string> = new Set(),
): Plan {
  const containmentId = containmentIdOf(event)
  const deliveries: Delivery[] = []
  const unreachable: Unreachable[] = []
  const tokensOnly: Unreachable[] = []
  for (const session of event.shadow ? [] : event.sessions.filter(({ id }) => !ended.has(id))) {
    const target = targetOf(session)
    if (!target) {
      const { clientId, sid, latestEndMs: untilMs } = session
      ;(session.tokensOnly ? tokensOnly : unreachable).push({ clientId, sid, untilMs })
      continue
    }
    deliveries.push({
      id: session.id,
      containmentId,
      issuer: event.issuer,
      clientId: session.clientId,
      sid: session.sid,
      target,
      latestEndMs: session.latestEndMs,
      privileged: event.privileged,
      state: 'open',
      attempts: 0,
      dueMs: nowMs,
      createdMs: nowMs,
    })
  }
  const { jti, trigger, part, parts, operator, upstream, client, watched, refusedAfter } = event
  // Each part of a large event says what was done once for all of them.
  const first = part === 1
  const before = event.sessions.filter(({ id }) => ended.has(id)).length
  const lastEndMs = Math.max(event.watermarkMs, ...event.sessions.map(({ latestEndMs }) => latestEndMs))
  if (refusedAfter) {
    return {
      containmentId,
      atMs: nowMs,
      deliveries,
      unreachable,
      lastEndMs,
      watermarks: [],
      evidence: refusedAfter.map(({ use, clientId, address, count }) => ({
        kind: 'refused_after',
        atMs: nowMs,
        data: { jti, use, client_id: clientId, address, count },
      })),
    }
  }
  if (watched) {
    return {
      containmentId,
      atMs: nowMs,
      deliveries,
      unreachable,
      lastEndMs,
      watermarks: [],
      evidence: [
        {
          kind: 'watched',
          atMs: nowMs,
          data: {
            jti,
            logins: watched.logins,
            failed_logins: watched.failedLogins,
            refused_refreshes: watched.refusedRefreshes,
          },
        },
      ],
    }
  }
  const evidence: Evidence[] = [
    {
      kind: 'received',
      atMs: nowMs,
      data: {
        ...{
          jti,
          trigger,
          part,
          parts,
          sessions: event.sessions.filter(({ named }) => named.kind !== REVOCATION).length,
        },
        ...(client === undefined ? {} : { client_id: client.clientId, all_tokens: client.allTokens }),
        ...(client?.used === undefined ? {} : usedOf(client.used)),
      },
    },
    ...(operator
      ? [
          {
            kind: 'asked',
            atMs: event.watermarkMs,
            data: { by: operator.by, client_id: operator.clientId, reason: operator.reason },
          } as const,
        ]
      : []),
    ...(first && upstream
      ? [{ kind: 'told_by', atMs: event.watermarkMs, data: { issuer: upstream.issuer, txn: upstream.txn } } as const]
      : []),
    ...(event.shadow
      ? [{ kind: 'shadow', atMs: nowMs, data: { jti, sessions: event.sessions.length } } as const]
      : [{ kind: 'upstream_sessions_ended', atMs: event.removedAtMs, data: { jti } } as const]),
    ...Object.entries(first ? event.steps : {}).map(
      ([step, count]) => ({ kind: 'step', atMs: event.removedAtMs, data: { jti, step, ended: count } }) as const,
    ),
    ...(event.survivors > 0
      ? [{ kind: 'survivors_ended', atMs: event.removedAtMs, data: { jti, sessions: event.survivors } } as const]
      : []),
    ...((first && event.sparedOffline) || []).map(
      (clientId) => ({ kind: 'spared', atMs: event.removedAtMs, data: { jti, client_id: clientId } }) as const,
    ),
    ...((first && event.identityProviders) || []).map(
      (alias) => ({ kind: 'linked', atMs: event.removedAtMs, data: { jti, identity_provider: alias } }) as const,
    ),
    {
      kind: 'planned',
      atMs: nowMs,
      data: {
        jti,
        deliveries: deliveries.length,
        unreachable: unreachable.length,
        ...(before > 0 ? { ended_before: before } : {}),
      },
    },
    ...unreachable.map(
      ({ clientId, sid, untilMs }) =>
        ({
          kind: 'no_logout_uri',
          atMs: nowMs,
          data: { client_id: clientId, sid, may_live_until_ms: untilMs },
        }) as const,
    ),
    ...tokensOnly.map(
      ({ clientId, sid }) =>
        ({ kind: 'no_logout_uri', atMs: nowMs, data: { client_id: clientId, sid, tokens_only: true } }) as const,
    ),
  ]
  return {
    containmentId,
    atMs: nowMs,
    deliveries,
    unreachable,
    lastEndMs,
    watermarks: watermarksOf(event),
    evidence: evidence.sort((a, b) => a.atMs - b.atMs),
  }
}

function usedOf({ kinds, addresses, lastMs }: NonNullable<ContainedClient['used']>) {
  return { used_by: kinds.join(', '), used_from: addresses.join(', '), last_used_ms: lastMs }
}
