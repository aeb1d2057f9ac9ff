import { decodeJwt } from 'jose'
import { Browser } from '../../scripts/stage/browser.ts'
import { type Mailbox, startMail } from '../../scripts/stage/mail.ts'
import { type SharedDemoRealm, nextSecond, REDIRECT_URI, shareDemoRealm } from './demo-realm.ts'

export const NOBODY = [false, false, false]
export const EVERYBODY = [true, true, true]

/** The demo realm with people in it who are logged in everywhere, and a mail server. */
export async function startPeople(name: string) {
  const mail = await startMail()
  const realm = await shareDemoRealm(name)
  await realm.admin.must('PUT', '', {
    resetPasswordAllowed: true,
    smtpServer: { host: '127.0.0.1', port: String(mail.port), from: 'idp@example.org' },
  })
  await realm.admin.must('POST', '/identity-provider/instances', {
    alias: 'partner',
    providerId: 'oidc',
    storeToken: true,
    config: { clientId: 'x', clientSecret: 'x', authorizationUrl: 'https://p.example', tokenUrl: 'https://p.example' },
  })
  return new People(realm, mail)
}

export class People {
  readonly realm: SharedDemoRealm
  readonly mail: Mailbox

  constructor(realm: SharedDemoRealm, mail: Mailbox) {
    this.realm = realm
    this.mail = mail
  }

  async stop(): Promise<void> {
    await this.mail.stop()
  }

  get admin() {
    return this.realm.admin
  }

  setPolicy(attributes: Record<string, string>) {
    return this.admin.must('PUT', '', { attributes })
  }

  /** Updates the user, as an administrator. */
  put(user: string, change: object) {
    return this.admin.must('PUT', `/users/${user}`, change)
  }

  authorization(clientId = 'flows-app', more: Record<string, string> = {}): string {
    const query = { response_type: 'code', client_id: clientId, redirect_uri: REDIRECT_URI, scope: 'openid', ...more }
    return `${this.realm.issuer}/protocol/openid-connect/auth?${new URLSearchParams(query).toString()}`
  }

  /** Gives the user a second factor, and answers its id. */
  async addOtp(user: string): Promise<string> {
    const otp = {
      type: 'otp',
      secretData: '{"value":"secret"}',
      credentialData: '{"subType":"totp","digits":6,"period":30}',
    }
    await this.put(user, { credentials: [otp] })
    const stored = await this.admin.must<{ id: string; type: string }[]>('GET', `/users/${user}/credentials`)
    return stored.json().find(({ type }) => type === 'otp')?.id ?? ''
  }

  async realmManagementRole(user: string, role: string, slash = ''): Promise<void> {
    const client = await this.admin.clientUuid('realm-management')
    const found = (await this.admin.must('GET', `/clients/${client}/roles/${role}`)).json()
    await this.admin.must('POST', `/users/${user}/role-mappings/clients/${client}${slash}`, [found])
  }

  /** Exchanges the code that the browser was sent back with. */
  exchange(url: string, clientId = 'flows-app') {
    return this.realm.tokens.ask({
      grant_type: 'authorization_code',
      client_id: clientId,
      redirect_uri: REDIRECT_URI,
      code: new URL(url).searchParams.get('code') ?? '',
    })
  }

  /**
   * A person with a browser session, a refresh token and an offline token, all from before what follows.
   *
   * @param before what happens to the user before they log in
   */
  async loggedIn(name: string, before: (user: string) => Promise<unknown> = () => Promise.resolve()) {
    const { realm } = this
    const user = await realm.person(name)
    await before(user)
    const browser = new Browser()
    const inBrowser = await realm.tokens.codeFlow(
      browser,
      { clientId: 'flows-app', redirectUri: REDIRECT_URI },
      name,
      'password',
    )
    const mobile = await realm.tokens.directGrant('flows-app', name, 'password')
    const offline = await realm.tokens.directGrant('flows-app', name, 'password', 'openid offline_access')
    const all = [inBrowser, mobile, offline]
    await nextSecond()
    return {
      user,
      name,
      browser,
      sids: all.map(({ access_token }) => String(decodeJwt(access_token)['sid'])).sort(),
      accessToken: mobile.access_token,
      mobile,
      alive: async () => {
        const lives: boolean[] = []
        for (const tokens of all) {
          lives.push(await realm.tokens.lives('flows-app', tokens))
        }
        return lives
      },
      /** Whether single sign-on still gives this browser a code. */
      signedOn: async () => (await browser.open(this.authorization(), REDIRECT_URI)).url.startsWith(REDIRECT_URI),
    }
  }
}

export type Person = Awaited<ReturnType<People['loggedIn']>>
