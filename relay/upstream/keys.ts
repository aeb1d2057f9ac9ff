import { createRemoteJWKSet, customFetch } from 'jose'
import { z } from 'zod'
import type { KeySet } from '../../guard/jwt.ts'
import type { Ask, Reach } from '../delivery/port.ts'
import { codeOf, RelayError } from '../errors.ts'
import { KEYS_COOLDOWN_MS } from '../idp/port.ts'

const TIMEOUT_MS = 5000
const MOST_BYTES = 2 ** 20

const Metadata = z.object({ issuer: z.string(), jwks_uri: z.url() })

interface KeysPorts {
  readonly ask: Ask
  readonly issuer: string
  /** Else its OpenID metadata say. */
  readonly jwksUri?: string | undefined
  readonly reach: Reach
}

/**
 * The keys of an upstream, which may be anywhere: asked for only where the relay may go, cached, and fetched again for a key
 * id that is new, at most every two seconds. Whoever names the upstream's issuer has them asked for, so once at a time.
 */
export function keysOfUpstream({ ask, issuer, jwksUri, reach }: KeysPorts): () => Promise<KeySet> {
  const wanted = { timeoutMs: TIMEOUT_MS, mostBytes: MOST_BYTES, headers: { accept: 'application/json' } }
  const get = async (url: string) => {
    try {
      return await ask(url, wanted, reach)
    } catch (cause) {
      throw new RelayError('idp_unavailable', `${issuer} cannot be reached (${codeOf(cause) ?? 'unknown'})`, { cause })
    }
  }
  const discovered = async () => {
    // A final slash belongs to the issuer and not to the path (OpenID Connect Discovery 1.0 §4).
    const { status, json } = await get(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
    const metadata = Metadata.safeParse(json)
    if (status !== 200 || !metadata.success || metadata.data.issuer !== issuer) {
      throw new RelayError('idp_unavailable', `${issuer} has no OpenID metadata of that name; give its jwks_uri`)
    }
    return metadata.data.jwks_uri
  }
  const setAt = (uri: string) =>
    createRemoteJWKSet(new URL(uri), {
      cooldownDuration: KEYS_COOLDOWN_MS,
      [customFetch]: async (url: string) => {
        const { status, json } = await get(url)
        return new Response(JSON.stringify(json ?? null), { status: status >= 200 && status <= 599 ? status : 502 })
      },
    })
  let keys: Promise<KeySet> | undefined
  const made = async () => setAt(jwksUri ?? (await discovered()))
  return () =>
    (keys ??= made().catch((cause: unknown) => {
      keys = undefined
      throw cause
    }))
}
