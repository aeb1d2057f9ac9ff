import { randomUUID } from 'node:crypto'
import { type Finding, findingsOn } from '../../domain/finding.ts'
import type { Answer, LanePolicy, RelyingParty } from '../../domain/model.ts'
import type { Post, Probed } from '../port.ts'
import { judge } from './judge.ts'

const CHECK = 'identity provider'

/** Sends a request that nobody has signed, for a user whom there is not: it must be refused, and ends nothing where it is not. */
export async function examine({ clientId, target }: RelyingParty, policy: LanePolicy, post: Post): Promise<Probed> {
  const body = JSON.stringify({ sub_id: { format: 'opaque', id: randomUUID() } })
  const answer = await post(
    target.uri,
    { type: 'application/json', body, authorization: `Bearer ${randomUUID()}` },
    policy,
  )
  return { answer, finding: judgeRefusal(clientId, answer) }
}

function judgeRefusal(clientId: string, answer: Answer): Finding {
  const { ok, todo } = findingsOn(clientId)
  if (answer.kind === 'failure') {
    return todo(CHECK, judge(answer).says)
  }
  const { status } = answer
  if (status === 401 || status === 403) {
    return ok(
      CHECK,
      'refuses a request that nobody has signed, as it must; whether it takes the realm’s is seen at the first',
    )
  }
  return status === 200 || status === 204
    ? todo(CHECK, 'accepts anything: it said yes to a request that nobody has signed, so its answers prove nothing')
    : todo(
        CHECK,
        `answers ${status} to a request that nobody has signed, where 401 is right: is the URL in upstreams.tell its endpoint?`,
      )
}
