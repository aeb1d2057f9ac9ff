import { z } from 'zod'
import { isVerdict } from '../../guard/bearer.ts'
import { ALGORITHMS, type KeySet, verifyJwt } from '../../guard/jwt.ts'
import { RelayError } from '../errors.ts'

const SKEW_SECONDS = 60
const EVENT = 'http://schemas.openid.net/event/backchannel-logout'

const Claims = z
  .object({
    iat: z.number(),
    exp: z.number(),
    jti: z.string().min(1).max(255),
    sid: z.string().min(1).max(255).optional(),
    sub: z.string().min(1).max(255).optional(),
    events: z.object({ [EVENT]: z.object({}) }),
    nonce: z.never().optional(),
  })
  .refine(({ sid, sub }) => sid !== undefined || sub !== undefined)

/**
 * Verifies logout tokens for the console, which is a relying party too (OpenID Connect Back-Channel Logout 1.0 §2.6). Each
 * `jti` counts once. Resolves to whom it is about, or undefined for a token that must be refused with 400.
 *
 * @throws RelayError `idp_unavailable` when the keys cannot be had now
 */
export function logoutTokenVerifier(
  keys: () => Promise<KeySet> | undefined,
  expected: { readonly issuer: string; readonly clientId: string },
  nowMs: () => number,
): (logoutToken: string) => Promise<{ sid?: string; sub?: string } | undefined> {
  const seen = new Map<string, number>()
  return async (logoutToken) => {
    const getKey = await keys()
    if (!getKey) {
      return undefined
    }
    const { payload } = await verifyJwt(logoutToken, getKey, {
      issuer: expected.issuer,
      audience: expected.clientId,
      algorithms: ALGORITHMS,
      clockTolerance: SKEW_SECONDS,
      requiredClaims: ['exp', 'iat', 'jti'],
      currentDate: new Date(nowMs()),
    }).catch((cause: unknown) => {
      if (isVerdict(cause)) {
        return { payload: undefined }
      }
      throw new RelayError('idp_unavailable', "The issuer's keys cannot be had at the moment", { cause })
    })
    const claims = Claims.safeParse(payload).data
    const seconds = nowMs() / 1000
    if (!claims || claims.iat > seconds + SKEW_SECONDS) {
      return undefined
    }
    for (const [jti, end] of seen) {
      if (end < seconds) {
        seen.delete(jti)
      }
    }
    if (seen.has(claims.jti)) {
      return undefined
    }
    seen.set(claims.jti, claims.exp + SKEW_SECONDS)
    return {
      ...(claims.sid === undefined ? {} : { sid: claims.sid }),
      ...(claims.sub === undefined ? {} : { sub: claims.sub }),
    }
  }
}
