import { KIND } from '../../guard/hash.ts'
import { type Claims, type Verdict, Watermarks } from '../../guard/watermarks.ts'
import type { WatermarkLog } from '../store/watermark-log.ts'

/** The names are hashed in this process alone; there is nobody to keep them from. */
const HASH_KEY = new Uint8Array(8)

/**
 * The rule of docs/guard-protocol.md for one token, by what the store knows at this moment: for the relay's own callers,
 * whose tokens must not outlive their holders' passwords either.
 */
export function judgedBy(log: Pick<WatermarkLog, 'watermarksOf'>, nowMs: () => number) {
  return async (issuer: string, claims: Claims): Promise<Verdict> => {
    const { sub, sid, azp } = claims
    if (typeof sub !== 'string') {
      return 'revoked'
    }
    const watermarks = new Watermarks(HASH_KEY)
    for (const found of await log.watermarksOf(issuer, sub, text(sid), text(azp))) {
      watermarks.add(KIND[found.kind], found.name, found.watermarkMs, Math.ceil(found.untilMs / 1000))
    }
    return watermarks.check(claims, nowMs())
  }
}

const text = (claim: unknown) => (typeof claim === 'string' ? claim : undefined)

/** Whether a token counts no more; one that was refreshed since is refused for its login. */
export function endedBy(log: Pick<WatermarkLog, 'watermarksOf'>, nowMs: () => number) {
  const judge = judgedBy(log, nowMs)
  return async (issuer: string, claims: Claims): Promise<boolean> => (await judge(issuer, claims)) !== 'ok'
}
