import { type Browser, type Page, titleOf } from '../stage/browser.ts'
import { until } from '../stage/process.ts'
import type { Tokens } from '../stage/tokens.ts'
import { REDIRECT_URI } from './clients.ts'
import { nextSecond, type Target } from './target.ts'

export const PASSWORD = 'password'
export const NEW_PASSWORD = 'another-password'

interface StoredUser {
  readonly firstName?: string
  readonly email?: string
  readonly emailVerified?: boolean
  readonly enabled?: boolean
}

/** Whose password is reset. */
export class Victim {
  readonly target: Target
  readonly name: string
  readonly id: string

  constructor(target: Target, name: string, id: string) {
    this.target = target
    this.name = name
    this.id = id
  }

  static async create(target: Target, name: string): Promise<Victim> {
    return new Victim(target, name, await target.admin.createUser(name, PASSWORD))
  }

  get email(): string {
    return `${this.name}@example.org`
  }

  /** In the Admin API of the realm. */
  path(below = ''): string {
    return `/users/${this.id}${below}`
  }

  /** An administrator's reset, in a later second than all before it and in an earlier one than all after it. */
  async reset(): Promise<void> {
    await nextSecond()
    await this.resetNow()
    await nextSecond()
  }

  async resetNow(): Promise<void> {
    const answer = await this.target.admin.resetPassword(this.id, NEW_PASSWORD)
    if (answer.status !== 204) {
      throw new Error(`The reset: ${answer.status} ${answer.text}`)
    }
  }

  /** Goes through the login page. Ends at the client's redirect URI, or at a page that stands in between. */
  async logIn(
    browser: Browser,
    url = this.target.authorization(),
    more: Readonly<Record<string, string>> = {},
  ): Promise<Page> {
    const page = await browser.open(url, REDIRECT_URI)
    if (!page.text.includes('kc-form-login')) {
      throw new Error(`No login page at ${page.url}, but ${page.status} ${titleOf(page.text)}`)
    }
    return browser.submit(page, { username: this.name, password: PASSWORD, ...more }, REDIRECT_URI)
  }

  /** Tokens of a login in this browser. */
  async tokens(browser: Browser, password = PASSWORD): Promise<Tokens> {
    const page = await this.logIn(browser, undefined, { password })
    const tokens = await this.target.redeem(page)
    if (!tokens) {
      throw new Error(`No tokens came of the login, but ${page.status} at ${page.url}: ${titleOf(page.text)}`)
    }
    return tokens
  }

  /** Gives the role of a client. */
  async giveRole(clientId: string, role: string): Promise<void> {
    const { admin } = this.target
    const client = await admin.clientUuid(clientId)
    const found = (await admin.must('GET', `/clients/${client}/roles/${role}`)).json()
    await admin.must('POST', this.path(`/role-mappings/clients/${client}`), [found])
  }

  /** As the user is stored now; undefined where the user is gone. */
  async stored(): Promise<StoredUser | undefined> {
    const answer = await this.target.admin.call<StoredUser>('GET', this.path())
    return answer.status === 200 ? answer.json() : undefined
  }

  /** The accounts elsewhere by which one logs in as this user, where there still is one: the aliases of their identity providers. */
  async links(): Promise<string[]> {
    const answer = await this.target.admin.call<{ identityProvider: string }[]>('GET', this.path('/federated-identity'))
    return answer.status === 200 ? answer.json().map(({ identityProvider }) => identityProvider) : []
  }

  /** The ids of the stored credentials of this type. */
  async credentials(type: string): Promise<string[]> {
    const answer = await this.target.admin.call<{ id: string; type: string }[]>('GET', this.path('/credentials'))
    const stored = answer.status === 200 ? answer.json() : []
    return stored.filter((one) => one.type === type).map(({ id }) => id)
  }

  /** The link of a newly mailed message. */
  async mailed(send: () => Promise<unknown>, address = this.email): Promise<string> {
    const { mail } = this.target.parts
    const before = mail.linkFor(address)
    await send()
    await until('the mail has come', () => mail.linkFor(address) !== before, { seconds: 10 })
    return mail.linkFor(address) ?? ''
  }
}
