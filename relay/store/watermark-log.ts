import type { Watermark } from '../domain/watermark.ts'

export interface WatermarkChange extends Watermark {
  /** Grows with every change. At least the microseconds of the clock, so that no store restored from a backup gives it again. */
  readonly seq: number
}

/**
 * The watermarks as guards read them. They are written by the store's `accept`, with the event: each name has one row, with
 * the latest watermark and `until`; a row that moves forward, or lasts longer, gets a new `seq`, greater than any before. One
 * that is past its `until` is pruned: whoever comes with a cursor from before it lacks nothing that counts.
 */
export interface WatermarkLog {
  /** Changes after `after`, oldest first. A change that is seen implies that all before it are. */
  watermarks(issuer: string, after: number, limit: number): Promise<WatermarkChange[]>
  /** What a token with this `sub` and `sid`, issued to this client, is judged by. */
  watermarksOf(issuer: string, sub: string, sid: string | undefined, client: string | undefined): Promise<Watermark[]>
}
