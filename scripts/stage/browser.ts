import { call } from './http.ts'

export interface Page {
  readonly status: number
  readonly text: string
  readonly url: string
}

/** What a page of Keycloak says at its head, for an error that can be understood. */
export function titleOf(text: string): string {
  return text
    .replace(/<(script|style)[^]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .slice(0, 200)
}

/** @throws Error unless a login has ended there */
function expectAt(appUrl: string, { status, url, text }: Page): void {
  if (status !== 200 || new URL(url).origin !== new URL(appUrl).origin) {
    throw new Error(`The login did not end at ${appUrl}, but with ${status} at ${url}: ${titleOf(text)}`)
  }
}

interface Cookie {
  readonly pair: string
  readonly path: string
}

/**
 * A person's browser, as far as logging in needs one: cookies, redirects and Keycloak's login form. It talks to the real
 * login pages; it runs no script, which they do not need. Not `fetch`: mod_auth_openidc refuses its Sec-Fetch headers.
 */
export class Browser {
  readonly #cookies = new Map<string, Map<string, Cookie>>()
  readonly #reach: (url: string) => string

  /** @param reach where a URL is really asked: what stands for a balancer that sends this browser to one node of several */
  constructor(reach: (url: string) => string = (url) => url) {
    this.#reach = reach
  }

  /** Another browser with what this one has: that of whoever has stolen its cookies. */
  copy(): Browser {
    const other = new Browser(this.#reach)
    this.#cookies.forEach((jar, host) => other.#cookies.set(host, new Map(jar)))
    return other
  }

  /** Opens the application and logs in at the page it redirects to, unless single sign-on has let it in already. */
  async login(appUrl: string, username: string, password: string): Promise<void> {
    expectAt(appUrl, await this.#logIn(appUrl, username, password))
  }

  /** The same by the identity provider of this alias, which the login page offers: the person logs in there. */
  async loginBy(alias: string, appUrl: string, username: string, password: string): Promise<void> {
    const { text, url } = await this.open(appUrl)
    const link = new RegExp(`href="([^"]*/broker/${alias}/login[^"]*)"`).exec(text)?.[1]
    if (link === undefined) {
      throw new Error(`The login page does not offer ${alias}, at ${url}`)
    }
    expectAt(appUrl, await this.#logIn(new URL(link.replaceAll('&amp;', '&'), url).href, username, password))
  }

  /** Carries out an authorization request. Answers where it sends the browser back to, and does not go there. */
  async authorize(requestUrl: string, redirectUri: string, username: string, password: string): Promise<URL> {
    const { url } = await this.#logIn(requestUrl, username, password, redirectUri)
    if (!url.startsWith(redirectUri)) {
      throw new Error(`The request did not end at ${redirectUri}, but at ${url}`)
    }
    return new URL(url)
  }

  /** Whether the application still knows this browser: it shows the page and sends nobody to log in. */
  async isAlive(appUrl: string): Promise<boolean> {
    return (await this.#once('GET', appUrl)).status === 200
  }

  /** Goes to a page, past redirects, unless one of them leads to `stopAt`. */
  async open(url: string, stopAt?: string): Promise<Page> {
    return this.#follow('GET', url, { stopAt })
  }

  /** Sends the page's form with these fields, and those that it holds hidden. */
  async submit(page: Page, fields: Record<string, string>, stopAt?: string): Promise<Page> {
    const action = /<form[^>]*action="([^"]+)"/.exec(page.text)?.[1]
    if (action === undefined) {
      throw new Error(`There is no form at ${page.url}`)
    }
    const hidden = Object.fromEntries(
      [...page.text.matchAll(/<input[^>]*type="hidden"[^>]*>/g)].map(([input]) => [
        /name="([^"]*)"/.exec(input)?.[1] ?? '',
        /value="([^"]*)"/.exec(input)?.[1] ?? '',
      ]),
    )
    const url = new URL(action.replaceAll('&amp;', '&'), page.url).href
    return this.#follow('POST', url, { form: { ...hidden, ...fields }, stopAt })
  }

  /** A request of its own, for the cookies that the answer sets. */
  async post(url: string, headers: Record<string, string>): Promise<void> {
    const { status, text } = await this.#once('POST', url, undefined, headers)
    if (status !== 200) {
      throw new Error(`${url}: ${status} ${text}`)
    }
  }

  async #logIn(url: string, username: string, password: string, stopAt?: string) {
    const page = await this.#follow('GET', url, { stopAt })
    const action = /<form[^>]*id="kc-form-login"[^>]*action="([^"]+)"/.exec(page.text)?.[1]
    return action === undefined
      ? page
      : this.#follow('POST', action.replaceAll('&amp;', '&'), {
          form: { username, password, credentialId: '' },
          stopAt,
        })
  }

  async #follow(
    method: 'GET' | 'POST',
    url: string,
    { form, stopAt }: { form?: Record<string, string>; stopAt: string | undefined },
  ) {
    let answer = await this.#once(method, url, form)
    for (let hops = 0; answer.status >= 300 && answer.status < 400; hops++) {
      if (hops === 15) {
        throw new Error(`Too many redirects at ${url}`)
      }
      url = new URL(String(answer.headers['location']), url).href
      if (stopAt !== undefined && url.startsWith(stopAt)) {
        break
      }
      answer = await this.#once('GET', url)
    }
    return { status: answer.status, text: answer.text, url }
  }

  async #once(
    method: 'GET' | 'POST',
    url: string,
    form?: Record<string, string>,
    more: Record<string, string> = { accept: 'text/html' },
  ) {
    url = this.#reach(url)
    // Cookies know no ports, but applications here differ by port alone: each has a jar of its own.
    const { host, pathname } = new URL(url)
    const jar = this.#cookies.get(host) ?? new Map<string, Cookie>()
    this.#cookies.set(host, jar)
    // The realms of one Keycloak have cookies of the same names and differ by path.
    const sent = [...jar.values()].filter(({ path }) => pathname.startsWith(path))
    const cookie = sent.map(({ pair }) => pair).join('; ')
    const answer = await call(method, url, {
      headers: { ...more, ...(cookie ? { cookie } : {}) },
      ...(form ? { form } : {}),
    })
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) {
      const [pair = ''] = line.split(';')
      const path = /;\s*path=([^;]+)/i.exec(line)?.[1] ?? '/'
      const name = `${path} ${pair.slice(0, pair.indexOf('='))}`
      if (/max-age=0|expires=thu, 01.jan.1970/i.test(line)) {
        jar.delete(name)
      } else {
        jar.set(name, { pair, path })
      }
    }
    return answer
  }
}
