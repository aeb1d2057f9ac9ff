import { randomUUID } from 'node:crypto'
import type { Delivery, TokenNames } from '../../domain/model.ts'
import type { RealmKeys } from '../../signing/realm-keys.ts'
import type { TokenMaker } from '../port.ts'
import { ALG, SURE_OF_SID_MS } from './target.ts'
import { logoutToken } from './token.ts'

export interface SignerOptions {
  readonly issuer: string
  readonly realm: TokenMaker
  readonly keys: RealmKeys
  readonly nowMs: () => number
  readonly made: (count: number) => void
  readonly trouble: (what: string, cause: unknown) => void
}

/**
 * A realm of which the relay holds a key. It signs the first attempts soon after an event by itself. A later one it asks the
 * realm for, which knows whether the session's id has been given to a newer login; if the realm cannot be asked, it signs
 * that too, since nobody can log in where the realm is down, but never what the realm has refused before. Its tokens name
 * `sid` alone.
 */
export function relaySigned({ issuer, realm, keys, nowMs, made, trouble }: SignerOptions): TokenMaker {
  const keyFor = ({ target: { [ALG]: alg } }: Delivery) => (alg === undefined ? undefined : keys.usable(alg, nowMs()))
  const isFirst = ({ attempts, createdMs }: Delivery) => attempts === 0 && nowMs() - createdMs < SURE_OF_SID_MS
  const wasRefused = ({ lastReason }: Delivery) => lastReason?.startsWith('not_minted') ?? false
  const sign = async (deliveries: readonly Delivery[]): Promise<[string, string][]> => {
    const tokens = await Promise.all(
      deliveries.flatMap((delivery) => {
        const { id, clientId, sid } = delivery
        const found = keyFor(delivery)
        return found === undefined
          ? []
          : [
              logoutToken(found.key, found.kid, { iss: issuer, aud: clientId, sid }, nowMs()).then(
                (token): [string, string] => [id, token],
              ),
            ]
      }),
    )
    made(tokens.length)
    return tokens
  }
  return {
    genuine: async (clientId, alg) => {
      const made = (await realm.genuine?.(clientId)) ?? { tokens: new Map<TokenNames, string>() }
      const own = alg === undefined ? undefined : keys.usable(alg, nowMs())
      // What the realm refuses to make is not made here either: the client may want it encrypted.
      if (made.tokens.size > 0 || made.refusal !== undefined || !own) {
        return made
      }
      const claims = { iss: issuer, aud: clientId, sid: randomUUID() }
      return { tokens: new Map([['sid', await logoutToken(own.key, own.kid, claims, nowMs())]]) }
    },
    mint: async (deliveries, audience) => {
      const own = deliveries.filter((delivery) => isFirst(delivery) && keyFor(delivery) !== undefined)
      const rest = deliveries.filter((delivery) => !own.includes(delivery))
      const tokens = new Map(await sign(own))
      const names = new Map<string, TokenNames>([...tokens.keys()].map((id) => [id, 'sid']))
      if (rest.length === 0) {
        return { tokens, refused: new Map(), names }
      }
      try {
        const minted = await realm.mint(rest, audience)
        minted.tokens.forEach((token, id) => tokens.set(id, token))
        minted.names?.forEach((named, id) => names.set(id, named))
        return { tokens, refused: minted.refused, names }
      } catch (cause) {
        const instead = await sign(rest.filter((delivery) => !wasRefused(delivery)))
        for (const [id, token] of instead) {
          tokens.set(id, token)
          names.set(id, 'sid')
        }
        if (tokens.size === 0) {
          throw cause
        }
        trouble('The identity provider made no logout tokens; the relay signed those that it can', cause)
        return { tokens, refused: new Map(), names }
      }
    },
  }
}
