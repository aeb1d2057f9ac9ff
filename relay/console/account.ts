import { RelayError } from '../errors.ts'
import { isUserId } from '../idp/keycloak/users.ts'
import type { Names } from './names.ts'
import type { ConsolePorts } from './ports.ts'
import type { Session } from './sessions.ts'
import { isOfClient } from './words.ts'

const NO_SUCH_USER =
  'There is no user of this name in the realm, or several go by it as a name or an email address. Give the whole user name, or the user’s id.'
const MAY_NOT_LOOK_UP =
  'You may not look up users at the realm, so give the user’s id. docs/console.md says how names are shown.'

/** In an address, in place of a containment: the user has none. */
export const NO_CONTAINMENT = 'none'

type ContainmentStore = Pick<ConsolePorts['store'], 'containment' | 'containments'>

/**
 * Whose account is meant. An address names a containment of theirs and never the person, since addresses stay in histories and
 * in logs of proxies. Undefined where nobody knows that any more.
 */
export async function accountOf(
  store: Pick<ContainmentStore, 'containment'>,
  issuer: string,
  containmentId: string,
): Promise<{ readonly subject: string; readonly isOfClient: boolean } | undefined> {
  const found = (await store.containment(issuer, containmentId, { from: 0, limit: 1 }))?.containment
  return found?.subject === undefined ? undefined : { subject: found.subject, isOfClient: isOfClient(found.trigger) }
}

export async function subjectOf(...which: Parameters<typeof accountOf>): Promise<string | undefined> {
  return (await accountOf(...which))?.subject
}

/** The other way round: the newest containment of somebody, for an address. */
export async function containmentOf(
  store: Pick<ContainmentStore, 'containments'>,
  issuer: string,
  subject: string,
): Promise<string> {
  return (await store.containments({ issuer, subject, limit: 1 }))[0]?.id ?? NO_CONTAINMENT
}

/** The subject that somebody has typed an id, a name or an address of; else why there is none, in words for them. */
export async function subjectNamed(
  names: Pick<Names, 'find'>,
  session: Session,
  user: string,
): Promise<{ readonly subject: string } | { readonly says: string }> {
  if (isUserId(user)) {
    return { subject: user }
  }
  try {
    const subject = await names.find(session, user)
    return subject === undefined ? { says: NO_SUCH_USER } : { subject }
  } catch (cause) {
    if (cause instanceof RelayError && cause.code === 'access_denied') {
      return { says: MAY_NOT_LOOK_UP }
    }
    throw cause
  }
}
