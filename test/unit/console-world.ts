import { join } from 'node:path'
import { Hono } from 'hono'
import { LastAnswers } from '../../relay/telemetry/answers.ts'
import type { ConsolePorts } from '../../relay/console/ports.ts'
import { consoleRoutes } from '../../relay/console/routes.ts'
import type { Person, Rights } from '../../relay/console/sessions.ts'
import type { Answer } from '../../relay/domain/model.ts'
import { judgedBy } from '../../relay/watermarks/ended.ts'
import { Registrar } from '../../relay/registry/registrar.ts'
import { RelyingParties } from '../../relay/registry/registry.ts'
import type { Store } from '../../relay/store/port.ts'
import { openSqliteStore } from '../../relay/store/sqlite/sqlite.ts'
import { deliverersBy, ISSUER, NOW_MS, temporaryFolder } from './given.ts'

export const OLIVIA: Person = {
  subject: 'olivia-1',
  sid: 'sid-1',
  name: 'olivia',
  roles: ['view', 'operate', 'dismiss'],
  idToken: 'x',
  claims: { sub: 'olivia-1', sid: 'sid-1', iat: NOW_MS / 1000, auth_time: NOW_MS / 1000 },
}

/** The console on a real store, with a realm that lets in whoever is named, at once. */
export function consoleWorld(
  more: Partial<ConsolePorts> = {},
  store: Store = openSqliteStore(join(temporaryFolder(), 'relay.db')),
) {
  const relyingParties = new RelyingParties({
    ...{ allowHttpOnLoopback: false, allowAddresses: [], timeoutMs: 1000, concurrency: 4, overrides: [] },
  })
  const world = {
    store,
    relyingParties,
    nowMs: NOW_MS,
    person: OLIVIA,
    /** To look up users, at the next login. */
    rights: undefined as Rights | undefined,
    /** What relying parties answer to a check. */
    answer: { kind: 'response', status: 400 } as Answer,
    acts: [] as unknown[][],
  }
  const nowMs = () => world.nowMs
  const registrar = new Registrar({
    notes: store,
    relyingParties,
    deliverers: deliverersBy(() => Promise.resolve(world.answer)),
    observer: { changed: () => undefined },
    nowMs,
  })
  const ports: ConsolePorts = {
    client: {
      ...{ issuer: ISSUER, clientId: 'logout-relay-console', clientSecret: 's', audience: 'logout-relay' },
      url: 'https://relay.example.org/console',
    },
    login: {
      begin: (returnTo, audit = false) =>
        Promise.resolve({
          to: new URL('https://relay.example.org/console/callback?code=c'),
          login: { state: 's', nonce: 'n', verifier: 'v', returnTo, audit },
        }),
      finish: () =>
        Promise.resolve({
          ...{ person: world.person, accessToken: 'a token' },
          ...(world.rights ? { rights: world.rights } : {}),
        }),
      renew: () => Promise.resolve(undefined),
      logoutUrl: () => Promise.resolve(new URL(`${ISSUER}/logout`)),
    },
    store,
    relyingParties,
    registrar,
    answers: new LastAnswers(),
    findings: () => [],
    users: {
      names: () => Promise.reject(new Error('not asked for')),
      find: () => Promise.reject(new Error('not asked for')),
    },
    contain: () => Promise.reject(new Error('not asked for')),
    keysOf: () => undefined,
    isRevoked: async (login) => (await judgedBy(store, nowMs)(ISSUER, { ...login })) === 'revoked',
    flow: {
      retryNow: (...act) => Promise.resolve(world.acts.push(['retry', ...act])),
      dismiss: (...act) => Promise.resolve(world.acts.push(['dismiss', ...act])),
      unhealthyLanes: () => [],
    },
    readRealm: () => Promise.reject(new Error('not asked for')),
    settings: [],
    nowMs,
    sleep: () => Promise.resolve(),
    ...more,
  }
  const app = new Hono().route('/console', consoleRoutes(ports))
  const request = (path: string, cookie: string, init: RequestInit = {}) =>
    app.request(`/console${path}`, { ...init, headers: { cookie } })
  /** Logged in; with the cookie, and the token of the forms on the pages. */
  const logIn = async (person: Partial<Person> = {}) => {
    world.person = { ...OLIVIA, ...person }
    const cookies = (answer: Response) => answer.headers.getSetCookie().map((one) => one.split(';')[0] ?? '')
    const begun = cookies(await request('/login?to=/console', ''))
    const cookie = cookies(await request('/callback?code=c', begun.join('; '))).at(-1) ?? ''
    const page = await (await request('', cookie)).text()
    const csrf = /name="csrf" value="([^"]+)"/.exec(page)?.[1] ?? ''
    const post = (path: string, form: Record<string, string>, token = csrf) =>
      request(path, cookie, { method: 'POST', body: new URLSearchParams({ csrf: token, ...form }) })
    return { cookie, csrf, get: (path: string) => request(path, cookie), post }
  }
  return Object.assign(world, { ports, registrar, app, request, logIn })
}
