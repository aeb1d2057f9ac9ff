import { type Finding, findingsOn } from '../../../domain/finding.ts'
import type { UpstreamHeld } from '../../../domain/model.ts'

/** Whether what identity providers say of the realm's users is done, or waits for a person; nothing of a realm that has heard none. */
export function judgeUpstreams(realm: string, upstreams: readonly UpstreamHeld[]): Finding[] {
  const { ok, todo } = findingsOn(realm)
  const waiting = upstreams.filter(({ held }) => held > 0)
  if (waiting.length === 0) {
    return upstreams.length === 0 ? [] : [ok('upstream words', 'none waits for a person')]
  }
  return waiting.map(({ id, issuer, held }) =>
    todo(
      'upstream words',
      `${held} of ${issuer} end nothing, and nothing that it says from now on, until somebody with the role confirm says so: logout-relay held confirm ${id} --reason …, or dismiss if it has gone wild`,
    ),
  )
}
