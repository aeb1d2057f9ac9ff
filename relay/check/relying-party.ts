import { randomUUID } from 'node:crypto'
import { judge } from '../domain/judge.ts'
import type { Answer, LanePolicy } from '../domain/model.ts'
import type { Send } from '../flow/ports.ts'
import { type Finding, findingsOn } from './finding.ts'

export interface RelyingPartyToCheck {
  readonly issuer: string
  readonly clientId: string
  readonly logoutUri: string
  readonly enabled: boolean
}

/**
 * Sends a token that must be refused, the way a real one is sent: URL policy, name, address and TLS are judged on the way.
 * It is right in all but its signature, which it has not, so that a relying party that only reads it gives itself away; it
 * names a session that does not exist, so that even then nobody is logged out.
 */
export async function checkRelyingParty(
  party: RelyingPartyToCheck,
  policy: LanePolicy,
  send: Send,
  nowMs: number,
): Promise<Finding> {
  const answer = await send(party.logoutUri, unsignedToken(party, nowMs), policy)
  return judgeRefusal(party, answer)
}

export function unsignedToken({ issuer, clientId }: RelyingPartyToCheck, nowMs: number): string {
  const iat = Math.floor(nowMs / 1000)
  const claims = {
    iss: issuer,
    aud: clientId,
    iat,
    exp: iat + 60,
    jti: randomUUID(),
    sid: randomUUID(),
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'none', typ: 'logout+jwt' })}.${part(claims)}.`
}

/** 400 is what OpenID Connect Back-Channel Logout 1.0 §2.8 says for a token that is not valid; no other answer is well. */
export function judgeRefusal({ clientId, enabled }: RelyingPartyToCheck, answer: Answer): Finding {
  const { ok, todo } = findingsOn(clientId)
  const check = 'relying party'
  const verdict = judge(answer)
  if (verdict.outcome === 'delivered') {
    return todo(
      check,
      'accepts anything: it said yes to a token without a signature. Its answers prove nothing, and anybody may log its users out',
    )
  }
  if (answer.kind === 'response' && answer.status === 400) {
    return ok(check, `refuses a token that is not signed, as it must${enabled ? '' : '; its client is disabled'}`)
  }
  return todo(check, answer.kind === 'response' ? `answers ${answer.status}. ${verdict.says}` : verdict.says)
}
