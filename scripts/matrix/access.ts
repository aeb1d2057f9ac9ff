import { REDIRECT_URI, UPSTREAM } from '../attack/clients.ts'
import { openAs } from '../attack/impersonation.ts'
import { type Held, livesOf, Loop, refreshing } from '../attack/loop.ts'
import { PASSWORD } from '../attack/victim.ts'
import { Browser, type Page } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import { until } from '../stage/process.ts'
import { ELSEWHERE } from './elsewhere.ts'
import { type Access, type Kind, must, twins } from './kind.ts'
import { codeOf, type Person } from './person.ts'
import { UNDER_WAY } from './under-way.ts'

/** For each token. Loops without a pause would take the cores from what is measured beside them. */
const STORM = { loops: 2, paceMs: 30 }

export const KINDS: readonly Kind[] = [
  {
    id: 'sso',
    title: 'browser session at Keycloak',
    endsWith: 'own session',
    make: async (person) => {
      codeOf(await person.logIn(person.browser))
      return { isAlive: () => person.isSignedOn(person.browser) }
    },
  },
  {
    id: 'apache',
    title: 'session at mod_auth_openidc',
    endsWith: 'own session',
    make: ({ world, browser, name }) => atApplication(browser, world.apache.url, name),
  },
  {
    id: 'express',
    title: 'session at express-openid-connect',
    endsWith: 'own session',
    make: ({ world, browser, name }) => atApplication(browser, world.express.url, name),
  },
  {
    id: 'code',
    title: 'authorization code, not redeemed yet',
    endsWith: 'own session',
    make: (person) => {
      const { target, browser } = person
      return twins(
        () => browser.open(target.authorization(), REDIRECT_URI),
        async (back) => (await target.redeem(back)) !== undefined,
      )
    },
  },
  {
    id: 'forgotten',
    title: 'session at an application, forgotten by Keycloak',
    endsWith: 'session',
    make: async (person) => {
      const { forgotten } = person.world
      const browser = new Browser()
      const access = await atApplication(browser, forgotten.url, person.name)
      // Keycloak's own logout comes once, and is not heard.
      forgotten.gate.shut = true
      const page = await browser.open(person.target.endpoint(`logout?client_id=${forgotten.clientId}`))
      await browser.submit(page, { confirmLogout: 'Logout' })
      forgotten.gate.shut = false
      if (await person.isSignedOn(browser)) {
        throw new Error('Keycloak has not forgotten the session')
      }
      return access
    },
  },
  {
    id: 'remember-me',
    title: '"remember me" cookie',
    endsWith: 'session',
    make: async (person) => {
      const browser = await person.loggedIn({ rememberMe: 'on' })
      return { isAlive: () => person.isSignedOn(browser) }
    },
  },
  {
    id: 'refresh-token',
    title: 'refresh token',
    endsWith: 'session',
    make: async (person) => {
      const tokens = await person.mobileTokens()
      return { isAlive: () => person.world.tokens.lives('mobile-app', tokens) }
    },
  },
  {
    id: 'offline-token',
    title: 'offline token',
    endsWith: 'session',
    make: async (person) => {
      const tokens = await person.mobileTokens('openid offline_access')
      return { isAlive: () => person.world.tokens.lives('mobile-app', tokens) }
    },
  },
  {
    id: 'refresh-storm',
    title: 'refresh and offline token, refreshed all the while',
    endsWith: 'session',
    make: async (person) => {
      const { target, name } = person
      const held = await Promise.all(
        ['openid', 'openid offline_access'].map(async (scope): Promise<Held> => ({
          tokens: await target.tokens.directGrant('flows-app', name, PASSWORD, scope),
          clientId: 'flows-app',
        })),
      )
      const first = await Promise.all(held.map((one) => refreshing(target)(one, 0)))
      let loops: Loop[] = []
      const end = () => Promise.all(loops.map((loop) => loop.end()))
      return {
        twinLived: first.every((one) => one !== undefined),
        meanwhile: async () => {
          loops = held.flatMap((one) =>
            Array.from({ length: STORM.loops }, () => new Loop(one, refreshing(target), STORM.paceMs)),
          )
          try {
            await until('every loop has refreshed', () => loops.every((loop) => !held.includes(loop.held)))
          } catch (cause) {
            await end()
            throw cause
          }
          return end
        },
        isAlive: async () => {
          await end()
          return (await livesOf(target, loops)).length > 0
        },
      }
    },
  },
  {
    id: 'introspection',
    title: 'access token, at introspection',
    endsWith: 'session',
    make: async (person) => {
      const { access_token } = await person.mobileTokens()
      return { isAlive: () => person.world.tokens.isActive(access_token, 'orders-api', person.world.secret) }
    },
  },
  {
    id: 'userinfo',
    title: 'access token, at userinfo',
    endsWith: 'session',
    make: async (person) => atUserinfo(person, (await person.mobileTokens()).access_token),
  },
  {
    id: 'guarded-api',
    title: 'access token, at an API with a guard',
    endsWith: 'session',
    make: async (person) => {
      const { access_token } = await person.mobileTokens()
      return { isAlive: async () => (await person.world.orders.status(access_token)) === 200 }
    },
  },
  {
    id: 'plain-api',
    title: 'access token, at an API that checks the signature alone',
    endsWith: 'nothing',
    make: async (person) => {
      const { access_token } = await person.mobileTokens()
      return { isAlive: async () => (await person.world.unguarded.status(access_token)) === 200 }
    },
  },
  {
    id: 'exchanged-token',
    title: 'token exchanged for another (RFC 8693)',
    endsWith: 'session',
    make: async (person) => {
      const { tokens, secret } = person.world
      const answer = await tokens.ask({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        client_id: 'orders-api',
        client_secret: secret,
        scope: 'openid',
        subject_token: (await person.mobileTokens()).access_token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      })
      return atUserinfo(person, must(answer, 'token exchange').access_token)
    },
  },
  ...UNDER_WAY,
  ...ELSEWHERE,
  {
    id: 'impersonated',
    title: 'session opened as somebody else',
    endsWith: 'session',
    make: async (person) => {
      const { target, world } = person
      const opened = await target.redeem(await asSomebodyElse(person))
      if (!opened) {
        throw new Error('The session as somebody else gives no tokens')
      }
      return { isAlive: () => world.tokens.lives('flows-app', opened) }
    },
  },
  {
    id: 'impersonated-code',
    title: 'session opened as somebody else, its code not redeemed yet',
    endsWith: 'session',
    make: (person) =>
      // A session each: once a code is redeemed, the session is known at a client.
      twins(
        () => asSomebodyElse(person),
        async (back) => (await person.target.redeem(back)) !== undefined,
      ),
  },
  {
    id: 'consent',
    title: 'consent given to a client',
    endsWith: 'consents',
    make: async (person) => {
      const browser = new Browser()
      const consent = await person.logIn(browser, person.target.authorization({ client_id: 'consent-app' }))
      codeOf(await browser.submit(consent, { accept: 'Yes' }, REDIRECT_URI))
      const consents = () => person.target.admin.call<unknown[]>('GET', person.path('/consents'))
      return {
        isAlive: async () => {
          const answer = await consents()
          return answer.status === 200 && answer.json().length > 0
        },
      }
    },
  },
  {
    id: 'broker-token',
    title: 'stored token of an identity provider',
    endsWith: 'broker-tokens',
    make: async (person) => {
      await person.linkUpstream()
      codeOf(await person.logIn(new Browser(), person.target.authorization({ kc_idp_hint: UPSTREAM })))
      const of = `user_id = '${person.id}' and identity_provider = '${UPSTREAM}'`
      const count = `select count(token) from federated_identity where ${of}`
      return { isAlive: () => Promise.resolve(person.world.postgres.psql(count) === '1') }
    },
  },
  {
    id: 'factors',
    title: 'one-time passwords and security keys',
    endsWith: 'factors',
    make: (person) =>
      factors(person, [
        {
          type: 'otp',
          secretData: '{"value":"secret"}',
          credentialData: '{"subType":"totp","digits":6,"period":30}',
        },
        {
          type: 'webauthn',
          secretData: '{}',
          credentialData: '{"aaguid":"00000000-0000-0000-0000-000000000000","credentialId":"YQ","counter":0}',
        },
      ]),
  },
  {
    id: 'recovery-codes',
    title: 'recovery codes',
    endsWith: 'recovery-codes',
    make: (person) =>
      factors(person, [
        {
          type: 'recovery-authn-codes',
          createdDate: Date.now(),
          secretData: '{"codes":[{"number":1,"encodedHashedValue":"x"}]}',
          credentialData: '{"hashIterations":1,"algorithm":"SHA-512","totalCodes":1,"remainingCodes":1}',
        },
      ]),
  },
]

async function atApplication(browser: Browser, url: string, name: string): Promise<Access> {
  await browser.login(url, name, 'password')
  return { isAlive: () => browser.isAlive(url) }
}

function atUserinfo(person: Person, accessToken: string): Access {
  const headers = { authorization: `Bearer ${accessToken}` }
  return { isAlive: async () => (await call('GET', person.target.endpoint('userinfo'), { headers })).status === 200 }
}

/** A session that the person opens as somebody else, and where the browser is sent back with a code of it. */
async function asSomebodyElse(person: Person): Promise<Page> {
  const browser = await openAs(person.world.victim, person)
  return browser.open(person.target.authorization(), REDIRECT_URI)
}

interface Credential {
  readonly type: string
  readonly secretData: string
  readonly credentialData: string
  /** Keycloak gives one to some types only. */
  readonly createdDate?: number
}

/** Alive while one of them is there. */
async function factors(person: Person, credentials: readonly Credential[]): Promise<Access> {
  await person.target.admin.must('PUT', person.path(), { credentials })
  return {
    isAlive: async () => {
      for (const { type } of credentials) {
        if ((await person.credentials(type)).length > 0) {
          return true
        }
      }
      return false
    },
  }
}
