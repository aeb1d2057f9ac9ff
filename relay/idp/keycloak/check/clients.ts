import type { Application } from '../audit/realm.ts'
import { isCommandLine, isForgotten } from '../audit/survive.ts'
import { type Finding, findingsOn } from '../../../domain/finding.ts'

export interface ClientsToCheck {
  /** Those whose tokens may act at the relay. */
  readonly here: readonly string[]
  /** Those whose tokens may act at Keycloak, as the extension says it: client ids with commas; undefined where it looks at none. */
  readonly atKeycloak: string | undefined
  /** The client of the relay's own console, in which people act with their own tokens; it needs no entry here. */
  readonly console?: string | undefined
  /** Clients of the realm that have a logout URL. */
  readonly told: readonly string[]
  /** Clients of the realm that have none. */
  readonly untold: readonly Application[]
}

/**
 * Through which clients operators act. One that is an application as well hands their rights to whoever runs it; and a list
 * that another one does not know either closes a door that somebody needs or leaves one open that somebody thinks closed.
 */
export function judgeClients(issuer: string, { here, atKeycloak, console, told, untold }: ClientsToCheck): Finding {
  const { ok, todo } = findingsOn(issuer)
  const check = 'clients'
  if (atKeycloak === undefined) {
    return todo(
      check,
      'are not looked at by this extension, so whoever runs an application that an operator logs in to holds that operator’s rights at Keycloak: bring its jar to the relay’s version',
    )
  }
  const named = atKeycloak.split(', ').filter(Boolean)
  const there = named.filter((clientId) => clientId !== console)
  const all = [...new Set([...here, ...there])].sort()
  const keepSessions = untold.filter((client) => isForgotten(client) && !isCommandLine(client, all))
  const ofApplications = new Set([...told, ...keepSessions.map(({ clientId }) => clientId)])
  const applications = all.filter((clientId) => ofApplications.has(clientId))
  if (applications.length > 0) {
    return todo(
      check,
      `that may act are applications as well, and whoever runs one acts as each operator who logs in there: ${applications.join(', ')}. Make a client for operators alone, and take these from issuers[].clients in relay.yaml and from the realm attribute logout-relay.clients`,
    )
  }
  const thereAlone = there.filter((clientId) => !here.includes(clientId))
  const hereAlone = here.filter((clientId) => !there.includes(clientId))
  if (thereAlone.length + hereAlone.length > 0) {
    const alone = [
      ...(thereAlone.length > 0 ? [`at Keycloak alone ${thereAlone.join(', ')}`] : []),
      ...(hereAlone.length > 0 ? [`at the relay alone ${hereAlone.join(', ')}`] : []),
    ]
    return todo(
      check,
      `that may act differ: ${alone.join(', ')}. Name the same in issuers[].clients in relay.yaml and in the realm attribute logout-relay.clients`,
    )
  }
  return ok(
    check,
    `that may act, at the relay and at Keycloak: ${all.join(', ') || 'none'}${there.length < named.length ? '; at Keycloak the console, too' : ''}`,
  )
}
