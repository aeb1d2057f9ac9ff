import type { Logger } from 'pino'
import type { Config } from './config/config.ts'
import { connect } from './run/connect.ts'
import { beginDuties } from './run/duties.ts'
import { followRealms } from './run/follow.ts'
import { openIntake } from './run/intake.ts'
import { listen, routes } from './run/serve.ts'
import { openUpstreams } from './run/upstreams.ts'
import { makeLog } from './telemetry/observer.ts'

const GRACE_MS = 10_000

/** Starts a relay: opens its parts, serves, and does what has to be done. What they do is theirs; start at flow/flow.ts. */
export async function startRelay(
  config: Config,
  log: Logger = makeLog(config.log.level),
): Promise<{ url: string; close(): Promise<void> }> {
  if (config.delivery.allow_http_on_loopback) {
    log.warn('delivery.allow_http_on_loopback is on: relying parties on this machine are reached without TLS')
  }
  const stop = new AbortController()
  const parts = await connect(config, log)
  const { clock, flow, store, watermarks } = parts
  const intake = openIntake(parts, stop.signal)
  const upstreams = openUpstreams(parts)
  const loops = [
    ...beginDuties(parts, intake, stop.signal),
    ...followRealms(parts, intake, stop.signal),
    ...upstreams.follow(stop.signal),
  ]
  const { server, url } = await listen(routes(parts, intake, upstreams), config)
  flow.start()
  log.info(
    {
      url,
      store: config.store.sqlite ?? `Redis, ${store.shared?.promised() ?? ''}`,
      issuers: config.issuers.map(({ issuer }) => issuer),
    },
    'Logout Relay is up',
  )
  return {
    url,
    close: async () => {
      stop.abort()
      watermarks?.streams.forEach((stream) => stream.end())
      server.close()
      await Promise.race([Promise.all([flow.stop(), ...loops]), clock.sleep(GRACE_MS)])
      await parts.close()
      log.info('Logout Relay has stopped; what is still owed is in the store')
    },
  }
}
