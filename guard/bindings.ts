import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { bearer, type BearerOptions } from './bearer.ts'
import type { LogoutReceiver } from './logout.ts'
import type { Claims } from './watermarks.ts'

interface HonoContext {
  readonly req: { header(name: string): string | undefined }
  set(key: 'claims', value: Claims): void
}

/** Middleware for Hono. What passes finds the token's claims in `c.get('claims')`. */
export function honoGuard(options: BearerOptions) {
  const judge = bearer(options)
  return async function guard(c: HonoContext, next: () => Promise<void>): Promise<Response | undefined> {
    const judgement = await judge(c.req.header('authorization'))
    if ('status' in judgement) {
      return new Response(judgement.body, judgement)
    }
    c.set('claims', judgement.claims)
    await next()
    return undefined
  }
}

/** Middleware for Express (and Connect). What passes finds the token's claims in `response.locals.claims`. */
export function expressGuard(options: BearerOptions) {
  const guarded = nodeGuard(options)
  return function guard(
    request: IncomingMessage,
    response: ServerResponse & { locals: Record<string, unknown> },
    next: (cause?: unknown) => void,
  ): void {
    guarded(request, response).then((claims) => {
      if (claims) {
        response.locals['claims'] = claims
        next()
      }
    }, next)
  }
}

/** For plain Node: resolves with the token's claims, or with undefined after it has answered itself. */
export function nodeGuard(options: BearerOptions) {
  const judge = bearer(options)
  return async function guard(request: IncomingMessage, response: ServerResponse): Promise<Claims | undefined> {
    const judgement = await judge(request.headers.authorization)
    if ('status' in judgement) {
      response.writeHead(judgement.status, judgement.headers).end(judgement.body)
      return undefined
    }
    return judgement.claims
  }
}

/** A handler for Express and plain Node: `app.post('/backchannel-logout', nodeLogout(receiver))`, before any body parser. */
export function nodeLogout(receiver: LogoutReceiver) {
  return async function logout(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answer = await receiver.receive(
        new Request('http://localhost/', {
          method: request.method ?? 'GET',
          headers: { 'content-type': request.headers['content-type'] ?? '' },
          ...(request.method === 'POST' ? { body: Readable.toWeb(request) as ReadableStream, duplex: 'half' } : {}),
        }),
      )
      response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text())
    } catch {
      // The caller has gone away in the middle of its request. Nobody waits for this promise in plain Node, and one that
      // is rejected would end the process.
      response.destroy()
    }
  }
}
