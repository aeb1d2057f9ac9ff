import { randomBytes, randomUUID } from 'node:crypto'
import { LOGOUT_EVENT } from '../../../guard/logout-token.ts'
import { type Finding, findingsOn } from '../../domain/finding.ts'
import type { Answer, LanePolicy, RelyingParty, TokenNames } from '../../domain/model.ts'
import { RelayError } from '../../errors.ts'
import type { Genuine, Probed } from '../port.ts'
import { judge, judgeNotMinted } from './judge.ts'
import { isRefusal, isTaken } from './refusal.ts'
import type { Send } from './send.ts'

/** Where the realm makes none. */
const NONE: Genuine = () => Promise.resolve({ tokens: new Map() })
const CHECK = 'relying party'
const RSA_BYTES = 256
const OFF =
  'Its back-channel logout is off, it expects another audience than the client id, or it does not take the header typ logout+jwt (client attribute logout-relay.token.typ)'

/**
 * Sends tokens that must be refused, then some that must be taken, the way real ones are sent: URL policy, name, address and
 * TLS are judged on the way. All name a session, and a subject, that there never was, so that nobody is logged out.
 *
 * @param genuine tokens that the realm has signed; without them only half of the question is answered
 */
export async function examine(
  party: RelyingParty,
  policy: LanePolicy,
  send: Send,
  nowMs: number,
  genuine: Genuine = NONE,
): Promise<Probed> {
  const post = (token: string) => send(party.target.uri, token, policy)
  const [first = '', ...others] = tokensToRefuse(party, nowMs)
  const answer = await post(first)
  const answers = [answer]
  // Whoever cannot be reached is asked no more.
  for (const token of answer.kind === 'response' ? others : []) {
    answers.push(await post(token))
  }
  const worst = [isTaken, (one: Answer) => !isRefusal(one)].map((is) => answers.find(is)).find(Boolean) ?? answer
  const refusal = judgeRefusal(party, worst)
  return { answer, finding: refusal.ok ? await judgeGenuine(party, refusal, genuine, post) : refusal }
}

/**
 * Right in all but the signature, which they have not, or which is none: a relying party that only reads them gives itself
 * away. With the `sid` alone and with a `sub`, since some look at the signature on one of the ways alone.
 */
export function tokensToRefuse({ issuer, clientId }: RelyingParty, nowMs: number): string[] {
  const iat = Math.floor(nowMs / 1000)
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const token = (alg: string, signature: string, more: object) =>
    `${part({ alg, typ: 'logout+jwt' })}.${part({
      ...{ iss: issuer, aud: clientId, iat, exp: iat + 60, jti: randomUUID(), sid: randomUUID(), ...more },
      events: { [LOGOUT_EVENT]: {} },
    })}.${signature}`
  return [
    token('none', '', {}),
    token('none', '', { sub: randomUUID() }),
    token('RS256', randomBytes(RSA_BYTES).toString('base64url'), { sub: randomUUID() }),
  ]
}

/** 400 is what OpenID Connect Back-Channel Logout 1.0 §2.8 says for a token that is not valid; no other answer is well. */
export function judgeRefusal({ clientId, enabled }: RelyingParty, answer: Answer): Finding {
  const { ok, todo } = findingsOn(clientId)
  const verdict = judge(answer)
  if (isTaken(answer)) {
    return todo(
      CHECK,
      'accepts anything: it said yes to a token without a valid signature. Its answers prove nothing, and anybody may log its users out',
    )
  }
  if (isRefusal(answer)) {
    return ok(CHECK, `refuses what the realm has not signed, as it must${enabled ? '' : '; its client is disabled'}`)
  }
  return todo(CHECK, answer.kind === 'response' ? `answers ${answer.status}. ${verdict.says}` : verdict.says)
}

/**
 * A session that has ended already is a success (OpenID Connect Back-Channel Logout 1.0 §2.8), so 200 is right for one that
 * there never was.
 */
async function judgeGenuine(
  { clientId }: RelyingParty,
  refusal: Finding,
  genuine: Genuine,
  post: (token: string) => Promise<Answer>,
): Promise<Finding> {
  const { ok, todo } = findingsOn(clientId)
  let made: Awaited<ReturnType<Genuine>>
  try {
    made = await genuine(clientId)
  } catch (cause) {
    if (!(cause instanceof RelayError)) {
      throw cause
    }
    return todo(CHECK, `${refusal.says}. Whether it takes what the realm signs is not known: ${cause.message}`)
  }
  if (made.refusal !== undefined) {
    return todo(
      CHECK,
      `${refusal.says}. Whether it takes what the realm signs is not known: no token is made (${made.refusal}). ${judgeNotMinted(made.refusal).says}`,
    )
  }
  const answers = new Map<TokenNames, Answer>()
  for (const [names, token] of made.tokens) {
    answers.set(names, await post(token))
  }
  const bad = [...answers].filter(([, answer]) => !isTaken(answer))
  const other = bad.find(([, answer]) => !isRefusal(answer))
  if (other) {
    const [, answer] = other
    return todo(CHECK, `answers ${statusOf(answer)} to a token that the realm has signed. ${judge(answer).says}`)
  }
  if (answers.size === 0) {
    return ok(CHECK, `${refusal.says}; whether it takes what the realm signs could not be tried`)
  }
  if (bad.length === 0) {
    return ok(CHECK, `${refusal.says}, and takes what it has`)
  }
  if (bad.length === answers.size) {
    return todo(
      CHECK,
      `answers 400 also to a token that the realm has signed, for a session that it does not have, where 200 is right. ${OFF}; or it says 400 to each session that it no longer has: then what is owed for those is told again for days. docs/receivers.md has what known ones do`,
    )
  }
  return bad.some(([names]) => names === 'sid')
    ? todo(
        CHECK,
        'needs sub: it takes a token with sid and sub, and answers 400 to one with the sid alone, which is all that it is sent once the person has logged in again. If it ends the one session that sid names, set its client attribute logout-relay.token.shape to sid+sub; docs/receivers.md has which do',
      )
    : ok(CHECK, `${refusal.says}, and takes what it has where the token names the sid alone`)
}

function statusOf(answer: Answer): string {
  return answer.kind === 'response' ? String(answer.status) : 'nothing'
}
