import { decodeJwt } from 'jose'
import { z } from 'zod'
import type { Answer, Delivery, LanePolicy } from '../../domain/model.ts'
import type { Minted, Post, TokenMaker, WayTo } from '../port.ts'

/** As the realm names the user: RFC 9493 §3.2.2. */
const Claims = z.object({ sub_id: z.object({ format: z.literal('iss_sub'), iss: z.string(), sub: z.string().min(1) }) })

const Request = z.object({ authorization: z.string(), body: z.string() })
type Request = z.infer<typeof Request>

/**
 * A fresh request for each delivery, as text: the JWT by which the realm proves it, or what relay.yaml has in its place, and
 * the subject. What cannot be made of the realm's token is left out, and tried again.
 */
export async function mint(maker: TokenMaker, deliveries: readonly Delivery[], wayTo: WayTo): Promise<Minted> {
  const tokens = new Map<string, string>()
  const refused = new Map<string, string>()
  for (const [audience, some] of Map.groupBy(deliveries, (one) => wayTo(one.issuer, one.clientId)?.audience)) {
    const made = await maker.mint(some, audience)
    made.refused.forEach((why, id) => refused.set(id, why))
    for (const delivery of some) {
      const token = made.tokens.get(delivery.id)
      const request = token === undefined ? undefined : requestOf(token, wayTo(delivery.issuer, delivery.clientId))
      if (request) {
        tokens.set(delivery.id, JSON.stringify(request))
      }
    }
  }
  return { tokens, refused }
}

function requestOf(token: string, way: ReturnType<WayTo>): Request | undefined {
  const claims = Claims.safeParse(claimsIn(token))
  if (!claims.success) {
    return undefined
  }
  const { sub_id } = claims.data
  // RFC 9493 §3.2.7: of an identity provider that knows its users by the id alone.
  const named = way?.subject === 'opaque' ? { format: 'opaque', id: sub_id.sub } : sub_id
  return { authorization: way?.authorization ?? `Bearer ${token}`, body: JSON.stringify({ sub_id: named }) }
}

function claimsIn(token: string): unknown {
  try {
    return decodeJwt(token)
  } catch {
    return undefined
  }
}

export function send(post: Post, uri: string, request: string, policy: LanePolicy): Promise<Answer> {
  const { authorization, body } = Request.parse(JSON.parse(request))
  return post(uri, { type: 'application/json', body, authorization }, policy)
}
