import { FeedError } from './batch.ts'

/** The longest line: a batch of 65,536 entries in base64 has less than 2 MiB. */
const LONGEST = 4 * 2 ** 20

/**
 * The batches of a feed: lines of JSON, each with `data: ` before it in a stream of server-sent events. Comments and other
 * fields are passed over. A last line without its end is not given out: it was cut off.
 */
export async function* readLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let parts: string[] = []
  let held = 0
  for await (const chunk of body) {
    const pieces = decoder.decode(chunk, { stream: true }).split('\n')
    for (const [n, piece] of pieces.entries()) {
      parts.push(piece)
      held += piece.length
      if (held > LONGEST) {
        throw new FeedError('A line of the feed is too long')
      }
      if (n < pieces.length - 1) {
        const line = parts.join('').trim()
        parts = []
        held = 0
        if (line.startsWith('data:') || line.startsWith('{')) {
          yield line.replace(/^data:\s*/, '')
        }
      }
    }
  }
}
