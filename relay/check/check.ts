import type { Config } from '../config/config.ts'
import type { RelyingParty } from '../domain/model.ts'
import { isProvider } from '../domain/provider.ts'
import { openKinds } from '../delivery/kinds.ts'
import { openPost } from '../delivery/post.ts'
import type { Registry } from '../flow/ports.ts'
import { checkConsole } from '../idp/keycloak/check/console.ts'
import type { Finding } from '../domain/finding.ts'
import { findingsOn } from '../domain/finding.ts'
import { checkCertificate, checkGuardKey, checkListen, checkSecurityFeed, checkSigning } from './own.ts'
import { checkRealm } from '../idp/keycloak/check/realm.ts'
import { checkRunning, checkSqlite, silent } from './store.ts'
import { checkUpstream } from './upstream.ts'
import { judgeUntold } from '../idp/keycloak/check/untold.ts'

/** Relying parties asked at once. */
const AT_ONCE = 10

/** The relying parties as the config has them. */
interface Configured extends Pick<Registry, 'lane'> {
  list(issuer: string): readonly RelyingParty[]
}

/** Everything the relay needs, in the order in which it needs it, each as it is found out. Changes nothing anywhere. */
export async function* check(
  config: Config,
  path: string,
  registry: Configured,
  nowMs: () => number,
): AsyncGenerator<Finding> {
  yield findingsOn(path).ok('config', 'is complete')
  const { store: kept } = config
  const store = kept.redis ? { finding: await onRedis(kept.redis), held: false } : checkSqlite(kept.sqlite)
  yield store.finding
  const { tls } = config.listen
  yield await checkAddress(config, store)
  if (tls) {
    yield checkCertificate(tls, nowMs())
  }
  if (config.guard) {
    yield await checkGuardKey(config.guard.key_file)
  }
  if (config.security_feed) {
    yield await checkSecurityFeed(config.security_feed)
  }
  const way = openPost(config.delivery.ca === undefined ? {} : { ca: config.delivery.ca })
  const deliverers = openKinds({ post: way.post, nowMs, sleep: () => Promise.resolve(), trouble: () => undefined })
  try {
    for (const { issuer, client_id, client_secret, clients, signing, ca } of config.issuers) {
      const { identifier } = config
      const hears = config.upstreams.some((upstream) => upstream.realm === issuer)
      const console = config.console?.issuer === issuer ? config.console.client_id : undefined
      const realm = {
        issuer,
        clientId: client_id,
        clientSecret: client_secret,
        ca,
        identifier,
        clients,
        console,
        hears,
      }
      const { findings, reached, relyingParties, untold, published, genuine } = await checkRealm(realm, nowMs)
      yield* findings
      yield* checkSigning({ issuer, signing }, published, nowMs())
      if (config.console?.issuer === issuer && reached) {
        yield* await checkConsole({ ...config.console, ca }, relyingParties)
      }
      const ofRealm = (relyingParties ?? []).filter(({ clientId }) => !isProvider(clientId))
      const named = new Set(ofRealm.map(({ clientId }) => clientId))
      if (untold) {
        // The console's own is looked at above.
        const others = untold.filter(({ clientId }) => clientId !== config.console?.client_id)
        yield judgeUntold(issuer, others, new Set(registry.list(issuer).map(({ clientId }) => clientId)), clients)
      }
      const ofFile = registry.list(issuer).filter(({ clientId }) => !named.has(clientId))
      const parties = [...ofRealm, ...ofFile].flatMap((party) => {
        const deliverer = deliverers.get(party.target.kind)
        return deliverer ? [{ party, deliverer }] : []
      })
      yield* inTurn(parties, async ({ party, deliverer }) => {
        const { finding } = await deliverer.probe(party, registry.lane(issuer, party.clientId), genuine)
        return finding
      })
    }
    yield* inTurn(config.upstreams, (upstream) => checkUpstream(upstream, way.ask))
  } finally {
    await way.close()
  }
}

/** What it takes is loaded only where there is one. */
async function onRedis(redis: NonNullable<Config['store']['redis']>): Promise<Finding> {
  return (await import('./redis.ts')).checkRedis(redis)
}

/** Whether a relay runs where this one is to listen, or could. */
async function checkAddress({ listen, store: kept }: Config, { finding, held }: { finding: Finding; held: boolean }) {
  const running = await checkRunning(listen)
  if (held) {
    return running ?? silent(listen)
  }
  // Nobody has this file open, so whoever answers there has another one, and is in the way.
  const isAnother = !kept.redis && finding.ok
  return running && !isAnother ? running : await checkListen(listen)
}

/** Some at once, in their order. */
async function* inTurn<T>(
  all: readonly T[],
  check: (one: T) => Promise<Finding | readonly Finding[]>,
): AsyncGenerator<Finding> {
  for (let from = 0; from < all.length; from += AT_ONCE) {
    yield* (await Promise.all(all.slice(from, from + AT_ONCE).map(check))).flat()
  }
}
