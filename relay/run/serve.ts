import { readFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { resolve } from 'node:path'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { apiRoutes } from '../api/app.ts'
import type { CallerPorts } from '../api/auth.ts'
import { otherMethods } from '../api/described.ts'
import { guardRoutes } from '../api/guard.ts'
import type { Config } from '../config/config.ts'
import { whyNotListening } from '../config/listen.ts'
import { codeOf, RelayError } from '../errors.ts'
import { realmLogin } from '../console/login.ts'
import { consoleRoutes } from '../console/routes.ts'
import { settingsInForce } from '../console/settings.ts'
import { readRealmOf } from '../idp/keycloak/audit/read.ts'
import { readAccess } from '../idp/keycloak/claims.ts'
import { usersOf } from '../idp/keycloak/users.ts'
import { pushRoute } from '../ingest/push.ts'
import { STORE } from '../telemetry/measure.ts'
import { endedBy, judgedBy } from '../watermarks/ended.ts'
import type { Parts } from './connect.ts'
import type { Intake } from './intake.ts'
import type { Upstreams } from './upstreams.ts'

/** All that is served: pushed events, the API, the console for people, and what guards ask. */
export function routes(parts: Parts, intake: Intake, upstreams: Upstreams): Hono {
  const { config, store, clock, watermarks } = parts
  const callers: CallerPorts = {
    keysOf: parts.keysOf,
    readAccess,
    audience: config.identifier,
    isEnded: endedBy(store, () => clock.nowMs()),
    nowMs: () => clock.nowMs(),
  }
  const api = apiOf(parts, intake, callers)
  const app = new Hono()
  app.route('/', pushes(parts, intake))
  app.route('/', api)
  if (config.console) {
    app.route('/console', consoleOf(config.console, parts))
  }
  if (watermarks) {
    app.route('/', guardRoutes({ ...callers, ...watermarks, nowMs: () => clock.nowMs() }))
  }
  app.route('/', upstreams.routes)
  app.route('/', otherMethods(api))
  return app
}

function pushes({ metrics, log, clock }: Parts, { verify, receive }: Intake): Hono {
  return pushRoute({
    verify,
    receive: (event) => receive(event, 'push'),
    clock,
    refused: (code, why) => {
      metrics.events.inc({ source: 'push', outcome: code })
      log.warn({ code, why }, 'A pushed security event was refused')
    },
  })
}

function apiOf(parts: Parts, { reread, waitingFor }: Intake, callers: CallerPorts): ReturnType<typeof apiRoutes> {
  const { config, store, relyingParties, registrar, metrics, findings, flow, providers } = parts
  return apiRoutes({
    ...callers,
    ...{ store, relyingParties, registrar, metrics, flow, reread },
    clientsOf: (issuer) => config.issuers.find((realm) => realm.issuer === issuer)?.clients ?? [],
    contain: (issuer, token, request) => providers.get(issuer)?.contain(token, request),
    findings: (issuer) => findings.about(issuer, STORE),
    allFindings: () => findings.about(STORE, ...providers.keys()),
    notReady: () => [
      ...[store.shared?.problem() ?? []].flat().map((why) => `store: ${why}`),
      ...[...waitingFor].map(([issuer, why]) => `${issuer}: ${why}`),
    ],
  })
}

function consoleOf(people: NonNullable<Config['console']>, parts: Parts): ReturnType<typeof consoleRoutes> {
  const { config, store, relyingParties, registrar, answers, findings, flow, providers, clock } = parts
  const { issuer, url } = people
  const ca = config.issuers.find((realm) => realm.issuer === issuer)?.ca
  const client = {
    ...{ issuer, url, audience: config.identifier },
    clientId: people.client_id,
    clientSecret: people.client_secret,
    ca,
  }
  const judge = judgedBy(store, () => clock.nowMs())
  return consoleRoutes({
    ...{ client, store, relyingParties, registrar, answers, flow },
    login: realmLogin(client, readAccess, () => clock.nowMs()),
    users: usersOf(issuer, ca),
    contain: (token, request) =>
      providers.get(issuer)?.contain(token, request) ??
      Promise.reject(new RelayError('idp_unavailable', `${issuer} is not configured`)),
    readRealm: (accessToken) => readRealmOf(issuer, accessToken, ca),
    keysOf: (of) => providers.get(of)?.keys(),
    // Who has changed their own password goes on at the realm, and so here after one more round by single sign-on.
    isRevoked: async (login) => (await judge(issuer, { ...login })) === 'revoked',
    findings: () => findings.about(issuer, STORE),
    settings: settingsInForce(config),
    nowMs: () => clock.nowMs(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  })
}

/** @throws RelayError `config_invalid` where nobody can be listened for, with what to do */
export function listen(
  app: Hono,
  { listen: { host, port, tls } }: Config,
): Promise<{ server: ReturnType<typeof serve>; url: string }> {
  const options = tls
    ? {
        createServer: createHttpsServer,
        serverOptions: { cert: pem(tls.cert_file, 'cert_file'), key: pem(tls.key_file, 'key_file') },
      }
    : {}
  return new Promise((up, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port, ...options }, (address) => {
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      up({ server, url: `${tls ? 'https' : 'http'}://${name}:${address.port}` })
    })
    server.once('error', (cause: Error) => {
      const why = whyNotListening({ host, port }, cause)
      reject(why === undefined ? cause : new RelayError('config_invalid', `listen: ${why}`))
    })
  })
}

function pem(file: string, name: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    const why = codeOf(cause) ?? 'unknown'
    throw new RelayError('config_invalid', `listen.tls.${name}: ${resolve(file)} cannot be read by this user (${why})`)
  }
}
