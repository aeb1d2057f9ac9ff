import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import type { Clock } from '../flow/ports.ts'
import { judgesOf } from '../idp/keycloak/check/realm.ts'
import { Keycloak } from '../idp/keycloak/keycloak.ts'
import type { IdentityProvider } from '../idp/port.ts'
import { RealmKeys } from '../signing/realm-keys.ts'
import type { Store } from '../store/port.ts'
import { openSqliteStore } from '../store/sqlite/sqlite.ts'

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined),
}

/** The store that the config names. @param closed told of each containment whose last delivery has ended */
export async function openStore(
  { store }: Config,
  log: Logger,
  closed: (issuer: string, msSinceEvent: number) => void,
): Promise<Store> {
  if (!store.redis) {
    const narrowed = () =>
      log.warn(
        { store: store.sqlite },
        'Other users of this machine could read the store until now; it is for its owner alone from here on',
      )
    return openSqliteStore(store.sqlite, closed, narrowed)
  }
  const trouble = (what: string, cause: unknown) =>
    log.error({ why: cause instanceof Error ? cause.message : undefined }, what)
  // What it takes is a quarter of all that a start would load.
  const { openRedisStore } = await import('../store/redis/redis.ts')
  const opened = await openRedisStore({ ...store.redis, nowMs: () => systemClock.nowMs(), trouble, closed })
  opened.shared?.weaknesses().forEach((weakness) => log.warn(weakness))
  return opened
}

/**
 * The identity provider of a realm.
 *
 * @param judging of the relay that is to judge what it meets there; `hears` whether upstreams tell it of users of the realm
 */
export function openProvider(
  { issuer, client_id, client_secret, ca }: Config['issuers'][number],
  judging?: { readonly identifier: string; readonly hears: boolean },
): IdentityProvider {
  const allowHttp = issuer.startsWith('http:')
  const judges = judging ? { judges: judgesOf({ issuer, ...judging }, () => systemClock.nowMs()) } : {}
  return new Keycloak({ issuer, clientId: client_id, clientSecret: client_secret, allowHttp, ca, ...judges })
}

/** The keys of the relay's own, of those realms that have any. */
export function openOwnKeys(config: Config, log: Logger): Map<string, RealmKeys> {
  const realms = new Map<string, RealmKeys>()
  for (const { issuer, signing } of config.issuers) {
    if (signing) {
      const options = {
        places: signing.keys.map(({ alg, key_file }) => ({ alg, file: key_file })),
        publishedForMs: signing.published_for_s * 1000,
        tell: (what: string, about: Readonly<Record<string, string>>) => log.info({ issuer, ...about }, what),
        trouble: (what: string, cause: unknown) =>
          log.error({ issuer, why: cause instanceof Error ? cause.message : undefined }, what),
      }
      realms.set(issuer, new RealmKeys(options))
    }
  }
  return realms
}
