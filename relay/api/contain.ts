import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import type { OperatorRequest, OperatorOutcome } from '../domain/model.ts'
import { RelayError } from '../errors.ts'
import { Contained, Refused } from './answers.ts'
import type { ApiEnv } from './auth.ts'
import { json } from './described.ts'

/** Passes a request on with the caller's own token; undefined for an issuer that is not configured. */
export type Contain = (issuer: string, token: string, request: OperatorRequest) => Promise<OperatorOutcome> | undefined

const ContainmentRequest = z.strictObject({
  subject: z.string().trim().min(1, 'give a user’s id or user name').max(255).optional(),
  client_id: z.string().trim().min(1, 'give a client’s id').max(255).optional(),
  reason: z.string().trim().min(3, 'say why, for whoever reads the evidence').max(500),
  dry_run: z.boolean().default(false),
  confirm: z.boolean().default(false),
})
const Word = ContainmentRequest.refine((word) => (word.subject === undefined) !== (word.client_id === undefined), {
  path: ['subject'],
  message: 'give a user’s id or user name, or client_id, and not both',
})
const refused = (description: string) => json(Refused, description)

const containSubject = createRoute({
  method: 'post',
  path: '/api/v1/containments',
  summary:
    'End everything of a user, or of a client, on the caller’s own word (role operate; confirm takes the role confirm)',
  security: [{ bearer: [] }],
  request: { body: { required: true, content: { 'application/json': { schema: Word } } } },
  responses: {
    200: json(Contained, 'What ended, or would end, and the containment in which it can be followed'),
    400: refused('The body, or a user who cannot be contained'),
    401: refused('No valid access token'),
    403: refused('The token lacks the role, or was issued to a client that may not act here'),
    404: refused('No such user or client in this realm'),
    409: refused('The realm’s policy has nothing done, or wants a confirmation'),
    413: refused('The body is larger than 64 KiB'),
    503: refused('The identity provider cannot be asked; the same may be asked again without harm'),
  },
})

/** `POST /api/v1/containments`. The identity provider judges the caller's right once more, by the same token. */
export function containRoute(app: OpenAPIHono<ApiEnv>, contain: Contain, operator: MiddlewareHandler<ApiEnv>): void {
  app.post('/api/v1/containments', operator)
  app.openapi(containSubject, async (c) => {
    const { subject, client_id, reason, dry_run, confirm } = c.req.valid('json')
    const token = c.req.header('authorization')?.slice('Bearer '.length) ?? ''
    const request = {
      ...(subject === undefined ? {} : { subject }),
      ...(client_id === undefined ? {} : { clientId: client_id }),
      ...{ reason, dryRun: dry_run, confirm },
    }
    let outcome: OperatorOutcome | undefined
    try {
      outcome = await contain(c.var.caller.issuer, token, request)
    } catch (cause) {
      if (!(cause instanceof RelayError && cause.code === 'idp_unavailable')) {
        throw cause
      }
    }
    if (!outcome) {
      c.header('Retry-After', '5')
      const error_description =
        'The identity provider did not answer, so it is not known whether anything has ended. Ask again: twice does no harm'
      return c.json({ error: 'temporarily_unavailable', error_description }, 503)
    }
    if (outcome.kind === 'refused') {
      const { status, error, description } = outcome
      const known = status === 401 || status === 403 || status === 404 || status === 409 ? status : 400
      return c.json({ error, error_description: description }, known)
    }
    const { clientId, containmentId, sessions, relyingParties, unreachable, shadow, confirmationRequired } = outcome
    const found = { subject: outcome.subject, sessions, relying_parties: relyingParties, unreachable, shadow }
    return c.json(
      {
        ...found,
        ...(clientId === undefined ? {} : { client_id: clientId }),
        ...(containmentId === undefined ? {} : { containment_id: containmentId }),
        confirmation_required: confirmationRequired,
        dry_run,
      },
      200,
    )
  })
}
