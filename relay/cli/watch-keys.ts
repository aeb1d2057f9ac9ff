import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { openApi } from '../api/client.ts'
import { networkCodeOf, RelayError } from '../errors.ts'
import { exchange } from '../http.ts'
import { kidOf, show } from './relay.ts'
import { accessToken } from './token.ts'

/** Between two looks at what has not been seen yet. Relying parties that keep the realm's keys do so for minutes. */
const EVERY_MS = 5000
const TIMEOUT_MS = 10_000
const KeySet = z.object({ keys: z.array(z.object({ kid: z.string().optional() })) })

interface Watched {
  readonly issuer: string
  /** Of the relay. */
  readonly url: string
  /** Certificates of CAs (PEM) that are trusted in addition. */
  readonly ca: string | undefined
  readonly json: boolean | undefined
  /** The new keys that the realm publishes: not the secret ones. */
  readonly published: readonly string[]
  readonly stop: AbortSignal
}

/** One thing to be seen; where it is, what is to be seen after it. */
interface Look {
  readonly about: string
  readonly look: () => Promise<Seen>
}

interface Seen {
  readonly ok: boolean
  readonly says: string
  readonly then?: readonly Look[]
  /** It will not be seen, however long it is looked for. */
  readonly never?: true
}

/**
 * Looks until everybody has been seen to take the new keys. Who fetches them cannot be seen: what can is whether the relay
 * takes a token that a new key has signed, and each relying party a logout token.
 *
 * @returns whether all was seen
 */
export async function watchNewKeys({ stop, json, ...watched }: Watched): Promise<boolean> {
  const open = [realmPublishes(watched), relayTakes(watched)]
  const said = new Map<string, string>()
  const isStopped = () => stop.aborted
  let isAllSeen = true
  while (!isStopped()) {
    for (const one of open.splice(0)) {
      if (isStopped()) {
        open.push(one)
        continue
      }
      const { ok, says, then = [], never = false } = await one.look()
      if (said.get(one.about) !== says) {
        said.set(one.about, says)
        show(json, { about: one.about, ok, says }, [ok ? 'ok   ' : never ? 'NOT  ' : 'waits', one.about, says])
      }
      isAllSeen &&= !never
      open.push(...(ok || never ? then : [one]))
    }
    if (open.length === 0) {
      return isAllSeen
    }
    await delay(EVERY_MS, undefined, { signal: stop }).catch(() => undefined)
  }
  open.forEach(({ about }) => show(json, { not_seen: about }, ['LEFT', about, said.get(about) ?? 'not looked at yet']))
  return false
}

function realmPublishes({ issuer, ca, published }: Pick<Watched, 'issuer' | 'ca' | 'published'>): Look {
  return {
    about: issuer,
    look: async () => {
      try {
        const { json } = await exchange(`${issuer}/protocol/openid-connect/certs`, { timeoutMs: TIMEOUT_MS, ca })
        const there = KeySet.parse(json).keys.map(({ kid }) => kid)
        const missing = published.filter((kid) => !there.includes(kid))
        return missing.length === 0
          ? { ok: true, says: `publishes ${published.length > 0 ? published.join(', ') : 'no new key'}` }
          : { ok: false, says: `does not publish ${missing.join(', ')} yet` }
      } catch (cause) {
        return { ok: false, says: `cannot be asked for its keys (${networkCodeOf(cause)})` }
      }
    },
  }
}

function relayTakes({ url, ca, published }: Pick<Watched, 'url' | 'ca' | 'published'>): Look {
  const token = () => accessToken(process.env, Date.now(), ca)
  const relay = () => openApi(url, token, ca)
  return {
    about: url,
    look: async () => {
      try {
        const parties = await relay().relyingParties()
        const then = parties
          .filter(({ enabled }) => enabled)
          .map(({ client_id }) => relyingPartyTakes(client_id, relay))
        return published.includes(kidOf(await token()) ?? '')
          ? { ok: true, says: 'the relay takes a token that a new key has signed', then }
          : { ok: true, says: 'the relay answers; no new key has signed your token, so that it shows no more', then }
      } catch (cause) {
        const says = cause instanceof RelayError ? cause.message : String(cause)
        return cause instanceof RelayError && cause.code === 'access_denied'
          ? { ok: false, says }
          : { ok: false, says: `${says}. Relying parties are not watched`, never: true }
      }
    },
  }
}

function relyingPartyTakes(client_id: string, relay: () => ReturnType<typeof openApi>): Look {
  return {
    about: client_id,
    look: async () => {
      try {
        const { ok, says } = await relay().checkRelyingParty(client_id)
        return { ok, says: ok ? says : `has not been seen to take a new key: ${says}` }
      } catch (cause) {
        return { ok: false, says: cause instanceof RelayError ? cause.message : String(cause) }
      }
    },
  }
}
