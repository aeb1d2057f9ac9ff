import { type OpenAPIHono, z } from '@hono/zod-openapi'
import { Hono } from 'hono'
import { Refused } from './answers.ts'
import type { ApiEnv } from './auth.ts'

export const DOCUMENT = { openapi: '3.1.0', info: { title: 'Logout Relay', version: '1' } }

const NotTaken = z.object({ err: z.string(), description: z.string() })
const bearer = [{ bearer: [] }]

const as = (type: string, schema: z.ZodType, description: string) => ({ description, content: { [type]: { schema } } })

/** An answer as the description of the API has it. */
export const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema } },
})

/** What any route with a token may answer beside what it is there for. */
export const REFUSALS = {
  400: json(Refused, 'What is wrong with the request'),
  401: json(Refused, 'No valid access token'),
  403: json(Refused, 'The token lacks the role, or was issued to a client that may not act here'),
  503: json(Refused, 'The store or the issuer’s keys cannot be had now'),
}

/** And where it has a body. */
export const BODY_REFUSALS = { ...REFUSALS, 413: json(Refused, 'The body is larger than 64 KiB') }

/** Describes the routes that are not of the API, so that one document has all of them; what they do is where they are. */
export function describeOthers({ openAPIRegistry: registry }: OpenAPIHono<ApiEnv>): void {
  registry.registerPath({
    method: 'post',
    path: '/events',
    summary: 'Push of a Security Event Token (RFC 8935)',
    request: { body: { required: true, content: { 'application/secevent+jwt': { schema: z.string() } } } },
    responses: {
      202: { description: 'The event is durable, or was known' },
      400: json(NotTaken, 'The token is refused'),
      413: json(NotTaken, 'The body is larger than 1 MiB'),
      503: json(NotTaken, 'It cannot be stored or verified now'),
    },
  })
  registry.registerPath({
    method: 'post',
    path: '/global-token-revocation',
    summary: 'An identity provider asks for everything of a user to be ended: docs/upstream.md',
    security: bearer,
    request: {
      body: {
        required: true,
        content: { 'application/json': { schema: z.object({ sub_id: z.looseObject({ format: z.string() }) }) } },
      },
    },
    responses: {
      204: { description: 'All has ended at Keycloak or waits for a person’s word, or nobody is concerned' },
      400: json(Refused, 'What is wrong with the request'),
      401: json(Refused, 'No JWT of an upstream that may ask for it'),
      413: json(Refused, 'The body is larger than 64 KiB'),
      503: json(Refused, 'The realm or the keys of the upstream cannot be had now'),
    },
  })
  registry.registerPath({
    method: 'post',
    path: '/upstreams/{name}/events',
    summary: 'Push of what an identity provider says of its users (RFC 8935): docs/upstream.md',
    request: {
      params: z.object({ name: z.string().max(32) }),
      body: { required: true, content: { 'application/secevent+jwt': { schema: z.string() } } },
    },
    responses: {
      202: { description: 'The realm has it' },
      400: json(NotTaken, 'The token is refused'),
      404: { description: 'There is no such upstream with a stream that is pushed' },
      413: json(NotTaken, 'The body is larger than 1 MiB'),
      503: json(NotTaken, 'The realm or the keys of the upstream cannot be had now'),
    },
  })
  registry.registerPath({
    method: 'get',
    path: '/healthz',
    summary: 'Whether the process answers',
    responses: { 200: json(z.object({ status: z.literal('ok') }), 'It does') },
  })
  registry.registerPath({
    method: 'get',
    path: '/readyz',
    summary: 'Whether every realm has been reached once',
    responses: {
      200: json(z.object({ status: z.literal('ready'), to_do: z.array(z.string()) }), 'All is there'),
      503: json(
        z.object({
          status: z.literal('not ready'),
          waiting_for: z.array(z.string()),
          to_do: z.array(z.string()),
        }),
        'What is missing',
      ),
    },
  })
  registry.registerPath({
    method: 'get',
    path: '/metrics',
    summary: 'For Prometheus: docs/metrics.md',
    responses: { 200: as('text/plain', z.string(), 'All metrics') },
  })
  registry.registerPath({
    method: 'get',
    path: '/api/v1/openapi.json',
    summary: 'This description',
    responses: { 200: json(z.looseObject({ openapi: z.string() }), 'It') },
  })
  registry.registerPath({
    method: 'get',
    path: '/guard/jwks',
    summary: 'The keys that sign the watermark stream; this and the rest below /guard only where guard.key_file is set',
    responses: { 200: json(z.looseObject({ keys: z.array(z.looseObject({})) }), 'RFC 7517') },
  })
  registry.registerPath({
    method: 'get',
    path: '/guard/feed',
    summary: 'Watermarks for the caller’s own guards (role guard): docs/guard-protocol.md',
    security: bearer,
    request: {
      query: z.object({
        cursor: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
        nonce: z.string().regex(/^[A-Za-z0-9_-]{16,128}$/),
      }),
    },
    responses: {
      200: {
        description: 'Batches, and with Accept: text/event-stream on without end',
        content: { 'application/jsonl': { schema: z.string() }, 'text/event-stream': { schema: z.string() } },
      },
      409: json(Refused, 'The cursor is not known; begin with 0'),
      ...REFUSALS,
    },
  })
  registry.registerPath({
    method: 'get',
    path: '/guard/check',
    summary: 'One request’s token, for proxies: docs/guard-protocol.md',
    security: bearer,
    request: { query: z.object({ audience: z.string().min(1).max(255) }) },
    responses: {
      200: { description: 'It may pass; X-Guard-Subject, X-Guard-Client and X-Guard-Sid say who' },
      400: { description: 'No audience, or a malformed Authorization' },
      401: { description: 'No token, one that is not valid or was revoked, or step-up (RFC 6750, RFC 9470)' },
      503: { description: 'It cannot be said now' },
    },
  })
  registry.registerPath({
    method: 'post',
    path: '/guard/introspect',
    summary: 'Token introspection with watermarks (RFC 7662, role guard)',
    security: bearer,
    request: {
      body: {
        required: true,
        content: { 'application/x-www-form-urlencoded': { schema: z.object({ token: z.string().min(1) }) } },
      },
    },
    responses: {
      200: json(z.looseObject({ active: z.boolean() }), 'Whether it is active, and if so its claims'),
      ...BODY_REFUSALS,
    },
  })
}

/** 405 with what is allowed, where a path is known and its method is not (RFC 9110 §15.5.6). To be asked last. */
export function otherMethods(described: OpenAPIHono<ApiEnv>): Hono {
  const app = new Hono()
  for (const [path, operations] of Object.entries(described.getOpenAPI31Document(DOCUMENT).paths ?? {})) {
    const allowed = Object.keys(operations as object).flatMap((method) =>
      method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()],
    )
    app.all(path.replaceAll(/\{(\w+)\}/g, ':$1'), (c) => {
      // What is described and yet not there is not switched on in this relay.
      if (allowed.includes(c.req.method)) {
        return c.notFound()
      }
      c.header('Allow', allowed.join(', '))
      return c.json({ error: 'invalid_request', error_description: `This takes ${allowed.join(' or ')}` }, 405)
    })
  }
  return app
}
