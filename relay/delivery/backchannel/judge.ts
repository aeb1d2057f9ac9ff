import type { Answer, TokenNames } from '../../domain/model.ts'
import { saysOf } from '../failures.ts'
import type { Verdict } from '../port.ts'
import { isRefusal, type Standing } from './refusal.ts'

/** Refusals of the identity provider that somebody has to mend, by its word. */
const NOT_MINTED: Readonly<Record<string, string>> = {
  no_encryption_key:
    'Its client wants its tokens encrypted, and the identity provider has no key of it that fits: see the client’s ' +
    'id.token.encrypted.response.alg and its keys (JWKS); the identity provider’s log says more. It is never told in clear.',
}

const STATUSES: Readonly<Record<number, readonly [reason: string, says: string]>> = {
  400: [
    'rejected',
    'It refused the token. A key it has not fetched yet passes by itself; else issuer, client id or algorithm differ.',
  ],
  401: ['login_required', 'It asks for a login: the logout URL must be open to unauthenticated POSTs.'],
  403: ['forbidden', 'It forbids the POST, most likely by CSRF protection: exempt the logout URL.'],
  404: ['not_found', 'There is nothing at the logout URL: check its path.'],
  405: ['method_not_allowed', 'The logout URL takes no POST: it is probably the front-channel or post-logout URL.'],
  408: ['timeout_there', 'It gave up waiting for the request.'],
  429: ['throttled', 'It asks to slow down.'],
  501: ['not_implemented', 'It could not end the session, or does not implement back-channel logout.'],
  503: ['unavailable', 'It is not available right now.'],
  504: ['downstream', 'An application behind it did not answer.'],
}

const STANDINGS: Readonly<Record<Standing, string>> = {
  needs_sub:
    'It needs sub, which its tokens name no more since the person has logged in again there. If it ends the one session that ' +
    'sid names (docs/receivers.md has which do), set its client attribute logout-relay.token.shape to sid+sub; else no shape ' +
    'is right: end the session at the application itself, then give this up.',
  unknown_there:
    'It refuses this session, as it does one that there never was, and takes tokens for others: it no longer has it. It is asked less and less often.',
  refused_alone:
    'It refuses this session alone, and takes tokens for others: most likely it no longer has it. It is asked less and less often.',
  another_subject:
    'It refuses this session alone, and takes tokens for others, also for one that there never was: it may know this person by another sub.',
}
const SID_ALONE =
  'It refused a token that names the sid alone, as it gets it where the person has logged in again or the client asks for no ' +
  'more. If it needs sub, docs/receivers.md says what to do; a key it has not fetched yet passes by itself.'
const GIVEN_UP =
  'Given up by rule: it refuses this session, as it does one that there never was, and takes tokens for others. It no longer has it.'

/**
 * OpenID Connect Back-Channel Logout 1.0 §2.8: 200, and 204 which frameworks send. Nothing else is taken for a success,
 * and nothing for final: a 400 passes when a relying party has fetched a new key, a 404 when somebody has mended it.
 */
export function judge(answer: Answer): Verdict {
  if (answer.kind === 'failure') {
    return { outcome: 'retry', reason: answer.code, says: saysOf(answer.code) }
  }
  const { status } = answer
  if (status === 200 || status === 204) {
    return { outcome: 'delivered', reason: 'confirmed', says: 'It confirmed the logout.' }
  }
  const known = STATUSES[status]
  if (known) {
    return { outcome: 'retry', reason: known[0], says: known[1] }
  }
  if (status >= 300 && status < 400) {
    return {
      outcome: 'retry',
      reason: 'redirect',
      says: 'It redirects, most likely to a login page: wrong URL, or not exempted.',
    }
  }
  if (status >= 500) {
    return { outcome: 'retry', reason: 'server_error', says: 'It failed: its own log says why.' }
  }
  return { outcome: 'retry', reason: 'unexpected_status', says: 'Its answer is not one that the specification knows.' }
}

/** What it means that the identity provider refuses to make a logout token. */
export function judgeNotMinted(refusal: string): Verdict {
  return { outcome: 'retry', reason: `not_minted:${refusal}`, says: NOT_MINTED[refusal] ?? saysOf('not_minted') }
}

/** What an answer means, where more is known of it than its status. */
export function judgeToken(
  answer: Answer,
  names: TokenNames | undefined,
  standing: Standing | undefined,
  givesUp: boolean,
): Verdict {
  const verdict = judge(answer)
  if (verdict.outcome === 'delivered') {
    return { ...verdict, endsSession: namesOneSession(names) }
  }
  if (!isRefusal(answer)) {
    return verdict
  }
  if (standing === undefined) {
    return names === 'sid' ? { ...verdict, says: SID_ALONE } : verdict
  }
  const reason = `${standing}:${names ?? ''}`
  return givesUp && standing === 'unknown_there'
    ? { outcome: 'given_up', reason, says: GIVEN_UP }
    : { outcome: 'retry', reason, says: STANDINGS[standing], slowly: isSlow(standing) }
}

/**
 * A relying party that has ended a session by its id has ended it for every event from before the token was made: each login
 * under that id had begun by then. A token with the `sub` alone says nothing of one session.
 */
function namesOneSession(names: TokenNames | undefined): boolean {
  return names === 'sid' || names === 'sid+sub'
}

function isSlow(standing: Standing): boolean {
  return standing === 'unknown_there' || standing === 'refused_alone'
}
