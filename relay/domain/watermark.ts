import type { SecurityEvent } from './model.ts'
import { REVOCATION } from './provider.ts'

/**
 * What a name in the watermark stream stands for. `kept`: the session in which the person goes on who made the change;
 * `client`: everything that was issued to it.
 */
export type WatermarkKind = 'sub' | 'sid' | 'kept' | 'client'

/** Nothing issued before `watermarkMs` counts for who is named. `untilMs`: then nothing so old can be alive any more. */
export interface Watermark {
  readonly kind: WatermarkKind
  readonly name: string
  readonly watermarkMs: number
  readonly untilMs: number
}

/** The longest life of a token or session that nobody has listed: the extension's own default. */
const LONGEST_LIFE_MS = 30 * 86_400_000

/**
 * What guards must know of a security event: the subject under every `sub` that it has at a client (pairwise ones differ),
 * and each session that was ended, and a client of which nothing lives on. An event about one session says nothing of its
 * subject.
 */
export function watermarksOf({
  subject,
  watermarkMs,
  scope,
  shadow,
  keptSid,
  client,
  sessions,
}: SecurityEvent): Watermark[] {
  if (shadow) {
    return []
  }
  const untilMs = sessions.reduce(
    (latest, { latestEndMs }) => Math.max(latest, latestEndMs),
    watermarkMs + LONGEST_LIFE_MS,
  )
  const subs = new Set([subject, ...sessions.flatMap(({ sub }) => sub ?? [])])
  // The old tokens of the session that goes on are older than the subject's watermark.
  const ended = sessions.filter(({ sid, named: { kind } }) => sid !== keptSid && kind !== REVOCATION)
  const sids = new Set(ended.map(({ sid }) => sid))
  const named = (kind: WatermarkKind, names: Iterable<string>) =>
    [...names].map((name) => ({ kind, name, watermarkMs, untilMs }))
  return [
    ...named('sub', scope === 'subject' ? subs : []),
    ...named('sid', sids),
    ...named('kept', keptSid === undefined ? [] : [keptSid]),
    ...named('client', client?.allTokens === true ? [client.clientId] : []),
  ]
}
