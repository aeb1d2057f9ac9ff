import { type Finding, findingsOn } from '../../../domain/finding.ts'
import type { RealmLogout } from '../realm-logouts.ts'

/**
 * Whether applications are told that everybody was signed out, or that waits for a person.
 *
 * @param logouts undefined where the extension does not tell
 */
export function judgeRealmLogouts(realm: string, logouts: readonly RealmLogout[] | undefined): Finding[] {
  const { ok, todo } = findingsOn(realm)
  const waiting = logouts?.filter(({ isHeld }) => isHeld) ?? []
  if (waiting.length === 0) {
    return logouts ? [ok('realm logout', 'none waits for a person')] : []
  }
  return waiting.map(({ id, atMs }) =>
    todo(
      'realm logout',
      `of ${new Date(atMs).toISOString()} ends no session of an application until somebody with the role confirm says so: logout-relay held confirm ${id} --reason …, or dismiss if it was not meant for the applications`,
    ),
  )
}
