import type { Answer } from '../../domain/model.ts'
import { saysOfConfigured } from '../failures.ts'
import type { Verdict } from '../port.ts'

const STATUSES: Readonly<Record<number, readonly [reason: string, says: string, slowly?: true]>> = {
  400: [
    'rejected',
    'The identity provider does not understand how the user is named: see upstreams.tell.subject.',
    true,
  ],
  401: [
    'login_required',
    'The identity provider does not take the relay’s proof: it must know this realm’s keys and the audience of upstreams.tell, and its clock must be right; or the credential in authorization_file is no longer good.',
  ],
  403: ['forbidden', 'The identity provider does not let the relay revoke there: give its credential that right.'],
  404: [
    'not_found',
    'The identity provider has no such user, or there is nothing at the URL in upstreams.tell. It is asked less and less often.',
    true,
  ],
  405: ['method_not_allowed', 'What is at the URL in upstreams.tell takes no POST: it is another endpoint.'],
  408: ['timeout_there', 'The identity provider gave up waiting for the request.'],
  422: ['unprocessable', 'The identity provider could not sign the user out. It is asked less and less often.', true],
  429: ['throttled', 'The identity provider asks to slow down.'],
  503: ['unavailable', 'The identity provider is not available right now.'],
}

/** By the status alone, as the draft has it; 200 of those that answer with a body. Nothing else ends it. */
export function judge(answer: Answer): Verdict {
  if (answer.kind === 'failure') {
    return { outcome: 'retry', reason: answer.code, says: saysOfConfigured(answer.code) }
  }
  const { status } = answer
  if (status === 204 || status === 200) {
    return { outcome: 'delivered', reason: 'confirmed', says: 'The identity provider has taken it.' }
  }
  const known = STATUSES[status]
  if (known) {
    const [reason, says, slowly = false] = known
    return { outcome: 'retry', reason, says, slowly }
  }
  if (status >= 300 && status < 400) {
    return {
      outcome: 'retry',
      reason: 'redirect',
      says: 'The identity provider redirects: the URL in upstreams.tell is another’s.',
    }
  }
  return status >= 500
    ? { outcome: 'retry', reason: 'server_error', says: 'The identity provider failed: its own log says why.' }
    : {
        outcome: 'retry',
        reason: 'unexpected_status',
        says: 'Its answer is not one that Global Token Revocation knows.',
      }
}

/** What it means that the realm makes no request. */
export function judgeNotMinted(refusal: string): Verdict {
  return {
    outcome: 'retry',
    reason: `not_minted:${refusal}`,
    says: 'The realm refused to sign the request to the identity provider.',
  }
}
