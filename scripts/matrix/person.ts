import { Browser, type Page } from '../stage/browser.ts'
import { until } from '../stage/process.ts'
import type { Tokens } from '../stage/tokens.ts'
import { REDIRECT_URI, type World } from './world.ts'

const PASSWORD = 'password'
export const NEW_PASSWORD = 'another-password'

/** Somebody with an account in the demo realm, and what they do in browsers of theirs. */
export class Person {
  readonly world: World
  readonly name: string
  readonly id: string
  /** The browser that they are logged in with everywhere. */
  readonly browser = new Browser()

  private constructor(world: World, name: string, id: string) {
    this.world = world
    this.name = name
    this.id = id
  }

  /** May impersonate others; that is one more thing that the password unlocks. */
  static async create(world: World, name: string): Promise<Person> {
    const { admin } = world.keycloak
    const person = new Person(world, name, await admin.createUser('demo', name, PASSWORD))
    await person.giveRole('impersonation')
    return person
  }

  get email(): string {
    return `${this.name}@example.org`
  }

  /** A role of the realm's own administration. */
  async giveRole(role: string): Promise<void> {
    const { admin } = this.world.keycloak
    const client = await admin.clientUuid('demo', 'realm-management')
    const found = (await admin.must('GET', `/demo/clients/${client}/roles/${role}`)).json()
    await admin.must('POST', `/demo/users/${this.id}/role-mappings/clients/${client}`, [found])
  }

  /** An authorization request of `flows-app`, or of another public client. */
  authorization(more: Record<string, string> = {}): string {
    const query = {
      response_type: 'code',
      client_id: 'flows-app',
      redirect_uri: REDIRECT_URI,
      scope: 'openid',
      ...more,
    }
    return this.endpoint(`auth?${new URLSearchParams(query).toString()}`)
  }

  endpoint(path: string): string {
    return `${this.world.keycloak.issuer('demo')}/protocol/openid-connect/${path}`
  }

  /** Goes through the login page. Ends at the client's redirect URI, or at a page that stands in between. */
  async logIn(browser: Browser, url = this.authorization(), more: Record<string, string> = {}): Promise<Page> {
    const page = await browser.open(url, REDIRECT_URI)
    return browser.submit(page, { username: this.name, password: PASSWORD, ...more }, REDIRECT_URI)
  }

  /** A browser that is logged in at Keycloak. */
  async loggedIn(more: Record<string, string> = {}): Promise<Browser> {
    const browser = new Browser()
    codeOf(await this.logIn(browser, this.authorization(), more))
    return browser
  }

  /** Whether single sign-on lets this browser in. */
  async isSignedOn(browser: Browser): Promise<boolean> {
    return (await browser.open(this.authorization(), REDIRECT_URI)).url.startsWith(REDIRECT_URI)
  }

  exchange(code: string, clientId = 'flows-app') {
    const form = { grant_type: 'authorization_code', client_id: clientId, redirect_uri: REDIRECT_URI, code }
    return this.world.tokens.ask(form)
  }

  /** Tokens of the mobile application, which orders-api takes and may exchange. */
  tokens(scope?: string): Promise<Tokens> {
    return this.world.tokens.directGrant('mobile-app', this.name, PASSWORD, scope)
  }

  /** The link of a newly mailed message. */
  async mailed(send: () => Promise<unknown>): Promise<string> {
    const { mail } = this.world
    const before = mail.linkFor(this.email)
    await send()
    await until('the mail has come', () => mail.linkFor(this.email) !== before)
    return mail.linkFor(this.email) ?? ''
  }

  /** The ids of the stored credentials of this type. */
  async credentials(type: string): Promise<string[]> {
    const answer = await this.world.keycloak.admin.call<{ id: string; type: string }[]>(
      'GET',
      `/demo/users/${this.id}/credentials`,
    )
    return answer.status === 200
      ? answer
          .json()
          .filter((one) => one.type === type)
          .map(({ id }) => id)
      : []
  }
}

/** The code that a browser was sent back with. */
export function codeOf({ url, status, text }: Page): string {
  const code = url.startsWith(REDIRECT_URI) ? new URL(url).searchParams.get('code') : null
  if (code === null) {
    throw new Error(`No code came back, but ${status} at ${url}: ${titleOf(text)}`)
  }
  return code
}

/** What a page of Keycloak says at its head, for an error that can be understood. */
export function titleOf(text: string): string {
  return text
    .replace(/<(script|style)[^]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .slice(0, 200)
}
