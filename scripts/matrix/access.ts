import { Browser, type Page } from '../stage/browser.ts'
import { call } from '../stage/http.ts'
import { until } from '../stage/process.ts'
import { codeOf, type Person, titleOf } from './person.ts'
import { REDIRECT_URI } from './world.ts'

/** Something that a person's password has unlocked. */
export interface Access {
  /** Whether it is worth anything. What can be used only once is used up by asking. */
  readonly isAlive: () => Promise<boolean>
  /** For what can be used only once: whether another of its kind, got in the same way, was worth something. */
  readonly twinLived?: boolean
}

/**
 * - `session`: ends with the sessions of its user
 * - `own session`: the same, and it hangs on the session of the person's own browser
 * - any other: kept, unless policy names that step
 * - `nothing`: nobody can end it before its time
 */
export type EndsWith =
  'session' | 'own session' | 'consents' | 'broker-tokens' | 'factors' | 'recovery-codes' | 'nothing'

/** A kind of access, and how somebody comes by it. Made in this order. */
export interface Kind {
  readonly id: string
  readonly title: string
  readonly endsWith: EndsWith
  readonly make: (person: Person) => Promise<Access>
}

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
    make: async (person) => {
      const code = async () => codeOf(await person.browser.open(person.authorization(), REDIRECT_URI))
      const redeems = async (one: string) => (await person.exchange(one)).status === 200
      const twinLived = await redeems(await code())
      const kept = await code()
      return { twinLived, isAlive: () => redeems(kept) }
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
      const page = await browser.open(person.endpoint(`logout?client_id=${forgotten.clientId}`))
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
      const tokens = await person.tokens()
      return { isAlive: () => person.world.tokens.lives('mobile-app', tokens) }
    },
  },
  {
    id: 'offline-token',
    title: 'offline token',
    endsWith: 'session',
    make: async (person) => {
      const tokens = await person.tokens('openid offline_access')
      return { isAlive: () => person.world.tokens.lives('mobile-app', tokens) }
    },
  },
  {
    id: 'introspection',
    title: 'access token, at introspection',
    endsWith: 'session',
    make: async (person) => {
      const { access_token } = await person.tokens()
      return { isAlive: () => person.world.tokens.isActive(access_token, 'orders-api', person.world.secret) }
    },
  },
  {
    id: 'userinfo',
    title: 'access token, at userinfo',
    endsWith: 'session',
    make: async (person) => atUserinfo(person, (await person.tokens()).access_token),
  },
  {
    id: 'guarded-api',
    title: 'access token, at an API with a guard',
    endsWith: 'session',
    make: async (person) => {
      const { access_token } = await person.tokens()
      return { isAlive: async () => (await person.world.orders.status(access_token)) === 200 }
    },
  },
  {
    id: 'plain-api',
    title: 'access token, at an API that checks the signature alone',
    endsWith: 'nothing',
    make: async (person) => {
      const { access_token } = await person.tokens()
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
        subject_token: (await person.tokens()).access_token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      })
      return atUserinfo(person, must(answer, 'token exchange').access_token)
    },
  },
  {
    id: 'required-action',
    title: 'login under way, at a required action',
    endsWith: 'session',
    make: (person) => underWay(person, () => Promise.resolve(person.authorization({ kc_action: 'UPDATE_PROFILE' }))),
  },
  {
    id: 'pushed-request',
    title: 'login under way, from a pushed request',
    endsWith: 'session',
    make: (person) =>
      underWay(person, async () => {
        const form = Object.fromEntries(new URL(person.authorization({ kc_action: 'UPDATE_PROFILE' })).searchParams)
        const answer = await call<{ request_uri: string }>('POST', person.endpoint('ext/par/request'), { form })
        const { request_uri } = must(answer, 'pushed request')
        return person.endpoint(`auth?${new URLSearchParams({ client_id: 'flows-app', request_uri }).toString()}`)
      }),
  },
  {
    id: 'device-code',
    title: 'device code, approved',
    endsWith: 'session',
    make: async (person) => {
      const browser = await person.loggedIn()
      const approved = async () => {
        const answer = await call<{ device_code: string; verification_uri_complete: string }>(
          'POST',
          person.endpoint('auth/device'),
          { form: { client_id: 'flows-app', scope: 'openid' } },
        )
        const { device_code, verification_uri_complete } = must(answer, 'device authorization')
        const consent = await browser.open(verification_uri_complete)
        const done = await browser.submit(consent, { accept: 'Yes' })
        return () => granted(person, done, { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code })
      }
      const twin = await approved()
      const isAlive = await approved()
      return { twinLived: await twin(), isAlive }
    },
  },
  {
    id: 'ciba',
    title: 'backchannel authentication (CIBA), approved',
    endsWith: 'session',
    make: async (person) => {
      const client = { client_id: 'ciba-app', client_secret: person.world.secret }
      const approved = async () => {
        const { ciba } = person.world
        const before = ciba.said()
        const form = { ...client, scope: 'openid', login_hint: person.name }
        const answer = await call<{ auth_req_id: string }>('POST', person.endpoint('ext/ciba/auth'), { form })
        const { auth_req_id } = must(answer, 'backchannel authentication')
        await until('the device has said yes', () => ciba.said() > before)
        return async () =>
          (await person.world.tokens.ask({ ...client, grant_type: 'urn:openid:params:grant-type:ciba', auth_req_id }))
            .status === 200
      }
      const twin = await approved()
      const isAlive = await approved()
      return { twinLived: await twin(), isAlive }
    },
  },
  {
    id: 'mailed-link',
    title: 'mailed link to change the account',
    endsWith: 'session',
    make: async (person) => {
      const link = () =>
        person.mailed(() =>
          person.world.keycloak.admin.must('PUT', `/demo/users/${person.id}/execute-actions-email`, ['UPDATE_PROFILE']),
        )
      const twin = await link()
      const twinLived = await leadsToChange(person, twin)
      const kept = await link()
      return { twinLived, isAlive: () => leadsToChange(person, kept) }
    },
  },
  {
    id: 'impersonated',
    title: 'session opened as somebody else',
    endsWith: 'session',
    make: async (person) => {
      const { keycloak, tokens, victim } = person.world
      const { access_token } = await tokens.directGrant('flows-app', person.name, 'password')
      const url = `${keycloak.url}/admin/realms/demo/users/${victim}/impersonation`
      const browser = new Browser()
      await browser.post(url, { authorization: `Bearer ${access_token}` })
      const opened = await person.exchange(codeOf(await browser.open(person.authorization(), REDIRECT_URI)))
      return { isAlive: () => tokens.lives('flows-app', must(opened, 'impersonation')) }
    },
  },
  {
    id: 'consent',
    title: 'consent given to a client',
    endsWith: 'consents',
    make: async (person) => {
      const browser = new Browser()
      const consent = await person.logIn(browser, person.authorization({ client_id: 'consent-app' }))
      codeOf(await browser.submit(consent, { accept: 'Yes' }, REDIRECT_URI))
      const consents = () => person.world.keycloak.admin.call<unknown[]>('GET', `/demo/users/${person.id}/consents`)
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
      const { admin } = person.world.keycloak
      const userId = await admin.createUser('upstream', person.name, 'password')
      const link = `/demo/users/${person.id}/federated-identity/upstream`
      await admin.must('POST', link, { userId, userName: person.name })
      codeOf(await person.logIn(new Browser(), person.authorization({ kc_idp_hint: 'upstream' })))
      const count = `select count(token) from federated_identity where user_id = '${person.id}'`
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
  return { isAlive: async () => (await call('GET', person.endpoint('userinfo'), { headers })).status === 200 }
}

/** A login whose password has been accepted, waiting at a page; its twin has gone through. */
async function underWay(person: Person, request: () => Promise<string>): Promise<Access> {
  const halfWay = async () => {
    const browser = new Browser()
    return { browser, page: await person.logIn(browser, await request()) }
  }
  const finishes = async ({ browser, page }: { browser: Browser; page: Page }) => {
    const back = await browser.submit(page, profileOf(person), REDIRECT_URI)
    return back.url.startsWith(REDIRECT_URI) && (await person.exchange(codeOf(back))).status === 200
  }
  const twinLived = await finishes(await halfWay())
  const kept = await halfWay()
  return { twinLived, isAlive: () => finishes(kept) }
}

/** The profile as it is: submitting it changes nothing. */
function profileOf({ name, email }: Person): Record<string, string> {
  return { username: name, email, firstName: name, lastName: 'Example' }
}

async function leadsToChange(person: Person, link: string): Promise<boolean> {
  const browser = new Browser()
  const confirm = await browser.open(link)
  const proceed = /href="([^"]*action-token[^"]*)"/.exec(confirm.text)?.[1]?.replaceAll('&amp;', '&')
  if (confirm.status !== 200 || proceed === undefined) {
    return false
  }
  const page = await browser.open(new URL(proceed, confirm.url).href)
  if (!page.text.includes('kc-update-profile-form')) {
    return false
  }
  return (await browser.submit(page, profileOf(person))).status === 200
}

async function granted(person: Person, done: Page, form: Record<string, string>): Promise<boolean> {
  if (done.status !== 200) {
    throw new Error(`The device was not approved: ${done.status} ${titleOf(done.text)}`)
  }
  return (await person.world.tokens.ask({ client_id: 'flows-app', ...form })).status === 200
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
  await person.world.keycloak.admin.must('PUT', `/demo/users/${person.id}`, { credentials })
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

function must<T>(answer: { status: number; text: string; json: () => T }, what: string): T {
  if (answer.status < 200 || answer.status > 299) {
    throw new Error(`${what}: ${answer.status} ${answer.text}`)
  }
  return answer.json()
}
