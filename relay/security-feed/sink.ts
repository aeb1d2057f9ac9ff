import { open } from 'node:fs/promises'
import { Agent } from 'undici'
import { networkCodeOf, RelayError } from '../errors.ts'
import { exchange, trusting } from '../http.ts'

const TIMEOUT_MS = 20_000
const NEWLINE = '\n'.charCodeAt(0)

/** Takes lines; resolves when whoever is behind it has them for good. Rejects with a RelayError `security_feed_refused`. */
export type Sink = (lines: readonly string[]) => Promise<void>

/**
 * A file that is only ever appended to, synced before it counts, and opened anew each time, so that it may be moved away.
 * A line that was cut off by a crash is ended first: it is not valid JSON, and what it was to say comes again. One batch at
 * a time: what another is still writing would look like such a line.
 */
export function fileSink(path: string): Sink {
  let last: Promise<unknown> = Promise.resolve()
  const write: Sink = async (lines) => {
    try {
      const file = await open(path, 'a+', 0o600)
      try {
        const { size } = await file.stat()
        const last = size === 0 ? undefined : (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0]
        const cut = last !== undefined && last !== NEWLINE
        await file.appendFile(`${cut ? '\n' : ''}${lines.join('\n')}\n`)
        await file.datasync()
      } finally {
        await file.close()
      }
    } catch (cause) {
      throw new RelayError('security_feed_refused', `${path} cannot be written (${networkCodeOf(cause)})`, { cause })
    }
  }
  return (lines) => {
    const written = last.then(() => write(lines))
    last = written.catch(() => undefined)
    return written
  }
}

/** An endpoint that takes JSON lines by POST and answers 2xx once it has them. No redirect is followed. */
export function httpSink({ url, authorization, ca }: { url: string; authorization?: string; ca?: string }): Sink {
  const dispatcher = new Agent({ connect: { timeout: 5000, ...trusting(ca) } })
  const { origin } = new URL(url)
  return async (lines) => {
    const { status } = await exchange(url, {
      dispatcher,
      headers: {
        'content-type': 'application/x-ndjson',
        ...(authorization === undefined ? {} : { authorization }),
      },
      body: `${lines.join('\n')}\n`,
      timeoutMs: TIMEOUT_MS,
    }).catch((cause: unknown) => {
      throw new RelayError('security_feed_refused', `${origin} does not answer (${networkCodeOf(cause)})`, { cause })
    })
    if (status < 200 || status > 299) {
      throw new RelayError('security_feed_refused', `${origin} answered ${status}`)
    }
  }
}
