import type { ConsolePorts } from './ports.ts'
import type { Rights, Session } from './sessions.ts'

/** An access token is renewed this long before it ends, so that it never ends on its way. */
const RENEW_BEFORE_MS = 10_000

/**
 * The person's own, renewed where the token ends. Undefined for who has none, or whose login the realm has ended.
 *
 * @throws RelayError `idp_unavailable` where nobody can be asked; they have what they had then
 */
export async function rightsOf(
  session: Session,
  { login, nowMs }: Pick<ConsolePorts, 'login' | 'nowMs'>,
): Promise<Rights | undefined> {
  const { rights } = session
  if (!rights || rights.untilMs - RENEW_BEFORE_MS > nowMs()) {
    return rights
  }
  // Once for all who ask at that moment: a realm may take a refresh token once alone.
  session.renewing ??= renewed(session, rights, login).finally(() => {
    delete session.renewing
  })
  return session.renewing
}

async function renewed(
  session: Session,
  { refreshToken }: Rights,
  login: ConsolePorts['login'],
): Promise<Rights | undefined> {
  const rights = refreshToken === undefined ? undefined : await login.renew(refreshToken)
  // A session that has ended meanwhile keeps none.
  if (rights && !session.ended.signal.aborted) {
    session.rights = rights
  } else {
    delete session.rights
  }
  return session.rights
}
