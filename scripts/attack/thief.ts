import { Browser, type Page } from '../stage/browser.ts'
import { REDIRECT_URI } from './clients.ts'

export const THIEFS_PASSWORD = 'of-the-thief'
/** The fields of Keycloak's page for a new password. */
export const THIEFS_PASSWORDS = { 'password-new': THIEFS_PASSWORD, 'password-confirm': THIEFS_PASSWORD }

/**
 * The browser of somebody who goes on as far as the pages let them: after a reset a page may be a refusal, which has neither
 * a form nor a link that leads on.
 */
export class Thief {
  readonly browser: Browser

  constructor(browser = new Browser()) {
    this.browser = browser
  }

  open(url: string): Promise<Page> {
    return this.browser.open(url, REDIRECT_URI)
  }

  /** Sends the page's form; the page itself where there is none. */
  async submit(page: Page, fields: Record<string, string>): Promise<Page> {
    return page.text.includes('<form') ? this.browser.submit(page, fields, REDIRECT_URI) : page
  }

  /** Follows a link of the page, by a part of its address; the page itself where there is none. */
  async follow(page: Page, part: string): Promise<Page> {
    const link = linkIn(page, part)
    return link === undefined ? page : this.open(link)
  }

  /** Opens a mailed link, past the page that asks whether to go on. */
  async openMailed(link: string): Promise<Page> {
    return this.follow(await this.open(link), 'action-token')
  }

  /** A page before which a reload is what makes a login young again. */
  reload(page: Page): Promise<Page> {
    return this.open(page.url)
  }
}

export function linkIn({ text, url }: Page, part: string): string | undefined {
  const href = [...text.matchAll(/href="([^"]*)"/g)].map(([, found = '']) => found).find((one) => one.includes(part))
  return href === undefined ? undefined : new URL(href.replaceAll('&amp;', '&'), url).href
}

/** The fields of Keycloak's page for a profile. */
export function profileOf(name: string, more: Record<string, string> = {}): Record<string, string> {
  return { username: name, email: `${name}@example.org`, firstName: name, lastName: 'Example', ...more }
}
