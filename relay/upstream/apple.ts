import { z } from 'zod'
import type { UpstreamWord } from '../domain/model.ts'
import { RelayError } from '../errors.ts'
import { verifiedToken } from '../ingest/token.ts'
import { type Heard, LAST_SECOND, momentMs } from './set.ts'
import { Name } from './subject.ts'
import type { Upstream } from './upstream.ts'

const APPLE = 'https://appleid.apple.com'
const RISC = 'https://schemas.openid.net/secevent/risc/event-type/'
/** What its types mean; Apple's documents spell the second in two ways. Those of mail forwarding mean nothing here. */
const MEANS = new Map([
  ['consent-revoked', `${RISC}sessions-revoked`],
  ['account-delete', `${RISC}account-purged`],
  ['account-deleted', `${RISC}account-purged`],
])

const Body = z.object({ payload: z.string() })
const Claims = z.object({ jti: Name, iat: z.number().min(0).max(LAST_SECOND), events: z.string() })
const Event = z.object({ type: z.string(), sub: Name, event_time: z.unknown().optional() })

export function isApple({ issuer }: Pick<Upstream, 'issuer'>): boolean {
  return issuer === APPLE
}

/** The token in a notification, which Apple wraps: `{"payload": "<JWT>"}`. @throws RelayError `invalid_request` */
export function unwrapped(body: string): string {
  try {
    return Body.parse(JSON.parse(body)).payload
  } catch {
    throw new RelayError('invalid_request', 'The body is not a notification of Sign in with Apple: {"payload": "…"}')
  }
}

/**
 * What a notification of Sign in with Apple says. It is no Security Event Token: it has no `typ`, an end, and its one event is
 * text. An ID token of Apple's, which the same keys sign for the same audience, has no events and is refused.
 *
 * Source: Apple, "Processing changes for Sign in with Apple accounts".
 *
 * @throws RelayError as `verifiedToken`
 */
export async function heardFromApple(token: string, upstream: Upstream): Promise<Heard> {
  const keysOf = (issuer: string) => (issuer === upstream.issuer ? upstream.keys() : undefined)
  const audience = upstream.stream?.audience ?? upstream.audience
  const { payload } = await verifiedToken(token, keysOf, audience, (typ) => typ === undefined || typ === 'JWT')
  const claims = Claims.safeParse(payload)
  const event = Event.safeParse(claims.success ? read(claims.data.events) : undefined)
  if (!claims.success || !event.success) {
    throw new RelayError('invalid_request', 'The token is not as Apple documents its notifications')
  }
  const type = MEANS.get(event.data.type)
  return {
    words: type === undefined ? [] : [wordOf(upstream, claims.data, event.data, type)],
    madeMs: claims.data.iat * 1000,
  }
}

function wordOf(
  { name, linkIssuer }: Upstream,
  { jti, iat }: z.infer<typeof Claims>,
  { sub, event_time }: z.infer<typeof Event>,
  type: string,
): UpstreamWord {
  // Apple has been seen to send milliseconds, too.
  const seconds = typeof event_time === 'number' && event_time > LAST_SECOND ? event_time / 1000 : event_time
  return {
    ...{ issuer: linkIssuer, subjects: [{ sub }], type, txn: jti },
    ...{ atMs: momentMs(iat, seconds), id: `${name} ${type} 0 ${jti}` },
  }
}

function read(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
