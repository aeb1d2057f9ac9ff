import { randomUUID } from 'node:crypto'
import { Hono } from 'hono'
import type { Config } from '../config/config.ts'
import { RelayError } from '../errors.ts'
import { openKeys, openTransmitter } from '../upstream/open.ts'
import { type Life, newest } from '../upstream/life.ts'
import { revocationRoute } from '../upstream/revocation.ts'
import { pollStream, type StreamPorts, streamRoute, verifyStream } from '../upstream/stream.ts'
import type { Transmitter } from '../upstream/transmitter.ts'
import { inTurn } from '../upstream/turn.ts'
import type { Stream, Upstream } from '../upstream/upstream.ts'
import type { Parts } from './connect.ts'

type UpstreamConfig = Config['upstreams'][number]

/** The identity providers that the realms' users are linked to, as the config names them. */
function upstreamsOf({ config, providers, ask }: Parts): Upstream[] {
  return config.upstreams.map((upstream) => {
    const { name, issuer, link_issuer, audience = '', realm, behind_client } = upstream
    return {
      ...{ name, issuer, audience },
      linkIssuer: link_issuer ?? issuer,
      revokes: upstream.global_token_revocation,
      ...(behind_client === undefined
        ? {}
        : { behind: { client: behind_client, realms: [realm, ...formerly(config, realm)] } }),
      ...(upstream.stream ? { stream: streamOf(upstream.stream) } : {}),
      keys: openKeys(upstream, ask),
      hear: inTurn(
        (word) =>
          providers.get(realm)?.hear(word) ??
          Promise.reject(new RelayError('idp_unavailable', `${realm} is not configured`)),
      ),
    }
  })
}

/** A link there may have the name that the realm had when it was made. */
function formerly({ issuers }: Parts['config'], realm: string): readonly string[] {
  return issuers.find(({ issuer }) => issuer === realm)?.former_issuers ?? []
}

function streamOf(stream: NonNullable<UpstreamConfig['stream']>): Stream {
  const { delivery, audience, push_authorization, poll_interval_s, verify_s } = stream
  return {
    delivery,
    ...(audience === undefined ? {} : { audience }),
    ...(push_authorization === undefined ? {} : { pushAuthorization: push_authorization }),
    pollMs: poll_interval_s * 1000,
    verifyMs: verify_s * 1000,
  }
}

/** @param shows whether it has to show again and again that it still sends: of one that has not, silence says nothing */
function streamPorts(
  { metrics, log, clock, leads, observer }: Parts,
  upstream: StreamPorts['upstream'],
  shows: boolean,
): StreamPorts {
  const { name } = upstream
  const labels = { upstream: name }
  const life: Life = {
    alive: (atMs) => {
      if (shows) {
        metrics.upstreamHeard.set(labels, atMs / 1000)
      }
    },
    status: (status) => {
      // The process that leads asks for it again and again. What another was told once, it would show for ever.
      if (!shows || leads()) {
        metrics.upstreamEnabled.set(labels, status === 'enabled' ? 1 : 0)
      }
      if (status !== 'enabled') {
        log.warn({ upstream: name, status: status.slice(0, 32) }, 'An upstream sends nothing on its stream')
      }
    },
  }
  return {
    ...newest(life, () => clock.nowMs()),
    upstream,
    clock,
    heard: (outcome) => {
      metrics.upstreamWords.inc({ upstream: name, outcome })
    },
    refused: (code, why) => {
      metrics.upstreamWords.inc({ upstream: name, outcome: code })
      log.warn({ upstream: name, code, why }, 'What an upstream has sent was refused')
    },
    trouble: (what, cause) => {
      observer.trouble(what, cause)
    },
  }
}

const hasStream = (upstream: Upstream): upstream is StreamPorts['upstream'] => upstream.stream !== undefined

/** Upstreams, and what is served to them and asked of them. */
export interface Upstreams {
  readonly routes: Hono
  /** Polls and verifies, until the signal. */
  readonly follow: (stop: AbortSignal) => Promise<void>[]
}

export function openUpstreams(parts: Parts): Upstreams {
  const { config, metrics, log, clock, leads, ask, observer } = parts
  const upstreams = upstreamsOf(parts)
  const routes = new Hono()
  routes.route(
    '/',
    revocationRoute({
      upstreams,
      heard: (upstream, outcome) => {
        metrics.upstreamWords.inc({ upstream, outcome })
      },
      refused: (code, why) => {
        metrics.upstreamWords.inc({ upstream: '', outcome: code })
        log.warn({ code, why }, 'A request of Global Token Revocation was refused')
      },
    }),
  )
  const streams = upstreams.filter(hasStream).map((upstream) => {
    const named = config.upstreams.find(({ name }) => name === upstream.name)
    const transmitter = named && openTransmitter(named, ask)
    const { delivery, verifyMs } = upstream.stream
    const shows = transmitter !== undefined && (delivery === 'poll' || verifyMs > 0)
    return { ports: streamPorts(parts, upstream, shows), transmitter }
  })
  for (const { ports } of streams.filter(({ ports }) => ports.upstream.stream.delivery === 'push')) {
    routes.route(`/upstreams/${ports.upstream.name}`, streamRoute(ports))
  }
  const verify = async (ports: StreamPorts, transmitter: Transmitter, stop: AbortSignal): Promise<void> => {
    const { name, stream } = ports.upstream
    while (!stop.aborted) {
      if (leads()) {
        await verifyStream(ports, transmitter, randomUUID()).catch((cause: unknown) => {
          observer.trouble(`The stream of ${name} could not be verified; trying again`, cause)
        })
      } else {
        metrics.upstreamEnabled.remove({ upstream: name })
      }
      await clock.sleep(stream.verifyMs, stop)
    }
  }
  return {
    routes,
    follow: (stop) =>
      streams.flatMap(({ ports, transmitter }) => {
        const { stream } = ports.upstream
        // Else one that is silent from the beginning would not be noticed.
        ports.alive(clock.nowMs())
        if (!transmitter) {
          return []
        }
        return [
          ...(stream.delivery === 'poll' ? [pollStream({ ...ports, transmitter, leads }, stop)] : []),
          ...(stream.verifyMs > 0 ? [verify(ports, transmitter, stop)] : []),
        ]
      }),
  }
}
