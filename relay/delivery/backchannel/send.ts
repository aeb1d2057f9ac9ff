import type { Answer, LanePolicy } from '../../domain/model.ts'
import type { Post } from '../port.ts'

/** Sends one logout token. Never rejects: a failure is an answer too. */
export type Send = (uri: string, logoutToken: string, policy: LanePolicy) => Promise<Answer>

/** As OpenID Connect Back-Channel Logout 1.0 §2.5 says: a form POST with one parameter. */
export function sender(post: Post): Send {
  // The compact form of a JWS needs no escaping.
  return (uri, logoutToken, policy) =>
    post(uri, { type: 'application/x-www-form-urlencoded', body: `logout_token=${logoutToken}` }, policy)
}
