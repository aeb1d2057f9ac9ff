import { createHash, timingSafeEqual } from 'node:crypto'
import { Hono } from 'hono'
import { RelayError } from '../errors.ts'
import type { Clock } from '../flow/ports.ts'
import { pollOutbox } from '../ingest/poll.ts'
import { pushRoute } from '../ingest/push.ts'
import { heardFromApple, isApple, unwrapped } from './apple.ts'
import type { Life } from './life.ts'
import { type Heard, heardIn } from './set.ts'
import type { Transmitter } from './transmitter.ts'
import { outcomeOf, type Stream, type Upstream } from './upstream.ts'

export interface StreamPorts extends Life {
  readonly upstream: Upstream & { readonly stream: Stream }
  readonly clock: Clock
  readonly heard: (outcome: string) => void
  readonly refused: (code: string, why: string) => void
  readonly trouble: (what: string, cause: unknown) => void
}

/** Takes what a Security Event Token says, one word after the other. It is not acknowledged before the realm has all of it. */
function taking({ upstream, heard, alive, status }: StreamPorts) {
  return {
    verify: (set: string) => (isApple(upstream) ? heardFromApple(set, upstream) : heardIn(set, upstream)),
    receive: async ({ words, madeMs, status: said }: Heard) => {
      for (const word of words) {
        heard(outcomeOf(await upstream.hear(word)))
      }
      alive(madeMs)
      if (said !== undefined) {
        status(said, madeMs)
      }
    },
  }
}

/** `POST …/events`: push delivery (RFC 8935). */
export function streamRoute(ports: StreamPorts): Hono {
  const { clock, refused } = ports
  const { pushAuthorization } = ports.upstream.stream
  const app = new Hono()
  app.use('/events', async (c, next) => {
    if (pushAuthorization !== undefined && !isSame(c.req.header('authorization') ?? '', pushAuthorization)) {
      refused('authentication_failed', 'A push came without the Authorization that its transmitter was given')
      c.header('Content-Language', 'en')
      return c.json({ err: 'authentication_failed', description: 'The Authorization is not the one agreed on' }, 400)
    }
    return next()
  })
  const form = { contentType: 'application/json', tokenIn: unwrapped, taken: 200 } as const
  app.route('/', pushRoute({ ...taking(ports), clock, refused, ...(isApple(ports.upstream) ? { form } : {}) }))
  return app
}

/** Poll delivery (RFC 8936), for as long as the signal is not aborted. */
export function pollStream(
  ports: StreamPorts & { readonly transmitter: Transmitter; readonly leads: () => boolean },
  stop: AbortSignal,
): Promise<void> {
  const { upstream, transmitter, clock, leads, alive, refused, trouble } = ports
  let url: string | undefined
  return pollOutbox(
    {
      ...taking(ports),
      poll: async (...asked) => {
        if (!leads()) {
          return { sets: {} }
        }
        url ??= (await streamOf(transmitter, upstream)).url
        try {
          return await transmitter.poll(url ?? '', ...asked)
        } catch (cause) {
          // It may have been made anew, elsewhere.
          url = undefined
          throw cause
        }
      },
      polled: () => {
        if (leads()) {
          alive(clock.nowMs())
        }
      },
      refused: (why) => refused('refused', why),
      trouble: (what, cause) => {
        // What is refused has been told.
        if (cause !== undefined) {
          trouble(`${upstream.name}: ${what}`, cause)
        }
      },
    },
    clock,
    upstream.stream.pollMs,
    stop,
  )
}

/** Has the transmitter show that the stream arrives: what it sends then is heard like everything else. */
export async function verifyStream(
  { upstream, clock, status }: Pick<StreamPorts, 'upstream' | 'clock' | 'status'>,
  transmitter: Transmitter,
  state: string,
): Promise<void> {
  const { id } = await streamOf(transmitter, upstream)
  const askedMs = clock.nowMs()
  status(await transmitter.status(id), askedMs)
  await transmitter.verify(id, state)
}

async function streamOf(transmitter: Transmitter, { name, stream }: StreamPorts['upstream']) {
  const found = (await transmitter.streams()).find(({ delivery }) => delivery === stream.delivery)
  if (!found) {
    throw new RelayError(
      'idp_unavailable',
      `${name} has no stream for this relay by ${stream.delivery}; make one: logout-relay streams add ${name}`,
    )
  }
  return found
}

function isSame(given: string, expected: string): boolean {
  const [one, other] = [given, expected].map((text) => createHash('sha256').update(text).digest())
  return one !== undefined && other !== undefined && timingSafeEqual(one, other)
}
