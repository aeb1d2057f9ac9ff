import type { Application } from '../audit/realm.ts'
import { isCommandLine, isForgotten } from '../audit/survive.ts'
import { type Finding, findingsOn } from '../../../domain/finding.ts'

/** So many are named; whoever has more of them reads the audit. */
const NAMED = 10

/**
 * Applications that a reset does not reach because their clients lack a logout URL, as the audit judges it.
 *
 * @param registered clients that relay.yaml has a logout URL for
 * @param operators clients that are for operators alone
 */
export function judgeUntold(
  issuer: string,
  untold: readonly Application[],
  registered: ReadonlySet<string>,
  operators: readonly string[],
): Finding {
  const { ok, todo } = findingsOn(issuer)
  const check = 'logout URLs'
  const names = untold
    .filter((client) => isForgotten(client) && !isCommandLine(client, operators) && !registered.has(client.clientId))
    .map(({ clientId }) => clientId)
    .sort()
  if (names.length === 0) {
    return ok(
      check,
      'are there, or the client says how long sessions live: `logout-relay audit` knows what else survives',
    )
  }
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : ''
  return todo(
    check,
    `are missing, so that a reset ends no session there, unless it is registered at the relay: ${names.slice(0, NAMED).join(', ')}${more}. Set the client’s Backchannel logout URL, or say in its attribute logout-relay.session.max-life for how many seconds its sessions live; \`logout-relay audit\` has the rest`,
  )
}
