import { OpenAPIHono, createRoute, z } from '@hono/zod-openapi'
import { HTTPException } from 'hono/http-exception'
import { secureHeaders } from 'hono/secure-headers'
import type { Finding } from '../domain/finding.ts'
import type { Delivery } from '../domain/model.ts'
import { RelayError } from '../errors.ts'
import type { Containment, Selection, Store } from '../store/port.ts'
import { Changed, Containments, Deliveries, Refused, Reread, Status, WithEvidence } from './answers.ts'
import { type ApiEnv, requireRole, smallBody } from './auth.ts'
import { type Contain, containRoute } from './contain.ts'
import { BODY_REFUSALS, describeOthers, DOCUMENT, json, REFUSALS } from './described.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { addRelyingPartyRoutes, type RelyingPartyPorts } from './relying-parties.ts'

export interface ApiPorts extends RelyingPartyPorts {
  readonly store: Store
  readonly metrics: Metrics
  /** What a person may do to open deliveries. */
  readonly flow: {
    retryNow(selection: Selection, by: string): Promise<number>
    dismiss(selection: Selection, by: string, reason: string): Promise<number>
  }
  /** Reads a page of the realm's outbox again: how many events it has, how many were new, where the next page begins. */
  readonly reread: (
    issuer: string,
    which: { readonly sinceMs?: number | undefined; readonly after?: string | undefined },
  ) => Promise<{ read: number; taken: number; next?: string }>
  readonly contain: Contain
  /** What is amiss now in a realm and with the store, as the relay's own work has met it. */
  readonly findings: (issuer: string) => readonly Finding[]
  /** The same of all realms. */
  readonly allFindings: () => readonly Finding[]
  /** What is not ready, in words; empty when all is. */
  readonly notReady: () => string[]
}

const UNAVAILABLE = {
  store_unavailable: 'The store cannot be read now',
  idp_unavailable: 'The identity provider does not answer now',
  key_unknown: 'The identity provider signs with a key that it does not publish yet',
}
const Limit = z.coerce.number().int().min(1).max(500).default(100)
const MOST_LINES = 500

const route = <P extends string, Q extends z.ZodObject, T extends z.ZodType>(
  path: P,
  query: Q,
  answer: T,
  summary: string,
) =>
  createRoute({
    method: 'get',
    path,
    summary,
    security: [{ bearer: [] }],
    request: { query },
    responses: { 200: json(answer, summary), ...REFUSALS },
  })

const listContainments = route(
  '/api/v1/containments',
  z.object({
    limit: Limit,
    before_ms: z.coerce.number().int().optional(),
    subject: z.string().min(1).max(255).optional(),
  }),
  Containments,
  'Containments, newest first; of one subject, by the sub of the user',
)
const showStatus = route(
  '/api/v1/status',
  z.object({}),
  Status,
  'Sessions that nobody can be told about and that may still live, by client; and what is amiss now',
)
const listDeliveries = route(
  '/api/v1/deliveries',
  z.object({
    state: z.enum(['open', 'delivered', 'expired', 'dismissed']).optional(),
    client_id: z.string().max(255).optional(),
    containment_id: z.string().max(255).optional(),
    after: z.string().max(64).optional(),
    limit: Limit,
  }),
  Deliveries,
  'Deliveries by id; give next as after for the page behind',
)
const showContainment = createRoute({
  method: 'get',
  path: '/api/v1/containments/{id}',
  summary: 'One containment with its evidence; give next as from for the lines behind',
  security: [{ bearer: [] }],
  request: {
    params: z.object({ id: z.string().max(255) }),
    query: z.object({
      from: z.coerce.number().int().min(0).max(1_000_000_000).default(0),
      limit: z.coerce.number().int().min(1).max(MOST_LINES).default(MOST_LINES),
    }),
  },
  responses: {
    200: json(WithEvidence, 'The containment'),
    404: json(Refused, 'No such containment in this realm'),
    ...REFUSALS,
  },
})

/** Strict, so that a misspelt member selects nothing instead of everything. */
const Selected = z
  .strictObject({
    id: z.string().max(64).optional(),
    client_id: z.string().max(255).optional(),
    containment_id: z.string().max(255).optional(),
    created_from_ms: z.number().int().min(0).optional(),
    created_before_ms: z.number().int().min(0).optional(),
  })
  .refine((selected) => Object.values(selected).some((value) => value !== undefined), {
    path: ['id'],
    error: 'name at least one of id, client_id, containment_id, created_from_ms, created_before_ms',
  })
  .openapi({ minProperties: 1 })
