import type { KeySet } from '../../guard/jwt.ts'
import { type LogoutToken, LogoutTokens } from '../../guard/logout-token.ts'
import { RelayError } from '../errors.ts'

/**
 * Verifies logout tokens for the console, which is a relying party too. Resolves to whom a token is about, or undefined for
 * one that must be refused with 400.
 *
 * @throws RelayError `idp_unavailable` when the keys cannot be had now
 */
export function logoutTokenVerifier(
  keys: () => Promise<KeySet> | undefined,
  client: { readonly issuer: string; readonly clientId: string },
  nowMs: () => number,
): (logoutToken: string) => Promise<Pick<LogoutToken, 'sid' | 'sub'> | undefined> {
  const tokens = new LogoutTokens({ ...client, nowMs })
  return async (logoutToken) => {
    const known = await keys()
    if (!known) {
      return undefined
    }
    const verified = await tokens.verify(logoutToken, known).catch((cause: unknown) => {
      throw new RelayError('idp_unavailable', "The issuer's keys cannot be had at the moment", { cause })
    })
    if (typeof verified === 'string') {
      return undefined
    }
    const { sid, sub } = verified
    return { ...(sid === undefined ? {} : { sid }), ...(sub === undefined ? {} : { sub }) }
  }
}
