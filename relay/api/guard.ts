import { Hono } from 'hono'
import { decodeJwt, errors } from 'jose'
import { bearer, isVerdict } from '../../guard/bearer.ts'
import { StaleError } from '../../guard/feed.ts'
import { type KeySet, verifyJwt } from '../../guard/jwt.ts'
import type { Claims } from '../../guard/watermarks.ts'
import { type ApiEnv, type CallerPorts, requireGuard, smallBody } from './auth.ts'
import { RelayError } from '../errors.ts'
import { eventOf, type WatermarkStream, type Subscriber } from '../watermarks/stream.ts'
import type { StreamKey } from '../watermarks/key.ts'

export interface GuardPorts extends CallerPorts {
  readonly streams: ReadonlyMap<string, WatermarkStream>
  readonly key: StreamKey
  readonly nowMs: () => number
}

/** How old the relay's own reading of its store may be for it to judge tokens. */
const LIMIT_MS = 30_000
const LONGEST_CONNECTION_MS = 3_600_000
/** Bytes that a guard may be behind before it is let go; it comes back with its cursor. */
const MOST_BEHIND = 16 * 2 ** 20
/** Claims that an introspecting caller gets to see (RFC 7662 §2.2, RFC 9470 §6.2). */
const SHOWN = ['iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'scope', 'sid', 'auth_time', 'acr']

/** For guards: the stream and its keys. For what is not written in Node: a check of one token, and introspection. */
export function guardRoutes(ports: GuardPorts): Hono<ApiEnv> {
  const { streams, key, keysOf, readAccess, audience, nowMs } = ports
  const app = new Hono<ApiEnv>()
  app.use('/guard/*', async (c, next) => {
    await next()
    c.header('Cache-Control', 'no-store')
  })
  app.onError((cause, c) => {
    const unavailable = cause instanceof RelayError && cause.code === 'store_unavailable'
    c.header('Retry-After', '5')
    return unavailable
      ? c.json({ error: 'temporarily_unavailable', error_description: 'The watermarks cannot be read now' }, 503)
      : c.json({ error: 'server_error', error_description: 'The relay failed; its log says more' }, 500)
  })
  app.get('/guard/jwks', (c) => c.json(key.jwks))

  app.get('/guard/feed', requireGuard(ports), async (c) => {
    const { issuer, clientId, exp } = c.var.caller
    const stream = streams.get(issuer)
    const cursor = Number(c.req.query('cursor') ?? '0')
    const nonce = c.req.query('nonce') ?? ''
    if (!Number.isSafeInteger(cursor) || cursor < 0 || !/^[\w-]{16,128}$/.test(nonce)) {
      return c.json(
        {
          error: 'invalid_request',
          error_description: 'Give nonce (16 to 128 characters of base64url, fresh) and cursor (the last seq, or 0)',
        },
        400,
      )
    }
    if (!stream || clientId === '') {
      return c.json({ error: 'invalid_request', error_description: 'The token names no client (azp)' }, 400)
    }
    const lines = stream.catchUp(clientId, cursor, nonce)
    const first = await lines.next()
    if (first.done) {
      return c.json({ error: 'invalid_cursor', error_description: 'The cursor is unknown; begin again with 0' }, 409)
    }
    const live = (c.req.header('accept') ?? '').includes('text/event-stream')
    const endsMs = Math.min(exp * 1000 - nowMs(), LONGEST_CONNECTION_MS)
    const body = send(stream, clientId, first.value, lines, live ? endsMs : undefined)
    return new Response(body, {
      headers: {
        'content-type': live ? 'text/event-stream' : 'application/jsonl',
        'cache-control': 'no-store',
        // nginx would hold the stream back otherwise.
        'x-accel-buffering': 'no',
      },
    })
  })

  // Envoy asks with the method of the request that it judges.
  app.all('/guard/check', async (c) => {
    // The first counts: behind it Envoy puts the path and query of that request, which are whatever their sender wants.
    const [forAudience = ''] = c.req.queries('audience') ?? []
    if (forAudience === '') {
      return c.json(
        { error: 'invalid_request', error_description: 'Say for whom: /guard/check?audience=<client id>' },
        400,
      )
    }
    const authorization = c.req.header('authorization')
    const guard = guardOf(streams, issuerIn(authorization), nowMs)
    const judge = bearer({
      guard: guard ?? NOBODY,
      audience: forAudience,
      keys: await keysFor(guard && keysOf(guard.issuer)),
    })
    const judgement = await judge(authorization)
    if ('status' in judgement) {
      return new Response(judgement.body, judgement)
    }
    const { sub, sid, azp } = judgement.claims
    const subject = headerOf(sub)
    if (subject === '') {
      c.header('WWW-Authenticate', 'Bearer error="invalid_token", error_description="It names nobody"')
      return c.json({ error: 'invalid_token', error_description: 'The token has no sub that a header can carry' }, 401)
    }
    // All of them always: some proxies let a header through that the request itself has brought, where the answer has none.
    return c.body(null, 200, {
      'x-guard-subject': subject,
      'x-guard-client': headerOf(azp),
      'x-guard-sid': headerOf(sid),
    })
  })

  app.post('/guard/introspect', requireGuard(ports), smallBody, async (c) => {
    // A form that is none, such as multipart without a boundary, has no token either.
    const { token } = await c.req.parseBody().catch((): Record<string, unknown> => ({}))
    if (typeof token !== 'string' || token === '') {
      return c.json({ error: 'invalid_request', error_description: 'Send the token as form parameter: token=…' }, 400)
    }
    const { issuer, clientId } = c.var.caller
    const guard = guardOf(streams, issuer, nowMs)
    const keys = await keysOf(issuer)
    if (!guard || !keys) {
      return c.json({ active: false })
    }
    try {
      const { payload } = await verifyJwt<Claims>(token, keys, {
        issuer,
        requiredClaims: ['exp'],
      })
      const access = readAccess(payload, audience)
      const mine = access?.clientId === clientId || [payload.aud].flat().includes(clientId)
      if (!access || !mine || guard.check(payload) !== 'ok') {
        return c.json({ active: false })
      }
      const shown = Object.fromEntries(SHOWN.flatMap((name) => (name in payload ? [[name, payload[name]]] : [])))
      return c.json({ active: true, token_type: 'Bearer', client_id: access.clientId, ...shown })
    } catch (cause) {
      if (isVerdict(cause)) {
        return c.json({ active: false })
      }
      c.header('Retry-After', '5')
      return c.json({ error: 'temporarily_unavailable', error_description: 'It cannot be said now' }, 503)
    }
  })
  return app
}

/** Where there are none, or they cannot be had, a token that needs them says so. */
async function keysFor(keys: ReturnType<CallerPorts['keysOf']>): Promise<KeySet> {
  const failing = (cause: unknown) => (): never => {
    throw cause
  }
  return (await keys?.catch(failing)) ?? failing(new errors.JWKSNoMatchingKey())
}

/** The lines of a stream as a body: to their end when polled, and on with every change until `endsMs` when streamed. */
function send(
  stream: WatermarkStream,
  clientId: string,
  first: string,
  more: AsyncGenerator<string, number | undefined>,
  endsMs: number | undefined,
): ReadableStream<Uint8Array> {
  const queue = new ByteLengthQueuingStrategy({ highWaterMark: 2 ** 16 })
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, queue)
  const writer = writable.getWriter()
  const frame = endsMs === undefined ? (line: string) => Buffer.from(`${line}\n`) : eventOf
  const subscriber: Subscriber = {
    send: (event) => {
      if ((writer.desiredSize ?? -Infinity) < -MOST_BEHIND) {
        writer.abort().catch(() => undefined)
        return false
      }
      writer.write(event).catch(() => stream.leave(clientId, subscriber))
      return true
    },
    end: () => void writer.close().catch(() => undefined),
  }
  const run = async () => {
    await writer.write(frame(first))
    let next = await more.next()
    for (; !next.done; next = await more.next()) {
      await writer.ready
      await writer.write(frame(next.value))
    }
    if (endsMs === undefined) {
      await writer.close()
      return
    }
    let seq = next.value ?? 0
    while (!stream.join(clientId, seq, subscriber)) {
      await stream.advance()
      for await (const part of stream.since(clientId, seq)) {
        await writer.write(frame(part.line))
        seq = part.seq
      }
    }
    const timer = setTimeout(() => subscriber.end(), Math.max(0, endsMs))
    timer.unref()
    await writer.closed.finally(() => {
      clearTimeout(timer)
      stream.leave(clientId, subscriber)
    })
  }
  // Whoever has gone away, or lost the store, comes back with its cursor.
  run().catch((cause: unknown) => writer.abort(cause).catch(() => undefined))
  return readable
}