const Dismissal = z.strictObject({
  deliveries: Selected,
  reason: z.string().trim().min(3, 'say why, for whoever reads the evidence').max(500),
})
const Retry = z.strictObject({ deliveries: Selected })

const act = <P extends string, T extends z.ZodType>(path: P, body: T, summary: string) =>
  createRoute({
    method: 'post',
    path,
    summary,
    security: [{ bearer: [] }],
    request: { body: { required: true, content: { 'application/json': { schema: body } } } },
    responses: { 200: json(Changed, 'How many open deliveries it was'), ...BODY_REFUSALS },
  })
const retryDeliveries = act('/api/v1/deliveries/retry', Retry, 'Attempt waiting deliveries now (role operate)')
const rereadOutbox = createRoute({
  method: 'post',
  path: '/api/v1/outbox/reread',
  summary: 'Take up what the outbox holds and the store does not, a page at a time (role operate)',
  security: [{ bearer: [] }],
  request: {
    body: {
      required: false,
      content: {
        'application/json': {
          schema: z.strictObject({
            since_ms: z.number().int().min(0).optional(),
            after: z.string().max(64).optional(),
          }),
        },
      },
    },
  },
  responses: {
    200: json(
      Reread,
      'How many events this page of the outbox holds, how many of them were new; give next as after for the page behind',
    ),
    ...BODY_REFUSALS,
  },
})
const dismissDeliveries = act('/api/v1/deliveries/dismiss', Dismissal, 'Give up open deliveries (role dismiss)')

function selectionOf(issuer: string, selected: z.infer<typeof Selected>): Selection {
  const { id, client_id, containment_id, created_from_ms, created_before_ms } = selected
  return {
    issuer,
    ...(id === undefined ? {} : { id }),
    ...(client_id === undefined ? {} : { clientId: client_id }),
    ...(containment_id === undefined ? {} : { containmentId: containment_id }),
    ...(created_from_ms === undefined ? {} : { createdFromMs: created_from_ms }),
    ...(created_before_ms === undefined ? {} : { createdBeforeMs: created_before_ms }),
  }
}

