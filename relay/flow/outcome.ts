import { retryDelayMs } from '../domain/backoff.ts'
import { judgeRefused, saysNotMinted } from '../domain/judge.ts'
import type { Answer, Delivery, DeliveryState, TokenNames } from '../domain/model.ts'
import { slowDelayMs, type Standing } from '../domain/refusal.ts'
import { siblingEnded } from '../domain/sibling.ts'
import type { Outcome } from '../store/port.ts'
import type { AttemptLine } from './ports.ts'

/** One POST and what came of it, or a token that was not made. */
export interface Attempt {
  readonly uri: string
  readonly answer: Answer
  readonly durationMs: number
  /** When its token was asked for, less what clocks may differ, if it was made. */
  readonly mintedMs?: number
  /** Whom its token names, where that is known. */
  readonly names?: TokenNames | undefined
  /** Why no token was made. */
  readonly refusal?: string
  /** What is known of its refusal. */
  readonly standing?: Standing | undefined
}

/**
 * What is stored of an attempt, and what is told of it.
 *
 * @param random from 0 up to 1
 * @param giveUpUnknownMs after how long a session is given up that its relying party does not know; absent for never
 */
export function outcomeOf(
  delivery: Delivery,
  { uri, answer, durationMs, mintedMs, names, refusal, standing }: Attempt,
  nowMs: number,
  random: number,
  giveUpUnknownMs = Infinity,
): { readonly outcome: Outcome; readonly line: AttemptLine } {
  const owedForMs = nowMs - delivery.createdMs
  const verdict = judgeRefused(answer, names, standing, owedForMs >= giveUpUnknownMs)
  const attempts = delivery.attempts + 1
  const status = answer.kind === 'response' ? { status: answer.status } : {}
  const retryAfterMs = answer.kind === 'response' ? answer.retryAfterMs : undefined
  const reason = refusal === undefined ? verdict.reason : `${verdict.reason}:${refusal}`
  const done = verdict.outcome === 'delivered'
  const delayMs =
    standing === 'unknown_there' || standing === 'refused_alone'
      ? slowDelayMs(owedForMs, random)
      : retryDelayMs(attempts, random, retryAfterMs)
  const data = {
    delivery: delivery.id,
    client_id: delivery.clientId,
    attempt: attempts,
    outcome: verdict.outcome,
    reason,
    says: refusal === undefined ? verdict.says : saysNotMinted(refusal),
    duration_ms: Math.round(durationMs),
    ...(names === undefined ? {} : { names }),
    ...status,
    ...(uri === delivery.logoutUri ? {} : { logout_uri_changed: true }),
  }
  return {
    outcome: {
      state: done ? 'delivered' : verdict.outcome === 'given_up' ? 'dismissed' : 'open',
      atMs: nowMs,
      dueMs: Math.min(nowMs + delayMs, delivery.latestEndMs),
      attempts,
      reason,
      logoutUri: uri,
      ...status,
      ...(done && mintedMs !== undefined && namesOneSession(names) ? { endsSiblingsBeforeMs: mintedMs } : {}),
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
      owedForMs: nowMs - delivery.createdMs,
    },
  }
}

/**
 * A relying party that has ended a session by its id has ended it for every event from before the token was made: each login
 * under that id had begun by then. A token with the `sub` alone says nothing of one session.
 */
function namesOneSession(names: TokenNames | undefined): boolean {
  return names === 'sid' || names === 'sid+sub'
}

/** An end without an attempt: its latest end is past, or the identity provider knows an end that the store has lost. */
export function endOf(delivery: Delivery, state: Exclude<DeliveryState, 'open'>, atMs: number): Outcome {
  const data = { delivery: delivery.id, client_id: delivery.clientId, attempts: delivery.attempts }
  return {
    ...{ state, atMs, dueMs: atMs, attempts: delivery.attempts, logoutUri: delivery.logoutUri },
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
    ...{ state: 'delivered', atMs, dueMs: atMs, attempts: delivery.attempts, logoutUri: delivery.logoutUri },
    ...(status === undefined ? {} : { status }),
    ...siblingEnded(delivery, sibling, atMs),
  }
}
