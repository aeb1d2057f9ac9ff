import { FeedError } from './batch.ts'

/** Asked for anew this long before its end. */
const MARGIN_MS = 10_000

/**
 * Access tokens by client credentials (RFC 6749 §4.4) from the realm's token endpoint, each used until shortly before its
 * end, or until it is asked for `anew` because it was refused.
 */
export function clientCredentials(
  issuer: string,
  clientId: string,
  clientSecret: string,
): (signal: AbortSignal, anew: boolean) => Promise<string> {
  let endpoint: string | undefined
  let current: { readonly value: string; readonly endsMs: number } | undefined
  return async (signal, anew) => {
    if (!anew && current && current.endsMs > performance.now()) {
      return current.value
    }
    if (endpoint === undefined) {
      const found = await json(await fetch(`${issuer}/.well-known/openid-configuration`, { signal, redirect: 'error' }))
      if (found['issuer'] !== issuer || typeof found['token_endpoint'] !== 'string') {
        throw new FeedError('The issuer’s configuration is of another issuer, or names no token endpoint')
      }
      endpoint = found['token_endpoint']
    }
    const encode = (text: string) => encodeURIComponent(text).replaceAll('%20', '+')
    const credentials = Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')
    const answer = await json(
      await fetch(endpoint, {
        method: 'POST',
        headers: { authorization: `Basic ${credentials}` },
        body: new URLSearchParams({ grant_type: 'client_credentials' }),
        signal,
        redirect: 'error',
      }),
    )
    const { access_token: value, expires_in: lives } = answer
    if (typeof value !== 'string' || typeof lives !== 'number') {
      throw new FeedError('The token endpoint gave no access token')
    }
    current = { value, endsMs: performance.now() + lives * 1000 - MARGIN_MS }
    return value
  }
}

async function json(response: Response): Promise<Record<string, unknown>> {
  if (response.status !== 200) {
    throw new FeedError(`The identity provider answered ${response.status}; is the service account of the client on?`)
  }
  try {
    return (await response.json()) as Record<string, unknown>
  } catch {
    // What JSON.parse says shows a piece of the answer, which may be one of a token.
    throw new FeedError('The identity provider answered something else than JSON')
  }
}
