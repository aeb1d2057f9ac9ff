import { type OpenAPIHono, createRoute, z } from '@hono/zod-openapi'
import { weakens } from '../domain/change.ts'
import { REVOCATION } from '../domain/provider.ts'
import type { Registrar } from '../registry/registrar.ts'
import type { ListedRelyingParty, RelyingParties as Listing } from '../registry/registry.ts'
import type { Selection, Store } from '../store/port.ts'
import { Changes, Finding, Paused, Refused, Registered, RelyingParties, Unregistered } from './answers.ts'
import { type ApiEnv, type OperatorPorts, requireRole } from './auth.ts'
import { BODY_REFUSALS, json, REFUSALS } from './described.ts'

export interface RelyingPartyPorts extends OperatorPorts {
  readonly store: Pick<Store, 'changes'>
  readonly relyingParties: Listing
  readonly registrar: Pick<Registrar, 'check' | 'register' | 'unregister' | 'pause' | 'resume'>
  readonly flow: { retryNow(selection: Selection, by: string): Promise<number> }
}

const ClientId = z.string().min(1).max(255)
const Reason = z.string().trim().min(3, 'say why, for whoever reads the list of changes').max(500)
/** Strict: where a relying party may be is decided in relay.yaml, and nobody shall think that a member here changes it. */
const Registration = z.strictObject({
  client_id: ClientId,
  backchannel_logout_uri: z.string().min(1),
  reason: Reason,
  despite_check: z.boolean().default(false),
})
const Named = z.strictObject({ client_id: ClientId })
const NamedWithReason = z.strictObject({ client_id: ClientId, reason: Reason })

function pausedOf({ paused }: ListedRelyingParty) {
  return paused ? { paused: { by: paused.by, since_ms: paused.atMs, reason: paused.reason ?? '' } } : {}
}

/** Relying parties: who they are, whether they refuse what they must, what people decide about them, and who changed what. */
export function addRelyingPartyRoutes(app: OpenAPIHono<ApiEnv>, ports: RelyingPartyPorts): void {
  const { store, relyingParties, registrar, flow } = ports
  const security = [{ bearer: [] }]
  const view = requireRole('view', ports)
  const operate = requireRole('operate', ports)
  const act = <P extends string, B extends z.ZodType, T extends z.ZodType>(
    path: P,
    body: B,
    answer: T,
    summary: string,
  ) =>
    createRoute({
      method: 'post',
      path: `/api/v1/relying-parties${path}`,
      summary: `${summary} (role operate)`,
      security,
      middleware: operate,
      request: { body: { required: true, content: { 'application/json': { schema: body } } } },
      responses: {
        200: json(answer, 'Done'),
        404: json(Refused, 'No such relying party, or nothing to take back'),
        ...BODY_REFUSALS,
      },
    })

  const list = createRoute({
    method: 'get',
    path: '/api/v1/relying-parties',
    summary: 'The relying parties of the caller’s realm, and the identity providers that are told',
    security,
    middleware: view,
    responses: { 200: json(RelyingParties, 'All of them'), ...REFUSALS },
  })
  app.openapi(list, (c) => {
    const all = relyingParties.list(c.var.caller.issuer)
    const { told = [], parties = [] } = Object.groupBy(all, ({ target }) =>
      target.kind === REVOCATION ? 'told' : 'parties',
    )
    return c.json(
      {
        relying_parties: parties.map((party) => ({
          client_id: party.clientId,
          backchannel_logout_uri: party.target.uri,
          enabled: party.enabled,
          source: party.source,
          outvoted: party.outvoted.map(({ source, target }) => ({ source, backchannel_logout_uri: target.uri })),
          ...pausedOf(party),
        })),
        identity_providers: told.map((one) => ({ client_id: one.clientId, url: one.target.uri, ...pausedOf(one) })),
      },
      200,
    )
  })

  const register = createRoute({
    method: 'post',
    path: '/api/v1/relying-parties',
    summary: 'Register a relying party that its realm names no logout URL for, if it passes the check (role operate)',
    security,
    middleware: operate,
    request: { body: { required: true, content: { 'application/json': { schema: Registration } } } },
    responses: {
      200: json(Registered, 'It is registered'),
      422: json(
        Refused.extend({ check: Finding }),
        'It failed the check and is not registered; despite_check registers it all the same',
      ),
      ...BODY_REFUSALS,
    },
  })
  app.openapi(register, async (c) => {
    const { issuer, by } = c.var.caller
    const { client_id, backchannel_logout_uri, reason, despite_check } = c.req.valid('json')
    const { registered, finding } = await registrar.register(
      {
        issuer,
        clientId: client_id,
        logoutUri: backchannel_logout_uri,
      },
      { by, reason },
      despite_check,
    )
    const check = { ok: finding.ok, says: finding.says }
    return registered
      ? c.json({ registered: true as const, check }, 200)
      : c.json({ error: 'check_failed', error_description: `It is not registered: ${finding.says}`, check }, 422)
  })

  app.openapi(
    act('/check', Named, Finding, 'Send tokens that it must refuse, and some that it must take'),
    async (c) => {
      const { ok, says } = await registrar.check(c.var.caller.issuer, c.req.valid('json').client_id)
      return c.json({ ok, says }, 200)
    },
  )
  app.openapi(act('/unregister', NamedWithReason, Unregistered, 'Take a registration back'), async (c) => {
    const { client_id, reason } = c.req.valid('json')
    await registrar.unregister(c.var.caller.issuer, client_id, { by: c.var.caller.by, reason })
    return c.json({ registered: false as const }, 200)
  })
  app.openapi(act('/pause', NamedWithReason, Paused, 'Attempt nothing there; what is owed stays open'), async (c) => {
    const { client_id, reason } = c.req.valid('json')
    await registrar.pause(c.var.caller.issuer, client_id, { by: c.var.caller.by, reason })
    return c.json({ paused: true }, 200)
  })
  app.openapi(act('/resume', Named, Paused, 'Attempt again, at once'), async (c) => {
    const { issuer, by } = c.var.caller
    const { client_id } = c.req.valid('json')
    await registrar.resume(issuer, client_id, by)
    await flow.retryNow({ issuer, clientId: client_id }, by)
    return c.json({ paused: false }, 200)
  })

  const changes = createRoute({
    method: 'get',
    path: '/api/v1/changes',
    summary: 'Who changed what of what could keep an attacker in, newest first',
    security,
    middleware: view,
    request: {
      query: z.object({
        limit: z.coerce.number().int().min(1).max(500).default(100),
        before: z.coerce.number().int().min(0).optional(),
      }),
    },
    responses: {
      200: json(Changes, 'Give the last seq as before for what is older'),
      ...REFUSALS,
    },
  })
  app.openapi(changes, async (c) => {
    const { limit, before } = c.req.valid('query')
    const found = await store.changes(c.var.caller.issuer, limit, before)
    return c.json(
      {
        changes: found.map(({ seq, atMs, kind, clientId, by, reason, data }) => ({
          seq,
          at_ms: atMs,
          kind,
          weakening: weakens(kind),
          ...(clientId === undefined ? {} : { client_id: clientId }),
          ...(by === undefined ? {} : { by }),
          ...(reason === undefined ? {} : { reason }),
          data: { ...data },
        })),
      },
      200,
    )
  })
}
