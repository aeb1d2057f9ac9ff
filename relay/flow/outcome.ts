import { retryDelayMs, slowDelayMs } from '../domain/backoff.ts'
import type { Answer, Delivery, DeliveryState, Target, TokenNames } from '../domain/model.ts'
import { siblingEnded } from '../domain/sibling.ts'
import type { Verdict } from '../delivery/port.ts'
import type { Outcome } from '../store/port.ts'
import type { AttemptLine } from './ports.ts'

/** One attempt and what came of it, or a token that was not made. */
export interface Attempt {
  readonly target: Target
  readonly answer: Answer
  readonly verdict: Verdict
  readonly durationMs: number
  /** When its token was asked for, less what clocks may differ, if it was made. */
  readonly mintedMs?: number | undefined
  /** Whom its token names, where that is known. */
  readonly names?: TokenNames | undefined
}

/**
 * What is stored of an attempt, and what is told of it.
 *
 * @param random from 0 up to 1
 */
export function outcomeOf(
  delivery: Delivery,
  { target, answer, verdict, durationMs, mintedMs, names }: Attempt,
  nowMs: number,
  random: number,
): { readonly outcome: Outcome; readonly line: AttemptLine } {
  const owedForMs = nowMs - delivery.createdMs
  const attempts = delivery.attempts + 1
  const status = answer.kind === 'response' ? { status: answer.status } : {}
  const retryAfterMs = answer.kind === 'response' ? answer.retryAfterMs : undefined
  const { reason, says, slowly = false, endsSession = false } = verdict
  const delayMs = slowly ? slowDelayMs(owedForMs, random) : retryDelayMs(attempts, random, retryAfterMs)
  const data = {
    delivery: delivery.id,
    client_id: delivery.clientId,
    attempt: attempts,
    outcome: verdict.outcome,
    reason,
    says,
    duration_ms: Math.round(durationMs),
    ...(names === undefined ? {} : { names }),
    ...status,
    ...(target.uri === delivery.target.uri ? {} : { logout_uri_changed: true }),
  }
  return {
    outcome: {
      state: STATES[verdict.outcome],
      atMs: nowMs,
      dueMs: Math.min(nowMs + delayMs, delivery.latestEndMs),
      attempts,
      reason,
      target,
      ...status,
      ...(endsSession && mintedMs !== undefined ? { endsSiblingsBeforeMs: mintedMs } : {}),
      evidence: { kind: 'attempt', atMs: nowMs, data },
    },
    line: {
      containment: delivery.containmentId,
      delivery: delivery.id,
      issuer: delivery.issuer,
      clientId: delivery.clientId,
      attempt: attempts,
      outcome: verdict.outcome,
      reason,
      ...status,
      durationMs,
      owedForMs,
    },
  }
}

const STATES: Readonly<Record<Verdict['outcome'], DeliveryState>> = {
  delivered: 'delivered',
  given_up: 'dismissed',
  retry: 'open',
}

/** An end without an attempt: its latest end is past, or the identity provider knows an end that the store has lost. */
export function endOf(delivery: Delivery, state: Exclude<DeliveryState, 'open'>, atMs: number): Outcome {
  const data = { delivery: delivery.id, client_id: delivery.clientId, attempts: delivery.attempts }
  return {
    ...{ state, atMs, dueMs: atMs, attempts: delivery.attempts, target: delivery.target },
    reason: state === 'expired' ? 'latest_end_past' : 'ended_before',
    evidence:
      state === 'expired'
        ? { kind: 'expired', atMs, data }
        : { kind: 'ended_before', atMs, data: { ...data, outcome: state } },
  }
}

/** An end with the answer that a sibling's token has just had. */
export function endWith(
  delivery: Delivery,
  { sibling, status }: { readonly sibling: Delivery; readonly status?: number | undefined },
  atMs: number,
): Outcome {
  return {
    ...{ state: 'delivered', atMs, dueMs: atMs, attempts: delivery.attempts, target: delivery.target },
    ...(status === undefined ? {} : { status }),
    ...siblingEnded(delivery, sibling, atMs),
  }
}