/** Of an issuer that is not configured. */
const NOBODY = { issuer: 'none', check: () => 'revoked' as const, maxAgeSeconds: () => 0 }

/** The relay's own reading, as a guard. */
function guardOf(streams: ReadonlyMap<string, WatermarkStream>, issuer: string | undefined, nowMs: () => number) {
  const stream = issuer === undefined ? undefined : streams.get(issuer)
  if (!stream || issuer === undefined) {
    return undefined
  }
  return {
    issuer,
    check: (claims: Claims) => {
      if (nowMs() - stream.readMs > LIMIT_MS) {
        throw new StaleError(5)
      }
      return stream.check(claims)
    },
    maxAgeSeconds: ({ sub }: Claims) =>
      Math.max(0, Math.floor(nowMs() / 1000) - Math.floor(stream.watermarkMs(String(sub)) / 1000) - 1),
  }
}

/** Nothing of it is believed yet; it only chooses the keys. */
function issuerIn(authorization: string | undefined): string | undefined {
  try {
    return decodeJwt(authorization?.replace(/^Bearer +/i, '') ?? '').iss
  } catch {
    return undefined
  }
}

/** Only what cannot break a header goes into one; else it is empty. */
function headerOf(value: unknown): string {
  return typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value) ? value : ''
}
