import { REDIRECT_URI, UPSTREAM } from '../attack/clients.ts'
import { registering } from '../attack/first-login.ts'
import { PASSWORD, Victim } from '../attack/victim.ts'
import { Browser, type Page, titleOf } from '../stage/browser.ts'
import type { Tokens } from '../stage/tokens.ts'
import type { UnderWay } from './under-way.ts'
import type { World } from './world.ts'

/** Somebody with an account in the demo realm, and what they do in browsers of theirs. */
export class Person extends Victim {
  readonly world: World
  /** Where they registered: still under way, at a required action. */
  readonly registration: UnderWay
  /** The browser that they are logged in with everywhere. */
  readonly browser = new Browser()
  #linked = false

  private constructor(world: World, name: string, id: string, registration: UnderWay) {
    super(world.target, name, id)
    this.world = world
    this.registration = registration
  }

  /** May impersonate others; that is one more thing that the password unlocks. */
  static async register(world: World, name: string): Promise<Person> {
    const { target } = world
    const registration = { ...(await registering(target, name)), name }
    const person = new Person(world, name, await target.admin.userId(name), registration)
    await person.giveRole('realm-management', 'impersonation')
    return person
  }

  /** A browser that is logged in at Keycloak. */
  async loggedIn(more: Record<string, string> = {}): Promise<Browser> {
    const browser = new Browser()
    codeOf(await this.logIn(browser, this.target.authorization(), more))
    return browser
  }

  /** Whether single sign-on lets this browser in. */
  async isSignedOn(browser: Browser): Promise<boolean> {
    return (await browser.open(this.target.authorization(), REDIRECT_URI)).url.startsWith(REDIRECT_URI)
  }

  /** Tokens of the mobile application, which orders-api takes and may exchange. */
  mobileTokens(scope?: string): Promise<Tokens> {
    return this.world.tokens.directGrant('mobile-app', this.name, PASSWORD, scope)
  }

  /** From here on the person may log in by an account of the same name at the identity provider. */
  async linkUpstream(): Promise<void> {
    if (!this.#linked) {
      this.#linked = true
      const { admin, upstream } = this.target
      const userId = await upstream.createUser(this.name, PASSWORD)
      await admin.must('POST', this.path(`/federated-identity/${UPSTREAM}`), { userId, userName: this.name })
    }
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