/** Health, metrics, and the lists for programs. */
export function apiRoutes(ports: ApiPorts): OpenAPIHono<ApiEnv> {
  const { store, metrics, flow, reread, contain, notReady, findings, allFindings, nowMs } = ports
  const app = new OpenAPIHono<ApiEnv>({
    defaultHook: (result, c) => {
      if (!result.success) {
        const issue = result.error.issues[0]
        return c.json(
          { error: 'invalid_request', error_description: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}` },
          400,
        )
      }
      return undefined
    },
  })
  app.use(secureHeaders())
  app.use('/api/*', async (c, next) => {
    await next()
    c.header('Cache-Control', 'no-store')
  })
  app.use('/api/*', smallBody)
  app.onError((cause, c) => {
    if (cause instanceof HTTPException && cause.status < 500) {
      return c.json({ error: 'invalid_request', error_description: cause.message }, cause.status)
    }
    if (cause instanceof RelayError && (cause.code === 'invalid_request' || cause.code === 'not_found')) {
      return c.json({ error: cause.code, error_description: cause.message }, cause.code === 'not_found' ? 404 : 400)
    }
    const code = cause instanceof RelayError ? cause.code : undefined
    return code === 'store_unavailable' || code === 'idp_unavailable' || code === 'key_unknown'
      ? c.json({ error: 'temporarily_unavailable', error_description: UNAVAILABLE[code] }, 503)
      : c.json({ error: 'server_error', error_description: 'The relay failed; its log says more' }, 500)
  })

  app.get('/healthz', (c) => c.json({ status: 'ok' }))
  app.get('/readyz', (c) => {
    const missing = notReady()
    const to_do = allFindings().map(({ check, about, says }) => `${about}: ${check} ${says}`)
    return missing.length === 0
      ? c.json({ status: 'ready', to_do })
      : c.json({ status: 'not ready', waiting_for: missing, to_do }, 503)
  })
  app.get('/metrics', async (c) =>
    c.text(await metrics.registry.metrics(), 200, { 'Content-Type': metrics.registry.contentType }),
  )
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
  })
  describeOthers(app)
  app.doc31('/api/v1/openapi.json', DOCUMENT)

  for (const path of ['status', 'containments', 'containments/:id', 'deliveries']) {
    app.get(`/api/v1/${path}`, requireRole('view', ports))
  }
  containRoute(app, contain, requireRole('operate', ports))
  app.use('/api/v1/deliveries/retry', requireRole('operate', ports))
  app.use('/api/v1/outbox/reread', requireRole('operate', ports))
  app.use('/api/v1/deliveries/dismiss', requireRole('dismiss', ports))
  app.openapi(retryDeliveries, async (c) => {
    const { issuer, by } = c.var.caller
    const { deliveries } = c.req.valid('json')
    return c.json({ changed: await flow.retryNow(selectionOf(issuer, deliveries), by) }, 200)
  })
  app.openapi(rereadOutbox, async (c) => {
    const { since_ms, after } = c.req.valid('json')
    return c.json(await reread(c.var.caller.issuer, { sinceMs: since_ms, after }), 200)
  })
  app.openapi(dismissDeliveries, async (c) => {
    const { issuer, by } = c.var.caller
    const { deliveries, reason } = c.req.valid('json')
    return c.json({ changed: await flow.dismiss(selectionOf(issuer, deliveries), by, reason) }, 200)
  })
  addRelyingPartyRoutes(app, ports)
  app.openapi(showStatus, async (c) => {
    const { issuer } = c.var.caller
    const unreachable = (await store.unreachable(nowMs())).filter((one) => one.issuer === issuer)
    const to_do = findings(issuer).map(({ check, about, says }) => ({ check, about, says }))
    return c.json(
      {
        unreachable: unreachable.map(({ clientId, count, untilMs }) => ({
          client_id: clientId,
          sessions: count,
          until_ms: untilMs,
        })),
        to_do,
      },
      200,
    )
  })
  app.openapi(listContainments, async (c) => {
    const { limit, before_ms, subject } = c.req.valid('query')
    const found = await store.containments({
      ...{ issuer: c.var.caller.issuer, limit },
      ...(before_ms === undefined ? {} : { beforeMs: before_ms }),
      ...(subject === undefined ? {} : { subject }),
    })
    return c.json({ containments: found.map(containmentOut) }, 200)
  })
  app.openapi(showContainment, async (c) => {
    const { from, limit } = c.req.valid('query')
    const found = await store.containment(c.var.caller.issuer, c.req.valid('param').id, { from, limit })
    if (!found) {
      return c.json({ error: 'not_found', error_description: 'No such containment in this realm' }, 404)
    }
    const inOrder = found.evidence.toSorted((a, b) => a.atMs - b.atMs)
    const evidence = inOrder.map(({ atMs, kind, data }) => ({ at_ms: atMs, kind, data: { ...data } }))
    const next = evidence.length === limit ? { next: from + limit } : {}
    return c.json({ ...containmentOut(found.containment), evidence, ...next }, 200)
  })
  app.openapi(listDeliveries, async (c) => {
    const { state, client_id, containment_id, after, limit } = c.req.valid('query')
    const found = await store.deliveries({
      issuer: c.var.caller.issuer,
      limit,
      ...(state === undefined ? {} : { state }),
      ...(client_id === undefined ? {} : { clientId: client_id }),
      ...(containment_id === undefined ? {} : { containmentId: containment_id }),
      ...(after === undefined ? {} : { after }),
    })
    const last = found.length === limit ? found.at(-1)?.id : undefined
    return c.json({ deliveries: found.map(deliveryOut), ...(last === undefined ? {} : { next: last }) }, 200)
  })
  return app
}

function containmentOut(containment: Containment) {
  const { id, subject, trigger, eventMs, createdMs, closedMs, deliveries, open, parts, arrived } = containment
  const { dismissed, unreachable, unreachableUntilMs } = containment
  return {
    id,
    ...(subject === undefined ? {} : { subject }),
    trigger,
    event_at_ms: eventMs,
    received_at_ms: createdMs,
    ...(closedMs === undefined ? {} : { closed_at_ms: closedMs }),
    deliveries,
    open,
    dismissed,
    parts,
    arrived,
    unreachable,
    ...(unreachable > 0 ? { unreachable_until_ms: unreachableUntilMs } : {}),
  }
}

function deliveryOut(delivery: Delivery) {
  const { id, state, attempts, lastStatus, lastReason, endedMs } = delivery
  return {
    id,
    containment_id: delivery.containmentId,
    client_id: delivery.clientId,
    sid: delivery.sid,
    state,
    attempts,
    ...(lastStatus === undefined ? {} : { last_status: lastStatus }),
    ...(lastReason === undefined ? {} : { last_reason: lastReason }),
    ...(state === 'open' ? { next_attempt_at_ms: delivery.dueMs } : {}),
    latest_end_ms: delivery.latestEndMs,
    created_at_ms: delivery.createdMs,
    ...(endedMs === undefined ? {} : { ended_at_ms: endedMs }),
  }
}
