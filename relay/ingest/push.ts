import { Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { RelayError } from '../errors.ts'
import type { Clock } from '../flow/ports.ts'
import { KEYS_AGAIN_MS } from './patience.ts'

const MAX_BYTES = 1024 * 1024
/** So many pushes wait for a key at once: whoever may reach the relay can name keys that there are not. */
const WAITING = 50

export interface PushPorts<Event> {
  /** Throws a RelayError for a SET that cannot be taken. */
  readonly verify: (set: string) => Promise<Event>
  /** Resolves when the event is durable. */
  readonly receive: (event: Event) => Promise<unknown>
  readonly refused: (code: string, message: string) => void
  readonly clock: Pick<Clock, 'sleep'>
  /** Of a sender that does not do it as RFC 8935 has it. */
  readonly form?: Form
}

interface Form {
  readonly contentType: string
  /** Throws a RelayError for a body that holds no token. */
  readonly tokenIn: (body: string) => string
  /** The answer that ends it. */
  readonly taken: 200 | 202
}

const RFC_8935: Form = { contentType: 'application/secevent+jwt', tokenIn: (body) => body.trim(), taken: 202 }

/**
 * Push delivery of Security Event Tokens, RFC 8935. 202 is answered only when the event cannot be lost any more. One whose
 * key is not known yet is looked at once more when the realm's keys may be fetched again; after that the poll brings it.
 */
export function pushRoute<Event>({
  verify: verifyNow,
  receive,
  refused,
  clock,
  form = RFC_8935,
}: PushPorts<Event>): Hono {
  let waiting = 0
  const verify = (set: string) =>
    verifyNow(set).catch(async (cause: unknown) => {
      if (!(cause instanceof RelayError) || cause.code !== 'key_unknown' || waiting === WAITING) {
        throw cause
      }
      waiting++
      await clock.sleep(KEYS_AGAIN_MS).finally(() => waiting--)
      return verifyNow(set)
    })
  const app = new Hono()
  app.use('*', async (c, next) => {
    await next()
    c.header('Cache-Control', 'no-store')
  })
  const counted = bodyLimit({
    maxSize: MAX_BYTES,
    onError: (c) => c.json({ err: 'invalid_request', description: 'The body is larger than 1 MiB' }, 413),
  })
  // HTTP hands out no more than the length it was given. To count is for the others alone: it makes a web stream of each body,
  // which took a quarter of the time of a push.
  const limit: MiddlewareHandler = (c, next) => {
    const length = c.req.header('transfer-encoding') === undefined ? c.req.header('content-length') : undefined
    return Number(length ?? Number.NaN) <= MAX_BYTES ? next() : counted(c, next)
  }
  app.post('/events', limit, async (c) => {
    try {
      const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
      if (type !== form.contentType) {
        throw new RelayError('invalid_request', `The Content-Type must be ${form.contentType}`)
      }
      await receive(await verify(form.tokenIn(await c.req.text())))
      return c.body(null, form.taken)
    } catch (cause) {
      const error =
        cause instanceof RelayError
          ? cause
          : new RelayError('store_unavailable', 'The event could not be taken', { cause })
      refused(error.code, error.message)
      if (['store_unavailable', 'idp_unavailable', 'key_unknown'].includes(error.code)) {
        // Not the sender's fault, as far as is known, and nothing is kept: the poll brings it.
        c.header('Retry-After', '5')
        return c.json({ err: 'unavailable', description: 'The event could not be stored now' }, 503)
      }
      c.header('Content-Language', 'en')
      return c.json({ err: error.code, description: error.message }, 400)
    }
  })
  return app
}
